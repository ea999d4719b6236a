"""Which text of a definition decides: the one that the log last adopted."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from lifecycle.asks import Known, definition_stream
from lifecycle.events import (
    Asker,
    CaseOpened,
    DefinitionAdopted,
    Event,
    StateCorrected,
    TransitionMade,
)
from lifecycle.journal import Journal, Record
from lifecycle.model import Lifecycle
from lifecycle.refusals import BadDefinition, Problem

NAMED_MAX = 10
"""Cases that a refusal to adopt names."""


def adopt(journal: Journal, lifecycles: Iterable[Lifecycle]) -> None:
    """Let these definitions decide from now on.

    One that means what the log last adopted changes nothing. A new version is adopted if every
    open case stands where the new one knows its states; else `BadDefinition` names the cases.
    """
    for lifecycle in lifecycles:
        stream = definition_stream(lifecycle.name)
        adopted = journal.memory[stream].state
        if isinstance(adopted, DefinitionAdopted) and _changed(adopted, lifecycle):
            _require_fit(journal, lifecycle, adopted)
        journal.record_now(Record(stream, _adopting(lifecycle)))


def _adopting(lifecycle: Lifecycle) -> Callable[[Known, datetime], Event | None]:
    def decide(known: Known, now: datetime) -> Event | None:
        adopted = known.state
        if isinstance(adopted, DefinitionAdopted) and not _changed(adopted, lifecycle):
            return None
        return DefinitionAdopted(
            recorded_at=now,
            by=Asker(),
            lifecycle=lifecycle.name,
            version=lifecycle.mark.version,
            digest=lifecycle.mark.digest,
            text=lifecycle.text,
        )

    return decide


def _changed(adopted: DefinitionAdopted, lifecycle: Lifecycle) -> bool:
    return adopted.digest != lifecycle.mark.digest


def _require_fit(journal: Journal, lifecycle: Lifecycle, adopted: DefinitionAdopted) -> None:
    if lifecycle.mark.version <= adopted.version:
        raise _refused(
            lifecycle,
            f"means something else than the version {adopted.version} that the log adopted;"
            f" raise `version` to {adopted.version + 1} or more to adopt it",
        )
    strange = [
        f"{case} ({', '.join(states)})"
        for case, states in _standing(journal, lifecycle.collection)
        if any(state not in lifecycle.chart.leaves for state in states)
    ]
    if strange:
        more = f" and {len(strange) - NAMED_MAX} more" if len(strange) > NAMED_MAX else ""
        named = ", ".join(strange[:NAMED_MAX]) + more
        raise _refused(lifecycle, f"these cases stand where it knows no state: {named}")


def _standing(journal: Journal, collection: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every case of a collection with the states it stands in, from the whole log."""
    standing: dict[str, tuple[str, ...]] = {}
    position, prefix = 0, f"case:{collection}/"
    while tail := journal.recorder.tail(position):
        for stored in tail:
            if str(stored.originator_id).startswith(prefix):
                entry = journal.mapper.to_domain_event(stored)
                if isinstance(entry.event, CaseOpened | TransitionMade | StateCorrected):
                    standing[entry.stream.removeprefix("case:")] = entry.event.to
        position = tail[-1].id
    yield from standing.items()


def _refused(lifecycle: Lifecycle, message: str) -> BadDefinition:
    return BadDefinition((Problem(lifecycle.name, 0, "version", message),))
