"""What the log inherited from earlier definitions, and what these would lose from sight.

A definition that is taken away, or that names its collection or a tool's main kind of record anew,
leaves cases and references behind that nobody can find any more. That is refused at the start.
"""

from collections.abc import Collection, Iterator

import structlog

from lifecycle.case import Case
from lifecycle.declaration import Declaration
from lifecycle.definition import read
from lifecycle.events import DefinitionAdopted, Entry
from lifecycle.journal import Journal
from lifecycle.known import NOTHING, Known, learn
from lifecycle.model import Lifecycle
from lifecycle.refusals import BadDefinition
from lifecycle.streams import case_stream, definition_stream, reference_stream

NAMED_MAX = 10
"""Cases that a refusal names."""

log = structlog.get_logger("statekeeper.inherited")


def declared_by(adopted: DefinitionAdopted) -> Declaration | None:
    """What a text declares that the log adopted; None where nobody can read it any more.

    It was written for an earlier version of this program, and what stands in the log cannot be
    mended. So no start is refused for it: what only this text would tell is passed over, and the
    service's own log says so.
    """
    try:
        return read(adopted.text.encode(), adopted.lifecycle)[0]
    except BadDefinition:
        about = {"definition": adopted.lifecycle, "version": adopted.version}
        log.warning("an adopted text cannot be read any more", **about)
        return None


def left_behind(
    journal: Journal, lifecycles: Collection[Lifecycle]
) -> Iterator[tuple[DefinitionAdopted, str]]:
    """Each adopted lifecycle with open cases in a collection where none declares it, and why."""
    declared = {(one.name, one.collection) for one in lifecycles}
    meant = {(one.name, one.mark.digest) for one in lifecycles}
    for name, adopted in _adopted(journal):
        if (name, adopted.digest) in meant:  # nothing but titles can have changed
            continue
        declaration = declared_by(adopted)
        if declaration is None or (name, declaration.collection) in declared:
            continue
        lifecycle = Lifecycle(declaration)
        if found := _named(_open_cases(journal, lifecycle)):
            yield adopted, _left_behind(lifecycle, lifecycles, found)


def detached(journal: Journal, before: Lifecycle, lifecycle: Lifecycle) -> str | None:
    """Why references would mean nothing any more: a tool's main kind of record is another one."""
    for tool in lifecycle.declaration.tools:
        if tool not in before.declaration.tools:
            continue
        was, now = before.main_kind(tool), lifecycle.main_kind(tool)
        if was != now and (found := _named(_holding(journal, before, tool, was))):
            keep = f"keep {was!r} first" if was else "declare none"
            return (
                f"the main kind of {tool!r} was {was or 'none'} and would be {now or 'none'}, but"
                f" these cases hold references of it: {found}; {keep} in its `kinds`"
            )
    return None


def _left_behind(lifecycle: Lifecycle, lifecycles: Collection[Lifecycle], found: str) -> str:
    was = lifecycle.collection
    moved = next((one.collection for one in lifecycles if one.name == lifecycle.name), "")
    what = f"its collection was {was!r} and is {moved!r} now" if moved else "is declared no more"
    return f"{what}, but these open cases follow it: {found}; declare it as it was until they end"


def _adopted(journal: Journal) -> Iterator[tuple[str, DefinitionAdopted]]:
    """Every lifecycle that was ever adopted, with its last version."""
    prefix = definition_stream("")
    for stream, known in _folded(journal, prefix):
        if isinstance(known.state, DefinitionAdopted):
            yield stream.removeprefix(prefix), known.state


def _open_cases(journal: Journal, lifecycle: Lifecycle) -> Iterator[str]:
    for _, known in _folded(journal, case_stream(lifecycle.collection, "")):
        case = known.state
        if not isinstance(case, Case) or case.lifecycle != lifecycle.name:
            continue
        if not lifecycle.chart.ended(case.states):
            yield f"{case.collection}/{case.id}"


def _holding(journal: Journal, lifecycle: Lifecycle, tool: str, kind: str) -> Iterator[str]:
    """The cases that hold references of a tool without naming their kind."""
    for _, known in _folded(journal, reference_stream(tool, kind, "")):
        if not isinstance(known.state, str):
            continue
        case = journal.known_now(f"case:{known.state}").state
        if isinstance(case, Case) and case.lifecycle == lifecycle.name and tool in case.references:
            yield known.state


def _folded(journal: Journal, prefix: str) -> Iterator[tuple[str, Known]]:
    """What each stream amounts to whose name begins so, in the order of their names."""
    recorder, known, stream = journal.recorder, NOTHING, prefix
    upto = recorder.last_position()
    while page := recorder.by_stream((stream, known.version), upto=upto):
        for stored in page:
            name = str(stored.originator_id)
            if name != stream and known is not NOTHING:
                yield stream, known
            if name != stream:
                stream, known = name, NOTHING
            if not name.startswith(prefix):
                return
            entry: Entry = journal.mapper.to_domain_event(stored)
            known = learn(known, entry)
    if known is not NOTHING:
        yield stream, known


def _named(cases: Iterator[str]) -> str:
    """The first of them by name, and how many more there are; empty where there are none."""
    named = list(dict.fromkeys(cases))
    more = f" and {len(named) - NAMED_MAX} more" if len(named) > NAMED_MAX else ""
    return ", ".join(named[:NAMED_MAX]) + more
