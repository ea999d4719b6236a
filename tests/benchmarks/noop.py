"""The yardstick: the least that a Litestar service can do with a transition.

It decodes the ask into a struct and answers as many bytes as Statekeeper does; it decides and
keeps nothing. Run it as the others are run: uvicorn, uvloop, httptools, one worker, no access log.
"""

import os

import msgspec
from litestar import Litestar, post
from litestar.params import FromPath, JSONBody

ANSWER_BYTES_DEFAULT = 1200
"""About what Statekeeper answers to a transition of a field-service job."""


class TransitionAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a transition, as the contract has it."""

    transition: str
    fields: dict[str, str] = {}
    reason: str | None = None
    occurred_at: str | None = None


class Answer(msgspec.Struct, frozen=True):
    """What was asked, and padding up to the size wanted."""

    collection: str
    id: str
    transition: str
    padding: str


def app() -> Litestar:
    """Make the application; ``ANSWER_BYTES`` in the environment sets the size of its answers."""
    answer_bytes = int(os.environ.get("ANSWER_BYTES", ANSWER_BYTES_DEFAULT))

    @post("/v1/{collection:str}/{id:str}/transitions", status_code=201)
    async def make_transition(
        collection: FromPath[str],
        id: FromPath[str],  # noqa: A002 - the contract's own name
        data: JSONBody[TransitionAsked],
    ) -> Answer:
        said = len(collection) + len(id) + len(data.transition) + JSON_AROUND_BYTES
        return Answer(collection, id, data.transition, "x" * max(0, answer_bytes - said))

    return Litestar([make_transition], openapi_config=None)


JSON_AROUND_BYTES = len(msgspec.json.encode(Answer("", "", "", "")))
"""What JSON itself takes of an answer."""
