"""Everything an operator can set: flags go first, then `STATEKEEPER_*`, then what stands here."""

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from api.digits import whole

DATABASE = "sqlite:///var/statekeeper.db"
DEFINITIONS = "definitions"
HOST = "127.0.0.1"
PORT = 8000
PORT_MAX = 65535
LOG_LEVELS = ("debug", "info", "warning", "error")


class Settings(Struct, frozen=True):
    """How this process is to run."""

    database: str = DATABASE
    """`sqlite:///relative.db`, `sqlite:////absolute.db`, `postgresql://…` (with `?schema=`)."""
    definitions: Path = Path(DEFINITIONS)
    """The folder of the declared lifecycles."""
    host: str = HOST
    port: int = PORT
    master_key: str | None = None
    """Wraps the keys of what may be erased: 32 bytes in base64 (`STATEKEEPER_MASTER_KEY`).

    Without one, SQLite gets a file beside the database, and PostgreSQL keeps one in the database.
    """
    public_url: str | None = None
    """Where products find this service (`STATEKEEPER_PUBLIC_URL`): some sign the address too."""
    log_level: str = "info"
    """`debug`, `info`, `warning` or `error` (`STATEKEEPER_LOG_LEVEL`)."""
    alerts: str | None = None
    """How stewards are told that a connection fails (`STATEKEEPER_ALERTS`): `smtp://…?from=address`,
    `smtps://…` or `https://…`, which is signed where `STATEKEEPER_ALERTS_SECRET` is set."""
    worker: bool = True
    """Does `serve` run a worker too? Else one has to run beside it (`serve --no-worker`)."""
    tell: bool = False
    """Are tools told the words that a new version of a definition changes (`serve --tell`)?"""


def settings(environment: Mapping[str, str], **flags: object) -> Settings:
    """What is set; flags that are None were not given. `ValueError` says what cannot be."""
    named = {
        "database": environment.get("STATEKEEPER_DATABASE"),
        "definitions": environment.get("STATEKEEPER_DEFINITIONS"),
        "host": environment.get("STATEKEEPER_HOST"),
        "port": environment.get("STATEKEEPER_PORT"),
        "master_key": environment.get("STATEKEEPER_MASTER_KEY"),
        "public_url": environment.get("STATEKEEPER_PUBLIC_URL"),
        "log_level": environment.get("STATEKEEPER_LOG_LEVEL"),
        "alerts": environment.get("STATEKEEPER_ALERTS"),
    }
    given = {name: value for name, value in {**named, **_given(flags)}.items() if value != ""}
    given = _given(given)
    if "definitions" in given:
        given["definitions"] = Path(str(given["definitions"]))
    if "port" in given:
        given["port"] = _port(str(given["port"]))
    if given.get("log_level", LOG_LEVELS[0]) not in LOG_LEVELS:
        raise ValueError(f"STATEKEEPER_LOG_LEVEL is one of {', '.join(LOG_LEVELS)}")
    public_url = str(given.get("public_url", "https://")).lower()
    if not public_url.startswith(("https://", "http://")):
        raise ValueError("STATEKEEPER_PUBLIC_URL begins with https:// (or http://)")
    if given.get("alerts"):
        from projections.alerts import route

        route(environment)  # says what is wrong with it, before anybody relies on it
    return Settings(**given)  # type: ignore[arg-type]  # checked when it is built


def _port(text: str) -> int:
    port = whole(text, 0, PORT_MAX)
    if port is None:
        raise ValueError(f"STATEKEEPER_PORT is a whole number from 0 to {PORT_MAX}")
    return port


def _given(flags: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in flags.items() if value is not None}
