"""A worker that is killed while it tells the tools: nothing is lost, and every end stands once."""

import os
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from random import Random
from threading import Thread

import pytest

from api.cli import main
from lifecycle.events import NoticeDelivered, OfNotice
from tests.chaos.doomed import DOOM, doomed
from tests.databases import NewDatabase
from tests.forking import Fork
from tests.lifecycle.given import completed, deposit_due, deposit_paid, invoiced, scheduled
from tests.projections.carrying import Carrying, carrying
from tests.projections.tools import SECRET, FakeTool, Post, Reply, fake_tools
from tests.running import ROOT, over

pytestmark = pytest.mark.chaos

JOBS = 10
KILLS = 3
PAUSE_SECONDS = 0.15
TELLING = (
    *("followed", "taken", "posted", "ended", "end-decided"),
    *("end-inserted", "end-committed", "struck-out", "put-off"),
)
"""Every step of telling a tool, from the log and back to it; see `doomed`."""


class Worker:
    """A worker process over a database; it tells the books and the crew at the tool's address."""

    def __init__(self, database: str, tool: FakeTool, log: Path, doom: Path | None = None) -> None:
        """Start nothing yet."""
        self._database, self._log = database, log
        self._program = doomed if doom else main
        self._environment: Mapping[str, str] = {
            "ACCOUNTING_URL": tool.url, "ACCOUNTING_SECRET": SECRET,
            "PROJECTS_URL": tool.url, "PROJECTS_SECRET": SECRET,
            DOOM: str(doom),
        }  # fmt: skip
        self._process: Fork | None = None
        self.lives = 0

    def start(self) -> None:
        """Start it, and do not wait."""
        self._process = Fork(
            ["worker", *over(self._database)],
            folder=ROOT,
            environment=os.environ | self._environment,
            stdout=self._log,
            stderr=self._log,
            program=self._program,
        )
        self.lives += 1

    @property
    def died(self) -> bool:
        """Whether it was started, and is no more."""
        return self._process is not None and self._process.poll() is not None

    def kill(self) -> None:
        """End it as a loss of power would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)


@contextmanager
def worker(
    books: Carrying, tool: FakeTool, log: Path, doom: Path | None = None
) -> Iterator[Worker]:
    """Have a worker at hand; at the end nothing of it is left."""
    one = Worker(books.database, tool, log, doom)
    try:
        yield one
    finally:
        one.kill()


def each_ended_once(books: Carrying, tool: FakeTool) -> None:
    """Assert that what was delivered was seen, in order per case and tool, and stands once."""
    delivered = [one.id for one in books.events(NoticeDelivered)]
    assert len(delivered) == len(set(delivered)), "an end that stands twice"
    assert set(delivered) <= set(tool.ids), "recorded as told, and the tool never saw it"
    due = [one for name in ("accounting", "projects") for one in books.due(name)]
    lines: dict[tuple[str, str], list[str]] = defaultdict(list)
    line_of = {one.id: (one.case, one.tool) for one in due}
    for seen in tool.ids:
        lines[line_of[seen]].append(seen)
    turns = {one.id: turn for turn, one in enumerate(due)}
    for line, ids in lines.items():
        order = [turns[name] for name, _ in groupby(ids)]
        assert order == sorted(set(order)), f"out of order: {line}"


def everything_ended(books: Carrying) -> bool:
    """Whether no tool that has an address waits for anything."""
    ended = {(one.tool, one.id): type(one).__name__ for one in books.events(OfNotice)}
    told = [end for (name, _), end in ended.items() if name in {"accounting", "projects"}]
    return bool(told) and all(end != "NoticeDue" for end in told)


def work(books: Carrying) -> None:
    """Take all jobs through their whole life."""
    for number in range(JOBS):
        books.job(f"J-{number}")
    for did in (deposit_due, deposit_paid, scheduled, completed, invoiced):
        for number in range(JOBS):
            books.does(did, f"J-{number}")
            time.sleep(PAUSE_SECONDS)


def test_a_worker_killed_at_random_loses_nothing(new_database: NewDatabase, tmp_path: Path) -> None:
    """While jobs move: each notice ends once, the tool sees each that was told, in order."""
    chance = Random(20)  # noqa: S311 - kills need no secret chance
    with (
        fake_tools() as (tool,),
        carrying(new_database(), {}) as books,
        worker(books, tool, tmp_path / "worker.log") as one,
    ):
        working = Thread(target=work, args=(books,))
        one.start()
        working.start()
        for kill in range(KILLS):
            books.until(lambda kill=kill: len(tool.posts) > kill * 8, "it is at work")  # type: ignore[misc]  # mypy does not infer a lambda with a default
            time.sleep(chance.random())
            one.kill()
            one.start()
        working.join()
        books.until(lambda: everything_ended(books), "all is told")
        books.conserved()
        each_ended_once(books, tool)


@pytest.mark.parametrize("after", [False, True], ids=["before-the-answer", "after-the-answer"])
def test_a_worker_killed_at_the_answer_sends_the_same_notice_again(
    new_database: NewDatabase, tmp_path: Path, *, after: bool
) -> None:
    """Before the tool's 2xx, or after it and before that is recorded: one id, and one end."""
    with (
        fake_tools() as (tool,),
        carrying(new_database(), {}) as books,
        worker(books, tool, tmp_path / "worker.log") as one,
    ):

        def kills(_: Post) -> Reply:
            if len(tool.posts) > 1:
                return Reply()
            if after:
                return Reply(then=one.kill)
            one.kill()
            return Reply(reset=True)

        tool.behaves = kills
        books.job()
        one.start()
        books.until(lambda: len(tool.posts) > 0, "it was sent")
        one.kill()
        one.start()
        books.until(lambda: everything_ended(books), "all is told")
        books.conserved()
        each_ended_once(books, tool)
        assert tool.ids.count(tool.ids[0]) == 2


def test_workers_killed_at_every_step_of_telling_lose_nothing(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """Wherever one dies, it or another goes on: two of them where a database may have two."""
    database, doom, log = new_database(), tmp_path / "doom", tmp_path / "worker.log"
    with (
        fake_tools() as (tool,),
        carrying(database, {}) as books,
        worker(books, tool, log, doom) as first,
        worker(books, tool, log, doom) as second,
    ):
        workers = (first,) if database.startswith("sqlite") else (first, second)
        for one in workers:
            one.start()
        for turn, step in enumerate(TELLING):
            tool.behaves = (lambda _: Reply(status=503)) if step == "put-off" else lambda _: Reply()
            named = doom.with_suffix(".new")
            named.write_text(step)
            named.rename(doom)
            books.job(f"J-{turn}", deposit_due, deposit_paid, scheduled)
            books.until(lambda: any(one.died for one in workers), f"one dies when {step}")
            for one in workers:
                if one.died:
                    one.start()
        tool.behaves = lambda _: Reply()
        books.until(lambda: everything_ended(books), "all is told")
        books.conserved()
        each_ended_once(books, tool)
        assert sum(one.lives for one in workers) == len(workers) + len(TELLING)
