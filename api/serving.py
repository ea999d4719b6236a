"""Runs the web process: opens what is true, listens, and ends gracefully."""

import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import closing
from types import FrameType

import click
import structlog
import uvicorn

from api.app import application
from api.attending import Worker
from api.door import Keeper
from api.fetching import Fetcher
from api.keys import any_issued, issue
from api.logs import configure
from api.settings import Settings
from lifecycle.adoption import adopt
from lifecycle.catalogue import load
from lifecycle.opening import open_journal
from projections.book import open_book
from projections.live import Live
from projections.store import open_store

GRACE_SECONDS = 10
"""How long requests under way may take to end."""
AWAITED_EVENTS_MAX = 100_000
"""In a larger log readiness waits for no worker: lists may have to be checked or made for long."""

log = structlog.get_logger("statekeeper.serving")


def run(settings: Settings, worker: Worker | None) -> None:
    """Serve until told to stop; what was acknowledged is durable, what waits is answered.

    The worker is one that has been started, and waits for what it may follow.
    """
    configure(settings.log_level)
    for end in (signal.SIGTERM, signal.SIGINT):
        signal.signal(end, _end)
    catalogue = load(settings.definitions, os.environ)
    if catalogue.warnings:
        log.warning("definitions", warnings=len(catalogue.warnings), see="statekeeper check")
    claimed = _claim(settings.host, settings.port)
    journal = open_journal(settings.database, catalogue.lifecycles, settings.master_key)
    try:
        journal.recorder.hold_for_service()
        adopt(journal, catalogue.lifecycles.values(), tell=settings.tell)
        store = open_store(settings.database, catalogue.lifecycles)
        book = open_book(settings.database)
        keeper = Keeper(
            journal,
            catalogue,
            views=store,
            book=book,
            environment=dict(os.environ),
            public_url=settings.public_url,
            fetcher=Fetcher(os.environ),
        )
        if worker and journal.position < AWAITED_EVENTS_MAX:
            keeper.starting.set()
        if worker:
            worker.attend(keeper.starting)
        with closing(store), closing(book):
            for line in _first_words(keeper, settings):
                click.echo(line)
            Server(_config(keeper), keeper.live).run(sockets=[claimed])
    finally:
        journal.stop()
        journal.recorder.close()
        log.info("stopped", position=journal.position)


def _config(keeper: Keeper) -> uvicorn.Config:
    return uvicorn.Config(
        application(keeper),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_config=None,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_keep_alive=30,
    )


class Server(uvicorn.Server):
    """The web server, which ends live streams as soon as it is told to stop."""

    def __init__(self, config: uvicorn.Config, live: Live) -> None:
        """Take what is to be ended."""
        super().__init__(config)
        self._live = live

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop: streams have no end of their own to wait for."""
        self._live.stop()
        super().handle_exit(sig, frame)


def _claim(host: str, port: int) -> socket.socket:
    """Claim the port before anything is written; connections are refused until it is listened on.

    Raises `ClickException` where it cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    claimed = socket.socket(family)
    claimed.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        claimed.bind((host, port))
    except OSError as exc:
        claimed.close()
        raise click.ClickException(f"cannot listen on {host}:{port}: {exc.strerror}") from exc
    return claimed


def _end(_signal: int, _frame: FrameType | None) -> None:
    """End as after an exit; the server takes the signal first, and raises it again when done."""
    sys.exit()


def _first_words(keeper: Keeper, settings: Settings) -> Iterator[str]:
    """Where it listens; at the first run also a key per tool, and what to try."""
    here = f"http://{settings.host}:{settings.port}"
    yield f"Statekeeper on {here}"
    if any_issued(keeper.journal):
        return
    lifecycles = keeper.catalogue.lifecycles
    lifecycle = lifecycles.get("jobs") or next(iter(lifecycles.values()))
    yield "\nFirst run: a key for each tool. They are shown this once."
    keys = {
        tool: issue(keeper.journal, tool=tool).key
        for tool in {**lifecycle.declaration.tools, **keeper.catalogue.tools()}
    }
    keys["staff"] = issue(keeper.journal, staff="operator").key
    for name, key in keys.items():
        yield f"  {name.upper()}_KEY={key}"
    tool = lifecycle.ownership.openers(lifecycle.chart.initial)[0]
    address = f"{here}/v1/{lifecycle.collection}"
    asker = f"-H 'Authorization: Bearer {keys[tool]}'"
    yield "\nTry (the README walks on from here):"
    json = "-H 'Content-Type: application/json'"
    yield f'  curl -s {address} {asker} {json} -d \'{{"id": "J-1"}}\''
    yield f"  curl -s {address}/J-1/transitions {asker}"
    yield f"  curl -s {address}/J-1/why {asker}"
