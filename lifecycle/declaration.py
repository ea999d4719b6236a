"""A lifecycle as frozen structs: what a business declares, in its own order and words.

`definition.py` reads one from a YAML file; the JSON Schema of that file is made from these types.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

Id = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]*$")]
"""The id of a lifecycle, tool, field, state or transition."""

Duration = Annotated[
    str,
    Meta(pattern=r"^[1-9][0-9]{0,5} (second|minute|hour|day|week)s?$", examples=["3 days"]),
]
"""A whole number and its unit."""

Words = str | tuple[str, ...] | None
"""What a tool calls a state: a word, several (the first is told, all are heard), or nothing."""

HEAR_ONLY = "hear_only"
"""Beside the states of a status field: the product computes it itself and is never told."""

SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}


def seconds(duration: str) -> int:
    """The length of a declared duration."""
    number, unit = duration.split(" ")
    return int(number) * SECONDS[unit.removesuffix("s")]


class Tool(Struct, frozen=True, forbid_unknown_fields=True):
    """A system of the business."""

    title: str
    connector: str | None = None
    """The file in `connectors/` that says how this product speaks."""
    kinds: tuple[str, ...] = ()
    """Kinds of record it refers to cases by; the first is the main one."""
    record_for: tuple[Id, ...] = ()
    """The domains of truth it is the system of record for."""
    drift: Literal["tell", "ask"] = "ask"


class Field(Struct, frozen=True, forbid_unknown_fields=True):
    """One field of the canonical data model: one owner, one format."""

    type: Literal[
        "text", "number", "money", "date", "datetime", "email", "phone",
        "address", "boolean", "choice", "case",
    ]  # fmt: skip
    owner: str | dict[str, str]
    """A tool, a domain, or a map from state (`*` for the rest) to either."""
    title: str | None = None
    personal: bool = False
    """Stands encrypted in the log and can be erased."""
    signed: bool = False
    """Money that may be negative."""
    choices: tuple[str, ...] = ()


class State(Struct, frozen=True, forbid_unknown_fields=True):
    """A condition a case may be in; compound where it has `states`."""

    title: str | None = None
    owner: str | None = None
    """A tool or a domain; a child without one has its nearest ancestor's."""
    initial: bool = False
    final: bool = False
    within: Duration | None = None
    """How long a case may stay before it is overdue."""
    parallel: bool = False
    """Its children run side by side."""
    states: dict[Id, "State"] = {}


class Transition(Struct, frozen=True, forbid_unknown_fields=True, rename={"source": "from"}):
    """A declared move."""

    name: Id
    source: str | tuple[str, ...]
    to: str
    title: str | None = None
    by: str | tuple[str, ...] | None = None
    """Tools or domains that may make it; by default the owner of `to`."""
    requires: tuple[str, ...] = ()
    when: str | None = None
    """A condition over field ids, in python-statemachine's restricted language."""
    auto: bool = False
    """Made as soon as its condition and `requires` hold."""

    @property
    def sources(self) -> tuple[str, ...]:
        """The states it leads out of."""
        return (self.source,) if isinstance(self.source, str) else self.source

    @property
    def makers(self) -> tuple[str, ...]:
        """Who is named in `by`."""
        return (self.by,) if isinstance(self.by, str) else self.by or ()


class Ignore(Struct, frozen=True, forbid_unknown_fields=True):
    """A word that means nothing here, perhaps only until a day."""

    ignore: bool
    until: str | None = None


class Reaction(Struct, frozen=True, forbid_unknown_fields=True, rename={"fields": "with"}):
    """What happens next after a transition, without anybody checking."""

    name: Id
    after: str
    tell: str
    request: str
    fields: tuple[str, ...] = ()
    wait: Duration | None = None


class Flow(Struct, frozen=True, forbid_unknown_fields=True):
    """How a tool is heard or told, and who answers for it."""

    tool: str
    direction: Literal["in", "out"]
    how: Literal["webhook", "poll", "api", "manual", "file"]
    url: str | None = None
    secret: str | None = None
    steward: str | None = None
    every: str | None = None
    """A duration or a five-field cron line, for polls."""
    echo_within: Duration | None = None
    rate: str | None = None
    """How many notices a tool takes, like `10 per second`."""


class Promise(Struct, frozen=True, forbid_unknown_fields=True):
    """A service level of the connections."""

    property: str
    value: int
    unit: str
    tool: str | None = None


class Declaration(Struct, frozen=True, forbid_unknown_fields=True):
    """One lifecycle, as one file declares it."""

    lifecycle: Id
    version: Annotated[int, Meta(ge=1)]
    title: str
    collection: Id
    tools: dict[Id, Tool]
    states: dict[Id, State]
    transitions: tuple[Transition, ...]
    fields: dict[Id, Field] = {}
    words: dict[str, dict[str, dict[str, Words | bool]]] = {}
    """Tool → status field → state → words; `hear_only` beside the states is a truth value."""
    hears: dict[str, dict[str, dict[str, str | Ignore]]] = {}
    reads: dict[str, dict[str, str]] = {}
    reactions: tuple[Reaction, ...] = ()
    flows: tuple[Flow, ...] = ()
    promises: tuple[Promise, ...] = ()
    steward: str | None = None
    opened_by: tuple[str, ...] = ()
    renamed: dict[str, str] = {}
    """State or field of the version before → its name now."""
    retention: Duration | None = None
    """How long raw messages are kept; 90 days unless told."""


def walk(states: Mapping[str, State], above: tuple[str, ...] = ()) -> "list[Place]":
    """Every state in the order of the definition, parents before children."""
    places: list[Place] = []
    for name, state in states.items():
        places.append(Place(name, state, above))
        places += walk(state.states, (*above, name))
    return places


class Place(Struct, frozen=True):
    """A state and where it stands."""

    id: str
    state: State
    above: tuple[str, ...]
    """Its ancestors, the outermost first."""

    @property
    def path(self) -> str:
        """Where the definition writes it: `states.a.states.b`."""
        return "states." + ".states.".join((*self.above, self.id))


def meaning(declaration: Declaration) -> bytes:
    """The declaration without what only people read: two of one meaning are adopted as one.

    Titles, stewards and the version itself are left out.
    """
    plain = msgspec.to_builtins(declaration)
    return msgspec.json.encode(_without_titles(plain, top=True), order="sorted")


def _without_titles(value: object, *, top: bool = False) -> object:
    if isinstance(value, dict):
        dropped = {"title", "steward", "version"} if top else {"title", "steward"}
        return {
            key: _without_titles(inner)
            for key, inner in value.items()
            if key not in dropped or not isinstance(inner, str | int | None)
        }
    if isinstance(value, list | tuple):
        return [_without_titles(inner) for inner in value]
    return value
