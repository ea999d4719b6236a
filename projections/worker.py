"""The outgoing side, wired: what follows the log, until it is told to stop."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from threading import Event as Signal

import structlog

from lifecycle.journal import Journal
from lifecycle.model import Lifecycle
from projections.board import Board
from projections.follower import Follower, ReadModel, adopted, follow, rebuild
from projections.store import BeingRebuilt, Store, marks, open_store

log = structlog.get_logger("statekeeper.worker")


def models(lifecycles: Mapping[str, Lifecycle]) -> list[ReadModel]:
    """Every read model."""
    return [Board(lifecycles)]


def work(journal: Journal, database: str, stop: Signal) -> None:
    """Keep the read models of this database up to date until told to stop."""
    lifecycles = journal.lifecycles
    store = open_store(database, lifecycles, checking=True)
    if store.position() > journal.recorder.last_position():
        log.warning("the read models know more than the log: it was restored; rebuilding")
        for _ in rebuilt(journal, store):
            pass

    def otherwise() -> None:
        if adopted(journal.recorder, journal.mapper, lifecycles):
            log.info("the definitions have changed; rebuilding the read models")
            with suppress(BeingRebuilt):
                for _ in rebuilt(journal, store):
                    pass

    follower = Follower(
        journal.recorder, journal.mapper, store, models(lifecycles), marks(lifecycles)
    )
    log.info("following", position=follower.position)
    try:
        follow(follower, stop, otherwise)
    finally:
        store.close()
        log.info("stopped", position=follower.position)


def rebuilt(journal: Journal, store: Store) -> Iterator[int]:
    """Build all read models anew while the service runs; gives each position reached."""
    lifecycles = journal.lifecycles
    return rebuild(journal.recorder, journal.mapper, store, models(lifecycles), lifecycles)
