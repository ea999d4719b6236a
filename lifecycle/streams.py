"""The names of the log's streams, in plain text: the log can be read in any database shell."""

from base64 import b32encode
from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256
from typing import Final

from lifecycle.events import Asker

MIRRORS_NAMED_MAX: Final = 10_000
"""Names of mirrors that need not be put together again: one change asks for each several times."""
STREAM_LENGTH_MAX: Final = 200
"""A longer name is cut and ends in its digest."""


def cut(name: str) -> str:
    """The name of a stream, no longer than an index likes."""
    if len(name) <= STREAM_LENGTH_MAX:
        return name
    digest = sha256(name.encode()).hexdigest()
    return f"{name[: STREAM_LENGTH_MAX - len(digest) - 1]}#{digest}"


def short_id(*parts: str) -> str:
    """Name something for good in letters and digits: fit for any address, the same every time."""
    digest = sha256("\0".join(parts).encode()).digest()
    return b32encode(digest[:15]).decode().lower()


def message_id(stream: str) -> str:
    """What a message is called outside of the log, by the stream that it stands in."""
    return f"msg_{short_id(stream)}"


def tool_of(message: str) -> str:
    """Whose word a message is, by its stream."""
    return message.removeprefix("message:").partition("/")[0]


def case_stream(collection: str, case_id: str) -> str:
    """Where the changes of a case stand."""
    return f"case:{collection}/{case_id}"


def reference_stream(tool: str, kind: str, ref: str) -> str:
    """Where it stands which case a tool's own id means."""
    return cut(f"reference:{tool}/{kind}/{ref}")


def retention_stream(collection: str) -> str:
    """Where it stands up to where what was heard of a collection was let go of."""
    return f"retention:{collection}"


def parked_stream(tool: str, kind: str, ref: str) -> str:
    """Where it stands which messages wait for a reference."""
    return cut(f"parked:{tool}/{kind}/{ref}")


def releasing_stream(tool: str) -> str:
    """Where it stands for which references of a tool more messages wait than one append decides."""
    return f"releasing:{tool}"


def unfetched_stream(tool: str, message: str) -> str:
    """Where it stands that a message waits for its record to be fetched."""
    return f"unfetched:{tool}/{sha256(message.encode()).hexdigest()[:1]}"


def unfetched_streams(tool: str) -> list[str]:
    """All of these of a tool: there are several, so that none grows long."""
    return [f"unfetched:{tool}/{digit:x}" for digit in range(16)]


@lru_cache(maxsize=MIRRORS_NAMED_MAX)
def mirror_stream(collection: str, case_id: str, tool: str) -> str:
    """Where it stands what a tool says of a case."""
    return cut(f"mirror:{collection}/{case_id}/{tool}")


def claims_stream(collection: str, case_id: str) -> str:
    """Where it stands what came too early for a case."""
    return f"claims:{collection}/{case_id}"


def streams_about(collection: str, case_id: str, tools: Iterable[str]) -> list[str]:
    """Where a case stands, and what is beside it: what was refused, what tools say, what waits."""
    return [
        case_stream(collection, case_id),
        refusals_stream(collection, case_id),
        claims_stream(collection, case_id),
        *(mirror_stream(collection, case_id, tool) for tool in tools),
    ]


def refusals_stream(collection: str, case_id: str) -> str:
    """Where what was refused stands, beside the case."""
    return f"refusals:{collection}/{case_id}"


def request_stream(asker: Asker, key: str) -> str:
    """Where it stands what an idempotency key was used for: per tool, and per staff key."""
    whose = f"tool:{asker.tool}" if asker.tool else f"staff:{asker.key or asker.name}"
    return cut(f"request:{whose}/{key}")


def flow_stream(tool: str) -> str:
    """Where it stands whether a tool takes what it is told."""
    return f"flow:{tool}"


def key_stream(key_id: str) -> str:
    """Where a key stands."""
    return f"key:{key_id}"


def definition_stream(lifecycle: str) -> str:
    """Where every adopted text of a definition stands."""
    return f"definition:{lifecycle}"
