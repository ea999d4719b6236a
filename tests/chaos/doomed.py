"""The program as it is, but doomed: it dies, as by a loss of power, at a step named in a file.

Whoever first comes to the step that stands in the file that the environment names as `DOOM` deletes
it, and dies; as long as there is no file, nobody does. Nothing is replaced: every step is watched,
and what is watched does what it does.
"""

import asyncio
import inspect
import os
import signal
from collections.abc import Callable, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import Any, Final

from api import completing, webhooks
from api.cli import main
from api.fetching import Fetcher
from lifecycle import postgres, sqlite
from lifecycle.journal import Journal
from lifecycle.log import Batch
from lifecycle.messages import Complete
from projections.book import Book
from projections.courier import Courier
from projections.posting import Poster

DOOM: Final = "DOOM"

ANSWER_SECONDS: Final = 0.05
"""How long an answer may take to leave this process."""

Happens = Callable[..., bool]
"""Whether a call, and what came of it, is the step that is meant."""


def is_doomed(step: str) -> bool:
    """Whether this is the step, and nobody has come to it before."""
    doom = Path(os.environ[DOOM])
    try:
        if doom.read_text() != step:
            return False
        doom.unlink()
    except FileNotFoundError:
        return False
    return True


def die_at(step: str) -> None:
    """Die, if this is the step."""
    if is_doomed(step):
        os.kill(os.getpid(), signal.SIGKILL)


def always(*_: object, **__: object) -> bool:
    """Every call is meant."""
    return True


def before(owner: Any, name: str, step: str, happens: Happens = always) -> None:
    """Watch what is about to be done; `happens` is asked with its arguments."""
    do = getattr(owner, name)

    @wraps(do)
    def watched(*values: Any, **named: Any) -> Any:
        if happens(*values, **named):
            die_at(step)
        return do(*values, **named)

    setattr(owner, name, watched)


def after(owner: Any, name: str, step: str, happens: Happens = always) -> None:
    """Watch what has been done; `happens` is asked with what came of it, and its arguments."""
    do = getattr(owner, name)

    @wraps(do)
    def watched(*values: Any, **named: Any) -> Any:
        done = do(*values, **named)
        if happens(done, *values, **named):
            die_at(step)
        return done

    @wraps(do)
    async def watched_there(*values: Any, **named: Any) -> Any:
        done = await do(*values, **named)
        if happens(done, *values, **named):
            die_at(step)
        return done

    setattr(owner, name, watched_there if inspect.iscoroutinefunction(do) else watched)


def watch_hearing() -> None:
    """Watch a webhook on its way."""
    before(webhooks, "_understood", "body-read")
    after(webhooks, "_prove", "believed")
    before(webhooks, "_keep", "understood")
    before(Fetcher, "complete", "record-asked")
    before(Journal, "hear_many", "queued")
    before(webhooks, "_replied", "kept")
    before(webhooks, "_replied", "answered", die_once_answered)


def die_once_answered(*_: object) -> bool:
    """Let what is about to be answered leave this process, and die then."""
    if is_doomed("answered"):
        asyncio.get_running_loop().call_later(ANSWER_SECONDS, os.kill, os.getpid(), signal.SIGKILL)
    return False


def watch_fetching() -> None:
    """Watch the question for a record, asked once its webhook was answered."""

    def completes(_: object, ask: Any) -> bool:
        return isinstance(ask.what, Complete) and ask.what.report is not None

    before(completing, "_ask", "record-wanted")
    before(Journal, "hear", "record-had", completes)


def watch_telling() -> None:
    """Watch a notice on its way."""
    after(Book, "follow", "followed", lambda done, *_: done is not None and bool(done.tools))
    after(Book, "take", "taken", lambda done, *_, **__: done is not None and bool(done.rows))
    after(Poster, "post", "posted", lambda done, *_, **__: done.is_taken)
    after(Courier, "_end_by", "ended")
    after(Book, "later", "put-off")
    after(Book, "follow", "struck-out", struck_out)


def struck_out(done: Any, book: Book, *_: object) -> bool:
    """Whether the book has just seen that something was delivered."""
    if done is None or not done.events:
        return False
    return any(states["delivered"] for states in book.tallies().values())


def watch_appends() -> None:
    """Watch what is heard, what a record says and what was told become durable."""
    for step, topic in (
        ("", "message.heard.v1"),
        ("record-", "message.fetched.v1"),
        ("end-", "notice.delivered.v1"),
    ):
        has = partial(_has, topic)
        for recorder in (sqlite.SqliteRecorder, postgres.PostgresRecorder):
            before(recorder, "_append", f"{step}decided", lambda _, batch, *__, has=has: has(batch))
            after(
                recorder, "_append", f"{step}committed",
                lambda done, _, batch, *__, has=has: done is not None and has(batch),
            )  # fmt: skip
        after(sqlite, "_insert", f"{step}inserted", lambda _, __, batch, has=has: has(batch))
        _watch_insert(f"{step}inserted", has)


def _has(topic: str, batch: Batch) -> bool:
    return any(event.topic == topic for event in batch.events)


def _watch_insert(step: str, has: Callable[[Batch], bool]) -> None:
    """Watch PostgreSQL between INSERT and COMMIT, which are one statement unless it was begun."""
    insert, recorder = postgres.PostgresRecorder._insert, postgres.PostgresRecorder

    def inserting(self: Any, line: Any, batch: Batch, after: int) -> Sequence[int] | None:
        if not (has(batch) and is_doomed(step)):
            return insert(self, line, batch, after)
        line.execute("BEGIN")
        commit = line.execute

        def not_committing(statement: Any, *values: Any, **named: Any) -> Any:
            if statement == "COMMIT":
                os.kill(os.getpid(), signal.SIGKILL)
            return commit(statement, *values, **named)

        line.execute = not_committing
        return insert(self, line, batch, after)

    recorder._insert = inserting  # type: ignore[method-assign]  # watched like the others


def doomed() -> None:
    """Run the command line, watched."""
    watch_hearing()
    watch_fetching()
    watch_telling()
    watch_appends()
    main()
