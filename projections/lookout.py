"""Looks at the end of the log, once for all in this process who follow it.

Nothing happens most of the time, and to find that out is all that an idle worker does: one look at
the end of an index every 50 ms (every 10 ms while something happens) costs next to nothing, cannot
be lost as a NOTIFY can, works behind any pooler, and spares every append the lock that NOTIFY
takes. Who follows the log waits here meanwhile, and is woken by the look that found something.
"""

from threading import Condition
from threading import Event as Signal
from time import monotonic
from typing import Final

import structlog

from lifecycle.log import Recorder
from lifecycle.refusals import StorageUnavailable

POLL_SECONDS: Final = 0.05
"""How often the end of the log is looked at,"""
LIVELY_POLL_SECONDS: Final = 0.01
"""and while something happens: it is seldom the last."""
LIVELY_SECONDS: Final = 5.0
"""How long after an event it is looked at as often."""
TROUBLE_SECONDS: Final = 1.0
"""How long the log is left alone that cannot be looked at."""

log = structlog.get_logger("statekeeper.lookout")


class Lookout:
    """The end of the log, for any number of threads that wait for more of it."""

    def __init__(self, recorder: Recorder, stop: Signal) -> None:
        """Take the log; look at nothing yet."""
        self._recorder = recorder
        self._stop = stop
        self._news = Condition()
        self._position = 0

    def watch(self) -> None:
        """Look again and again until told to stop, and wake who waits for what is found."""
        try:
            lively_until = 0.0
            while not self._stop.is_set():
                try:
                    if self._look():
                        lively_until = monotonic() + LIVELY_SECONDS
                    lively = monotonic() < lively_until
                    pause = LIVELY_POLL_SECONDS if lively else POLL_SECONDS
                except StorageUnavailable:  # who follows finds out as well, and says so
                    pause = TROUBLE_SECONDS
                except Exception:
                    log.exception("could not look at the log")
                    pause = TROUBLE_SECONDS
                self._stop.wait(pause)
        finally:
            with self._news:
                self._news.notify_all()

    def wait(self, after: int, seconds: float) -> None:
        """Wait until the log goes on behind a position, the time is up, or all is to stop."""
        with self._news:
            self._news.wait_for(lambda: self._position > after or self._stop.is_set(), seconds)

    def _look(self) -> bool:
        position = self._recorder.last_position()
        if position == self._position:
            return False
        with self._news:
            self._position = position
            self._news.notify_all()
        return True
