"""What an ask would change, before it is asked: decided as the journal would, and not recorded.

The very function that settles asks is given what the log holds now; what comes out is told, and
dropped. So the plan shows all that one append would bring: transitions that follow by themselves,
claims that come true, messages that waited for a reference.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from api.pages.foretold import Foretold, foretold
from api.pages.ways import NO_ROUTES
from lifecycle.asks import Answer, Ask
from lifecycle.case import Case
from lifecycle.changes import Erase
from lifecycle.declaration import Flow
from lifecycle.events import (
    CaseEvent,
    ClaimEnded,
    ClaimMade,
    Entry,
    NoticeDue,
    ReactionDropped,
    ReactionPlanned,
    Reported,
)
from lifecycle.known import Memory
from lifecycle.model import Lifecycle
from lifecycle.refusals import Refusal
from lifecycle.settling import settle
from lifecycle.streams import case_stream
from projections.routes import Route
from projections.sentences import sentence
from projections.views import is_declared
from projections.wording import (
    all_of,
    kind_of,
    label,
    moment,
    spaced,
    state_titles,
    tool_title,
    write,
)


class Difference(Struct, frozen=True):
    """Something that would read otherwise afterwards."""

    name: str
    before: str
    """Empty: nothing."""
    after: str


class Telling(Struct, frozen=True):
    """A tool that would be told, and how that reaches it."""

    tool: str
    what: tuple[str, ...]
    how: str


class Plan(Struct, frozen=True):
    """Everything that would change."""

    version: int
    """The case as it was looked at; the ask is made conditional on it."""
    happens: tuple[str, ...]
    """A sentence for each event, in their order."""
    follows: int
    """How many of these nobody asked for: they follow by themselves."""
    foretold: Foretold
    """All of it in one line."""
    state: Difference | None
    facts: tuple[Difference, ...]
    words: tuple[Difference, ...]
    told: tuple[Telling, ...]
    later: tuple[str, ...]
    """What is set going: a sentence for each reaction."""

    @property
    def nothing(self) -> bool:
        """Whether all would stay as it is."""
        return not self.happens


def plan(
    ask: Ask,
    memory: Memory,
    lifecycle: Lifecycle,
    now: datetime,
    routes: Mapping[str, Route] = NO_ROUTES,
) -> Plan:
    """Decide an ask on what is known, and tell what it would cause; raises the `Refusal`.

    `routes` say by tool how it is told, and what stands in the way. The ask is to have no key of
    its own (`request`): nothing is to be remembered.
    """
    before = memory[case_stream(ask.collection, ask.id)].state
    settled = settle(ask, memory, {lifecycle.collection: lifecycle}, now)
    if isinstance(settled.answer, Refusal):
        raise settled.answer
    assert isinstance(settled.answer, Answer), ask.what
    assert isinstance(before, Case), ask.id
    after = settled.answer.case
    told = [entry for entry in settled.entries if _is_about(entry)]
    words = _words(before, after, lifecycle)
    facts = _facts(before, after, lifecycle, erasing=isinstance(ask.what, Erase))
    return Plan(
        version=before.version,
        happens=tuple(sentence(entry.event, lifecycle) for entry in told),
        follows=max(0, len(told) - 1),
        foretold=foretold(before, after, told, lifecycle),
        state=_moved(before, after, lifecycle),
        facts=tuple(facts.values()),
        words=tuple(
            Difference(f"{tool_title(tool, lifecycle)} · {field}", was or "", now_is or "")
            for (tool, field), (was, now_is) in words.items()
        ),
        told=tuple(_told(settled.entries, words, lifecycle, routes)),
        later=tuple(_later(settled.entries, lifecycle)),
    )


def _is_about(entry: Entry) -> bool:
    return isinstance(entry.event, CaseEvent | Reported | ClaimMade | ClaimEnded)


def _moved(before: Case, after: Case, lifecycle: Lifecycle) -> Difference | None:
    if before.states == after.states:
        return None
    was, now_is = (state_titles(case.states, lifecycle) for case in (before, after))
    return Difference("State", was, now_is)


Words = Mapping[tuple[str, str], tuple[str | None, str | None]]


def _words(before: Case, after: Case, lifecycle: Lifecycle) -> Words:
    """Tool and status field → the word before and after, where it changes."""
    shown = lifecycle.vocabulary.shown
    was = shown(before.states) if is_declared(before, lifecycle) else {}
    return {
        (tool, field): (was.get(tool, {}).get(field), word)
        for tool, fields in shown(after.states).items()
        for field, word in fields.items()
        if was.get(tool, {}).get(field) != word
    }


def _facts(
    before: Case, after: Case, lifecycle: Lifecycle, *, erasing: bool
) -> dict[str, Difference]:
    """Field → its values, where it changes; what is erased is not shown once more."""
    found: dict[str, Difference] = {}
    for name in dict.fromkeys((*before.fields, *after.fields)):
        was, now_is = before.fields.get(name), after.fields.get(name)
        if was == now_is:
            continue
        kind, text = kind_of(name, lifecycle), label(name, lifecycle)
        gone = erasing and name in before.personal
        found[name] = Difference(
            f"{text[0].upper()}{text[1:]}",
            "" if was is None else write(was, kind),
            "erased" if gone else "" if now_is is None else write(now_is, kind),
        )
    return found


def _told(
    entries: Sequence[Entry], words: Words, lifecycle: Lifecycle, routes: Mapping[str, Route]
) -> Iterator[Telling]:
    """Tell which tools are to hear of it, and of which that should nobody carries it."""
    notices = [entry.event for entry in entries if isinstance(entry.event, NoticeDue)]
    for tool in lifecycle.declaration.tools:
        title = tool_title(tool, lifecycle)
        if what := tuple(_said(one) for one in notices if one.tool == tool):
            yield Telling(title, what, _how(tool, lifecycle, routes.get(tool)))
        elif tool not in lifecycle.told and (what := tuple(_unsaid(tool, words, lifecycle))):
            yield Telling(title, what, "by nobody: no way out to this tool is declared")


def _said(notice: NoticeDue) -> str:
    if notice.request:
        return f"is asked: {spaced(notice.request)}"
    if notice.status_field:
        return f"{spaced(notice.status_field)} is “{notice.word}” now"
    return f"{all_of(notice.personal)} changed"


def _unsaid(tool: str, words: Words, lifecycle: Lifecycle) -> Iterator[str]:
    fields = lifecycle.vocabulary.status_fields
    computed = {(field.tool, field.name) for field in fields if field.hear_only}
    for (whose, field), (_, word) in words.items():
        if whose == tool and word and (whose, field) not in computed:
            yield f"{spaced(field)} should be “{word}”"


def _how(tool: str, lifecycle: Lifecycle, route: Route | None) -> str:
    flows = [one for one in lifecycle.declaration.flows if one.tool == tool]
    out = next(one for one in flows if one.direction == "out")
    if out.how == "manual":
        return f"by hand{_by(out, lifecycle)}"
    if route and route.waits:
        _, _, missing = route.waits.partition(": ")
        return f"not yet, as it is not connected: {missing or route.waits}"
    return f"by {out.how}"


def _by(flow: Flow, lifecycle: Lifecycle) -> str:
    steward = flow.steward or lifecycle.declaration.steward
    return f", by {steward}" if steward else ""


def _later(entries: Sequence[Entry], lifecycle: Lifecycle) -> Iterator[str]:
    """Tell what is set going for later, or will not come any more."""
    for entry in entries:
        event = entry.event
        if isinstance(event, ReactionPlanned):
            tool = tool_title(event.tool, lifecycle)
            yield f"{tool} is asked on {moment(event.fires_at)}: {spaced(event.request)}."
        elif isinstance(event, ReactionDropped):
            tool = tool_title(event.tool, lifecycle)
            yield f"{tool} is not asked any more: {spaced(event.reaction)}."
