"""Tells a steward what concerns the connections: a tool takes nothing, or fights for its own word.

Once an incident, and once when it is over: that the incident stands in the log decides, so it is
told once by all workers together, and after a restart too. `STATEKEEPER_ALERTS` says how:
`smtp://user:password@host:port?from=address` (`smtps://` for TLS from the beginning), to the
steward of the flow or, with `&to=address`, to one address; a password is sent by TLS only, unless
the server is on this very machine; or `https://…`, which is sent the same
as JSON, signed as notices are where `STATEKEEPER_ALERTS_SECRET` is set. Where neither is set the
log says so, and the first page.
"""

import asyncio
import smtplib
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.message import EmailMessage
from ipaddress import ip_address
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

import structlog
from msgspec import Struct
from msgspec.structs import replace

from lifecycle.mapper import encode
from lifecycle.signing import signed
from projections.book import Alert
from projections.posting import Poster
from projections.timeline import stamp

ATTEMPTS_MAX: Final = 40
"""How often it is tried to tell one thing: a day and a half."""
SECONDS_MAX: Final = 15.0
NOBODY: Final[Mapping[str, str]] = {}

NO_ROUTE: Final = (
    "nobody is told when a connection fails: STATEKEEPER_ALERTS is not set"
    " (smtp://user:password@host:port?from=address, or https://…)"
)

log = structlog.get_logger("statekeeper.alerts")


class BadRoute(ValueError):
    """`STATEKEEPER_ALERTS` names no way to tell anybody; one line says why."""


class Mail(Struct, frozen=True):
    """A server that takes mail."""

    host: str
    port: int
    tls: bool
    user: str
    password: str
    sender: str
    to: str
    """Who gets all of it; empty: the steward of each flow."""


class Hook(Struct, frozen=True):
    """An address that takes JSON."""

    url: str
    secret: str


def route(environment: Mapping[str, str]) -> Mail | Hook | None:
    """How stewards are told; None where nothing is set. Raises `BadRoute`."""
    address = environment.get("STATEKEEPER_ALERTS", "").strip()
    if not address:
        return None
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:  # its text, and it, may hold a part of the password
        raise BadRoute("STATEKEEPER_ALERTS is no address; is its password quoted?") from None
    if parts.scheme in {"http", "https"} and host:
        return Hook(address, environment.get("STATEKEEPER_ALERTS_SECRET", ""))
    if parts.scheme not in _PORTS or not host:
        raise BadRoute("STATEKEEPER_ALERTS begins with smtp://, smtps:// or https:// and a host")
    query = parse_qs(parts.query)
    sender = query.get("from", [""])[0]
    if "@" not in sender:
        raise BadRoute("STATEKEEPER_ALERTS names no sender; write smtp://host?from=address")
    return Mail(
        host=host,
        port=port or _PORTS[parts.scheme],
        tls=parts.scheme == "smtps",
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        sender=sender,
        to=query.get("to", [""])[0],
    )


class Teller:
    """Tells stewards, by mail or by webhook."""

    def __init__(
        self,
        route: Mail | Hook | None,
        titles: Mapping[str, str],
        poster: Poster,
        stewards: Mapping[str, str] = NOBODY,
    ) -> None:
        """Take the way, and each tool's title; where there is no way the log says so.

        `stewards`: who is told what an event about a tool names nobody for.
        """
        self._route = route
        self._titles = titles
        self._poster = poster
        self._stewards = stewards
        if route is None:
            log.warning(NO_ROUTE)

    async def tell(self, alert: Alert) -> bool:
        """Tell it; False where that is to be tried again."""
        if not alert.steward:
            alert = replace(alert, steward=self._stewards.get(alert.tool, ""))
        said = sentence(alert, self._titles)
        why = await self._told(alert, said)
        if not why:
            log.warning("told", steward=alert.steward, what=said)
            return True
        log.error("a steward could not be told", steward=alert.steward, what=said, why=why)
        return self._route is None or alert.attempts + 1 >= ATTEMPTS_MAX

    async def _told(self, alert: Alert, said: str) -> str:
        """Why it could not be told; empty where it was."""
        match self._route:
            case Hook() as hook:
                return await self._posted(hook, alert, said)
            case Mail() as mail:
                try:
                    return await asyncio.to_thread(_mailed, mail, alert, said)
                except (OSError, smtplib.SMTPException, ValueError) as exc:
                    return f"{type(exc).__name__}"
        return "STATEKEEPER_ALERTS is not set"

    async def _posted(self, hook: Hook, alert: Alert, said: str) -> str:
        body = encode(
            {
                "type": _TYPES.get(alert.what, f"flow.{alert.what}"),
                "timestamp": stamp(_time(alert)),
                "data": {
                    "tool": alert.tool,
                    "why": alert.why,
                    "steward": alert.steward,
                    "sentence": said,
                    "position": alert.position,
                },
            }
        )
        name = f"alert_{alert.position}"
        headers = {"webhook-id": name}
        if hook.secret:
            headers = signed(hook.secret, name, body, datetime.now(UTC))
        answer = await self._poster.post("", hook.url, headers, body)
        return answer.why


