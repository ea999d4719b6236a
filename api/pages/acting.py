"""What staff do to a case: what would change stands first, then why and the act, on one page.

Looking decides and records nothing. What is done is what was looked at: filled in otherwise, or on
a case that moved meanwhile, it is shown once more. A script shows it anew as the form is filled in
(`step=part`); without one, a button does.
"""

import asyncio
import re
from functools import partial
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from api.asking import REASON_MAX, lifecycle_of
from api.cases import as_it_was
from api.door import Answer, Keeper, Visit
from api.pages.blanks import Blank, blank, lacking
from api.pages.case import address_of, case_named
from api.pages.changing import change
from api.pages.plan import Plan, plan
from api.pages.render import page, page_at
from api.pages.session import Form, Session, acting, saying, see_other, signed_in
from api.pages.ways import routes_of
from api.pages.worklists import UNEXPLAINED
from api.problems import status_of
from lifecycle.asks import Answer as Settled
from lifecycle.asks import Ask, Request, streams_of
from lifecycle.case import Case
from lifecycle.changes import Change, Erase
from lifecycle.memory import Memory
from lifecycle.model import Lifecycle
from lifecycle.refusals import (
    InvalidFields,
    NotNow,
    NotYours,
    Refusal,
    VersionMoved,
)
from projections.sentences import sentence, why_not
from projections.wording import plain, state_titles

KEY_BYTES: Final = 16
VERSION_DIGITS_MAX: Final = 9
LINKED: Final = ("transition", "tool", "kind", "ref", "state")
"""What a link to a form may say beforehand."""
UNSAID: Final = "(your reason)"
"""Stands in the plan where the reason will."""
MOVED: Final = "The case has moved on since you looked. This is how it would be now."
CHANGED: Final = "You changed something after you looked. This is what it would do now."
NOT_NOW: Final = (
    "It could not be recorded just now: {}. You may press again: it will not happen twice."
)
PERHAPS: Final = "It may have been recorded: look at the first line of what happened."
UNSURE: Final = "Nothing was erased: to confirm, type {} exactly as it stands."
SAID_PLAINLY: Final = frozenset({"transition-not-open", "fields-missing", "condition-not-met"})
"""Refusals for which there are sentences of their own."""
_KEY: Final = re.compile("[A-Za-z0-9_-]{1,80}")


class Turn(Struct, frozen=True):
    """Somebody at a form of a case."""

    keeper: Keeper
    visit: Visit
    session: Session
    case: Case
    form: Form

    @property
    def act(self) -> str:
        """What is to be done, as the address says it."""
        return self.visit.segment(4)

    @property
    def lifecycle(self) -> Lifecycle:
        """What governs the case."""
        return lifecycle_of(self.keeper, self.case)

    async def again(self) -> "Turn":
        """The same on the case as it is by now."""
        case = await case_named(self.keeper, self.visit, self.session.asker)
        return replace(self, case=case)


class Seen(Struct, frozen=True):
    """What is seen beforehand: what would change, else why nothing can be done, or not yet."""

    plan: Plan | None = None
    refusal: Refusal | None = None
    lacks: str = ""
    """What is to be filled in first."""
    mark: str = ""
    """Differs where something else is asked for."""


class Reply(Struct, frozen=True):
    """What the page says back to somebody who pressed a button in vain."""

    status: int = 0
    """0: as what is seen has it."""
    warning: str = ""
    wrong_reason: str = ""
    refusal: Refusal | None = None
    key: str = ""
    """Of what was not recorded, or not tried: the next press is the same act."""


NO_REPLY: Final = Reply()


# --- looking, and doing -------------------------------------------------------------------------


async def show(keeper: Keeper, visit: Visit) -> Answer:
    """What the act would change, as far as the link that led here says what is wanted."""
    session = await signed_in(keeper, visit)
    if not session.may_act:
        raise NotYours(f"the key of {session.asker.name} is for reading only")
    case = await case_named(keeper, visit, session.asker)
    given = Form({name: (value,) for name, value in visit.query(*LINKED).items()})
    return await _page(Turn(keeper, visit, session, case, given), filled=False)


async def take(keeper: Keeper, visit: Visit) -> Answer:
    """What was filled in: looked at, or done as it was looked at."""
    session, form = await acting(keeper, visit)
    case = await case_named(keeper, visit, session.asker)
    turn = Turn(keeper, visit, session, case, form)
    if form.one("step") != "do":
        return await _page(turn)
    try:
        return await _do(turn)
    except NotNow:
        raise
    except Refusal as refusal:
        said = Reply(status=status_of(refusal), refusal=refusal)
        return await _page(await turn.again(), said)


async def _do(turn: Turn) -> Answer:
    """Do what was looked at, if it is what the form says and the case stands where it stood."""
    form, case, reason = turn.form, turn.case, turn.form.one("reason")
    what = await _what(turn, reason)
    key = form.one("key") if _KEY.fullmatch(form.one("key")) else ""
    mark = _mark(case, what)
    if form.one("mark") != mark:
        return await _page(turn, Reply(409, CHANGED))
    if wrong := _unexplained(reason):
        return await _page(turn, Reply(422, wrong_reason=wrong, key=key))
    if isinstance(what, Erase) and form.one("sure") != case.id:
        return await _page(turn, Reply(409, UNSURE.format(case.id), key=key))
    # One key a showing: pressed again after a `NotNow`, on another version, it is the same request.
    request = Request(f"page {key}", mark) if key else None
    ask = replace(_ask(turn, what), versions=(_version(form.one("version")),), request=request)
    try:
        answer = await turn.keeper.journal.answer(ask, len(turn.visit.body))
    except VersionMoved:
        return await _page(await turn.again(), Reply(409, MOVED))
    except NotNow as refusal:
        return await _undone(turn, refusal, key)
    return _done(turn, answer)


