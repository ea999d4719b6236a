"""Where each tool is told, and why not where it is not.

Addresses and secrets stand in the environment, named by the flow as `env:NAME`; without a name the
secret is `STATEKEEPER_<TOOL>_SECRET`. What has no address waits, and says why.
"""

from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from lifecycle import writing
from lifecycle.connectors import Write
from lifecycle.declaration import SECONDS, Flow
from lifecycle.model import Lifecycle

Environment = Mapping[str, str]
Line = tuple[str, str]
"""Tool and collection."""


class Route(Struct, frozen=True):
    """How one tool is told of the cases of one collection."""

    tool: str
    collection: str
    steward: str
    """Who answers for the flow, else for the connections of the lifecycle; may be empty."""
    url: str = ""
    """Empty where nothing can be sent."""
    secret: str = ""
    """As it is set: perhaps several, divided by spaces."""
    waits: str = ""
    """Why nothing can be sent; empty where it can."""
    write: Write | None = None
    """How the product itself is told, by its connector, in place of an address of its own."""
    token: str = ""
    """What goes along with that (`STATEKEEPER_<TOOL>_TOKEN`)."""
    manual: bool = False
    """Carried by a person, who ticks it off."""
    interval_ms: float = 0.0
    """The least time between two notices by the flow's rate; 0 where it declares none."""


def routes(lifecycles: Mapping[str, Lifecycle], environment: Environment) -> dict[Line, Route]:
    """Give the route of every flow that tells a tool."""
    return {
        (route.tool, route.collection): route
        for lifecycle in lifecycles.values()
        for route in _routes(lifecycle, environment)
    }


def _routes(lifecycle: Lifecycle, environment: Environment) -> Iterator[Route]:
    for flow in lifecycle.declaration.flows:
        if flow.direction != "out":
            continue
        steward = flow.steward or lifecycle.declaration.steward or ""
        manual = flow.how == "manual"
        write = _write(flow, lifecycle)
        if write is not None:
            missing = writing.unset(write, environment)
            waits = f"no address: {missing} is not set" if missing else ""
        else:
            waits = "carried by a person" if manual else _waits(flow, environment)
        ready = not waits and write is None
        yield Route(
            tool=flow.tool,
            collection=lifecycle.collection,
            steward=steward,
            url=_value(flow.url, environment) if ready else "",
            secret=_value(_secret(flow), environment) if ready else "",
            waits=waits,
            write=write,
            token=environment.get(f"STATEKEEPER_{flow.tool.upper()}_TOKEN", "") if write else "",
            manual=manual,
            interval_ms=_interval_ms(flow.rate),
        )


def _write(flow: Flow, lifecycle: Lifecycle) -> Write | None:
    """How the connector says that the product is told; an address that is named goes first."""
    if flow.how not in {"api", "webhook"} or flow.url is not None:
        return None
    connector = lifecycle.connector(flow.tool)
    return connector.write if connector else None


def _waits(flow: Flow, environment: Environment) -> str:
    if flow.how != "webhook":
        return f"nothing is sent by '{flow.how}'"
    if flow.url is None:
        return "no address: the flow names no url"
    url = _value(flow.url, environment)
    if not url:
        return f"no address: {_name(flow.url)} is not set"
    try:
        parts = urlsplit(url)
        known = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known:
        return f"no address: {_name(flow.url)} is no address of http or https"
    if not _value(_secret(flow), environment).strip():
        return f"no secret: {_name(_secret(flow))} is not set"
    return ""


def _secret(flow: Flow) -> str:
    return flow.secret or f"env:STATEKEEPER_{flow.tool.upper()}_SECRET"


def _value(named: str | None, environment: Environment) -> str:
    return environment.get(_name(named), "") if named else ""


def _name(named: str) -> str:
    return named.removeprefix("env:")


def _interval_ms(rate: str | None) -> float:
    if rate is None:
        return 0.0
    number, _, unit = rate.partition(" per ")
    return SECONDS[unit] * 1000 / int(number)


_SCHEMES: Final = frozenset({"http", "https"})
