"""Deciding messages again: what they would be taken for, and what they are then."""

from collections.abc import Iterator, Mapping, Sequence
from os import urandom
from time import time
from typing import ClassVar, Final, Literal, cast

from msgspec.structs import replace

from api import paging
from api.door import Keeper
from api.pages.columns import capital
from api.pages.render import Link
from api.pages.worklists import (
    Act,
    Asked,
    Desk,
    Line,
    Part,
    Turn,
)
from lifecycle import fields
from lifecycle.asks import Ask, Taken, streams_of
from lifecycle.events import CaseEvent
from lifecycle.journal import Outcome
from lifecycle.memory import Memory
from lifecycle.messages import Retry
from lifecycle.model import Lifecycle
from lifecycle.refusals import Refusal
from lifecycle.rehearing import DECIDED_AGAIN
from lifecycle.reports import OUTCOMES
from lifecycle.settling import settle
from projections.messages import Messages, OnList
from projections.records import Wanted
from projections.sentences import sentence
from projections.wording import noun, plain, quote, spaced, state_titles, tool_title

BECAME: Final = {
    "duplicate": "heard before",
    "parked": "not placed",
    "ignored": "ignored",
    "stale": "older than what it said last",
    "agrees": "agrees with what is true",
    "echo": "repeats what it was told",
    "applied": "taken",
    "early": "too early, waits for its turn",
    "drift": "differs from what is true",
}
"""Outcome → what became of it, in a few words."""


ALL: Final = Part(
    "Everything heard",
    "Nothing of this kind was heard",
    "Tools report over HTTP or by their webhooks; what they said stands here with what became of"
    " it.",
)


class MessageDesk(Desk[OnList]):
    """Messages."""

    address: ClassVar[str] = "/messages"
    title: ClassVar[str] = "Messages"
    noun: ClassVar[str] = "message"
    groups: ClassVar[tuple[str, ...]] = (
        *("outcome", "tool", "collection", "why", "status_field", "word"),
    )
    lead: ClassVar[str] = (
        "What the tools said, and what became of it. What nobody could place waits here until"
        " somebody says where it belongs; nothing that was heard is lost."
    )
    by: ClassVar[str] = "outcome"
    first: ClassVar[str] = "parked"
    parts: ClassVar[Mapping[str, Part]] = {
        "parked": Part(
            "Not placed",
            "Everything was placed",
            "Everything that was heard could be placed. A message waits here when it is about a"
            " record that no case is linked to, or says a word that the definition does not know.",
            lasts=True,
        ),
        "early": Part(
            "Came too early",
            "Nothing waits for its turn",
            "A tool's word waits here when its case has not come that far yet; it counts by itself"
            " as soon as it fits.",
            lasts=True,
        ),
        "": ALL,
    }
    acts: ClassVar[Mapping[str, Act]] = {
        "retry": Act(
            "Decide again",
            "What was said then is decided once more, as things are now: with the references and"
            " the words that are known by this time.",
            "Decide again",
        ),
    }

    def wanted(self, keeper: Keeper, asked: Asked) -> tuple[type[Messages], Wanted]:
        """Ask for messages of an outcome, from a tool, for a reason."""
        del keeper
        return Messages, Wanted(
            sort=paging.one_of("outcome", {k: v for k, v in asked.items() if v}, OUTCOMES),
            tool=asked.get("tool", ""),
            why=asked.get("why", ""),
            collection=asked.get("collection", ""),
        )

    def fits(self, keeper: Keeper, record: OnList, asked: Asked) -> bool:
        """Tell whether it is about the status field, and says the word, that are asked for."""
        del keeper
        return all(
            getattr(record, name) == asked[name]
            for name in ("status_field", "word")
            if name in asked
        )

    def named(self, keeper: Keeper, record_id: str) -> Sequence[OnList]:
        """Find a message by its id."""
        with keeper.store.reading() as session:
            return Messages.named(session, [record_id])

    def planned(self, turn: Turn, record: OnList, memory: Memory) -> Line:
        """Tell what it would be taken for by now, and what that would cause."""
        lifecycles = turn.keeper.catalogue.lifecycles
        lifecycle, ask = lifecycles.get(record.collection), self.ask(turn, record)
        if record.outcome not in DECIDED_AGAIN:
            said = f"It is settled: {BECAME.get(record.outcome, record.outcome)}."
            return _line(record, lifecycle, "meanwhile", said)
        memory.recall([record.stream, *streams_of(ask, lifecycle)])
        try:
            would = settle(ask, memory, lifecycles, turn.keeper.journal.clock())
        except Refusal as refusal:
            return _line(record, lifecycle, "no", capital(plain(refusal.detail, lifecycle)) + ".")
        assert isinstance(would.answer, Taken), record.id
        if not would.entries:
            said = f"It would stay {BECAME.get(record.outcome, record.outcome)}: {_lacks(record)}."
            return replace(_line(record, lifecycle, "no", said), instead=_instead(record))
        caused = [
            sentence(one.event, lifecycles.get(would.answer.case.collection))
            for one in would.entries
            if isinstance(one.event, CaseEvent) and would.answer.case
        ]
        return _line(record, lifecycle, "will", *_end(would.answer), *caused)

    def ask(self, turn: Turn, record: OnList) -> Ask:
        """Decide it again."""
        what = Retry(
            message=record.stream,
            new_id=fields.new_case_id(int(time() * 1000), urandom(10)),
            reason=turn.reason or "(planned)",
        )
        return Ask(asker=turn.session.asker, collection=record.collection, what=what)

    def became(self, turn: Turn, record: OnList, outcome: Outcome, memory: Memory) -> Line:
        """Tell what it is taken for now."""
        del memory
        lifecycle = turn.keeper.catalogue.lifecycles.get(record.collection)
        if isinstance(outcome, Refusal):
            return _line(record, lifecycle, "no", capital(plain(outcome.detail, lifecycle)) + ".")
        if not isinstance(outcome, Taken):
            return _line(record, lifecycle, "no", "This is our fault; the service's log says more.")
        says = list(_end(outcome))
        if outcome.case:
            now = state_titles(outcome.case.states, lifecycle)
            says.append(f"{capital(noun(lifecycle))} is {now}.")
        line = _line(record, lifecycle, "done", *says)
        return replace(line, case=outcome.message.case or line.case)


