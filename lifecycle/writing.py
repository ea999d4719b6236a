"""What a product is sent where its connector says how it is told (`write:`), in place of a notice.

In `url`, `headers` and `body` stand {JMESPath} of the notice, each quoted for where it stands, and
{env:NAME}. Without a body the notice itself is sent. A static token, where one is set, goes along.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from json import dumps
from typing import Final
from urllib.parse import quote

import msgspec
from msgspec import Struct

from lifecycle.bodies import BYTES_MAX, NotUnderstood, decoded
from lifecycle.connectors import Write
from lifecycle.expressions import Place, environment_variable, filled, holds, pieces

NAMES: Final = (
    *("type", "timestamp", "data.collection", "data.id", "data.refs", "data.version"),
    *("data.position", "data.status_field", "data.word", "data.was", "data.fields"),
    *("data.request", "data.with"),
)
"""What a notice may hold: the word with its `status_field` and `was`, or `fields` under the tool's
own names, or a `request` and the fields `with` it. Below `refs`, `fields` and `with` stands what a
business has named itself."""

Environment = Mapping[str, str]


class Sent(Struct, frozen=True):
    """One request to a product."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes


def written(write: Write, notice: bytes, token: str, environment: Environment) -> Sent:
    """Write what a product is sent for a notice; raises `FindsNothing` where it lacks something."""
    fill = partial(filled, value=msgspec.json.decode(notice), environment=environment)
    headers = {name: fill(template, quoted=_plain) for name, template in write.headers.items()}
    if token and not any(name.lower() == "authorization" for name in headers):
        headers["Authorization"] = f"Bearer {token}"
    body = notice
    if write.body is not None:
        as_json = write.body.lstrip()[:1] in {"{", "["}
        body = fill(write.body, quoted=_in_json if as_json else _in_address).encode()
    return Sent(write.method, fill(write.url, quoted=_in_address), headers, body)


def lacks(write: Write, status: int, body: bytes) -> str:
    """Say why an answer does not mean that it was taken; nothing where it does."""
    wanted = write.accepts
    statuses = (wanted.status,) if isinstance(wanted.status, str) else wanted.status
    if not {str(status), f"{status // 100}xx"} & set(statuses):
        return f"answered {status}"
    if wanted.body is None:
        return ""
    if len(body) > BYTES_MAX:
        return f"answered {status}, with more than the {BYTES_MAX:,} bytes that are judged"
    try:
        said = decoded(body)
    except NotUnderstood:
        return f"answered {status}, with something else than JSON"
    if holds(wanted.body, said):
        return ""
    return f"answered {status}, where {wanted.body[:80]} does not hold"


def unset(write: Write, environment: Environment) -> str | None:
    """The first variable that is wanted and not set."""
    return next((name for name in _variables(write) if not environment.get(name)), None)


def _variables(write: Write) -> Iterator[str]:
    for template in (write.url, *write.headers.values(), write.body or ""):
        for piece in pieces(template):
            if isinstance(piece, Place) and (name := environment_variable(piece)):
                yield name


def _in_json(text: str) -> str:
    return dumps(text)[1:-1]


def _in_address(text: str) -> str:
    return quote(text, safe="")


def _plain(text: str) -> str:
    """Text for a header, in which nothing begins another."""
    return "".join(sign for sign in text if sign.isprintable())
