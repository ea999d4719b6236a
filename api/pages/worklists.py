"""Work lists: what waits for somebody, by its cause, each with what mends it.

A list is a desk: it finds its records, groups them, plans an act on some of them and does it. The
steps are the same for all: see what would happen to each, say why, do it, read how each stands
then. A plan records nothing. What is done is what was planned: if anything would go otherwise by
then, the plan is shown once more. No step needs a script.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import ClassVar, Final, Generic, Literal, TypeVar
from urllib.parse import urlencode

from msgspec import Struct
from msgspec.structs import replace

from api.asking import REASON_MAX
from api.door import Answer, Keeper, Visit
from api.pages.render import Link, page
from api.pages.session import Form, Session, acting, signed_in
from api.problems import MalformedRequest, NotFound
from lifecycle.asks import Ask
from lifecycle.journal import Outcome
from lifecycle.journal import Record as Recording
from lifecycle.memory import Memory
from lifecycle.refusals import NotNow, NotYours, Refusal
from projections.records import LATEST, Record, Records, Wanted

ROWS: Final = 200
"""Records on one page of a list."""
READ_AT_ONCE: Final = 500
READ_MAX: Final = 5000
"""Records that are looked through for those that are asked for."""
PLANNED_MAX: Final = 100
"""Records of which a plan tells what would happen to each."""
DONE_MAX: Final = 1000
"""Records that one press of a button does; pressed again, it does the next."""
ASKED_AT_ONCE: Final = 50
POSITION_DIGITS_MAX: Final = 18
UNEXPLAINED: Final = "Say why: the reason stays in the history, for those who ask later."

R = TypeVar("R", bound=Record)
Asked = Mapping[str, str]
"""What a list is filtered by, as the address says it."""


class Act(Struct, frozen=True):
    """Something that staff may do to what is on a list."""

    title: str
    says: str
    """What it does, in a sentence or two."""
    button: str
    until: bool = False
    """Whether a day may be given at which it ends."""
    reason: bool = True
    """Whether it has to be said why; else a note may be left."""


class Line(Struct, frozen=True):
    """What would happen to one record, or has happened to it."""

    id: str
    case: str
    """Like `jobs/J-1042`; empty where it is about none."""
    what: str
    says: Sequence[str]
    verdict: Literal["will", "done", "meanwhile", "no"]
    """`meanwhile`: it is mended, and nothing is left to do."""
    mark: str = ""
    """Differs where something else would happen."""
    instead: Sequence[Link] = ()
    """What would do, where this does not."""
    title: str = ""
    """What it comes to for the case, in one line; empty where that does not change."""
    facts: Sequence[tuple[str, str]] = ()
    """What to know of the case before: label and value."""
    final: str = ""
    """The state that the case comes to, if no way leads on from there."""


class Turn(Struct, frozen=True):
    """Somebody at an act on a list."""

    keeper: Keeper
    session: Session
    how: str
    asked: Asked
    """Which records: one of them, or the group that these filters name."""
    reason: str = ""
    until: str = ""
    """A day, as a browser writes it; empty: for good."""
    seen: str = ""
    """The mark of the plan that was seen."""
    upto: int | None = None
    """The position of the newest record that the plan was about."""

    def memory(self) -> Memory:
        """What the log holds now, in a memory of its own: the writer's is not touched."""
        return Memory(self.keeper.journal.recorder, self.keeper.journal.mapper)


class Part(Struct, frozen=True):
    """A part of a work list."""

    title: str
    emptiness: str
    """What its emptiness comes to, in a few words."""
    why: str
    """Why it is empty, and when something would stand in it."""
    lasts: bool = False
    """Whether what stands in it waits for somebody: what has waited longest comes first."""

    @property
    def order(self) -> str:
        """Its one order, in words."""
        return "The longest standing first." if self.lasts else "The newest first."


