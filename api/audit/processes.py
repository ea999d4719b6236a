"""Work done side by side: each piece in a process of its own, what it says passed on.

Whoever starts it waits for all of it; a piece that is refused ends the others.
"""

import gc
import multiprocessing
import signal
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, TypeAlias, TypeVar

from api.audit.exports import Progress
from api.audit.rows import BadExport

R = TypeVar("R")
Piece: TypeAlias = "tuple[str, Callable[[Progress], R]]"
"""What it is called where it fails, and what is to be done: something that can be pickled."""


def side_by_side(pieces: "Sequence[Piece[R]]", progress: Progress, *, apart: bool) -> list[R]:
    """Do all pieces and answer what came of each; raises the first `BadExport` of any.

    `apart`: whether there is so much to do that starting processes pays.
    """
    if not apart:
        return [work(progress) for _, work in pieces]
    context = multiprocessing.get_context("spawn")
    running: list[tuple[str, SpawnProcess, Connection]] = []
    try:
        for name, work in pieces:
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(work, theirs), daemon=True)
            process.start()
            theirs.close()
            running.append((name, process, ours))
        return _gathered(running, progress)
    finally:
        for _, process, ours in running:
            process.terminate()
            process.join()
            ours.close()


def _gathered(
    running: Sequence[tuple[str, SpawnProcess, Connection]], progress: Progress
) -> list[Any]:
    results: dict[int, Any] = {}
    open_still = {ours: at for at, (_, _, ours) in enumerate(running)}
    while open_still:
        for ours in wait(list(open_still)):
            assert isinstance(ours, Connection), "only our own pipes are waited for"
            at = open_still[ours]
            try:
                match ours.recv():
                    case ("told", str(what), int(done)):
                        progress(what, done)
                    case ("done", result):
                        results[at] = result
                        del open_still[ours]
                    case BadExport() as refused:
                        raise refused
            except EOFError:
                raise _ended(*running[at][:2]) from None
    return [results[at] for at in range(len(running))]


def _ended(name: str, process: SpawnProcess) -> BadExport:
    process.join()
    code = process.exitcode
    return BadExport(name, f"the process that read it ended early ({code}); is there memory left?")


def _work(work: Callable[[Progress], object], out: Connection) -> None:
    """What the new process does: the parent alone is interrupted, and ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()  # what is made here stays in no circle, and the process ends soon
    try:
        done = work(lambda what, done: out.send(("told", what, done)))
    except BadExport as refused:
        out.send(refused)
    except BrokenPipeError:  # nobody is left to be told
        return
    else:
        out.send(("done", done))
