"""Asks a product for the record that its webhook only named, as the product's connector says how.

The answer is bounded in size and time, redirects are refused, and so are addresses that no product
has: link-local ones always, private ones where the address came with the message, which also has to
be one of https, at a host that the connector names. Tokens stand in the environment and are never
part of what is said about a failure.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from ipaddress import IPv6Address, ip_address
from json import dumps
from time import monotonic
from typing import Final
from urllib.parse import quote

import httpx
from msgspec import Struct

from lifecycle.bodies import BYTES_MAX, JSON, NotUnderstood, decoded
from lifecycle.connectors import Connector, Fetch
from lifecycle.declaration import seconds
from lifecycle.deliveries import Message, completed
from lifecycle.expressions import FindsNothing, filled
from projections.posting import Address, may_be_called

SECONDS_MAX: Final = 5.0
"""How long a product may take to answer where its connector says nothing."""
WAIT_SECONDS_MAX: Final = 2.0
"""How long the answer to a webhook waits for the record that it names."""
WAIT_SECONDS: Final = 1.0
"""The same where the product does not say how soon it wants to be answered."""
SLOW_SECONDS: Final = 30.0
"""How long no webhook waits for a product that did not answer in time."""
CALLS_MAX: Final = 8
"""Calls to the product of one tool at a time."""
CLIENTS_MAX: Final = 64
"""Hosts of a tool to which connections are kept while nobody asks them."""
LOOK_UPS_MAX: Final = 4
"""Hosts that are looked up at a time, in threads that nothing else waits for."""

GONE: Final = frozenset({404, 410})
"""The record is not there (any more): its message says nothing."""
NOT_NOW: Final = frozenset({401, 408, 425, 429})
"""Beside what is 5xx: the next call would be answered the same. 403 speaks of one record."""


class NotFetched(Exception):
    """The record could not be had; the message says why, and holds nothing secret."""

    def __init__(self, why: str, *, by_all: bool = False) -> None:
        """`by_all`: the product's other records cannot be had now either."""
        super().__init__(why)
        self.by_all = by_all


class Call(Struct, frozen=True):
    """One question to a product."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    from_message: bool
    """The address came with the message: it may not lead into our own network."""


class Fetcher:
    """Calls products, and remembers which of them were slow a moment ago."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        """Take the environment in which tokens stand; call nobody yet."""
        self._environment = environment or {}
        self._clients: dict[tuple[str, str], httpx.AsyncClient] = {}
        """By tool and host; the one that was used last stands last."""
        self._busy: Counter[httpx.AsyncClient] = Counter()
        self._look_ups = ThreadPoolExecutor(LOOK_UPS_MAX, "look-up")
        self._calls: dict[str, asyncio.Semaphore] = {}
        self._slow_until: dict[str, float] = {}
        self._wanted: dict[str, asyncio.Event] = {}

    def wanted(self, tool: str) -> asyncio.Event:
        """Set where a record of this tool could not be had in time, and is still wanted."""
        return self._wanted.setdefault(tool, asyncio.Event())

    def patience(self, tool: str, connector: Connector) -> float:
        """How many seconds the answer to a webhook may wait for records: half of its time."""
        if monotonic() < self._slow_until.get(tool, 0.0):
            return 0.0
        within = connector.answer_within
        return min(seconds(within) / 2, WAIT_SECONDS_MAX) if within else WAIT_SECONDS

    def was_slow(self, tool: str) -> None:
        """Let no webhook of this tool wait for a while."""
        self._slow_until[tool] = monotonic() + SLOW_SECONDS

    async def complete(self, tool: str, connector: Connector, message: Message) -> Message:
        """Give the message with its record; raises `NotFetched`."""
        assert connector.fetch is not None, connector.connector
        call = call_for(connector.fetch, message.content, self._environment, tool)
        within = seconds(connector.fetch.within) if connector.fetch.within else SECONDS_MAX
        async with self._calls.setdefault(tool, asyncio.Semaphore(CALLS_MAX)):
            try:
                async with asyncio.timeout(within):
                    answer = await self._ask(tool, call)
            except TimeoutError as exc:
                by_all = not call.from_message
                raise NotFetched(f"no answer within {within:g} s", by_all=by_all) from exc
        told = completed(connector, message, answer)
        if _says_errors(answer) and not (told.word or told.fields):
            raise NotFetched("the answer holds errors in place of the record")
        return told

    async def close(self) -> None:
        """Let go of every connection; a look-up that hangs is not waited for."""
        self._look_ups.shutdown(wait=False, cancel_futures=True)
        while self._clients:
            await self._clients.popitem()[1].aclose()

    async def _ask(self, tool: str, call: Call) -> JSON:
        """Give what is answered; None where the record is not there."""
        try:
            where = httpx.URL(call.url)
            address = await _address_of(where, call, self._look_ups)
            there = f"[{address}]" if isinstance(address, IPv6Address) else str(address)
            async with self._client(tool, where.host) as client:
                request = client.build_request(
                    call.method,
                    where.copy_with(host=there),
                    headers={**call.headers, "Host": where.netloc.decode("ascii")},
                    content=call.body,
                    extensions={"sni_hostname": where.raw_host.decode("ascii")},
                )
                answer = await client.send(request, stream=True)
                try:
                    return await _read(answer, call)
                finally:
                    await answer.aclose()
        except (httpx.InvalidURL, httpx.LocalProtocolError, ValueError) as exc:
            raise NotFetched("its address, or a header, is none that can be sent") from exc
        except httpx.HTTPError as exc:
            by_all = not call.from_message
            raise NotFetched(f"no answer: {type(exc).__name__}", by_all=by_all) from exc

    @asynccontextmanager
    async def _client(self, tool: str, host: str) -> AsyncIterator[httpx.AsyncClient]:
        """A connection is kept for who made it: one that was proved for another host is none."""
        client = self._clients.pop((tool, host), None) or _new_client()
        self._clients[tool, host] = client
        self._busy[client] += 1
        try:
            yield client
        finally:
            self._busy[client] -= 1
            await self._close_idle()

    async def _close_idle(self) -> None:
        """Close the clients that are too many, those first that were not used for longest."""
        self._busy = +self._busy
        excess = max(len(self._clients) - CLIENTS_MAX, 0)
        idle = [key for key, client in self._clients.items() if client not in self._busy]
        for client in [self._clients.pop(key) for key in idle[:excess]]:
            await client.aclose()


def _new_client() -> httpx.AsyncClient:
    return httpx.AsyncClient(
        trust_env=False,
        follow_redirects=False,
        timeout=None,  # noqa: S113 - the whole call has one
        headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        limits=httpx.Limits(max_connections=CALLS_MAX, keepalive_expiry=30),
    )


def call_for(fetch: Fetch, content: JSON, environment: Mapping[str, str], tool: str) -> Call:
    """What to ask for this message's record; raises `NotFetched` where it does not say enough."""
    free = fetch.is_free
    fill = partial(_filled, content=content, environment=environment)
    headers = {name: fill(template, quoted=_plain) for name, template in fetch.headers.items()}
    token = environment.get(f"STATEKEEPER_{tool.upper()}_TOKEN")
    if token and not any(name.lower() == "authorization" for name in headers):
        headers["Authorization"] = f"Bearer {token}"
    whole = fetch.url.startswith("{") and free
    url = fill(fetch.url, quoted=str if whole else _in_address)
    _check_address(url, fetch)
    body = None
    if fetch.body is not None:
        as_json = fetch.body.lstrip()[:1] in {"{", "["}
        body = fill(fetch.body, quoted=_in_json if as_json else _in_address).encode()
        if as_json and not any(name.lower() == "content-type" for name in headers):
            headers["Content-Type"] = "application/json"
    return Call(fetch.method, url, headers, body, free)