class Desk(ABC, Generic[R]):
    """One work list."""

    address: ClassVar[str]
    title: ClassVar[str]
    noun: ClassVar[str]
    """What one record is called."""
    lead: ClassVar[str]
    """What stands on it, in a sentence."""
    by: ClassVar[str]
    """The filter that chooses a part of it."""
    first: ClassVar[str]
    """The part that is shown where none is asked for."""
    parts: ClassVar[Mapping[str, Part]]
    """Its parts that have a tab, by what that filter says."""
    acts: ClassVar[Mapping[str, Act]]
    groups: ClassVar[tuple[str, ...]]
    """The filters that name a group."""

    @abstractmethod
    def wanted(self, keeper: Keeper, asked: Asked) -> tuple[type[Records[R]], Wanted]:
        """Say which read model holds the records, and which of them may be asked for."""

    def page(self, keeper: Keeper, asked: Asked, behind: int | None, most: int) -> Sequence[R]:
        """Read the next records behind a position, in the order of their part of the list."""
        model, wanted = self.wanted(keeper, asked)
        part = self.parts.get(asked.get(self.by, self.first))
        with keeper.store.reading() as session:
            if part and part.lasts:
                return model.oldest(session, wanted, most, after=behind)
            return model.page(session, wanted, most, before=behind)

    @abstractmethod
    def fits(self, keeper: Keeper, record: R, asked: Asked) -> bool:
        """Tell whether a record that was read is one that is asked for."""

    @abstractmethod
    def named(self, keeper: Keeper, record_id: str) -> Sequence[R]:
        """Find a record by its id, whatever has become of it."""

    def check(self, turn: Turn) -> None:
        """Refuse what was filled in and cannot be: `MalformedRequest`."""

    @abstractmethod
    def planned(self, turn: Turn, record: R, memory: Memory) -> Line:
        """Tell what an act would do to a record as things are now."""

    @abstractmethod
    def ask(self, turn: Turn, record: R) -> Ask | Recording:
        """What the journal is asked for a record."""

    @abstractmethod
    def became(self, turn: Turn, record: R, outcome: Outcome, memory: Memory) -> Line:
        """Tell how a record stands after the act."""


# --- which --------------------------------------------------------------------------------------


class Found(Struct, Generic[R], frozen=True):
    """A part of a list."""

    records: Sequence[R]
    more: int | None
    """The position behind which there may be more; None where there are none."""


def find(
    desk: Desk[R],
    keeper: Keeper,
    asked: Asked,
    most: int,
    *,
    behind: int | None = None,
    upto: int = LATEST,
) -> Found[R]:
    """Read on until so many fit, there are no more, or too many were looked through.

    What stands after the position `upto` is passed over.
    """
    # PostgreSQL's text has no place for NUL: what holds one is not there.
    asked = {name: value.replace("\0", "\ufffd") for name, value in asked.items()}
    found: list[R] = []
    read = 0
    while read < READ_MAX:
        records = desk.page(keeper, asked, behind, READ_AT_ONCE)
        for record in records:
            if record.position <= upto and desk.fits(keeper, record, asked):
                if len(found) == most:
                    return Found(found, found[-1].position)
                found.append(record)
        if len(records) < READ_AT_ONCE:
            return Found(found, None)
        behind = records[-1].position
        read += len(records)
    return Found(found, behind)


def _chosen(desk: Desk[R], turn: Turn) -> Found[R]:
    """Find the records of a turn: the one that is named, or the first of its group."""
    if one := turn.asked.get("one"):
        return Found(desk.named(turn.keeper, one), None)
    upto = LATEST if turn.upto is None else turn.upto
    found = find(desk, turn.keeper, turn.asked, DONE_MAX, upto=upto)
    return replace(found, records=sorted(found.records, key=_place))


def _place(record: Record) -> int:
    return record.position


# --- see what would happen, say why, do it ------------------------------------------------------


class Plan(Struct, Generic[R], frozen=True):
    """What would happen to the records of a turn."""

    found: Found[R]
    """Oldest first."""
    lines: Sequence[Line]
    """One for each record, of at most `PLANNED_MAX`, oldest first."""

    @property
    def mark(self) -> str:
        """Differs from another plan's where anything would happen otherwise."""
        said = [(one.id, one.verdict, one.mark) for one in self.lines]
        return sha256(repr((said, len(self.found.records))).encode()).hexdigest()[:32]

    @property
    def upto(self) -> int:
        """The position of the newest record."""
        return max((one.position for one in self.found.records), default=0)

    @property
    def is_grave(self) -> bool:
        """Whether some case would come to where no way leads on."""
        return any(one.final for one in self.lines)

    def of(self, verdict: str) -> list[Line]:
        """The lines of a verdict."""
        return [one for one in self.lines if one.verdict == verdict]

    @property
    def doable(self) -> list[R]:
        """The records to which something would happen, or that nobody looked at yet."""
        idle = {one.id for one in self.lines if one.verdict != "will"}
        return [one for one in self.found.records if one.id not in idle]


async def show_plan(desk: Desk[R], keeper: Keeper, visit: Visit) -> Answer:
    """What an act would do, to one or to a group."""
    session = await signed_in(keeper, visit)
    if not session.may_act:
        raise NotYours(f"the key of {session.asker.name} is for reading only")
    query = visit.query("how", "one", *desk.groups)
    how = query.pop("how", "")
    if how not in desk.acts:
        raise NotFound(f"nothing is called {how[:80]!r} that could be done here")
    return await _planned(desk, Turn(keeper, session, how, query), visit)


