"""The program as a fork of a process that has read its modules already.

Reading them is most of what a start costs, and the tests start it hundreds of times. What a fork
does from then on is what `statekeeper` does; that it also starts from nothing is seen by whoever
gives the command line itself (`running.PROGRAM`).
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from subprocess import TimeoutExpired

from api.cli import main

READ_BEFORE = (
    *("api.serving", "api.attending", "api.importing", "api.verifying", "projections.worker"),
    *("email_validator", "phonenumbers", "psycopg", "litestar.plugins.pydantic"),
    *("lifecycle.postgres", "projections.postgres_store", "projections.postgres_shelf"),
    __name__,
)
"""The modules that every fork has, with all that they import."""

_forks = get_context("forkserver")
_forks.set_forkserver_preload(list(READ_BEFORE))


class Fork:
    """A run of the program, to be asked and ended like `subprocess.Popen`."""

    def __init__(
        self,
        words: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        stdout: Path,
        stderr: Path,
        program: Callable[[], None] = main,
    ) -> None:
        """Start it with these words; what it says is added to the files.

        `program` is called there by its name: a function of some module.
        """
        self.args = ("statekeeper", *words)
        self._process: ForkServerProcess = _forks.Process(
            target=_run,
            args=(program, self.args, folder, dict(environment), stdout, stderr),
            daemon=True,
        )
        self._process.start()

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """Its exit code, or the signal that ended it as a negative number; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; raises `TimeoutExpired` after so many seconds."""
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise TimeoutExpired(self.args, timeout or 0)
        return code

    def terminate(self) -> None:
        """Tell it to end, if it has not ended."""
        if self.poll() is None:
            self._process.terminate()

    def kill(self) -> None:
        """End it as a loss of power would, if it has not ended."""
        if self.poll() is None:
            self._process.kill()


def _run(
    program: Callable[[], None],
    words: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    stdout: Path,
    stderr: Path,
) -> None:
    """Become a run of the program."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for file, stream in ((stdout, sys.stdout), (stderr, sys.stderr)):
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(opened, stream.fileno())
        os.close(opened)
    sys.argv = list(words)
    program()
