"""How each tool is heard: by which connector, about what, proved by which secrets."""

from os import urandom
from time import time
from typing import Final

from msgspec import Struct

from api.door import Keeper
from lifecycle.asks import Ask
from lifecycle.connectors import Connector, Header, Signature
from lifecycle.deliveries import Message
from lifecycle.events import Asker
from lifecycle.fields import new_case_id
from lifecycle.messages import Complete, Hear
from lifecycle.model import Lifecycle
from lifecycle.reports import Report, opened_by

STANDARD: Final = Connector(
    connector="standard_webhooks",
    title="Standard Webhooks",
    answer_within="15 seconds",
    signature=Signature(
        header="webhook-signature",
        reads="v1,{signature}",
        signs="{id}.{timestamp}.{body}",
        id="webhook-id",
        timestamp="webhook-timestamp",
        encoding="base64",
        secret="base64",  # noqa: S106 - how it is written
        tolerance="5 minutes",
    ),
    id=Header("webhook-id"),
    occurred_at="data.occurred_at || timestamp",
    kind="data.kind",
    ref="data.ref",
    status_field="data.status_field",
    word="data.word",
    fields="data.fields",
    collection="data.collection",
    case="data.id",
)
"""How a tool speaks that has no connector: as in the file of that name."""


class Ear(Struct, frozen=True):
    """How one tool is heard."""

    tool: str
    connector: Connector
    among: tuple[str, ...]
    """The collections in whose lifecycles it stands, in the order of the files."""
    lifecycles: tuple[Lifecycle, ...]
    """The same, themselves."""
    secrets: tuple[str, ...]
    """Those that hold at present; none where it is not set up."""


def ear_of(keeper: Keeper, tool: str) -> Ear | None:
    """How a tool is heard, by its lifecycles and the environment; None where no lifecycle has it.

    Its secrets are those that its flows name, else `STATEKEEPER_<TOOL>_SECRET`; of one variable
    there may be several, separated by spaces, while they are rotated.
    """
    lifecycles = keeper.catalogue.lifecycles
    among = tuple(name for name, one in lifecycles.items() if tool in one.declaration.tools)
    if not among:
        return None
    named = lifecycles[among[0]].declaration.tools[tool].connector
    variables = [
        flow.secret.removeprefix("env:")
        for name in among
        for flow in lifecycles[name].declaration.flows
        if flow.tool == tool and flow.direction == "in" and flow.secret
    ] or [f"STATEKEEPER_{tool.upper()}_SECRET"]
    secrets = (keeper.environment.get(one, "").split() for one in dict.fromkeys(variables))
    return Ear(
        tool,
        keeper.catalogue.connectors[named] if named else STANDARD,
        among,
        tuple(lifecycles[name] for name in among),
        tuple(secret for several in secrets for secret in several),
    )


def heard(ear: Ear, message: Message, raw: bytes) -> Ask:
    """Ask the journal to take in a message of this tool; `raw` is what is kept of it."""
    what = hearing(ear, message, raw)
    asker = Asker(tool=ear.tool)
    likeliest = max(ear.lifecycles, key=lambda one: opened_by(what.report, one)).collection
    collection = likeliest if likeliest in what.among else what.among[0]
    return Ask(asker=asker, collection=collection, id=message.case or "", what=what)


def hearing(ear: Ear, message: Message, raw: bytes) -> Hear:
    """What the journal is to know of a message."""
    # A collection in which the tool does not stand says nothing.
    said = message.collection if message.collection in ear.among else None
    return Hear(
        report=report_of(ear.tool, message),
        arrival=urandom(16).hex(),
        new_id=_new_id(),
        among=(said,) if said else ear.among,
        zone=ear.connector.zone,
        said=message.digest,
        raw=raw,
        unread=tuple(message.unread),
        unfetched=message.needs_fetch,
        empty=message.is_empty,
    )


def completed(ear: Ear, stream: str, message: Message | None) -> Ask:
    """Ask the journal to decide a message again, with its record, or to wait no more for it."""
    what = Complete(
        message=stream,
        report=None if message is None else report_of(ear.tool, message),
        new_id=_new_id(),
        among=ear.among,
        zone=ear.connector.zone,
        unread=() if message is None else tuple(message.unread),
    )
    return Ask(asker=Asker(tool=ear.tool), collection=ear.among[0], what=what)


def report_of(tool: str, message: Message) -> Report:
    """What a tool says by a message of its product."""
    return Report(
        tool=tool,
        ref=message.ref or "",
        kind=message.kind or "",
        status_field=message.status_field or "",
        word=message.word or "",
        fields=message.fields,
        event_id=message.event_id or "",
        occurred_at=message.occurred_at,
    )


def _new_id() -> str:
    return new_case_id(int(time() * 1000), urandom(10))
