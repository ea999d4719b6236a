"""A notice that its tool never takes: for `statekeeper demo`, which has no three days to wait.

The tool is an address on this machine that answers 503. The notice is posted to it as a courier
would, signed, as often as a courier tries; only the waiting between the attempts is left out. What
is recorded at the end is what a courier records. Nothing else is posted to anybody.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from secrets import token_urlsafe
from threading import Thread

from lifecycle.events import NoticeDue
from lifecycle.journal import Journal, Record
from lifecycle.signing import signed
from lifecycle.streams import mirror_stream
from lifecycle.telling import given_up
from projections import patience
from projections.courier import body_of
from projections.posting import Answered, Poster


def tell_in_vain(journal: Journal, collection: str, case_id: str, tool: str) -> None:
    """Have the last thing that this tool is due of a case be given up, unless it has been told."""
    stream = mirror_stream(collection, case_id, tool)
    for notice, position in _due(journal, stream)[-1:]:
        with _closed_tool() as url:
            attempts, why = asyncio.run(_posted(journal, notice, position, url))
        journal.record_now(Record(stream, given_up(notice, attempts, why)))


def _due(journal: Journal, stream: str) -> list[tuple[NoticeDue, int]]:
    """What the tool was ever due, oldest first, each with its position in the log."""
    entries = map(journal.mapper.to_domain_event, journal.recorder.streams([stream]))
    return [(one.event, one.position) for one in entries if isinstance(one.event, NoticeDue)]


async def _posted(journal: Journal, notice: NoticeDue, position: int, url: str) -> tuple[int, str]:
    """Post it until no attempt is left; answers how many there were, and what came of the last."""
    body, secret = body_of(notice, position), token_urlsafe()
    poster, attempts, answer = Poster(), 0, Answered()
    try:
        while not attempts or patience.delay(attempts, 0.0) is not None:
            headers = signed(secret, notice.id, body, journal.clock())
            answer = await poster.post(notice.tool, url, headers, body)
            attempts += 1
    finally:
        await poster.close()
    return attempts, answer.why


@contextmanager
def _closed_tool() -> Iterator[str]:
    """An address that takes nothing, as long as it is needed."""
    server = HTTPServer(("127.0.0.1", 0), _Closed)
    listening = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    listening.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        listening.join()


class _Closed(BaseHTTPRequestHandler):
    """Says to everybody that it is being mended."""

    def do_POST(self) -> None:
        """Read it, so that the sender is not cut off, and take nothing."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(HTTPStatus.SERVICE_UNAVAILABLE)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the library names it
        """Keep silent: what came is nobody's business here."""
