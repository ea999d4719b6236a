"""Messages: what could not be placed, by what is lacking, with what mends it; and everything heard.

A message that is parked is decided again by itself when its reference is set; once a word is
mapped, or a connector mended, staff have it decided again here.
"""

import asyncio
import re
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from json import dumps
from typing import Final

from api import asking
from api import messages as door
from api.door import Answer, Keeper, Visit
from api.pages.ahead import steward_of
from api.pages.causes import ENTRIES, Contents, Doable, Entry, Group, doable, grouped, shelf, wished
from api.pages.columns import capital
from api.pages.deciding import ALL, BECAME, DESK, in_short, word_of
from api.pages.drift import known_by
from api.pages.linking import link
from api.pages.render import Link, page, page_at
from api.pages.session import signed_in
from api.pages.worklists import ROWS, Asked, Found, Part, find, show_plan, take
from lifecycle.case import Case
from lifecycle.events import Heard
from lifecycle.model import Lifecycle
from lifecycle.reports import OUTCOMES
from projections import board, records
from projections.messages import OnList
from projections.wording import any_of, noun, spaced, state_titles, tool_title, write

RAW_SHOWN: Final = 20_000
"""Characters of what came that a page shows."""
_MENDED_AT_ONCE: Final = frozenset({"unknown-reference", "unknown-word", "unknown-field"})
"""Why messages are parked that one act mends together, or setting their reference does."""
_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_MEANS_MORE: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off"})


async def show(keeper: Keeper, visit: Visit) -> Answer:
    """What waits for somebody, by what it lacks; or everything that was heard."""
    wish = await wished(DESK, keeper, visit, OTHERS)
    found, cases, counts, position = await asyncio.to_thread(
        _read, keeper, wish.asked, wish.paged.before
    )
    said = await _said(keeper, found.records) if wish.part == "parked" else {}
    shows = _Shows(keeper, cases, said, acts=wish.session.may_act)
    groups = list(shows.groups(found.records, wish.asked))
    return shelf(DESK, keeper, visit, wish, Contents(groups, counts, found.more, position))


OTHERS: Final[Mapping[str, Part]] = {
    outcome: Part(capital(BECAME[outcome]), ALL.emptiness, ALL.why)
    for outcome in OUTCOMES
    if outcome not in DESK.parts
}
"""What may have become of a message besides what has a tab: each has one while it is looked at."""


def _read(
    keeper: Keeper, query: Asked, before: int | None
) -> tuple[Found[OnList], dict[tuple[str, str], Case], dict[str, int], int]:
    found = find(DESK, keeper, query, ROWS, behind=before)
    with keeper.store.reading() as session:
        position = asking.followed(session)
        counted = records.counts(session, "messages")
        names = [(one.collection, one.case_id) for one in found.records if one.case_id]
        cases = board.cases_named(session, names)
    counts = {"": sum(counted.values())}
    for (_, outcome), number in counted.items():
        counts[outcome] = counts.get(outcome, 0) + number
    return found, cases, counts, position


async def _said(keeper: Keeper, rows: Sequence[OnList]) -> dict[str, str]:
    """What these messages say of their records, by the message; it stands in the log alone."""
    entries = await asking.entries_of(keeper, [row.stream for row in rows]) if rows else []
    return {
        one.stream: ", ".join(
            f"{spaced(name)} {write(value, None)}"
            for name, value in {**one.event.fields, **one.event.personal}.items()
            if value is not None
        )
        for one in entries
        if isinstance(one.event, Heard)
    }


