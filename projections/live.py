"""The end of the log, for all who listen to it.

There is no queue a listener: everyone goes through the log at its own pace, and what is newest is
read once and kept, within bounds, for those who are up to date.
"""

import asyncio
from collections import deque
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Final

import structlog
from eventsourcing.persistence import Notification

from lifecycle.events import BY_TOPIC, CaseEvent, ClaimEnded, ClaimMade, Entry, Refused, Reported
from lifecycle.journal import Journal
from lifecycle.refusals import Overloaded, StorageUnavailable
from lifecycle.vault import WrongMasterKey
from projections.tellings import TELLINGS

LISTENERS_MAX: Final = 200
POLL_SECONDS: Final = 0.05
REST_SECONDS: Final = 1.0
"""After something went wrong."""
NEWEST_MAX: Final = 1000
"""Events kept for those who are up to date; the others read the log."""
PAGE_EVENTS: Final = 200

SHOWN: Final = frozenset(
    topic
    for topic, event in BY_TOPIC.items()
    if issubclass(event, (CaseEvent, Refused, Reported, ClaimMade, ClaimEnded, *TELLINGS))
)
"""What happened to cases, what was refused, what tools say and are told.

No keys, requests, definitions.
"""

log = structlog.get_logger("statekeeper.live")


class Live:
    """The streams that are open, and what is newest for all of them."""

    def __init__(self) -> None:
        """Nobody listens yet."""
        self.open = 0
        """Streams that are open now."""
        self._stopping = False
        self._newest: deque[Entry] = deque(maxlen=NEWEST_MAX)
        self._from = 0
        """What follows this position is among the newest, as far as they go."""
        self._reached = -1
        self._news = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    @property
    def stopping(self) -> bool:
        """Whether the service ends."""
        return self._stopping

    def stop(self) -> None:
        """End every stream: what listens will find another process, and resume there.

        May be called out of a signal; whoever waits looks up within a moment.
        """
        self._stopping = True

    def enter(self, journal: Journal) -> None:
        """Count one more in; `Overloaded` where there are too many, or the service ends."""
        if self._stopping:
            raise Overloaded("the service is stopping")
        if self.open >= LISTENERS_MAX:
            raise Overloaded(f"{self.open} streams are open already; try again later")
        self.open += 1
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch(journal))

    def leave(self) -> None:
        """Count one out; with the last, nobody looks at the log any more."""
        self.open -= 1
        if not self.open and self._watching is not None:
            self._watching.cancel()
            self._watching = None
            self._newest.clear()
            self._reached = -1

    async def after(self, journal: Journal, position: int) -> tuple[Sequence[Entry], int]:
        """What follows a position, some of it at a time, and how far that goes."""
        if self._from <= position <= self._reached:
            behind = [entry for entry in self._newest if entry.position > position]
            return behind, self._reached
        return await asyncio.to_thread(page, journal, position, PAGE_EVENTS)

    async def news(self, seconds: float) -> None:
        """Wait for something to happen, no longer than so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return

    async def _watch(self, journal: Journal) -> None:
        """Read what is new, once for all."""
        self._from = self._reached = journal.position
        while not self._stopping:
            try:
                while journal.position > self._reached:
                    await self._read(journal)
            except StorageUnavailable as exc:
                log.warning("waiting for the log", why=exc.detail)
                await asyncio.sleep(REST_SECONDS)
            except Exception:
                log.exception("could not read the log")
                await asyncio.sleep(REST_SECONDS)
            await asyncio.sleep(POLL_SECONDS)
        self._tell()

    async def _read(self, journal: Journal) -> None:
        entries, reached = await asyncio.to_thread(page, journal, self._reached, PAGE_EVENTS)
        for entry in entries:
            if len(self._newest) == NEWEST_MAX:
                self._from = self._newest[0].position
            self._newest.append(entry)
        self._reached = reached
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def page(
    journal: Journal, after: int, limit: int, *, topics: Collection[str] = SHOWN
) -> tuple[list[Entry], int]:
    """The events behind a position that are for showing, and the last position looked at.

    One that cannot be read is left out, and stops nobody: `statekeeper verify` names it.
    """
    tail = journal.recorder.tail(after, limit)
    wanted = [one for one in tail if one.topic in topics]
    with suppress(WrongMasterKey):  # whose it is, is found out where it is unsealed itself
        journal.mapper.recall_keys(wanted)
    entries = [entry for one in wanted if (entry := _entry(journal, one))]
    return entries, tail[-1].id if tail else after


def _entry(journal: Journal, stored: Notification) -> Entry | None:
    try:
        return journal.mapper.to_domain_event(stored)
    except StorageUnavailable:
        raise
    except Exception as no:  # noqa: BLE001 - an event of another time is not everybody's trouble
        log.warning("cannot be shown", stream=stored.originator_id, position=stored.id, why=str(no))
        return None
