"""An answer about many, remembered part by part under its idempotency key.

The log holds it in the stream of the request: what is done next, which claims the key, and then
what became of it. Where it breaks off in between, that part is done once more: some of it may be
done, but none of it was told. What could not be done just now is not remembered: asked again it is
tried again, and the rest is answered as it was.

One at a time does it: each part is kept only where nobody else has kept one since. Who comes while
it is done is to come back; whoever has said nothing for `CLAIM_SECONDS` has gone, or is as good as.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import structlog

from api import asking
from api.door import Keeper
from api.problems import BeingAnswered
from lifecycle.asks import Request
from lifecycle.events import Answered, Asker, Done
from lifecycle.journal import Record
from lifecycle.known import Known
from lifecycle.refusals import IdempotencyKeyReused, NotNow
from lifecycle.streams import request_stream

CLAIM_SECONDS: Final = 5.0
"""How long what is to be done next stays claimed, once that was kept; else the next goes on."""
OURS: Final = 500
"""From this status on it is not the asker's fault that something was not done."""

log = structlog.get_logger("statekeeper.bulk")


class Remembered:
    """What became of many so far; without a key nothing is kept."""

    def __init__(self, keeper: Keeper, asker: Asker, request: Request | None) -> None:
        """Know nothing yet."""
        self._keeper = keeper
        self._asker = asker
        self._request = request
        self._about = ""
        self._lacks = False
        self._version = 0
        """Of the stream, as we know it: where it has moved on, another does this."""
        self._since: datetime | None = None
        """When the last was kept."""
        self._tried: Answered | None = None
        """What we tried to keep last; where its fate was unknown, it may stand there."""
        self.done: dict[str, Done] = {}
        """By id, in the order in which they were done."""
        self.doing: Sequence[str] = ()
        """The ids of those that it broke off at, or of none."""
        self.is_over = False
        """Whether that is all."""

    @classmethod
    async def of(cls, keeper: Keeper, asker: Asker, request: Request | None) -> "Remembered":
        """What this key has been answered; `IdempotencyKeyReused` where it is another's.

        `BeingAnswered` where somebody is at it.
        """
        found = cls(keeper, asker, request)
        if request is not None:
            stream = request_stream(asker, request.key)
            known = await asyncio.to_thread(keeper.journal.known_now, stream)
            _check(known, request)
            for entry in await asking.entries_of(keeper, [stream]) if known.version else ():
                assert isinstance(entry.event, Answered), stream
                found._version = entry.version
                found._since = entry.event.recorded_at
                for one in entry.event.done:
                    found.done.setdefault(one.id, one)
                found.doing = entry.event.doing
                found.is_over |= entry.event.is_over
            found._check_claim(request)
        return found

    async def begin(self, about: str, first: Sequence[str]) -> None:
        """Claim the key, to do these; where there is nothing to do, that is the answer.

        `BeingAnswered` where somebody was quicker.
        """
        self._about = about
        await self._keep((), first)

    async def add(self, items: Sequence[Done], following: Sequence[str]) -> None:
        """Keep what has become of some, and which are done next.

        Where it cannot be kept, they are done again another time. `BeingAnswered` where somebody
        has taken us for gone, and goes on with it.
        """
        done = [one for one in items if one.status < OURS]
        self._lacks |= len(done) < len(items)
        try:
            await self._keep(done, following)
        except BeingAnswered:
            raise
        except NotNow as refusal:
            self._lacks = True
            log.warning("not remembered", why=refusal.detail)

    async def _keep(self, done: Sequence[Done], doing: Sequence[str]) -> None:
        request = self._request
        if request is None:
            return

        def decide(known: Known, now: datetime) -> Answered:
            _check(known, request)
            if known.version != self._version and known.state != self._tried:
                raise _being_answered(request)
            self._version = known.version
            self._tried = Answered(
                recorded_at=now,
                by=self._asker,
                content=request.content,
                case=self._about,
                version=0,
                event_version=0,
                status=200,
                done=tuple(done),
                doing=tuple(doing),
                is_over=not doing and not self._lacks,
            )
            return self._tried

        record = Record(request_stream(self._asker, request.key), decide)
        await asyncio.to_thread(self._keeper.journal.record_now, record)
        self._version += 1

    def _check_claim(self, request: Request) -> None:
        if self.is_over or not self.doing or self._since is None:
            return
        if (self._keeper.journal.clock() - self._since).total_seconds() < CLAIM_SECONDS:
            raise _being_answered(request)


def _being_answered(request: Request) -> BeingAnswered:
    return BeingAnswered(
        f"what has the idempotency key {request.key!r} is being done at this moment;"
        " the same again, a little later, is told what became of it"
    )


def _check(known: Known, request: Request) -> None:
    if isinstance(known.state, Answered) and known.state.content != request.content:
        raise IdempotencyKeyReused(
            f"the idempotency key {request.key!r} was used for something else;"
            " a new ask needs a new key",
            key=request.key,
        )
