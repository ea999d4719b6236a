"""Which text of a definition decides: the one that the log last adopted.

A new version first carries every open case over into its words, each an event of the case, and is
adopted after that; a process that still holds the old text decides nothing about what was carried
over, and nothing at all once the new one is adopted.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime

from msgspec import Struct

from lifecycle.case import Case
from lifecycle.chart import Configuration
from lifecycle.definition import read
from lifecycle.events import (
    Asker,
    CarriedOver,
    CaseOpened,
    DefinitionAdopted,
    Event,
    StateCorrected,
    TransitionMade,
    Valued,
)
from lifecycle.journal import Journal, Record
from lifecycle.known import Known
from lifecycle.model import Lifecycle
from lifecycle.refusals import BadDefinition, Problem
from lifecycle.streams import definition_stream

NAMED_MAX = 10
"""Cases that a refusal to adopt names."""


class Adoption(Struct, frozen=True):
    """What adopting a definition would do."""

    lifecycle: str
    version: int
    adopted: int | None
    """The version that decides now; None where none was adopted."""
    changes: bool
    """It means something else than what was adopted."""
    open_cases: int = 0
    carried: Mapping[str, Configuration] = {}
    """The cases that will stand under other names, or in new regions too, and where."""
    reworded: int = 0
    """Cases for which some tool will have another word."""
    refused: str | None = None
    """Why it cannot be adopted."""


def adopt(journal: Journal, lifecycles: Iterable[Lifecycle]) -> None:
    """Let these definitions decide from now on.

    One that means what the log last adopted changes nothing. A new version is adopted if every
    open case can stand in it; else `BadDefinition` names those that cannot.
    """
    for lifecycle in lifecycles:
        while True:
            adoption = plan(journal, lifecycle)
            if adoption.refused:
                raise _refused(lifecycle, adoption.refused)
            if not adoption.carried:
                break
            # Others may move cases meanwhile: look again until nothing is left to carry over.
            carrying = _carrying(lifecycle)
            journal.record_many([Record(f"case:{case}", carrying) for case in adoption.carried])
        journal.record_now(Record(definition_stream(lifecycle.name), _adopting(lifecycle)))


def plan(journal: Journal, lifecycle: Lifecycle) -> Adoption:
    """What adopting this definition would do; changes nothing."""
    adopted = journal.known_now(definition_stream(lifecycle.name)).state
    version = lifecycle.mark.version
    if not isinstance(adopted, DefinitionAdopted):
        return Adoption(lifecycle.name, version, None, changes=True)
    if not _changed(adopted, lifecycle):
        return Adoption(lifecycle.name, version, adopted.version, changes=False)
    if version <= adopted.version:
        refused = _not_raised(adopted)
        return Adoption(lifecycle.name, version, adopted.version, changes=True, refused=refused)
    return _planned(adopted, lifecycle, _standing(journal, lifecycle.collection))


def _planned(
    adopted: DefinitionAdopted, lifecycle: Lifecycle, standing: "Mapping[str, _Standing]"
) -> Adoption:
    before = Lifecycle(read(adopted.text.encode(), lifecycle.name)[0])
    open_cases = {
        case: where for case, where in standing.items() if not before.chart.ended(where.states)
    }
    carried: dict[str, Configuration] = {}
    strange: list[str] = []
    reworded = 0
    for case, where in open_cases.items():
        if where.version >= lifecycle.mark.version:
            continue  # carried over already, by a start that did not come to its end
        to = lifecycle.chart.carried(_renamed(where.states, lifecycle))
        lost = [one for one in _renamed(where.fields, lifecycle) if one not in lifecycle.fields]
        if to is None or lost:
            strange.append(f"{case} ({', '.join(lost or where.states)})")
            continue
        if to != where.states or _renamed(where.fields, lifecycle) != where.fields:
            carried[case] = to
        known_before = before.chart.is_whole(where.states)
        if known_before and before.vocabulary.shown(where.states) != lifecycle.vocabulary.shown(to):
            reworded += 1
    return Adoption(
        lifecycle.name,
        lifecycle.mark.version,
        adopted.version,
        changes=True,
        open_cases=len(open_cases),
        carried=carried,
        reworded=reworded,
        refused=_named(strange) if strange else None,
    )


def _renamed(names: Iterable[str], lifecycle: Lifecycle) -> tuple[str, ...]:
    renamed = lifecycle.declaration.renamed
    return tuple(renamed.get(name, name) for name in names)


def _named(strange: Collection[str]) -> str:
    more = f" and {len(strange) - NAMED_MAX} more" if len(strange) > NAMED_MAX else ""
    named = ", ".join([*strange][:NAMED_MAX]) + more
    return f"these open cases have no place in it (`renamed` may help): {named}"


def _carrying(lifecycle: Lifecycle) -> Callable[[Known, datetime], Event | None]:
    """Decided on the case as it is at that moment, wherever it stood when it was planned."""
    renamed = lifecycle.declaration.renamed

    def decide(known: Known, now: datetime) -> Event | None:
        case = known.state
        assert isinstance(case, Case)
        if case.lifecycle_version >= lifecycle.mark.version:
            return None  # another process has carried it over, and perhaps moved it on
        to = lifecycle.chart.carried(_renamed(case.states, lifecycle))
        if to is None:
            raise _refused(lifecycle, _named([f"{case.collection}/{case.id} ({case.state})"]))
        return CarriedOver(
            recorded_at=now,
            time=max(now, case.changed_at),
            by=Asker(),
            left=case.states,
            to=to,
            definition=lifecycle.mark,
            renamed={old: new for old, new in renamed.items() if old in case.fields},
            renamed_states={old: new for old, new in renamed.items() if old in case.states},
        )

    return decide


def _adopting(lifecycle: Lifecycle) -> Callable[[Known, datetime], Event | None]:
    def decide(known: Known, now: datetime) -> Event | None:
        adopted = known.state
        if isinstance(adopted, DefinitionAdopted):
            if not _changed(adopted, lifecycle):
                return None
            if lifecycle.mark.version <= adopted.version:  # another process was quicker
                raise _refused(lifecycle, _not_raised(adopted))
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


def _not_raised(adopted: DefinitionAdopted) -> str:
    return (
        f"means something else than the version {adopted.version} that the log adopted;"
        f" raise `version` to {adopted.version + 1} or more to adopt it"
    )


class _Standing(Struct, frozen=True):
    """Where a case stands, and the names of the fields it has."""

    states: Configuration
    fields: tuple[str, ...]
    version: int = 0
    """Of the definition that last moved it."""


def _standing(journal: Journal, collection: str) -> dict[str, _Standing]:
    """Every case of a collection, from the whole log."""
    standing: dict[str, _Standing] = {}
    position, prefix = 0, f"case:{collection}/"
    while tail := journal.recorder.tail(position):
        for stored in tail:
            if str(stored.originator_id).startswith(prefix):
                entry = journal.mapper.to_domain_event(stored)
                case = entry.stream.removeprefix("case:")
                standing[case] = _moved(standing.get(case, _Standing((), ())), entry.event)
        position = tail[-1].id
    return standing


def _moved(where: _Standing, event: Event) -> _Standing:
    states, fields, version = where.states, where.fields, where.version
    if isinstance(event, CaseOpened | TransitionMade | StateCorrected | CarriedOver):
        states, version = event.to, event.definition.version
    if isinstance(event, Valued):
        told = {**event.fields, **event.personal}
        kept = dict.fromkeys(name for name in fields if name not in told)
        fields = (*kept, *(name for name, value in told.items() if value is not None))
    if isinstance(event, CarriedOver):
        fields = tuple(event.renamed.get(name, name) for name in fields)
    return _Standing(states, fields, version)


def _refused(lifecycle: Lifecycle, message: str) -> BadDefinition:
    return BadDefinition((Problem(lifecycle.name, 0, "version", message),))
