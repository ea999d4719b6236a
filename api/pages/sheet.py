"""What the page of a case says above its history.

Made from the case and its entries, and nothing else; the templates only lay it out.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from api.pages.ahead import (
    Awaited,
    Unheard,
    Unsettled,
    Way,
    awaited,
    unsettled,
    untold,
    ways,
)
from api.pages.known import Fact, Link, crucial_fields, facts, links, name_of
from api.pages.shown import Shown, mirrors, shown
from api.pages.telling import NO_TELLINGS, Telling
from api.pages.trail import Stay, path, stays
from lifecycle.case import Case
from lifecycle.events import CaseEvent, Entry
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
    untold: Sequence[Unheard]
    """Tools that are waited for, and were not told yet what they need to know for that."""
    crucial: Sequence[Fact]
    """What the lifecycle's own conditions speak of: by these facts cases go on."""
    unsettled: Sequence[Unsettled]
    """The tools that show something else than is true."""
    ways: Sequence[Way]
    shown: Sequence[Shown]
    facts: Sequence[Fact]
    links: Sequence[Link]
    claims: Sequence[Waiting]
    stays: Sequence[Stay]
    path: frozenset[str]
    """The transitions made and the states passed, as the picture takes them."""


def sheet(
    case: Case,
    entries: Sequence[Entry],
    lifecycle: Lifecycle,
    now: datetime,
    tellings: Mapping[str, Telling] = NO_TELLINGS,
) -> Sheet:
    """Lay out a case as it is after these entries.

    `now` is the moment that is looked at; `tellings` say by the notice how it stands with telling
    what is due.
    """
    declared = is_declared(case, lifecycle)
    out = ways_out(case, lifecycle) if declared else ()
    claims = waiting(entries)
    mirrored = mirrors(entries)
    late = overdue(case, lifecycle, now) if declared else None
    changes = [entry for entry in entries if isinstance(entry.event, CaseEvent)]
    known = list(facts(case, changes, mirrored, lifecycle))
    ahead = list(dict.fromkeys(awaited(case, out, lifecycle)))
    return Sheet(
        case=case,
        name=name_of(case, lifecycle),
        state=state_titles(case.states, lifecycle),
        since=stamp(case.since),
        spell=_spell(now - case.since),
        ended=declared and not out,
        declared=declared,
        overdue=late,
        late_by=span(late.seconds) if late else "",
        reasons=reasons(case, entries, lifecycle),
        awaited=ahead,
        untold=list(untold(ahead, mirrored, lifecycle, tellings)),
        crucial=[one for one in known if one.name in crucial_fields(lifecycle)],
        unsettled=list(unsettled(mirrored, lifecycle, now)),
        ways=ways(case, out, lifecycle),
        shown=list(shown(case, entries, claims, mirrored, lifecycle, tellings)) if declared else (),
        facts=known,
        links=list(links(case, changes, lifecycle)),
        claims=claims,
        stays=list(stays(case, changes, lifecycle, now)),
        path=path(changes),
    )


def _spell(length: timedelta) -> str:
    seconds = int(length.total_seconds())
    return span(seconds) if seconds > 0 else ""
