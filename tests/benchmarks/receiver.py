"""A tool that takes everything at once, and remembers how old each notice was by then.

``uvicorn tests.benchmarks.receiver:app``. ``GET /ages`` gives the ages since the last time it was
asked, in milliseconds: from when the transition was recorded (`timestamp`) to the answer.
"""

import time
from datetime import datetime
from typing import Any

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send


class Notice(msgspec.Struct):
    """What is read of a notice."""

    timestamp: datetime


decode = msgspec.json.Decoder(Notice).decode


def app() -> ASGIApp:
    """Make the tool."""
    ages: list[float] = []

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            return
        body, more = b"", True
        while more:
            message: Any = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        said = b""
        if body:
            ages.append((time.time() - decode(body).timestamp.timestamp()) * 1000)
        else:
            said = msgspec.json.encode(ages)
            ages.clear()
        head: Any = {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-length", b"%d" % len(said))],
        }
        await send(head)
        await send({"type": "http.response.body", "body": said, "more_body": False})

    return answer
