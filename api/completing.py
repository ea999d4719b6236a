"""Goes on asking for the records that could not be had while a webhook was answered.

What waits stands in the log, so it is asked for after a restart too, by whichever process comes
first; that two ask at once does no harm. No record keeps the others waiting: one that could not be
had is asked for again after all others, and ever more seldom. After some days nobody asks any more;
the message stays parked, and is shown, until somebody has it retried.
"""

import asyncio
from collections.abc import Collection
from datetime import datetime, timedelta
from time import monotonic
from typing import Final

import structlog

from api.door import Keeper
from api.ears import Ear, completed, ear_of
from api.fetching import NotFetched
from lifecycle.bodies import NotUnderstood
from lifecycle.deliveries import named
from lifecycle.events import Parked
from lifecycle.messages import Waiting
from lifecycle.refusals import Refusal
from lifecycle.streams import unfetched_stream, unfetched_streams

PAUSE_SECONDS: Final = 5.0
"""After a product, or a record, that could not be asked; it doubles while that lasts."""
PAUSE_SECONDS_MAX: Final = 300.0
LOOK_SECONDS: Final = 5.0
"""How often it is looked for what others left behind."""
AT_ONCE_MAX: Final = 8
WAITS_MAX: Final = timedelta(days=3)
"""How long a record is asked for: as long as products repeat their webhooks."""

log = structlog.get_logger("statekeeper.completing")


class Turns:
    """When which message is asked about again: who failed stands behind all others."""

    def __init__(self) -> None:
        """Begin where nothing has failed yet."""
        self._again: dict[str, tuple[float, float]] = {}
        """Message → when its turn is, and the pause before it, in seconds."""

    def due(self, waiting: Collection[str], now: float) -> list[str]:
        """Those whose turn it is, in its order; what waits no longer is forgotten."""
        there = set(waiting)
        self._again = {name: one for name, one in self._again.items() if name in there}
        turns = {name: self._again.get(name, (0.0, 0.0))[0] for name in waiting}
        return sorted((name for name in turns if turns[name] <= now), key=turns.__getitem__)

    def failed(self, message: str, now: float) -> None:
        """Ask about it again after a pause, twice as long as the one before."""
        _, before = self._again.get(message, (0.0, 0.0))
        pause = min(before * 2 or PAUSE_SECONDS, PAUSE_SECONDS_MAX)
        self._again[message] = now + pause, pause


async def complete_all(keeper: Keeper) -> None:
    """Ask for ever, until cancelled."""
    tools = [
        tool
        for tool in keeper.catalogue.tools()
        if (ear := ear_of(keeper, tool)) and ear.connector.fetch
    ]
    if tools:
        await asyncio.gather(*(_complete(keeper, tool) for tool in tools))


async def _complete(keeper: Keeper, tool: str) -> None:
    wanted, turns, pause = keeper.fetcher.wanted(tool), Turns(), PAUSE_SECONDS
    while True:
        wanted.clear()
        try:
            had, done = await _round(keeper, tool, turns)
        except Refusal:  # the log cannot be used; it says so itself
            had = done = False
        except Exception:
            log.exception("fault", tool=tool)
            had = done = False
        if had or done:
            pause = PAUSE_SECONDS
        if done:
            await _either(wanted, LOOK_SECONDS)
        else:
            await asyncio.sleep(pause)
            pause = min(pause * 2, PAUSE_SECONDS_MAX)


async def _either(wanted: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await wanted.wait()
    except TimeoutError:
        return


async def _round(keeper: Keeper, tool: str, turns: Turns) -> tuple[bool, bool]:
    """Ask once for everything whose turn it is.

    Tells whether any of it was had, and whether it went on to the end: it does not where the
    product cannot be asked now.
    """
    ear = ear_of(keeper, tool)
    assert ear is not None, tool
    waiting: list[str] = []
    for stream in unfetched_streams(tool):
        state = (await keeper.journal.known(stream)).state
        waiting += state.messages if isinstance(state, Waiting) else ()
    now, had = monotonic(), False
    due = turns.due(waiting, now)
    for first in range(0, len(due), AT_ONCE_MAX):
        some = due[first : first + AT_ONCE_MAX]
        answers = await asyncio.gather(*(_asked(keeper, ear, message) for message in some))
        for message, failure in zip(some, answers, strict=True):
            if failure:
                turns.failed(message, monotonic())
        had = had or None in answers
        if any(isinstance(one, NotFetched) and one.by_all for one in answers):
            return had, False
    return had, True


async def _asked(keeper: Keeper, ear: Ear, stream: str) -> Exception | None:
    """Ask for the record of one message; gives why it could not be had."""
    try:
        await _ask(keeper, ear, stream)
    except (NotFetched, NotUnderstood) as exc:
        log.warning("not fetched", tool=ear.tool, message=stream, why=str(exc))
        return exc
    except Refusal:  # the log cannot be used, which the others will find too
        raise
    except Exception as exc:
        log.exception("fault", tool=ear.tool, message=stream)
        return exc
    return None


async def _ask(keeper: Keeper, ear: Ear, stream: str) -> None:
    raw, since = await asyncio.to_thread(_kept, keeper, ear.tool, stream)
    if raw is None or keeper.journal.clock() - since > WAITS_MAX:
        log.warning("a record is not asked for any more", tool=ear.tool, message=stream)
        await keeper.journal.hear(completed(ear, stream, None))
        return
    message = named(ear.connector, raw)
    told = await keeper.fetcher.complete(ear.tool, ear.connector, message)
    await keeper.journal.hear(completed(ear, stream, told))


def _kept(keeper: Keeper, tool: str, stream: str) -> tuple[bytes | None, datetime]:
    """What was kept of a message, and since when its record is wanted."""
    mapper, recorder = keeper.journal.mapper, keeper.journal.recorder
    stored = recorder.streams([stream])[0]
    since = mapper.to_domain_event(stored).event.recorded_at
    if keeper.journal.clock() - since > WAITS_MAX:  # or somebody wanted it again
        for one in recorder.streams([unfetched_stream(tool, stream)]):
            event = mapper.to_domain_event(one).event
            if isinstance(event, Parked) and event.message == stream:
                since = event.recorded_at
    return mapper.raw(stored), since