async def take(desk: Desk[R], keeper: Keeper, visit: Visit) -> Answer:
    """Do what was planned, if it would go now as it was seen."""
    session, form = await acting(keeper, visit)
    turn = _turn(desk, keeper, session, form)
    if desk.acts[turn.how].reason and not turn.reason:
        return await _planned(desk, turn, visit, wrong=UNEXPLAINED)
    try:
        desk.check(turn)
    except MalformedRequest as refusal:
        return await _planned(desk, turn, visit, wrong_until=refusal.detail)
    plan = await asyncio.to_thread(_plan, desk, turn)
    if plan.mark != turn.seen:
        moved = "Things have moved since you looked. This is how it would be now."
        return await _planned(desk, turn, visit, warning=moved)
    records = plan.doable
    try:
        outcomes = await _asked(keeper, [desk.ask(turn, one) for one in records])
    except NotNow as refusal:
        warning = f"It could not be recorded just now: {refusal.detail}. You may press again."
        return await _planned(desk, turn, visit, warning=warning)
    lines = await asyncio.to_thread(_ends, desk, turn, records, outcomes)
    unshown = outcomes[len(lines) :]
    undone = [one for one in unshown if isinstance(one, BaseException)]
    context = {
        **_about(desk, turn),
        "lines": [*lines, *plan.of("meanwhile"), *plan.of("no")],
        "counts": _counted([*lines, *plan.of("meanwhile"), *plan.of("no")]),
        "unshown": len(unshown) - len(undone),
        "undone": len(undone),
        "why_undone": _why(undone[0]) if undone else "",
        "more": plan.found.more is not None or any(isinstance(one, NotNow) for one in outcomes),
        "again": f"{desk.address}/act?{urlencode({'how': turn.how, **turn.asked})}",
    }
    return page(keeper, visit, "worklist_done.html", context, session=session)


def _turn(desk: Desk[R], keeper: Keeper, session: Session, form: Form) -> Turn:
    how, upto = form.one("how"), form.one("upto")
    if how not in desk.acts:
        raise NotFound(f"nothing is called {how[:80]!r} that could be done here")
    if len(form.one("reason")) > REASON_MAX:
        raise MalformedRequest(f"the reason is longer than {REASON_MAX} characters")
    is_number = upto.isascii() and upto.isdigit() and len(upto) <= POSITION_DIGITS_MAX
    return Turn(
        keeper=keeper,
        session=session,
        how=how,
        asked={
            name: form.fields[name][-1] for name in ("one", *desk.groups) if name in form.fields
        },
        reason=form.one("reason"),
        until=form.one("until") if desk.acts[how].until else "",
        seen=form.one("seen"),
        upto=int(upto) if is_number else None,
    )


async def _planned(
    desk: Desk[R],
    turn: Turn,
    visit: Visit,
    *,
    wrong: str = "",
    wrong_until: str = "",
    warning: str = "",
) -> Answer:
    planned = replace(turn, until="") if wrong_until else turn
    plan = await asyncio.to_thread(_plan, desk, planned)
    will = plan.of("will")
    context = {
        **_about(desk, turn),
        "plan": plan,
        "lines": [*will, *plan.of("no"), *plan.of("meanwhile")],
        "count": len(plan.doable),
        "unshown": len(plan.found.records) - len(plan.lines),
        "more": plan.found.more is not None,
        "wrong": wrong,
        "wrong_until": wrong_until,
        "warning": warning,
    }
    status = 422 if wrong or wrong_until else 409 if warning else 200
    return page(
        turn.keeper, visit, "worklist_plan.html", context, session=turn.session, status=status
    )


def _about(desk: Desk[R], turn: Turn) -> dict[str, object]:
    return {"desk": desk, "act": desk.acts[turn.how], "turn": turn}


def _plan(desk: Desk[R], turn: Turn) -> Plan[R]:
    found, memory = _chosen(desk, turn), turn.memory()
    first = found.records[:PLANNED_MAX]
    return Plan(found, [desk.planned(turn, one, memory) for one in first])


def _ends(
    desk: Desk[R], turn: Turn, records: Sequence[R], outcomes: Sequence[Outcome]
) -> list[Line]:
    memory = turn.memory()
    ends = zip(records[:PLANNED_MAX], outcomes, strict=False)
    return [desk.became(turn, record, outcome, memory) for record, outcome in ends]


def _why(no: BaseException) -> str:
    ours = "this is our fault; the service's log says more"
    return no.detail if isinstance(no, Refusal) else ours


def _counted(lines: Sequence[Line]) -> dict[str, int]:
    counted = dict.fromkeys(("done", "meanwhile", "no"), 0)
    for one in lines:
        counted[one.verdict] += 1
    return counted


async def _asked(keeper: Keeper, asks: Sequence[Ask | Recording]) -> list[Outcome]:
    """What became of each; `NotNow` where nothing was done, and for the rest once some was."""
    outcomes: list[Outcome] = []
    for first in range(0, len(asks), ASKED_AT_ONCE):
        part = asks[first : first + ASKED_AT_ONCE]
        try:
            outcomes += await keeper.journal.answer_many(part, 0)
        except NotNow as refusal:
            if not outcomes:
                raise
            return outcomes + [refusal] * (len(asks) - len(outcomes))
    return outcomes
