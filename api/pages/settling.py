"""Settling differences: what it would do, and how the tool stands to the case then."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import ClassVar, Final, Literal, cast
from urllib.parse import urlencode

from msgspec.structs import replace

from api import paging
from api.door import Keeper
from api.pages.columns import capital
from api.pages.plan import Plan, plan
from api.pages.render import Link
from api.pages.ways import routes_of
from api.pages.worklists import (
    Act,
    Asked,
    Desk,
    Line,
    Part,
    Turn,
)
from api.problems import MalformedRequest
from lifecycle.asks import Answer as Settled
from lifecycle.asks import Ask, streams_of
from lifecycle.case import Case
from lifecycle.drift import Resolve, standing
from lifecycle.journal import Outcome
from lifecycle.memory import Memory
from lifecycle.mirror import Mirror
from lifecycle.model import Lifecycle
from lifecycle.refusals import NotThere, Refusal, TransitionNotOpen
from lifecycle.streams import case_stream, mirror_stream
from projections.drift import STATES, Drift, OnList
from projections.records import Wanted
from projections.wording import (
    label,
    noun,
    plain,
    spaced,
    state_titles,
    tool_title,
)

UNTIL_DAYS_MAX: Final = 3660


class DriftDesk(Desk[OnList]):
    """Differences."""

    address: ClassVar[str] = "/drift"
    title: ClassVar[str] = "Drift"
    noun: ClassVar[str] = "difference"
    groups: ClassVar[tuple[str, ...]] = (
        *("state", "tool", "collection", "id", "field", "why", "reported", "expected"),
    )
    lead: ClassVar[str] = (
        "Where a tool shows something else than what is true. Tell again: the tool hears once more"
        " what is true. Accept: what it says becomes true. Dismiss: it stays as it is."
    )
    by: ClassVar[str] = "state"
    first: ClassVar[str] = "open"
    parts: ClassVar[Mapping[str, Part]] = {
        "open": Part(
            "To settle",
            "Nothing differs",
            "Every tool that has spoken shows what is true, as far as is known. A difference"
            " appears here as soon as a tool reports something that is not so.",
            lasts=True,
        ),
        "dismissed": Part(
            "Dismissed",
            "Nothing is dismissed",
            "What staff let be for a while stands here until its day comes, or the tool says"
            " something else.",
            lasts=True,
        ),
        "resolved": Part(
            "Settled",
            "Nothing was settled yet",
            "Differences that have ended stand here, with how they ended and by whom.",
        ),
    }
    acts: ClassVar[Mapping[str, Act]] = {
        "tell": Act(
            "Tell again",
            "The tool is told once more what is true. Nothing changes here.",
            "Tell again",
        ),
        "accept": Act(
            "Accept what the tool says",
            "What the tool shows becomes true for everybody, in your name: the case is moved to"
            " where the tool has it, step by step, and the other tools are told.",
            "Accept",
        ),
        "dismiss": Act(
            "Dismiss",
            "It leaves this list, and is let be until the day you give, or until the tool says"
            " something else. Nothing changes, and nobody is told.",
            "Dismiss",
            until=True,
        ),
    }

    def wanted(self, keeper: Keeper, asked: Asked) -> tuple[type[Drift], Wanted]:
        """Ask for differences in a state, of a tool, for a reason."""
        return Drift, Wanted(
            now=keeper.journal.clock(),
            sort=paging.one_of("state", asked, STATES, "open"),
            tool=asked.get("tool", ""),
            why=asked.get("why", ""),
            collection=asked.get("collection", ""),
            case_id=asked.get("id", "") if "collection" in asked else "",
        )

    def fits(self, keeper: Keeper, record: OnList, asked: Asked) -> bool:
        """Tell whether it is in the field, and about the words, that are asked for."""
        del keeper
        return all(
            getattr(record, name) == asked[name]
            for name in ("field", "reported", "expected")
            if name in asked
        )

    def named(self, keeper: Keeper, record_id: str) -> Sequence[OnList]:
        """Find a difference by its id."""
        with keeper.store.reading() as session:
            return Drift.named(session, [record_id])

    def check(self, turn: Turn) -> None:
        """Refuse a day that is none, or is past."""
        _until(turn.until, turn.keeper.journal.clock())

    def planned(self, turn: Turn, record: OnList, memory: Memory) -> Line:
        """Tell what settling it would do."""
        lifecycle = turn.keeper.catalogue.lifecycles.get(record.collection)
        if lifecycle is None:
            return _line(record, None, "no", "Its lifecycle is not declared here any more.")
        ask = self.ask(turn, record)
        memory.recall(streams_of(ask, lifecycle))
        if turn.how == "tell" and (no := _untold(record, memory, lifecycle)):
            return no
        try:
            now, ways = turn.keeper.journal.clock(), routes_of(turn.keeper, lifecycle)
            would = plan(ask, memory, lifecycle, now, ways)
        except Refusal as refusal:
            return _refused(record, refusal, lifecycle)
        return _would(turn, record, would, lifecycle)

    def ask(self, turn: Turn, record: OnList) -> Ask:
        """Settle it."""
        how = cast("Literal['tell', 'accept', 'dismiss']", turn.how)
        what = Resolve(
            drift=record.id,
            tool=record.tool,
            how=how,
            reason=turn.reason or "(planned)",
            until=_until(turn.until, turn.keeper.journal.clock()),
        )
        asker = turn.session.asker
        return Ask(asker=asker, collection=record.collection, id=record.case_id, what=what)

    def became(self, turn: Turn, record: OnList, outcome: Outcome, memory: Memory) -> Line:
        """Tell how the tool stands to the case now."""
        lifecycle = turn.keeper.catalogue.lifecycles[record.collection]
        if isinstance(outcome, Refusal):
            return _refused(record, outcome, lifecycle)
        if not isinstance(outcome, Settled):
            return _line(record, lifecycle, "no", "This is our fault; the service's log says more.")
        says = [f"{capital(noun(lifecycle))} is {state_titles(outcome.case.states, lifecycle)}."]
        if turn.how == "dismiss":
            until = _until(turn.until, turn.keeper.journal.clock())
            says = [f"Let be until {on_day(until) if until else 'the tool says something else'}."]
        elif stands := _stands(record, outcome.case, memory, lifecycle):
            says.append(stands)
        return _line(record, lifecycle, "done", *says)


DESK: Final = DriftDesk()


# --- what would happen, and what has -------------------------------------------------------------


def _line(record: OnList, lifecycle: Lifecycle | None, verdict: str, *says: str) -> Line:
    tool = tool_title(record.tool, lifecycle)
    shown = f"{tool} shows “{record.reported}” as {spaced(record.field)}"
    return Line(
        id=record.id,
        case=f"{record.collection}/{record.case_id}",
        what=shown if record.is_word else f"{tool} has another {label(record.field, lifecycle)}",
        says=says,
        verdict=cast("Literal['will', 'done', 'meanwhile', 'no']", verdict),
        mark=" ".join(says),
    )


def _refused(record: OnList, refusal: Refusal, lifecycle: Lifecycle) -> Line:
    if isinstance(refusal, NotThere):
        return _line(record, lifecycle, "meanwhile", "It is mended: they do not differ any more.")
    says = capital(plain(refusal.detail.partition("; if it is so")[0], lifecycle))
    line = _line(record, lifecycle, "no", f"{says.rstrip('.')}.")
    if isinstance(refusal, TransitionNotOpen):
        instead = Link(correction(record, lifecycle), "Correct the state instead…")
        return replace(line, instead=(instead,))
    return line


def is_told(record: OnList, lifecycle: Lifecycle) -> bool:
    """Whether a tool is told what it differs in, at all."""
    if record.tool not in lifecycle.told:
        return False
    if not record.is_word:
        return record.field in lifecycle.declaration.reads.get(record.tool, {})
    declared = lifecycle.vocabulary.named.get((record.tool, record.field))
    return declared is not None and not declared.hear_only


def _untold(record: OnList, memory: Memory, lifecycle: Lifecycle) -> Line | None:
    """Why a tool cannot be told, or need not be; None where it can."""
    if record.tool not in lifecycle.told:
        title = tool_title(record.tool, lifecycle)
        return _line(
            record, lifecycle, "no", f"Nobody tells {title} anything: no way out to it is declared."
        )
    mirror = memory[mirror_stream(record.collection, record.case_id, record.tool)].state
    if isinstance(mirror, Mirror) and mirror.drift_named(record.id) is not None:
        due = mirror.due.values()
        if record.is_word and any(one.status_field == record.field for one in due):
            return _line(record, lifecycle, "meanwhile", "It is about to be told already.")
    return None


def _would(turn: Turn, record: OnList, would: Plan, lifecycle: Lifecycle) -> Line:
    told = [f"{one.tool} is told: {'; '.join(one.what)} ({one.how})." for one in would.told]
    if turn.how == "dismiss":
        return _line(record, lifecycle, "will")
    if turn.how == "tell":
        if told:
            return _line(record, lifecycle, "will", *told)
        return _line(record, lifecycle, "meanwhile", "There is nothing to tell: it is due already.")
    moves = [*([would.state] if would.state else ()), *would.facts]
    says = [f"{one.name}: {one.before or 'nothing'} → {one.after or 'nothing'}." for one in moves]
    line = _line(record, lifecycle, "will", *says, *told)
    ahead = would.foretold
    line = replace(line, title=ahead.says, facts=ahead.facts, final=ahead.final)
    return replace(line, mark=f"{would.version} {says}")


def _stands(record: OnList, case: Case, memory: Memory, lifecycle: Lifecycle) -> str:
    """How the tool stands to the case in this field, in a sentence."""
    mirror = memory[mirror_stream(record.collection, record.case_id, record.tool)].state
    if not isinstance(mirror, Mirror):
        return ""
    now = memory[case_stream(record.collection, record.case_id)].state
    case = now if isinstance(now, Case) else case
    title = tool_title(record.tool, lifecycle)
    stands = {one.field: one for one in standing(record.tool, mirror, case, lifecycle)}
    if record.field not in stands:
        return f"{title} does not differ any more."
    one = stands[record.field]
    return {
        "waiting": f"{title} is about to be told{f' “{one.expected}”' if one.expected else ''}.",
        "agrees": f"{title} agrees.",
        "differs": f"{title} still differs.",
        "unknown": f"{title} has not been heard since.",
    }[one.stands]


def _until(day: str, now: datetime) -> datetime | None:
    if not day:
        return None
    try:
        given = date.fromisoformat(day)
    except ValueError as exc:
        raise MalformedRequest("until: a day, like 2026-05-31") from exc
    if not 0 < (given - now.date()).days <= UNTIL_DAYS_MAX:
        raise MalformedRequest("until: a day that is still to come, within ten years")
    return datetime.combine(given, time(), UTC)


def on_day(moment: datetime | None) -> str:
    """A day for people."""
    return f"{moment.day} {moment:%B %Y}" if moment else ""


def correction(record: OnList, lifecycle: Lifecycle) -> str:
    """The form that puts a case where the tool has it."""
    states = stands_for(record, lifecycle)
    query = f"?{urlencode({'state': states[0]})}" if len(states) == 1 else ""
    return f"/{record.collection}/{record.case_id}/act/correct{query}"


def stands_for(record: OnList, lifecycle: Lifecycle) -> list[str]:
    """The states that a tool's word stands for."""
    field = lifecycle.vocabulary.named.get((record.tool, record.field))
    entries = field.entries.items() if field else ()
    return [state for state, words in entries if record.reported in words]
