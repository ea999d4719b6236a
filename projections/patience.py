"""How long to wait: for a notice that was not taken, and for a tool that takes nothing.

A notice is tried again on the schedule of Standard Webhooks: ten attempts in three days. A tool's
breaker opens after some failures in a row; while it is open one notice at a time tries whether the
tool works again, before its time and without using up an attempt, so that nothing is given up
because a tool was down. A tool that says it has enough is left alone for as long as it says, and is
told more slowly after that.

Pure: times are milliseconds since 1970, spans milliseconds; chance comes as a number below 1.
"""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

SECOND: Final = 1000
ATTEMPTS_MAX: Final = 10
DELAYS: Final = tuple(
    seconds * SECOND for seconds in (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
)
"""After the first attempt, after the second, and so on; 75 hours and 35 minutes in all."""
JITTER: Final = 0.2
"""A delay is longer by up to this part of it: what failed together is not tried together."""

FAILURES_MAX: Final = 5
"""So many failures of a tool in a row open its breaker,"""
TRIES_MAX: Final = 3
"""and so do as many attempts at one notice, and failures in a row, while nothing was taken."""
OPEN: Final = 5 * SECOND
OPEN_MAX: Final = 300 * SECOND
"""How long the breaker stays open at first, and at most; it doubles."""

RETRY_AFTER_MAX: Final = 24 * 3600 * SECOND
"""How long a tool is left alone at most, whatever it says."""
SLOW: Final = frozenset({429, 502, 503, 504})
"""Statuses by which a tool says that it has enough for now."""
REFUSES: Final = frozenset({400, 401, 403, 404, 405, 406, 409, 410, 411, 413, 414, 415, 422})
"""Statuses of a tool that works and does not want this very notice, tried early or not."""
ENOUGH: Final = 429
REST: Final = 1 * SECOND
"""How long a tool rests that answers so and does not say how long."""
GONE: Final = 410
"""By this status a tool says that it wants nothing any more; a product, that a record is gone."""

CATCH_UP: Final = 200
"""How much of its time a tool's rate may be late and still make up for."""


class Flow(Struct, frozen=True, array_like=True):
    """How it goes with a tool."""

    tool: str
    failures: int = 0
    """In a row."""
    opened: int = 0
    """How often in a row the breaker has opened; 0 while it is closed."""
    open_until: int = 0
    slow_until: int = 0
    """The tool wants to be left alone until then."""
    next_start: int = 0
    """When the next notice may start by the tool's rate, in microseconds."""
    failing: int = 0
    """1 where the log says so, and its steward was told."""
    stopped: int = 0
    """1 where the tool wants nothing any more."""

    @property
    def is_well(self) -> bool:
        """Whether nothing has gone wrong since it last took a notice."""
        return not (self.failures or self.opened or self.failing)


class Turn(Struct, frozen=True):
    """What a tool may be told now."""

    most: int
    """So many notices."""
    probe: bool = False
    """Only to try whether it works again."""


def turn(flow: Flow, now: int, free: int, interval: float) -> Turn:
    """How many notices may start now, of as many as there is room for."""
    if flow.stopped or flow.slow_until > now:
        return Turn(0)
    if flow.opened:
        return Turn(0 if flow.open_until > now else 1, probe=True)
    if interval:
        late = now * 1000 - _start(flow, now)
        free = min(free, int(late // (interval * 1000)) + 1 if late >= 0 else 0)
    return Turn(free)


def started(flow: Flow, now: int, taken: int, interval: float, hold: int) -> Flow:
    """The same after some have started; while one tries, nobody else does."""
    if flow.opened:
        flow = replace(flow, open_until=now + hold)
    return replace(flow, next_start=round(_start(flow, now) + taken * interval * 1000))


def _start(flow: Flow, now: int) -> int:
    return max(flow.next_start, (now - CATCH_UP) * 1000)


def taken(flow: Flow) -> Flow:
    """The same after the tool took a notice."""
    return replace(flow, failures=0, opened=0, open_until=0)


def failed(flow: Flow, now: int, attempts: int, *, probe: bool) -> Flow:
    """The same after a notice was not taken, at its so manieth attempt."""
    flow = replace(flow, failures=flow.failures + 1)
    if flow.opened and not probe:
        return flow  # it was under way already when the breaker opened
    is_alone = min(attempts, flow.failures) >= TRIES_MAX
    if flow.opened or flow.failures >= FAILURES_MAX or is_alone:
        opened = flow.opened + 1
        return replace(flow, opened=opened, open_until=now + open_time(opened))
    return flow


def slowed(flow: Flow, now: int, rest: int | None) -> Flow:
    """The same after the tool said how long it is to be left alone, if it did."""
    return replace(flow, slow_until=max(flow.slow_until, now + rest)) if rest else flow


def open_time(opened: int) -> int:
    """How long the breaker stays open, the so manieth time in a row."""
    return int(min(OPEN_MAX, OPEN * 2 ** min(opened - 1, 20)))


def delay(attempts: int, chance: float, retry_after: int | None = None) -> int | None:
    """How long a notice waits after so many attempts; None: that was the last one."""
    if attempts >= ATTEMPTS_MAX:
        return None
    scheduled = DELAYS[attempts - 1] * (1 + JITTER * chance)
    return max(round(scheduled), retry_after or 0)


def rest(status: int | None, header: str | None, now: int) -> int | None:
    """How long a tool is to be left alone by its answer; None where it says nothing of it."""
    asked = retry_after(header, now)
    return REST if asked is None and status == ENOUGH else asked


def retry_after(header: str | None, now: int) -> int | None:
    """Read `Retry-After`, seconds or a date (RFC 9110); None where it says neither."""
    if header is None:
        return None
    text = header.strip()[:64]
    if text.isascii() and text.isdigit():
        return min(int(text[:9]) * SECOND, RETRY_AFTER_MAX)
    try:
        then = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return min(max(0, millis(then) - now), RETRY_AFTER_MAX)


def slower(interval: float) -> float:
    """The least time between two notices, learnt from a tool that has enough."""
    return min(30.0 * SECOND, max(50.0, interval * 2))


def quicker(interval: float) -> float:
    """The same after it took one."""
    shorter = interval * 0.8
    return shorter if shorter >= LEARNT_MIN else 0.0


LEARNT_MIN: Final = 10.0
"""A shorter learnt interval is none."""


def millis(time: datetime) -> int:
    """A time in milliseconds since 1970."""
    return round(time.timestamp() * 1000)
