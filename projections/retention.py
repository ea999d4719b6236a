"""Lets go of what was heard long ago: how it came can be read no more, what it meant can.

Messages are kept as they came for the `retention` that their lifecycle declares, or declared last
where it is no longer there. Then the key that sealed one is deleted, and that is the only deletion
there is. Up to where that was done stands in
the log, in the same append: so it is done once by all workers together, goes on after a restart,
and whoever still remembers such a key learns that it is gone.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from threading import Event as Signal
from typing import Final

import structlog
from msgspec import Struct

from lifecycle.declaration import Declaration, seconds
from lifecycle.events import Asker, DefinitionAdopted, Heard, MessagesLetGo
from lifecycle.inherited import declared_by
from lifecycle.journal import Journal, Record
from lifecycle.known import Known
from lifecycle.mapper import EntryMapper
from lifecycle.model import Lifecycle
from lifecycle.refusals import Refusal
from lifecycle.streams import retention_stream

RETENTION: Final = "90 days"
"""How long messages are kept as they came where their lifecycle says nothing."""
LOOK_SECONDS: Final = 300.0
"""How often it is looked for what is due."""
PAUSE_SECONDS: Final = 0.05
"""Between two pages, while there is more: everybody else goes first."""
PAGE_MESSAGES_MAX: Final = 200
"""Keys that are deleted in one append."""
PAGE_EVENTS_MAX: Final = 20_000
"""So much of the log is looked through at a time."""

log = structlog.get_logger("statekeeper.retention")


def let_go(journal: Journal, stop: Signal) -> None:
    """Delete the keys of messages whose time is over, until told to stop."""
    letting_go = LettingGo(journal)
    while not stop.is_set():
        try:
            for _ in letting_go.pages():
                if stop.wait(PAUSE_SECONDS):
                    return
        except Refusal as exc:  # the log cannot be used now; it says so itself
            log.warning("messages are let go of later", why=exc.detail)
        except Exception:
            log.exception("messages could not be let go of")
        stop.wait(LOOK_SECONDS)


class Due(Struct, frozen=True):
    """What one look at the log has found."""

    messages: tuple[str, ...]
    """The streams of messages whose time is over."""
    after: int
    """Where the look began."""
    upto: int
    """Up to here there are no others."""
    more: bool
    """Whether what follows may be due as well."""


class LettingGo:
    """Goes through the log, once for each collection, as far as its retention lets it."""

    def __init__(self, journal: Journal) -> None:
        """Begin where the log says that it was left off."""
        self._journal = journal
        self._mapper = EntryMapper(journal.mapper.vault.apart())
        self._upto: dict[str, int] = {}
        self._ever = EverDeclared(journal, self._mapper)

    def pages(self) -> Iterator[int]:
        """Let go of everything that is due, page by page; gives how many messages of each, or 0.

        Raises `StorageUnavailable`.
        """
        yield from self._ever.learn()
        declared = {name: kept_for(one) for name, one in self._journal.lifecycles.items()}
        for collection, kept in {**self._ever.kept, **declared}.items():
            before = self._journal.clock() - kept
            more = True
            while more:
                due = self._due(collection, before, self._reached(collection))
                if not due.messages:
                    self._upto[collection] = due.upto
                    more = due.more
                elif self._recorded(collection, due):
                    yield len(due.messages)
                    more = due.more
                if more:
                    yield 0

    def _reached(self, collection: str) -> int:
        """Up to where there is nothing left, by what we have seen or anybody has recorded."""
        stored = self._journal.recorder.select_events(
            retention_stream(collection), desc=True, limit=1
        )
        events = [self._mapper.to_domain_event(one).event for one in stored]
        recorded = [one.upto for one in events if isinstance(one, MessagesLetGo)]
        return max([self._upto.get(collection, 0), *recorded])

    def _due(self, collection: str, before: datetime, after: int) -> Due:
        """Look through a page of the log for messages of a collection heard before a moment."""
        end = min(after + PAGE_EVENTS_MAX, self._journal.recorder.last_position())
        page = self._journal.recorder.select_notifications(
            after, PAGE_MESSAGES_MAX, stop=end, topics=(Heard.TOPIC,), inclusive_of_start=False
        )
        messages: list[str] = []
        upto = after
        for stored in page:
            entry = self._mapper.unopened(stored)
            assert isinstance(entry.event, Heard), entry.stream
            if entry.event.recorded_at > before:
                return Due(tuple(messages), after, upto, more=False)
            if entry.event.collection == collection:
                messages.append(entry.stream)
            upto = entry.position
        is_full = len(page) == PAGE_MESSAGES_MAX
        upto = upto if is_full else max(end, after)
        return Due(tuple(messages), after, upto, more=is_full or end == after + PAGE_EVENTS_MAX)

    def _recorded(self, collection: str, due: Due) -> bool:
        """Delete their keys; False where another worker was here meanwhile: then look again."""
        is_ours = True

        def decide(known: Known, now: datetime) -> MessagesLetGo | None:
            nonlocal is_ours
            is_ours = not (isinstance(known.state, MessagesLetGo) and known.state.upto > due.after)
            if not is_ours:
                return None
            return MessagesLetGo(
                recorded_at=now,
                by=Asker(),
                collection=collection,
                upto=due.upto,
                messages=len(due.messages),
            )

        self._journal.record_now(Record(retention_stream(collection), decide, due.messages))
        if is_ours:
            log.info("let go", collection=collection, messages=len(due.messages), upto=due.upto)
        return is_ours


class EverDeclared:
    """The collections that were ever declared, by the texts that the log has adopted."""

    def __init__(self, journal: Journal, mapper: EntryMapper) -> None:
        """Know of none yet."""
        self._journal = journal
        self._mapper = mapper
        self._declared = {one.name: one for one in journal.lifecycles.values()}
        self._upto = 0
        self.kept: dict[str, timedelta] = {}
        """Collection → how long its messages are kept, by the text that spoke of it last."""

    def learn(self) -> Iterator[int]:
        """Read what was adopted since, page by page, each of which gives a 0."""
        recorder = self._journal.recorder
        while self._upto < (last := recorder.last_position()):
            end = min(self._upto + PAGE_EVENTS_MAX, last)
            for stored in recorder.select_notifications(
                self._upto,
                PAGE_EVENTS_MAX,
                stop=end,
                topics=(DefinitionAdopted.TOPIC,),
                inclusive_of_start=False,
            ):
                event = self._mapper.unopened(stored).event
                assert isinstance(event, DefinitionAdopted), stored.id
                self._take(event)
            self._upto = end
            yield 0

    def _take(self, adopted: DefinitionAdopted) -> None:
        lifecycle = self._declared.get(adopted.lifecycle)
        if lifecycle and lifecycle.mark.digest == adopted.digest:  # read as it is, without its text
            self.kept[lifecycle.collection] = kept_for(lifecycle)
        elif declaration := declared_by(adopted):
            self.kept[declaration.collection] = _time_of(declaration)


def kept_for(lifecycle: Lifecycle) -> timedelta:
    """How long its messages can be read as they came."""
    return _time_of(lifecycle.declaration)


def _time_of(declaration: Declaration) -> timedelta:
    return timedelta(seconds=seconds(declaration.retention or RETENTION))