DESK: Final = MessageDesk()


# --- what would happen, and what has -------------------------------------------------------------


def _line(record: OnList, lifecycle: Lifecycle | None, verdict: str, *says: str) -> Line:
    return Line(
        id=record.id,
        case=f"{record.collection}/{record.case_id}" if record.case_id else "",
        what=in_short(record, lifecycle),
        says=says,
        verdict=cast("Literal['will', 'done', 'meanwhile', 'no']", verdict),
        mark=f"{record.outcome} {' '.join(says[:1])}",
    )


def _end(taken: Taken) -> Iterator[str]:
    message = taken.message
    why = f" ({spaced(message.why.replace('-', ' '))})" if message.why else ""
    yield f"{capital(BECAME.get(message.outcome, message.outcome))}{why}."


def in_short(record: OnList, lifecycle: Lifecycle | None) -> str:
    """What a tool said, in a few words."""
    about = f" of its {spaced(record.kind) or 'record'} {record.ref}" if record.ref else ""
    if record.word:
        what = word_of(record)
        what += f" as {spaced(record.status_field)}" if record.status_field else ""
    else:
        what = spaced(record.fields.replace(" ", ", ")) or "nothing"
    return f"{tool_title(record.tool, lifecycle)} said {what}{about}"


def word_of(record: OnList) -> str:
    """Its word, in quotes and short; of one that could not be read, that it is there."""
    return f"“{quote(record.word)}”" if record.word else "a word that cannot be read"


def _lacks(record: OnList) -> str:
    return {
        "unknown-reference": "no case has this reference yet",
        "no-reference": "it names no record",
        "unknown-word": "the definition still does not know the word",
        "unknown-field": "the definition still does not know what it speaks of",
        "not-fetched": "its record has not been had yet",
    }.get(record.why, record.why.replace("-", " ") or "nothing has changed")


def _instead(record: OnList) -> list[Link]:
    return [Link(f"/messages/{record.id}", "See what mends it")]