def _check_address(url: str, fetch: Fetch) -> None:
    """Raise `NotFetched` unless a call, with the secrets in it, may go there."""
    try:
        where = httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as exc:
        raise NotFetched("the record's address cannot be read") from exc
    if where.scheme not in _PORTS or not where.host:
        raise NotFetched("the record's address is none of http or https")
    if fetch.is_free and where.scheme != "https":
        raise NotFetched("the record's address came with the message, and is not https")
    if not fetch.may_ask(where.host):
        raise NotFetched("the record's address is at no host that the connector names")


def _filled(
    template: str,
    *,
    content: JSON,
    environment: Mapping[str, str],
    quoted: Callable[[str], str],
) -> str:
    try:
        return filled(template, content, environment, quoted)
    except FindsNothing as exc:
        unset = str(exc).endswith("is not set")
        raise NotFetched(str(exc), by_all=unset) from exc


async def _address_of(where: httpx.URL, call: Call, look_ups: Executor) -> Address:
    """The address to connect to, once it is known to be one that may be."""
    port = where.port or _PORTS[where.scheme]
    look_up = partial(socket.getaddrinfo, where.host, port, type=socket.SOCK_STREAM)
    try:
        found = await asyncio.get_running_loop().run_in_executor(look_ups, look_up)
    except (OSError, UnicodeError) as exc:
        raise NotFetched("its host is not known", by_all=not call.from_message) from exc
    for _, _, _, _, to in found:
        address = ip_address(str(to[0]).partition("%")[0])
        if may_be_called(address, given_by_operator=not call.from_message):
            return address
    raise NotFetched("its address is not one that may be called")


async def _read(answer: httpx.Response, call: Call) -> JSON:
    """Read an answer within bounds; None where the record is not there."""
    if answer.status_code in GONE:
        return None
    if not answer.is_success:
        now = answer.status_code in NOT_NOW or answer.is_server_error
        by_all = now and not call.from_message
        raise NotFetched(f"answered {answer.status_code}", by_all=by_all)
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise NotFetched("the answer is compressed, unasked")
    body = bytearray()
    async for part in answer.aiter_raw():
        body += part
        if len(body) > BYTES_MAX:
            raise NotFetched(f"the answer is longer than {BYTES_MAX:,} bytes")
    try:
        return decoded(bytes(body), answer.headers.get("content-type", ""))
    except NotUnderstood as exc:
        raise NotFetched("the answer cannot be read") from exc


def _says_errors(answer: JSON) -> bool:
    return isinstance(answer, dict) and bool(answer.get("errors"))


def _in_json(text: str) -> str:
    return dumps(text)[1:-1]


def _in_address(text: str) -> str:
    return quote(text, safe="")


def _plain(text: str) -> str:
    """Text for a header, in which nothing begins another."""
    return "".join(sign for sign in text if sign.isprintable())


_PORTS: Final = {"http": 80, "https": 443}
