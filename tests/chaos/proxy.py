"""A TCP proxy before a database server that loses one answer, in the way that a test names."""

import select
import socket
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Self

CHUNK_BYTES = 1 << 20
PAUSE_SECONDS = 0.02


class Fate(Enum):
    """What becomes of the next request that a client sends."""

    CUT_BEFORE = auto()
    """The server never sees it; the client is hung up on."""
    CUT_AT_ONCE = auto()
    """The server gets it, and both are hung up on while it works."""
    CUT_AFTER = auto()
    """The server has done it and answered; the answer is lost, the client hung up on."""
    HANG_BEFORE = auto()
    """The server never sees it; the client waits, and both stay connected."""
    HANG_AFTER = auto()
    """The server has done it and answered; the client waits for ever."""
    HELD = auto()
    """The server sees it when `release` is called, and not before; then all is as ever."""


class Proxy:
    """Stands between any number of clients and a server that listens on a socket file."""

    def __init__(self, server: Path) -> None:
        """Listen on a free port of this host; forward once entered."""
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PAUSE_SECONDS)
        self._stopped = Event()
        self._threads = [Thread(target=self._accept)]
        self._fate: Fate | None = None
        self._when: Callable[[bytes], bool] = any_request
        self._befell = Event()
        self._released = Event()
        self.refuses = False
        """While true, whoever connects is hung up on; who is connected stays so."""

    @property
    def port(self) -> int:
        """Where clients connect."""
        port: int = self._listener.getsockname()[1]
        return port

    def next_request(
        self,
        fate: Fate,
        *,
        then_refuse: bool = False,
        when: Callable[[bytes], bool] | None = None,
    ) -> None:
        """Say what becomes of the next request; the one after it fares well, or finds no way.

        `when` looks at what a client sends and says whether it is the one that is meant.
        """
        self._befell.clear()
        self._released.clear()
        self._when = when or any_request
        self._then_refuse = then_refuse
        self._fate = fate

    def befell(self, seconds_max: float) -> bool:
        """Wait for the request that was meant; whether it came."""
        return self._befell.wait(seconds_max)

    def release(self) -> None:
        """Let go of the request that is held."""
        self._released.set()

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopped.set()
        self._released.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while not self._stopped.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            if self.refuses:
                client.close()
                continue
            thread = Thread(target=self._serve, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server:
            try:
                server.connect(str(self._server))
                self._forward(client, server)
            except OSError:
                return  # one of the two hung up: so do we, on both

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        while not self._stopped.is_set():
            ready, _, _ = select.select([client, server], [], [], PAUSE_SECONDS)
            for source in ready:
                data = source.recv(CHUNK_BYTES)
                if not data:
                    return
                if source is server:
                    client.sendall(data)
                elif (fate := self._fate) is None or not self._when(data):
                    server.sendall(data)
                else:
                    self._befall(fate, data, client, server)
                    if fate is not Fate.HELD:
                        return

    def _befall(
        self, fate: Fate, request: bytes, client: socket.socket, server: socket.socket
    ) -> None:
        self._fate = None
        self._befell.set()
        if fate is Fate.HELD:
            self._released.wait()
        self.refuses = self._then_refuse
        if fate not in {Fate.CUT_BEFORE, Fate.HANG_BEFORE}:
            server.sendall(request)
        if fate in {Fate.CUT_AFTER, Fate.HANG_AFTER}:
            self._until_answered(client, server)
        if fate in {Fate.HANG_BEFORE, Fate.HANG_AFTER}:
            self._stopped.wait()

    def _until_answered(self, client: socket.socket, server: socket.socket) -> None:
        """Forward the rest of a request that came in pieces; swallow the answer."""
        while not self._stopped.is_set():
            ready, _, _ = select.select([client, server], [], [], PAUSE_SECONDS)
            if server in ready:
                server.recv(CHUNK_BYTES)
                return
            if client in ready:
                server.sendall(client.recv(CHUNK_BYTES))


def any_request(_: bytes) -> bool:
    """Mean whatever comes next."""
    return True
