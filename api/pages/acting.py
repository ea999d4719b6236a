"""What staff do to a case, in three steps: say what and why, see what would change, do it.

The second step decides and records nothing; the third is made conditional on the version that was
looked at, so that a case that moved meanwhile is looked at again. No step needs a script.
"""

import asyncio
import re
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from api.asking import REASON_MAX, lifecycle_of
from api.cases import REF_PATTERN, as_it_was
from api.door import Answer, Keeper, Visit
from api.pages.blanks import blank, needed_by
from api.pages.case import address_of, case_named
from api.pages.filling import values
from api.pages.plan import Plan, plan
from api.pages.render import page, page_at
from api.pages.session import Form, Session, acting, saying, see_other, signed_in
from api.pages.ways import routes_of
from api.problems import NotFound, status_of
from lifecycle.asks import Answer as Settled
from lifecycle.asks import Ask, Request, streams_of
from lifecycle.case import Case
from lifecycle.changes import (
    Change,
    Correct,
    Erase,
    Move,
    ReleaseReference,
    SetFields,
    TakeReference,
)
from lifecycle.memory import Memory
from lifecycle.model import Lifecycle
from lifecycle.refusals import (
    InvalidFields,
    NotNow,
    NotYours,
    ReasonRequired,
    Refusal,
    VersionMoved,
)
from projections.sentences import sentence
from projections.wording import plain, state_titles

KEY_BYTES: Final = 16
VERSION_DIGITS_MAX: Final = 9
LINKED: Final = ("transition", "tool", "kind", "ref", "state")
"""What a link to a form may say beforehand."""
MOVED: Final = "The case has moved on since you looked. This is how it would be now."
NOT_NOW: Final = (
    "It could not be recorded just now: {}. You may press again: it will not happen twice."
)
_KEY: Final = re.compile("[A-Za-z0-9_-]{1,80}")
_STEPPING: Final = frozenset({"csrf", "step", "key", "version", "sure"})
"""What a form says of the steps themselves."""


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


# --- the three steps ----------------------------------------------------------------------------


async def show(keeper: Keeper, visit: Visit) -> Answer:
    """The empty form."""
    session = await signed_in(keeper, visit)
    if not session.may_act:
        raise NotYours(f"the key of {session.asker.name} is for reading only")
    case = await case_named(keeper, visit, session.asker)
    given = Form({name: (value,) for name, value in visit.query(*LINKED).items()})
    return _form(Turn(keeper, visit, session, case, given), filled=False)


async def take(keeper: Keeper, visit: Visit) -> Answer:
    """What was filled in: planned, or done once the plan was seen."""
    session, form = await acting(keeper, visit)
    case = await case_named(keeper, visit, session.asker)
    turn = Turn(keeper, visit, session, case, form)
    if form.one("step") == "edit":
        return _form(turn)
    try:
        ask = await _ask(turn)
        return await (_do(turn, ask) if form.one("step") == "do" else _planned(turn, ask))
    except NotNow:
        raise
    except Refusal as refusal:
        return _form(await turn.again(), refusal=refusal)


async def _planned(turn: Turn, ask: Ask, *, warning: str = "", key: str = "") -> Answer:
    """Show what would change; the key makes sure that what is sent twice is done once."""
    fields = turn.form.fields.items()
    context = {
        "case": turn.case,
        "lifecycle": turn.lifecycle,
        "base": address_of(turn.case),
        "blank": blank(turn.act, turn.case, turn.lifecycle, turn.form, filled=True),
        "plan": await asyncio.to_thread(_decided, turn.keeper, ask, turn.lifecycle),
        "kept": [(name, one) for name, given in fields if name not in _STEPPING for one in given],
        "key": key or token_urlsafe(KEY_BYTES),
        "warning": warning,
        "sure": isinstance(ask.what, Erase),
    }
    status = 409 if warning else 200
    return page(
        turn.keeper, turn.visit, "case_plan.html", context, session=turn.session, status=status
    )


def _decided(keeper: Keeper, ask: Ask, lifecycle: Lifecycle) -> Plan:
    """Decide on what the log holds now, in a memory of its own: the writer's is not touched."""
    journal = keeper.journal
    memory = Memory(journal.recorder, journal.mapper)
    memory.recall(streams_of(ask, lifecycle))
    return plan(ask, memory, lifecycle, journal.clock(), routes_of(keeper, lifecycle))