def _done(turn: Turn, answer: Settled) -> Answer:
    """Back to the case, at the line that tells what was done."""
    base = address_of(turn.case)
    if answer.entry is None:  # sent twice, or somebody else was quicker
        return see_other(base, saying(turn.keeper, turn.visit, "That is done."))
    position = answer.entry.position
    said = sentence(answer.entry.event, turn.lifecycle)
    return see_other(f"{base}?line={position}#e-{position}", saying(turn.keeper, turn.visit, said))


async def _undone(turn: Turn, refusal: NotNow, key: str) -> Answer:
    """Offer to press again; where it may have happened, back to the case, which tells."""
    if refusal.facts.get("may_have_happened"):
        return see_other(address_of(turn.case), saying(turn.keeper, turn.visit, PERHAPS))
    return await _page(turn, Reply(409, NOT_NOW.format(refusal.detail), key=key))


async def _page(turn: Turn, said: Reply = NO_REPLY, *, filled: bool = True) -> Answer:
    """The page; of it only the plan, where the script asks for that."""
    case, lifecycle, form = turn.case, turn.lifecycle, turn.form
    form_of = partial(blank, turn.act, case, lifecycle, form, filled=filled)
    seen = Seen(refusal=said.refusal) if said.refusal else await _foresee(turn, form_of())
    context = {
        "case": case,
        "base": address_of(case),
        "blank": form_of(wrong=_wrong(seen.refusal)),
        "plan": seen.plan,
        "lacks": seen.lacks,
        "mark": seen.mark,
        "key": said.key or token_urlsafe(KEY_BYTES),
        "refusal": seen.refusal,
        "refused": _refused(seen.refusal, case, lifecycle) if seen.refusal else "",
        "state": state_titles(case.states, lifecycle),
        "seen": form.one("seen") or case.version,
        "reason": form.one("reason"),
        "wrong_reason": said.wrong_reason,
        "warning": said.warning,
        "sure": turn.act == "erase",
    }
    is_part = form.one("step") == "part"
    status = said.status or (status_of(seen.refusal) if seen.refusal and filled else 200)
    return page(
        turn.keeper,
        turn.visit,
        "case_plan.html" if is_part else "case_act.html",
        context,
        session=turn.session,
        status=200 if is_part else status,
    )


def _refused(refusal: Refusal, case: Case, lifecycle: Lifecycle) -> str:
    """Say it to people, who fill in inputs and know neither paths nor operators."""
    if refusal.code in SAID_PLAINLY:
        return why_not(refusal.code, refusal.detail, case.states, lifecycle)
    return plain(refusal.detail.replace("fields.", ""), lifecycle)


def _wrong(refusal: Refusal | None) -> dict[str, str]:
    """Field → what is wrong with its value."""
    if not isinstance(refusal, InvalidFields):
        return {}
    errors: Any = refusal.facts["errors"]
    return {one["path"].removeprefix("fields."): one["detail"] for one in errors}


# --- what would change --------------------------------------------------------------------------


async def _foresee(turn: Turn, form: Blank) -> Seen:
    """Decide on what the log holds now; what is not filled in yet is no refusal."""
    if lacks := lacking(form):
        return Seen(lacks=lacks)
    try:
        what = await _what(turn, turn.form.one("reason")[:REASON_MAX] or UNSAID)
        plan = await asyncio.to_thread(_decided, turn.keeper, _ask(turn, what), turn.lifecycle)
        return Seen(plan, mark=_mark(turn.case, what))
    except NotNow:
        raise
    except Refusal as refusal:
        return Seen(refusal=refusal)


def _decided(keeper: Keeper, ask: Ask, lifecycle: Lifecycle) -> Plan:
    """Decide in a memory of its own: the writer's is not touched."""
    journal = keeper.journal
    memory = Memory(journal.recorder, journal.mapper)
    memory.recall(streams_of(ask, lifecycle))
    return plan(ask, memory, lifecycle, journal.clock(), routes_of(keeper, lifecycle))


def _mark(case: Case, what: Change) -> str:
    """Name what is asked for, whatever the reason."""
    asked = (case.collection, case.id, replace(what, reason=""))
    return sha256(repr(asked).encode()).hexdigest()


# --- what is asked ------------------------------------------------------------------------------


async def _what(turn: Turn, reason: str) -> Change:
    """What the form asks for; what was not typed over is not said anew, however old the form."""
    case = turn.case
    if version := _version(turn.form.one("seen")):
        case = await as_it_was(turn.keeper, case, version=version)
    return change(turn.act, case, turn.lifecycle, turn.form, reason)


def _ask(turn: Turn, what: Change) -> Ask:
    case = turn.case
    return Ask(asker=turn.session.asker, collection=case.collection, id=case.id, what=what)


def _unexplained(reason: str) -> str:
    """Tell what is wrong with a reason; empty where nothing is."""
    if len(reason) > REASON_MAX:
        return f"The reason is longer than {REASON_MAX} characters: make it shorter."
    return "" if reason else UNEXPLAINED


def _version(text: str) -> int:
    """A version that a form says; 0 where it is none."""
    is_number = text.isascii() and text.isdigit() and len(text) <= VERSION_DIGITS_MAX
    return int(text) if is_number else 0


PAGES: Final = (
    page_at("GET", "/{collection}/{id}/act/{what}", show, "What an act on a case would change"),
    page_at("POST", "/{collection}/{id}/act/{what}", take, "Staff act on a case: as it was seen"),
)
