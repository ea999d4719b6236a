"""Sends one message to one address, and says what came back; nothing here tries twice.

The answer is bounded in size and in time. Redirects are not followed: they are failures. The
operator's addresses may lead into the own network, but not to link-local ones, where clouds keep
their secrets: a host is resolved here, and connected to by the address that was looked at.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address
from time import monotonic
from typing import Final

import httpx
from msgspec import Struct

SECONDS_MAX: Final = 15.0
"""How long an attempt may take, from looking up the host to the end of the answer."""
ANSWER_BYTES_MAX: Final = 64 * 1024
"""What is read of an answer by whose status all is said: so the connection can be used again."""
DRAIN_SECONDS_MAX: Final = 2.0
"""How long the rest of an answer is waited for, once its status has come."""
CONNECTIONS_MAX: Final = 32
"""Messages that are under way to one tool at a time."""
HOSTS_MAX: Final = 64
LOOK_UP_SECONDS: Final = 30.0
"""How long the addresses of a host are remembered."""
LOOK_UPS_MAX: Final = 4
"""Hosts that are looked up at a time, in threads that nothing else waits for."""

Address = IPv4Address | IPv6Address


class Answered(Struct, frozen=True):
    """What became of an attempt."""

    status: int | None = None
    """None where no answer came."""
    why: str = ""
    """What went wrong, in a few words, with nothing secret in them; empty for a yes."""
    retry_after: str | None = None
    unsent: bool = False
    """The notice itself lacks something; nothing was sent, and nothing is known of the tool."""

    @property
    def is_taken(self) -> bool:
        """Whether it was a yes."""
        return not self.why


def no_2xx(status: int, _: bytes) -> str:
    """Say why an answer is no yes: any 2xx is one, whatever stands in its body."""
    return "" if httpx.codes.is_success(status) else f"answered {status}"


Lacks = Callable[[int, bytes], str]
"""Says of a status and a body why they are no yes; nothing where they are one."""
Judge = Callable[[httpx.AsyncClient, httpx.Request], Awaitable[Answered]]
"""Sends a request, and judges what is answered."""


class Poster:
    """Keeps connections to the tools, each tool's apart: one that hangs is no other's trouble."""

    def __init__(
        self, *, seconds_max: float = SECONDS_MAX, certificates: ssl.SSLContext | None = None
    ) -> None:
        """Connect to nobody yet; certificates are trusted as `SSL_CERT_FILE` says, or widely."""
        self._seconds_max = seconds_max
        self._idle: dict[tuple[str, str], list[httpx.AsyncClient]] = {}
        """Tool and host → clients of one connection each, the last one used on top.

        A pool would look at all of its connections for every message: with 32 of them that is
        most of the work. A connection is kept for the host that it was made for, whose certificate
        it has seen.
        """
        self._certificates = certificates or httpx.create_ssl_context()
        self._closing: set[asyncio.Task[None]] = set()
        self._addresses: dict[str, tuple[float, list[Address]]] = {}
        self._looking_up: dict[str, asyncio.Task[list[Address]]] = {}
        self._look_ups = ThreadPoolExecutor(LOOK_UPS_MAX, "look-up")

    async def post(
        self,
        tool: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        method: str = "POST",
        lacks: Lacks = no_2xx,
        answer_bytes_max: int = ANSWER_BYTES_MAX,
    ) -> Answered:
        """Send it once; answers what came back, and raises nothing.

        `lacks` judges the answer: any 2xx is a yes, unless a product has ideas of its own. Of what
        is longer than `answer_bytes_max` it sees a longer beginning than that.
        """
        try:
            async with asyncio.timeout(self._seconds_max):
                judge = partial(_answered, lacks=lacks, bytes_max=answer_bytes_max)
                return await self._sent(tool, httpx.URL(url), headers, body, method, judge)
        except TimeoutError:
            return Answered(why=f"no answer within {self._seconds_max:g} s")
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, OSError, UnicodeError) as exc:
            return Answered(why=_reason(exc))

    async def close(self) -> None:
        """Let go of every connection; a look-up that hangs is not waited for."""
        self._look_ups.shutdown(wait=False, cancel_futures=True)
        while self._idle:
            for client in self._idle.popitem()[1]:
                await client.aclose()
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def _sent(
        self,
        tool: str,
        url: httpx.URL,
        headers: Mapping[str, str],
        body: bytes,
        method: str,
        judge: Judge,
    ) -> Answered:
        allowed = [one for one in await self._found(url.host) if may_be_called(one)]
        if not allowed:
            return Answered(why="its address is not one that may be called")
        refused: httpx.ConnectError | None = None
        for address in allowed:
            request = httpx.Request(
                method,
                url.copy_with(host=str(address)),
                headers={**_HEADERS, **headers, "Host": url.netloc.decode("ascii")},
                content=body,
                extensions={"sni_hostname": url.host},
            )
            try:
                async with self._client(tool, url.host) as client:
                    return await judge(client, request)
            except httpx.ConnectError as exc:  # perhaps it listens at another of its addresses
                refused = exc
        assert refused is not None
        raise refused

    @asynccontextmanager
    async def _client(self, tool: str, host: str) -> AsyncIterator[httpx.AsyncClient]:
        idle = self._idle.setdefault((tool, host), [])
        client = idle.pop() if idle else self._new_client()
        try:
            yield client
        except BaseException:
            # Whatever state its connection is in, it is not to be met again.
            self._closing.add(task := asyncio.create_task(client.aclose()))
            task.add_done_callback(self._closing.discard)
            raise
        idle.append(client)

    def _new_client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            verify=self._certificates,
            trust_env=False,
            follow_redirects=False,
            timeout=None,  # noqa: S113 - the attempt as a whole has one
            limits=httpx.Limits(max_connections=1, keepalive_expiry=30),
        )

    async def _found(self, host: str) -> list[Address]:
        """The addresses of a host; each host is looked up by one at a time, as it may take long."""
        try:
            return [ip_address(host)]
        except ValueError:
            pass
        until, addresses = self._addresses.get(host, (0.0, []))
        if monotonic() < until:
            return addresses
        if host not in self._looking_up:
            self._looking_up[host] = asyncio.create_task(self._look_up(host))
        return await asyncio.shield(self._looking_up[host])

    async def _look_up(self, host: str) -> list[Address]:
        try:
            loop = asyncio.get_running_loop()
            look_up = partial(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM)
            found = await loop.run_in_executor(self._look_ups, look_up)
            addresses = [ip_address(str(where[0]).partition("%")[0]) for *_, where in found]
            if len(self._addresses) >= HOSTS_MAX:
                self._addresses.clear()
            self._addresses[host] = (monotonic() + LOOK_UP_SECONDS, addresses)
            return addresses
        finally:
            self._looking_up.pop(host, None)


def may_be_called(address: Address, *, given_by_operator: bool = True) -> bool:
    """Whether this address may be connected to: never where clouds keep their secrets.

    What an operator has set may lead into the own network; what came with a message may not.
    """
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    return given_by_operator or address.is_global


async def _answered(
    client: httpx.AsyncClient, request: httpx.Request, *, lacks: Lacks, bytes_max: int
) -> Answered:
    answer = await client.send(request, stream=True)
    try:
        body = await _drained(answer, bytes_max)
    finally:
        await answer.aclose()
    status = answer.status_code
    why = lacks(status, body)
    if not why:
        return Answered(status)
    if answer.is_redirect:
        why = f"redirects to elsewhere ({status})"
    return Answered(status, why, answer.headers.get("retry-after"))


async def _drained(answer: httpx.Response, bytes_max: int) -> bytes:
    """Give the answer's body, within bounds; read, so that the connection can be used again."""
    body = bytearray()
    try:
        async with asyncio.timeout(DRAIN_SECONDS_MAX):
            async for part in answer.aiter_raw():
                body += part
                if len(body) > bytes_max:
                    break
    except (httpx.HTTPError, TimeoutError):
        pass  # the status has come, and for most that is what counts
    return bytes(body)


def _reason(exc: Exception) -> str:
    """What went wrong, as a steward would put it."""
    cause: BaseException | None = exc
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {cause.verify_message}"
        if isinstance(cause, socket.gaierror):
            return "its host is not known"
        cause = cause.__cause__ or cause.__context__
    if isinstance(exc, httpx.ConnectError):
        return "no connection"
    if isinstance(exc, httpx.RemoteProtocolError | httpx.ReadError | httpx.WriteError):
        return "the connection broke off"
    return f"not sent: {type(exc).__name__}"


_HEADERS: Final = {
    "Content-Type": "application/json",
    "User-Agent": "Statekeeper",
    "Accept-Encoding": "identity",
}