class _Shows:
    """Shows messages; the cases that they are about, and what they say, stand beside."""

    def __init__(
        self,
        keeper: Keeper,
        cases: Mapping[tuple[str, str], Case],
        said: Mapping[str, str],
        *,
        acts: bool,
    ) -> None:
        self._keeper = keeper
        self._cases = cases
        self._said = said
        self._acts = acts

    def groups(self, rows: Sequence[OnList], asked: Asked) -> Iterator[Group]:
        grouping = asked["outcome"] in {"parked", "early"}
        keys = {row.id: _cause(row) if grouping else {} for row in rows}
        for key, members, whole in grouped(DESK, rows, keys, asked):
            first = members[0]
            lifecycle = self._keeper.catalogue.lifecycles.get(first.collection)
            shown = members[:ENTRIES] if whole else members
            acts = [doable(DESK, "retry", {**asked, **key}, f"Decide all {len(members)} again…")]
            many = self._acts and asked["outcome"] == "parked" and len(members) > 1
            yield Group(
                title=_title(first, lifecycle) if grouping else "What was heard",
                says=_why(first, lifecycle) if grouping else (),
                how=_HOW.get(first.why, "") if asked["outcome"] == "parked" else "",
                count=len(members),
                entries=[self._entry(row, asked, alone=len(members) == 1) for row in shown],
                acts=acts if many else (),
                whole=whole if len(members) > len(shown) else "",
                add=definition_lines(first, lifecycle) if grouping else "",
            )

    def _entry(self, row: OnList, asked: Asked, *, alone: bool) -> Entry:
        lifecycle = self._keeper.catalogue.lifecycles.get(row.collection)
        case = self._cases.get((row.collection, row.case_id))
        became = "" if asked["outcome"] else capital(BECAME.get(row.outcome, row.outcome))
        told = capital(self._said.get(row.stream, ""))
        acts = ways(row) if self._acts and (alone or row.why not in _MENDED_AT_ONCE) else []
        return Entry(
            id=row.id,
            case=f"{row.collection}/{row.case_id}" if row.case_id else "",
            title=known_by(case, lifecycle) if row.case_id else row.ref or "No record",
            states=[state_titles(case.states, lifecycle)] if case else [],
            says=". ".join(filter(None, (in_short(row, lifecycle), told, became, _not_read(row)))),
            at=asking.short(row.recorded_at),
            acts=acts,
            more=Link(f"/messages/{row.id}", "as it came"),
            ref=row.ref if self._acts and row.why == "unknown-reference" else "",
        )


def _not_read(row: OnList) -> str:
    """What of it the connector could not read."""
    parts = [spaced(one.removeprefix("fields.")) for one in row.unread.split()]
    return f"Could not be read: {', '.join(parts)}" if parts else ""


def ways(row: OnList) -> list[Doable]:
    """What may be done to a message."""
    if row.outcome != "parked":
        return []
    return [doable(DESK, "retry", {"one": row.id}, "Decide again…")]


def _cause(row: OnList) -> Asked:
    key = {"tool": row.tool, "collection": row.collection, "why": row.why}
    if row.why == "unknown-word" or row.outcome == "early":
        key |= {"status_field": row.status_field, "word": row.word}
    elif row.why == "unknown-field":
        key |= {"status_field": row.status_field}
    return key


def _title(row: OnList, lifecycle: Lifecycle | None) -> str:
    tool, of = tool_title(row.tool, lifecycle), spaced(row.status_field) or "its status"
    spoken = of if row.word else spaced(row.fields.replace(" ", ", ")) or of
    case = noun(lifecycle).removeprefix("the ")
    if row.outcome == "early":
        return f"{tool} said {word_of(row)} before the {case} had come that far"
    return {
        "unknown-reference": f"{tool} speaks of records that no {case} is linked to",
        "no-reference": f"{tool} names no record",
        "unknown-word": f"{tool} says {word_of(row)} as {of}, which nobody declared",
        "unknown-field": f"{tool} speaks of {spoken}, which nobody declared",
        "not-fetched": f"{tool} only names records, which could not be had",
    }.get(row.why, f"{tool}: {row.why.replace('-', ' ')}")


def _why(row: OnList, lifecycle: Lifecycle | None) -> list[str]:
    """What mends it."""
    case = noun(lifecycle).removeprefix("the ")
    if row.outcome == "early":
        return ["It counts by itself as soon as it fits: see what its case waits for."]
    who = (steward_of(row.tool, lifecycle) if lifecycle else "") or "whoever keeps the definition"
    told = _MENDS.get(row.why, "").format(case=case, who=who)
    return [told if told.startswith(who) else capital(told)] if told else []


