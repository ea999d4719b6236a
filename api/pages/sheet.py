"""What the page of a case says above its history.

Made from the case and its entries, and nothing else; the templates only lay it out.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from api.pages.ahead import Awaited, Way, awaited, ways
from api.pages.known import Fact, Link, facts, links
from api.pages.shown import Shown, mirrors, shown
from api.pages.trail import Stay, path, stays
from lifecycle.case import Case
from lifecycle.events import ERASED, CaseEvent, Entry
from lifecycle.model import Lifecycle
from projections.timeline import stamp
from projections.views import Overdue, is_declared, overdue, ways_out
from projections.why import Waiting, reasons, span, waiting
from projections.wording import state_titles


class Sheet(Struct, frozen=True):
    """Everything above the history."""

    case: Case
    name: str
    """Whom or what it is about, where a field says so."""
    state: str
    since: str
    spell: str
    """How long it has been there; empty where it has just come."""
    ended: bool
    declared: bool
    overdue: Overdue | None
    late_by: str
    reasons: Sequence[str]
    """Why it is there, a sentence each."""
    awaited: Sequence[Awaited]
    ways: Sequence[Way]
    shown: Sequence[Shown]
    facts: Sequence[Fact]
    links: Sequence[Link]
    claims: Sequence[Waiting]
    stays: Sequence[Stay]
    path: frozenset[str]
    """The transitions made and the states passed, as the picture takes them."""


def sheet(case: Case, entries: Sequence[Entry], lifecycle: Lifecycle, now: datetime) -> Sheet:
    """Lay out a case as it is after these entries; `now` is the moment that is looked at."""
    declared = is_declared(case, lifecycle)
    out = ways_out(case, lifecycle) if declared else ()
    claims = waiting(entries)
    mirrored = mirrors(entries)
    late = overdue(case, lifecycle, now) if declared else None
    changes = [entry for entry in entries if isinstance(entry.event, CaseEvent)]
    return Sheet(
        case=case,
        name=_name(case, lifecycle),
        state=state_titles(case.states, lifecycle),
        since=stamp(case.since),
        spell=_spell(now - case.since),
        ended=declared and not out,
        declared=declared,
        overdue=late,
        late_by=span(late.seconds) if late else "",
        reasons=reasons(case, entries, lifecycle),
        awaited=list(dict.fromkeys(awaited(case, out, lifecycle))),
        ways=ways(case, out, lifecycle),
        shown=list(shown(case, entries, claims, mirrored, lifecycle)) if declared else (),
        facts=list(facts(case, changes, mirrored, lifecycle)),
        links=list(links(case, changes, lifecycle)),
        claims=claims,
        stays=list(stays(case, changes, lifecycle, now)),
        path=path(changes),
    )


def _name(case: Case, lifecycle: Lifecycle) -> str:
    """Say whom the case is about: the first text that is called a name."""
    for name, field in lifecycle.fields.items():
        value = case.fields.get(name)
        if field.type == "text" and "name" in name.split("_") and isinstance(value, str):
            return "" if value == ERASED and name in case.personal else value
    return ""


def _spell(length: timedelta) -> str:
    seconds = int(length.total_seconds())
    return span(seconds) if seconds > 0 else ""
