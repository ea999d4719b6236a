"""Who waits for more of the log is woken by what comes, and by the end of the work."""

import threading
from collections.abc import Iterator

import pytest

from projections.lookout import Lookout
from tests.databases import NewDatabase
from tests.projections.following import Following, following, job
from tests.running import until

PATIENCE_SECONDS = 30.0


class Watched:
    """A lookout at work, and those who wait at it."""

    def __init__(self, log: Following) -> None:
        """Look out over this log."""
        self.stop = threading.Event()
        self.lookout = Lookout(log.journal.recorder, self.stop)
        self.watching = threading.Thread(target=self.lookout.watch, daemon=True)
        self.watching.start()

    def waiting(self, after: int) -> threading.Thread:
        """Have somebody wait for what follows a position, as if for ever."""
        thread = threading.Thread(
            target=self.lookout.wait, args=(after, 100 * PATIENCE_SECONDS), daemon=True
        )
        thread.start()
        return thread

    def end(self) -> None:
        """Tell all to stop."""
        self.stop.set()
        self.watching.join(PATIENCE_SECONDS)


@pytest.fixture
def log(new_database: NewDatabase) -> Iterator[Following]:
    """A log in each database."""
    with following(new_database()) as opened:
        yield opened


@pytest.fixture
def watched(log: Following) -> Iterator[Watched]:
    """Somebody who looks out over it."""
    watched = Watched(log)
    yield watched
    watched.end()


def test_what_is_there_already_is_not_waited_for(log: Following, watched: Watched) -> None:
    """Whoever is behind goes on at once."""
    log.written(job("J-1"))
    waiting = watched.waiting(0)
    waiting.join(PATIENCE_SECONDS)
    assert not waiting.is_alive()


def test_all_who_wait_are_woken_by_what_comes(log: Following, watched: Watched) -> None:
    """One look serves any number; who knows the last of it already waits on."""
    log.written(job("J-1"))
    last = log.journal.recorder.last_position()
    waiting = [watched.waiting(last) for _ in range(3)]
    log.written(job("J-2"))
    until(lambda: not any(one.is_alive() for one in waiting), "all are woken")
    newest = watched.waiting(log.journal.recorder.last_position())
    watched.lookout.wait(last, PATIENCE_SECONDS)
    assert newest.is_alive()
    watched.end()
    newest.join(PATIENCE_SECONDS)
    assert not newest.is_alive()


def test_a_wait_ends_with_its_time(log: Following) -> None:
    """Nothing is lost with a lookout that hangs: who waits looks for itself now and then."""
    log.written(job("J-1"))
    lookout = Lookout(log.journal.recorder, threading.Event())
    lookout.wait(0, 0.001)
    assert log.follower().step() is True


def test_a_log_that_cannot_be_looked_at_is_looked_at_again(
    log: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is left alone for a moment; who waits finds out for itself what is wrong."""
    monkeypatch.setattr("projections.lookout.TROUBLE_SECONDS", 0.001)
    recorder = log.journal.recorder
    answers = iter([AssertionError("it is gone"), recorder.last_position])
    monkeypatch.setattr(recorder, "last_position", lambda: _said(next(answers, lambda: 7)))
    watched = Watched(log)
    waiting = watched.waiting(6)
    until(lambda: not waiting.is_alive(), "it is woken")
    watched.end()


def _said(answer: object) -> int:
    if isinstance(answer, Exception):
        raise answer
    assert callable(answer)
    return int(answer())
