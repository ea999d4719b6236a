"""Runs the web process: opens what is true, listens, and ends gracefully."""

import os
from collections.abc import Iterator

import click
import structlog
import uvicorn

from api.app import application
from api.door import Keeper
from api.keys import issue, issued
from api.logs import configure
from api.settings import Settings
from lifecycle.adoption import adopt
from lifecycle.catalogue import load
from lifecycle.opening import open_journal

GRACE_SECONDS = 10
"""How long requests under way may take to end."""

log = structlog.get_logger("statekeeper.serving")


def run(settings: Settings) -> None:
    """Serve until told to stop; what was acknowledged is durable, what waits is answered."""
    configure(settings.log_level)
    catalogue = load(settings.definitions, os.environ)
    if catalogue.warnings:
        log.warning("definitions", warnings=len(catalogue.warnings), see="statekeeper check")
    journal = open_journal(settings.database, catalogue.lifecycles, settings.master_key)
    try:
        journal.recorder.hold_for_service()
        adopt(journal, catalogue.lifecycles.values())
        keeper = Keeper(journal, catalogue)
        for line in _first_words(keeper, settings):
            click.echo(line)
        uvicorn.run(
            application(keeper),
            host=settings.host,
            port=settings.port,
            loop="uvloop",
            http="httptools",
            access_log=False,
            log_level="warning",
            server_header=False,
            lifespan="on",
            timeout_graceful_shutdown=GRACE_SECONDS,
            timeout_keep_alive=30,
        )
    finally:
        journal.stop()
        journal.recorder.close()
        log.info("stopped", position=journal.position)


def _first_words(keeper: Keeper, settings: Settings) -> Iterator[str]:
    """Where it listens; at the first run also a key per tool, and what to try."""
    here = f"http://{settings.host}:{settings.port}"
    yield f"Statekeeper on {here}"
    if issued(keeper.journal):
        return
    yield "\nFirst run: a key for each tool. They are shown this once."
    keys = {tool: issue(keeper.journal, tool=tool).key for tool in keeper.catalogue.tools()}
    keys["staff"] = issue(keeper.journal, staff="operator").key
    for name, key in keys.items():
        yield f"  {name.upper()}_KEY={key}"
    lifecycles = keeper.catalogue.lifecycles
    lifecycle = lifecycles.get("jobs") or next(iter(lifecycles.values()))
    tool = lifecycle.ownership.openers(lifecycle.chart.initial)[0]
    address = f"{here}/v1/{lifecycle.collection}"
    asker = f"-H 'Authorization: Bearer {keys[tool]}'"
    yield "\nTry (the README walks on from here):"
    json = "-H 'Content-Type: application/json'"
    yield f'  curl -s {address} {asker} {json} -d \'{{"id": "J-1"}}\''
    yield f"  curl -s {address}/J-1/transitions {asker}"
    yield f"  curl -s {address}/J-1/why {asker}"
