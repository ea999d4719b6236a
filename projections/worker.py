"""The outgoing side, wired: what follows the log, until it is told to stop.

The read models are kept up to date by one thread, and notices are carried by another, with an event
loop of its own; both wait for what a third sees at the end of the log. A fourth lets go of what was
kept long enough.
"""

import asyncio
import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from threading import Event as Signal
from threading import Thread

import structlog

from lifecycle.journal import Journal
from lifecycle.model import Lifecycle
from lifecycle.refusals import StorageUnavailable
from projections import alerts
from projections.board import Board
from projections.book import Book, open_book
from projections.courier import Courier
from projections.drift import Drift
from projections.follower import Follower, ReadModel, adopted, follow, rebuild
from projections.lookout import Lookout
from projections.messages import Messages
from projections.notices import Notices
from projections.posting import Poster
from projections.retention import let_go
from projections.routes import routes
from projections.store import BeingRebuilt, Store, marks, open_store

END_SECONDS_MAX = 5.0
"""How long the courier, and whoever else is at work, may take to end."""
RESTORED_SECONDS = 0.05
"""Between two looks whether the log that was restored is the one that the lists are made of."""
GARBAGE_THRESHOLD = 50_000
"""What is read of the log goes again by itself: it is looked through for circles seldom."""

log = structlog.get_logger("statekeeper.worker")


def models(lifecycles: Mapping[str, Lifecycle]) -> list[ReadModel]:
    """Every read model."""
    return [Board(lifecycles), Messages(), Notices(), Drift()]


def work(
    journal: Journal,
    database: str,
    environment: Mapping[str, str],
    stop: Signal,
    caught_up: Callable[[], None] = lambda: None,
) -> None:
    """Keep the read models up to date, carry notices, let go of old bytes, until told to stop.

    The environment says where tools and stewards are told; `caught_up` hears that there is nothing
    more to follow.
    """
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD, 20, 50)
    broken, lookout = Signal(), Lookout(journal.recorder, stop)

    def carrying_on() -> None:
        try:
            carry(journal, database, environment, lookout, stop)
        except Exception:
            log.exception("the courier has ended")
            broken.set()
            stop.set()

    beside = [
        Thread(target=lookout.watch, name="lookout", daemon=True),
        Thread(target=carrying_on, name="courier", daemon=True),
        Thread(target=let_go, args=(journal, stop), name="retention", daemon=True),
    ]
    for thread in beside:
        thread.start()
    try:
        keep(journal, database, lookout, stop, caught_up)
    finally:
        stop.set()
        for thread in beside:
            thread.join(END_SECONDS_MAX)
    if broken.is_set():
        raise SystemExit(1)  # whoever runs us starts us again


def keep(
    journal: Journal,
    database: str,
    lookout: Lookout,
    stop: Signal,
    caught_up: Callable[[], None] = lambda: None,
) -> None:
    """Keep the read models of this database up to date until told to stop."""
    lifecycles = journal.lifecycles
    store = open_store(database, lifecycles, checking=True)

    def remake(why: str) -> None:
        log.warning(why)
        with suppress(BeingRebuilt):  # another worker is at it
            for _ in rebuilt(journal, store):
                pass

    def otherwise() -> None:
        if adopted(journal.recorder, journal.mapper, lifecycles):
            remake("the definitions have changed; rebuilding the read models")

    while store.position() > journal.recorder.last_position() and not stop.is_set():
        remake("the read models know more than the log: it was restored; rebuilding")
        stop.wait(RESTORED_SECONDS)
    follower = Follower(
        journal.recorder, journal.mapper, store, models(lifecycles), marks(lifecycles)
    )
    log.info("following", position=follower.position)
    try:
        follow(follower, lookout, stop, otherwise, caught_up=caught_up)
    finally:
        store.close()
        log.info("stopped", position=follower.position)


def carry(
    journal: Journal,
    database: str,
    environment: Mapping[str, str],
    lookout: Lookout,
    stop: Signal,
) -> None:
    """Carry notices to the tools, and to stewards what concerns them, until told to stop."""
    book = _book(journal, database, stop)
    if book is None:
        return
    with closing(book):
        poster = Poster()
        titles = {
            tool: declared.title
            for lifecycle in journal.lifecycles.values()
            for tool, declared in lifecycle.declaration.tools.items()
        }
        ways = routes(journal.lifecycles, environment)
        stewards = {tool: way.steward for (tool, _), way in ways.items() if way.steward}
        teller = alerts.Teller(alerts.route(environment), titles, poster, stewards)
        courier = Courier(
            journal,
            book,
            ways,
            environment=environment,
            teller=teller,
            poster=poster,
        )
        asyncio.run(courier.run(lookout, stop))


def _book(journal: Journal, database: str, stop: Signal) -> Book | None:
    """Open the courier's book, however long the database keeps it waiting."""
    while not stop.is_set():
        try:
            book = open_book(database)
            if book.position() > journal.recorder.last_position():
                log.warning("the book knows more than the log: it was restored; making it anew")
                book.start_over()
        except StorageUnavailable as exc:
            log.warning("waiting for the courier's book", why=exc.detail)
            stop.wait(1.0)
        else:
            return book
    return None


def rebuilt(journal: Journal, store: Store) -> Iterator[int]:
    """Build all read models anew while the service runs; gives each position reached."""
    lifecycles, before = journal.lifecycles, gc.get_threshold()
    gc.set_threshold(GARBAGE_THRESHOLD, *before[1:])
    try:
        yield from rebuild(journal.recorder, journal.mapper, store, models(lifecycles), lifecycles)
    finally:
        gc.set_threshold(*before)
