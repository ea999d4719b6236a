"""A tool at the other end of the network: an address that takes notices, or does not."""

import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from msgspec import Struct
from standardwebhooks import Webhook

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZg=="


class Post(Struct, frozen=True):
    """Something that came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """What it says it is called."""
        return self.headers["webhook-id"]

    @property
    def says(self) -> dict[str, Any]:
        """What it says, once its signature is checked by the standard's own library."""
        Webhook(SECRET).verify(self.body, self.headers)
        said: dict[str, Any] = json.loads(self.body)
        return said

    @property
    def data(self) -> dict[str, Any]:
        """What it is about."""
        data: dict[str, Any] = self.says["data"]
        return data


class Reply(Struct, frozen=True):
    """What the tool answers."""

    status: int = 200
    headers: dict[str, str] = {}
    body: bytes = b""
    reset: bool = False
    """Break the connection off instead."""
    endless: bool = False
    """Never come to an end."""
    then: Callable[[], None] | None = None
    """What happens as soon as it is answered."""


Behaviour = Callable[[Post], Reply]


class FakeTool:
    """A server on a port of its own; what it answers is the test's to say."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.posts: list[Post] = []
        """What came, in order, whatever was answered."""
        self.behaves: Behaviour = lambda _: Reply()
        tool = self

        class Door(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 20

            def do_POST(self) -> None:
                length = int(self.headers["content-length"])
                headers = {name.lower(): value for name, value in self.headers.items()}
                post = Post(self.path, headers, self.rfile.read(length))
                tool.posts.append(post)
                tool._answer(self, tool.behaves(post))

            def do_PUT(self) -> None:
                self.do_POST()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 100

            def handle_error(self, *_: object) -> None:
                """Say nothing: whoever asked may have hung up."""

        self._server = Server(("127.0.0.1", 0), Door)
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port: int = self._server.server_address[1]
        self._serving = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._serving.start()

    @property
    def url(self) -> str:
        """Where it is told."""
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def words(self) -> list[str]:
        """The words that came, in order."""
        return [post.data["word"] for post in list(self.posts) if "word" in post.data]

    @property
    def ids(self) -> list[str]:
        """The notices that came, in order."""
        return [post.id for post in list(self.posts)]

    def answers(self, *replies: Reply) -> None:
        """Answer these in turn, the last one for ever."""
        left = list(replies)
        lock = threading.Lock()

        def next_reply(_: Post) -> Reply:
            with lock:
                return left.pop(0) if len(left) > 1 else left[0]

        self.behaves = next_reply

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()

    @staticmethod
    def _answer(door: BaseHTTPRequestHandler, reply: Reply) -> None:
        if reply.reset:
            linger = struct.pack("ii", 1, 0)
            door.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            door.close_connection = True
            door.connection.close()
            return
        door.send_response(reply.status)
        for name, value in reply.headers.items():
            door.send_header(name, value)
        if not reply.endless:
            door.send_header("Content-Length", str(len(reply.body)))
        door.end_headers()
        door.wfile.write(reply.body)
        if reply.then is not None:
            reply.then()
        while reply.endless:
            door.wfile.write(b"x" * 4096)


@contextmanager
def fake_tools(
    number: int = 1, *, context: ssl.SSLContext | None = None
) -> Iterator[Sequence[FakeTool]]:
    """Let some tools listen."""
    tools = [FakeTool(context) for _ in range(number)]
    try:
        yield tools
    finally:
        for tool in tools:
            tool.close()