def sentence(alert: Alert, titles: Mapping[str, str]) -> str:
    """What happened, for somebody who is called in the morning."""
    tool = titles.get(alert.tool, alert.tool)
    why = f" ({alert.why})" if alert.why else ""
    match alert.what:
        case "fight" | "fought":
            return f"{tool} puts its own back time after time{why}; it is told that no more."
        case "peace":
            return f"{tool} puts its own back no more{why}."
        case "failing":
            return f"{tool} takes nothing it is told{why}; what it is due waits and is not lost."
        case "recovered":
            return f"{tool} takes what it is told again; what had waited is being delivered."
        case "stopped":
            return f"{tool} wants to be told nothing any more{why}; what it is due waits."
    return f"What {tool} was to be told could not be delivered{why}; it waits to be recovered."


def _mailed(mail: Mail, alert: Alert, said: str) -> str:
    to = mail.to or alert.steward
    if "@" not in to:
        return "the flow has no steward with an address"
    message = EmailMessage()
    message["From"], message["To"] = mail.sender, to
    message["Subject"] = f"Statekeeper: {alert.tool} {_SUBJECTS[alert.what]}"
    message["Message-ID"] = f"<alert.{alert.position}.{alert.at}@statekeeper.invalid>"
    message["Date"] = _time(alert)
    message.set_content(f"{said}\n\nSince {stamp(_time(alert))}.\n")
    with _connected(mail) as server:
        if mail.user:
            assert server.sock is not None
            encrypted = isinstance(server.sock, ssl.SSLSocket)
            if not may_log_in(server.sock.getpeername()[0], encrypted=encrypted):
                return "it offers no TLS, and without it no password is sent"
            server.login(mail.user, mail.password)
        server.send_message(message)
    return ""


def may_log_in(peer: str, *, encrypted: bool) -> bool:
    """Whether a password may be sent to this address: nobody on the way is to read it."""
    return encrypted or ip_address(peer.partition("%")[0]).is_loopback


def _connected(mail: Mail) -> smtplib.SMTP:
    context = ssl.create_default_context()
    if mail.tls:
        return smtplib.SMTP_SSL(mail.host, mail.port, timeout=SECONDS_MAX, context=context)
    server = smtplib.SMTP(mail.host, mail.port, timeout=SECONDS_MAX)
    server.ehlo()
    if server.has_extn("starttls"):
        server.starttls(context=context)
    return server


def _time(alert: Alert) -> datetime:
    return datetime.fromtimestamp(alert.at / 1000, UTC)


_PORTS: Final = {"smtp": 25, "smtps": 465}
_SUBJECTS: Final = {
    "failing": "takes nothing",
    "recovered": "takes notices again",
    "stopped": "has stopped",
    "given-up": "could not be told",
    "fight": "puts its own back",
    "fought": "puts its own back",
    "peace": "puts its own back no more",
}
_TYPES: Final = {"fight": "drift.fight", "fought": "drift.fight", "peace": "drift.peace"}
"""Of what is not about a flow."""
