"""The worker as a child of `serve`: in one interpreter they would slow each other.

It is started before the service has read its own modules, and reads its own meanwhile; it opens
nothing before it is given the word, by a pipe. When that pipe ends, so does the child, whatever has
become of its parent.
"""

import os
import subprocess
import sys
import threading
from contextlib import suppress
from time import monotonic
from typing import Self

import structlog

from api.settings import Settings

END_SECONDS_MAX = 5.0
"""How long the worker may take to end."""
AWAITED_SECONDS_MAX = 3.0
"""How long readiness waits for the worker's first pass."""
PAUSE_SECONDS = 0.5
PAUSE_SECONDS_MAX = 30.0
"""Before the worker is started again; it grows while it dies young."""

Child = subprocess.Popen[bytes]

log = structlog.get_logger("statekeeper.attending")


class Worker:
    """`statekeeper worker`, started and started again for as long as the service runs."""

    def __init__(self, settings: Settings) -> None:
        """Have the first one read its modules."""
        self._settings = settings
        self._stopping = threading.Event()
        self._child = self._started()
        self._watching: threading.Thread | None = None

    def attend(self, starting: threading.Event) -> None:
        """Give it the word: what is adopted may be followed.

        `starting` is cleared once the lists are up to date, or soon.
        """
        self._watching = threading.Thread(target=self._watch, args=(starting,), daemon=True)
        self._watching.start()
        patience = threading.Timer(AWAITED_SECONDS_MAX, starting.clear)
        patience.daemon = True
        patience.start()

    def __enter__(self) -> Self:
        """Take it for as long as the service runs."""
        return self

    def __exit__(self, *_: object) -> None:
        """Have it end."""
        self._stopping.set()
        _let_go(self._child)
        if self._watching is not None:
            self._watching.join(END_SECONDS_MAX)

    def _watch(self, starting: threading.Event) -> None:
        pause, started = PAUSE_SECONDS, monotonic()
        while True:
            code = _waited_for(self._child, starting)
            if self._stopping.is_set():
                return
            lived = monotonic() - started
            pause = PAUSE_SECONDS if lived > PAUSE_SECONDS_MAX else pause * 2
            pause = min(pause, PAUSE_SECONDS_MAX)
            log.error("the worker ended", code=code, again_in_seconds=pause)
            while not self._stopping.wait(pause):
                try:
                    started, self._child = monotonic(), self._started()
                    break
                except OSError:  # no room for another process just now
                    log.exception("no worker could be started", again_in_seconds=pause)
            if self._stopping.is_set():
                _let_go(self._child)

    def _started(self) -> Child:
        settings = self._settings
        named = {
            "STATEKEEPER_DATABASE": settings.database,  # may hold a password: not for `ps`
            "STATEKEEPER_DEFINITIONS": str(settings.definitions),
            "STATEKEEPER_LOG_LEVEL": settings.log_level,
            **({"STATEKEEPER_MASTER_KEY": settings.master_key} if settings.master_key else {}),
        }
        return subprocess.Popen(  # noqa: S603 - our own program, with words of our own
            [sys.executable, "-c", _COMMAND, "worker", "--attached"],
            env=os.environ | named,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # an interrupt from the terminal is for the service to handle
        )


_COMMAND = "from api.cli import main; main()"


def _waited_for(child: Child, starting: threading.Event) -> int:
    """Give it the word, hear when it has caught up, and wait for its end; answers its code."""
    assert child.stdin is not None
    assert child.stdout is not None
    with suppress(OSError, ValueError):  # it is gone already, or let go of
        child.stdin.write(b"\n")
        child.stdin.flush()
    if child.stdout.readline():
        starting.clear()
    return child.wait()


def _let_go(child: Child) -> None:
    assert child.stdin is not None
    with suppress(OSError):
        child.stdin.close()