_MENDS: Final = {
    "unknown-reference": (
        "Link each record to its {case}: everything that waits for it is then decided by itself."
    ),
    "no-reference": "It cannot be linked to anything. {who} sees why it names no record.",
    "unknown-word": "{who} says what it means; then all of them are decided again.",
    "unknown-field": "{who} says what it stands for; then all of them are decided again.",
    "not-fetched": (
        "The record is asked for again by itself. If it stays so, {who} looks after the connection."
    ),
}
"""Why a message is parked → what mends it, and who does that."""
_HOW: Final = {
    "no-reference": (
        "See whether the connector's ref points to where the product has its id; then have it"
        " decided again."
    ),
    "unknown-word": (
        "Map the word in the definition, raise its version and start the service again; then have"
        " all of them decided again."
    ),
    "unknown-field": (
        "Declare what it stands for in the definition, raise its version and start the service"
        " again; then have all of them decided again."
    ),
    "not-fetched": "See whether the tool's token is set and good.",
}
"""Why a message is parked → what is to be done to the definition or the service."""


def definition_lines(row: OnList, lifecycle: Lifecycle | None) -> str:
    """The lines of a definition by which a word is known: one of them is to be added."""
    if lifecycle is None or row.why not in {"unknown-word", "unknown-field"} or not row.word:
        return ""
    field = lifecycle.vocabulary.named.get((row.tool, row.status_field))
    name, word = _yaml(row.status_field or "status"), _yaml(row.word)
    known = field.entries if field else dict.fromkeys(lifecycle.chart.places, ())
    lines = ["words:", f"  {row.tool}:", f"    {name}:    # add it to the state that it stands for"]
    for state, words in known.items():
        said = ", ".join([*map(_yaml, words), word])
        lines.append(f"      {state}: {f'[{said}]' if words else said}")
    names = any_of(dict.fromkeys(one.name for one in lifecycle.chart.rows))
    ours = ["", f"# or, where it stands for no state: ignore, open, {names}", "hears:"]
    return "\n".join([*lines, *ours, f"  {row.tool}: {{{name}: {{{word}: ignore}}}}"])


def _yaml(text: str) -> str:
    """A text as a scalar of YAML that is read as this very text."""
    is_plain = _PLAIN.fullmatch(text) and text.lower() not in _MEANS_MORE
    return text if is_plain else dumps(text)


# --- one message --------------------------------------------------------------------------------


async def show_one(keeper: Keeper, visit: Visit) -> Answer:
    """One message: what was said, what became of it, what it changed, and how it came."""
    session = await signed_in(keeper, visit)
    visit.query()
    row = await door.LISTING.one(keeper, session.asker, visit.segment(2))
    view = await door.view_of(keeper, session.asker, row)
    lifecycle = keeper.catalogue.lifecycles.get(row.collection)
    raw = b64decode(view.raw).decode(errors="replace") if view.raw else ""
    context = {
        "message": view,
        "tool": tool_title(row.tool, lifecycle),
        "heading": in_short(row, lifecycle),
        "became": capital(BECAME.get(row.outcome, row.outcome)),
        "why": _title(row, lifecycle) if row.outcome in {"parked", "early"} else "",
        "mends": _why(row, lifecycle) if row.outcome in {"parked", "early"} else [],
        "how": _HOW.get(row.why, "") if row.outcome == "parked" else "",
        "add": definition_lines(row, lifecycle) if row.outcome == "parked" else "",
        "values": {name: write(value, None) for name, value in view.values.items()},
        "raw": raw[:RAW_SHOWN],
        "is_cut": len(raw) > RAW_SHOWN,
        "acts": ways(row) if session.may_act else [],
        "links": session.may_act and row.outcome == "parked" and row.why == "unknown-reference",
    }
    return page(keeper, visit, "message.html", context, session=session)


async def _show_plan(keeper: Keeper, visit: Visit) -> Answer:
    return await show_plan(DESK, keeper, visit)


async def _take(keeper: Keeper, visit: Visit) -> Answer:
    return await take(DESK, keeper, visit)


PAGES: Final = (
    page_at("GET", "/messages", show, "What tools said and could not be placed, by cause"),
    page_at("GET", "/messages/act", _show_plan, "What deciding messages again would do"),
    page_at("POST", "/messages/act", _take, "Decide messages again: as planned"),
    page_at("GET", "/messages/link", link, "Look for the case that a message's record is of"),
    page_at("GET", "/messages/{message}", show_one, "One message, as it came"),
)
