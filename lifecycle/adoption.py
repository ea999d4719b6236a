"""Which text of a definition decides: the one that the log last adopted."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from lifecycle.asks import Known, definition_stream
from lifecycle.chart import Chart
from lifecycle.definition import read
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
    case that has not ended stands where one can stand in the new one; else `BadDefinition` names
    those that do not.
    """
    for lifecycle in lifecycles:
        stream = definition_stream(lifecycle.name)
        adopted = journal.known_now(stream).state
        if isinstance(adopted, DefinitionAdopted) and _changed(adopted, lifecycle):
            _require_raised(lifecycle, adopted)
            _require_fit(journal, lifecycle, adopted)
        journal.record_now(Record(stream, _adopting(lifecycle)))


def _adopting(lifecycle: Lifecycle) -> Callable[[Known, datetime], Event | None]:
    def decide(known: Known, now: datetime) -> Event | None:
        adopted = known.state
        if isinstance(adopted, DefinitionAdopted):
            if not _changed(adopted, lifecycle):
                return None
            _require_raised(lifecycle, adopted)  # another process may have adopted meanwhile
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


def _require_raised(lifecycle: Lifecycle, adopted: DefinitionAdopted) -> None:
    if lifecycle.mark.version <= adopted.version:
        raise _refused(
            lifecycle,
            f"means something else than the version {adopted.version} that the log adopted;"
            f" raise `version` to {adopted.version + 1} or more to adopt it",
        )


def _require_fit(journal: Journal, lifecycle: Lifecycle, adopted: DefinitionAdopted) -> None:
    before = read(adopted.text.encode(), lifecycle.name)[0]
    ended = Chart(before).ended
    strange = [
        f"{case} ({', '.join(states)})"
        for case, states in _standing(journal, lifecycle.collection)
        if not ended(states) and not lifecycle.chart.is_whole(states)
    ]
    if strange:
        more = f" and {len(strange) - NAMED_MAX} more" if len(strange) > NAMED_MAX else ""
        named = ", ".join(strange[:NAMED_MAX]) + more
        raise _refused(lifecycle, f"these cases stand where no case of it can stand: {named}")


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