async def _do(turn: Turn, ask: Ask) -> Answer:
    """Do what the plan said, if the case stands where it stood then."""
    form, case = turn.form, turn.case
    key = form.one("key") if _KEY.fullmatch(form.one("key")) else ""
    if isinstance(ask.what, Erase) and form.one("sure") != case.id:
        unsure = f"Nothing was erased: to confirm, type {case.id} exactly as it stands."
        return await _planned(turn, ask, warning=unsure, key=key)
    versions = (_version(form.one("version")),)
    content = sha256(repr((case.collection, case.id, ask.what, versions)).encode()).hexdigest()
    request = Request(f"page {key}", content) if key else None
    asked = replace(ask, versions=versions, request=request)
    try:
        answer = await turn.keeper.journal.answer(asked, len(turn.visit.body))
    except VersionMoved:
        return await _planned(await turn.again(), ask, warning=MOVED)
    except NotNow as refusal:
        return await _planned(turn, ask, warning=NOT_NOW.format(refusal.detail), key=key)
    return _done(turn, answer)


def _version(text: str) -> int:
    """A version that a form says; 0 where it is none."""
    is_number = text.isascii() and text.isdigit() and len(text) <= VERSION_DIGITS_MAX
    return int(text) if is_number else 0


def _done(turn: Turn, answer: Settled) -> Answer:
    """Back to the case, at the line that tells what was done."""
    base = address_of(turn.case)
    if answer.entry is None:  # sent twice, or somebody else was quicker
        return see_other(base, saying(turn.keeper, turn.visit, "That is done."))
    position = answer.entry.position
    said = sentence(answer.entry.event, turn.lifecycle)
    return see_other(f"{base}?line={position}#e-{position}", saying(turn.keeper, turn.visit, said))


def _form(turn: Turn, *, filled: bool = True, refusal: Refusal | None = None) -> Answer:
    """The form, with what was typed, and why it will not do."""
    case, lifecycle, form = turn.case, turn.lifecycle, turn.form
    wrong = _wrong(refusal)
    context = {
        "case": case,
        "lifecycle": lifecycle,
        "base": address_of(case),
        "blank": blank(turn.act, case, lifecycle, form, filled=filled, wrong=wrong),
        "reason": form.one("reason"),
        "reason_wrong": isinstance(refusal, ReasonRequired),
        "refusal": refusal,
        "refused": plain(refusal.detail, lifecycle) if refusal else "",
        "state": state_titles(case.states, lifecycle),
        "seen": form.one("seen") or case.version,
    }
    status = status_of(refusal) if refusal else 200
    return page(
        turn.keeper, turn.visit, "case_act.html", context, session=turn.session, status=status
    )


def _wrong(refusal: Refusal | None) -> dict[str, str]:
    """Field → what is wrong with its value."""
    if not isinstance(refusal, InvalidFields):
        return {}
    errors: Any = refusal.facts["errors"]
    return {one["path"].removeprefix("fields."): one["detail"] for one in errors}


# --- what is asked ------------------------------------------------------------------------------


async def _ask(turn: Turn) -> Ask:
    """The ask that the form is; what was not typed over is not said anew, however old the form."""
    form, case = turn.form, turn.case
    if version := _version(form.one("seen")):
        case = await as_it_was(turn.keeper, case, version=version)
    reason = form.one("reason")
    if not reason:
        raise ReasonRequired("say why: the reason stays in the history, for those who ask later")
    if len(reason) > REASON_MAX:
        raise ReasonRequired(f"the reason is longer than {REASON_MAX} characters: make it shorter")
    what = _change(turn.act, case, turn.lifecycle, form, reason)
    return Ask(asker=turn.session.asker, collection=case.collection, id=case.id, what=what)


def _change(act: str, case: Case, lifecycle: Lifecycle, form: Form, reason: str) -> Change:
    """What the form asks for; its parts are judged where every ask is judged."""
    match act:
        case "move":
            name = form.one("transition")
            names = needed_by(name, case, lifecycle)
            given = values(form, names, case, lifecycle)
            return Move(transition=name, fields=given, reason=reason)
        case "fields":
            return SetFields(fields=values(form, lifecycle.fields, case, lifecycle), reason=reason)
        case "reference" | "release":
            tool, _, kind = form.one("tool").partition(":")
            kind, ref = kind or form.one("kind"), form.one("ref")
            if not re.search(REF_PATTERN, ref):
                told = {"path": "fields.ref", "detail": "1 to 200 characters, all of them visible"}
                raise InvalidFields("the id of the record is 1 to 200 characters", errors=[told])
            kind_of_ask = TakeReference if act == "reference" else ReleaseReference
            return kind_of_ask(tool=tool, kind=kind, ref=ref, reason=reason)
        case "correct":
            return Correct(state=form.one("state"), reason=reason)
        case "erase":
            return Erase(reason=reason)
    raise NotFound(f"nothing is called {act[:80]!r} that could be done to a case")


PAGES: Final = (
    page_at("GET", "/{collection}/{id}/act/{what}", show, "What staff may do to a case: the form"),
    page_at(
        "POST", "/{collection}/{id}/act/{what}", take, "What staff do to a case: planned, done"
    ),
)
