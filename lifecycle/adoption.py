"""Which text of a definition decides: the one that the log last adopted.

A new version first carries every open case over into its words, each an event of the case, and is
adopted after that; a process that still holds the old text decides nothing about what was carried
over, and nothing at all once the new one is adopted.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime

from msgspec import Struct

from lifecycle.case import Case
from lifecycle.census import Standing, census
from lifecycle.chart import Configuration
from lifecycle.events import Asker, CarriedOver, DefinitionAdopted, Event
from lifecycle.inherited import declared_by, detached, left_behind
from lifecycle.journal import Journal, Record
from lifecycle.known import Known
from lifecycle.model import Lifecycle
from lifecycle.refusals import BadDefinition, Problem
from lifecycle.rewording import Words, now, reworded, tell_words
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
    tells: Mapping[str, int] = {}
    """Tool → of how many cases it would be told another word, if tools are to be told."""
    refused: str | None = None
    """Why it cannot be adopted."""


def adopt(journal: Journal, lifecycles: Collection[Lifecycle], *, tell: bool = False) -> None:
    """Let these definitions decide from now on; with `tell`, tools are told the words that changed.

    One that means what the log last adopted changes nothing. A new version is adopted if every
    open case can stand in it; else `BadDefinition` names those that cannot. So it is where a
    lifecycle that open cases follow is declared no more.
    """
    if lost := [
        Problem(one.lifecycle, 0, "", why) for one, why in left_behind(journal, lifecycles)
    ]:
        raise BadDefinition(tuple(lost))
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
        adopting = _adopting(lifecycle, tells=tell)
        journal.record_now(Record(definition_stream(lifecycle.name), adopting))
        tell_words(journal, lifecycle, wanted=tell)


def foretell(journal: Journal, lifecycles: Collection[Lifecycle]) -> Iterator[Adoption]:
    """What adopting all of these would do; changes nothing."""
    for lifecycle in lifecycles:
        yield plan(journal, lifecycle)
    for one, why in left_behind(journal, lifecycles):
        yield Adoption(one.lifecycle, one.version, one.version, changes=True, refused=why)


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
    declared = declared_by(adopted)
    before = Lifecycle(declared) if declared else None
    if before and (lost := detached(journal, before, lifecycle)):
        return Adoption(lifecycle.name, version, adopted.version, changes=True, refused=lost)
    standing = census(journal, lifecycle.collection, version)
    return _planned(adopted, before, lifecycle, standing)


def _planned(
    adopted: DefinitionAdopted,
    before: Lifecycle | None,
    lifecycle: Lifecycle,
    standing: Mapping[str, Standing],
) -> Adoption:
    """Where every open case would stand; `before` is None where nobody can read it any more."""
    open_cases = {
        case: where for case, where in standing.items() if not _over(where, before, lifecycle)
    }
    carried: dict[str, Configuration] = {}
    strange: list[str] = []
    for case, where in open_cases.items():
        if where.version >= lifecycle.mark.version:
            continue  # carried over already, by a start that did not come to its end
        to = now(where, lifecycle)
        lost = [one for one in _renamed(where.fields, lifecycle) if one not in lifecycle.fields]
        if to is None or lost:
            strange.append(f"{case} ({', '.join(lost or where.states)})")
            continue
        if to != where.states or _renamed(where.fields, lifecycle) != where.fields:
            carried[case] = to
    words = reworded(before, lifecycle, standing) if before else {}
    return Adoption(
        lifecycle.name,
        lifecycle.mark.version,
        adopted.version,
        changes=True,
        open_cases=len(open_cases),
        carried=carried,
        reworded=len(words),
        tells=_tells(words, lifecycle, standing),
        refused=_named(strange) if strange else None,
    )


def _over(where: Standing, before: Lifecycle | None, lifecycle: Lifecycle) -> bool:
    """Whether a case had ended; without the version before, whether it would have by now."""
    if before:
        return before.chart.ended(where.states)
    to = now(where, lifecycle)
    return to is not None and lifecycle.chart.ended(to)


def _tells(
    words: Mapping[str, Words], lifecycle: Lifecycle, standing: Mapping[str, Standing]
) -> dict[str, int]:
    """At most so many: what a tool shows already it is not told."""
    tells: Counter[str] = Counter()
    for case, before in words.items():
        to = now(standing[case], lifecycle)
        shown = lifecycle.vocabulary.shown(to) if to else {}
        tells.update(tool for tool in lifecycle.told if shown.get(tool) != before.get(tool))
    return dict(tells)


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

    def decide(known: Known, at: datetime) -> Event | None:
        case = known.state
        assert isinstance(case, Case)
        if case.lifecycle_version >= lifecycle.mark.version:
            return None  # another process has carried it over, and perhaps moved it on
        to = lifecycle.chart.carried(_renamed(case.states, lifecycle))
        if to is None:
            raise _refused(lifecycle, _named([f"{case.collection}/{case.id} ({case.state})"]))
        return CarriedOver(
            recorded_at=at,
            time=max(at, case.changed_at),
            by=Asker(),
            left=case.states,
            to=to,
            definition=lifecycle.mark,
            renamed={old: new for old, new in renamed.items() if old in case.fields},
            renamed_states={old: new for old, new in renamed.items() if old in case.states},
        )

    return decide


def _adopting(lifecycle: Lifecycle, *, tells: bool) -> Callable[[Known, datetime], Event | None]:
    def decide(known: Known, at: datetime) -> Event | None:
        adopted = known.state
        if isinstance(adopted, DefinitionAdopted):
            if not _changed(adopted, lifecycle):
                return None
            if lifecycle.mark.version <= adopted.version:  # another process was quicker
                raise _refused(lifecycle, _not_raised(adopted))
        return DefinitionAdopted(
            recorded_at=at,
            by=Asker(),
            lifecycle=lifecycle.name,
            version=lifecycle.mark.version,
            digest=lifecycle.mark.digest,
            text=lifecycle.text,
            tells=tells,
        )

    return decide


def _changed(adopted: DefinitionAdopted, lifecycle: Lifecycle) -> bool:
    return adopted.digest != lifecycle.mark.digest


def _not_raised(adopted: DefinitionAdopted) -> str:
    return (
        f"means something else than the version {adopted.version} that the log adopted;"
        f" raise `version` to {adopted.version + 1} or more to adopt it"
    )


def _refused(lifecycle: Lifecycle, message: str) -> BadDefinition:
    return BadDefinition((Problem(lifecycle.name, 0, "version", message),))
