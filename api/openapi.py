"""The description of `/v1` for machines: OpenAPI 3.1, made from the operations themselves.

It describes this service: the collections, tools, fields and transitions are those of its own
definitions. The examples are what such a service really answered (see `examples`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from typing import Any, Final

import msgspec
from litestar import MediaType, Response, get
from litestar.handlers import HTTPRouteHandler

from api import examples, problems
from api.asking import REASON_MAX
from api.door import HEADER_TEXT_MAX, Form, Operation
from api.examples import Exchange
from api.health import Health
from api.problems import JSON, STATUS
from api.transitions import OpenTransitions, TransitionAnswer
from lifecycle import refusals
from lifecycle.catalogue import Catalogue
from lifecycle.declaration import Field
from lifecycle.fields import ID_PATTERN
from lifecycle.refusals import Refusal
from lifecycle.reports import OUTCOMES
from projections.notices import TYPES
from projections.views import CaseView, ToolView

Schema = dict[str, Any]

PROBLEM: Final = "application/problem+json"
REF: Final = "#/components/schemas/{name}"

EVERYWHERE: Final[tuple[type[Refusal], ...]] = (
    problems.MalformedRequest,
    problems.BodyTooLarge,
    problems.NotFound,
    refusals.NotSignedIn,
    refusals.StorageUnavailable,
    refusals.Overloaded,
)
"""What any operation may answer."""
OF_A_COLLECTION: Final = (refusals.NotYours, refusals.UnknownCollection)
OF_A_CASE: Final = (refusals.UnknownCase,)
OF_A_BODY: Final = (problems.UnsupportedMediaType,)
OF_A_WRITE: Final = (
    refusals.NotYours,
    refusals.IdempotencyKeyReused,
    refusals.DefinitionNotAdopted,
)
OF_A_CHANGE: Final = (refusals.VersionMoved,)

TAGGED: Final = (CaseView, ToolView, TransitionAnswer, OpenTransitions)
"""Answers that say in `ETag` which version of the case they show."""


def document_route(operations: Sequence[Operation], catalogue: Catalogue) -> HTTPRouteHandler:
    """Serve the description, made when somebody asks for it first."""

    @cache
    def content() -> bytes:
        return JSON.encode(document(operations, catalogue))

    @get(["/schema", "/schema/openapi.json"], sync_to_thread=False, include_in_schema=False)
    def show() -> Response[bytes]:
        return Response(content(), media_type=MediaType.JSON)

    return show


def document(operations: Sequence[Operation], catalogue: Catalogue) -> Schema:
    """Describe these operations, over these lifecycles."""
    paths: dict[str, Schema] = {}
    walked = "jobs" in catalogue.lifecycles
    for operation in operations:
        for form in (None, *operation.forms):
            path = operation.path + (form.suffix if form else "")
            described = _operation(operation, form, walked=walked)
            paths.setdefault(path, {})[operation.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Statekeeper",
            "version": _release(),
            "summary": "One shared state for every job and client, between the tools of a firm.",
            "description": _INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}],
        "tags": [{"name": name} for name in dict.fromkeys(map(_tag, operations))],
        "paths": {**paths, **_health()},
        "components": {
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The key of a tool or of a member of staff: `sk_…`, as issued.",
                }
            },
            "schemas": _schemas(operations, catalogue),
            "headers": _HEADERS,
            "examples": dict(_problem_examples()),
        },
    }


_INTRODUCTION: Final = (
    "A transition is taken only from the tool that owns the state it leads to; every tool reads the"
    " state in its own words; every state can be explained.\n\n"
    "**Positions.** Every answer carries `Statekeeper-Position`, the place in the whole log that it"
    " has seen. Send it back with a request, to any replica, and the answer will have seen it too"
    " (503 where that takes more than 5 s).\n\n"
    "**Problems.** What is refused is answered as problem details (RFC 9457); the `type` is a page"
    " of this service that says what it means and what to do."
)


def _release() -> str:
    try:
        return version("statekeeper")
    except PackageNotFoundError:
        return "0"


# --- one operation ------------------------------------------------------------------------------


def _operation(operation: Operation, form: Form | None, *, walked: bool) -> Schema:
    """Describe one; the walk's addresses are shown where this service has what it walked on."""
    path = operation.path + (form.suffix if form else "")
    name = f"{operation.method} {path}"
    described: Schema = {
        "operationId": operation.name + (form.suffix.replace(".", "_") if form else ""),
        "summary": form.summary if form else operation.summary,
        "tags": [_tag(operation)],
        "parameters": [
            *_in_path(operation, walked=walked),
            *_in_query(form.query if form else operation.query, operation.needed),
            *_in_headers(operation),
        ],
    }
    if operation.takes:
        asked = _numbered(one.body for one in examples.answered(name))
        content = {"schema": _body(operation.takes, operation.media_type)}
        plainest = _PLAINEST.get(operation.media_type, operation.media_type)
        described["requestBody"] = {
            "required": operation.media_type == "application/json" and not operation.bodiless,
            "content": {operation.media_type: content, plainest: {**content, "examples": asked}},
        }
    if operation.signed:
        described |= {"security": [], "requestBody": _DELIVERY}
    described["responses"] = {
        str(operation.status): _answer(operation, form, examples.answered(name)),
        **dict(_refused(refusals_of(operation, form), name)),
    }
    return described


def refusals_of(operation: Operation, form: Form | None = None) -> list[type[Refusal]]:
    """Every way in which an operation may say no, in the order of the table of statuses."""
    on_a_case = "{id}" in operation.path
    found = {
        *EVERYWHERE,
        *(OF_A_COLLECTION if "{collection}" in operation.path else ()),
        *(OF_A_CASE if on_a_case else ()),
        *(OF_A_BODY if operation.takes else ()),
        *(OF_A_WRITE if operation.writes else ()),
        *(OF_A_CHANGE if operation.writes and on_a_case else ()),
        *operation.refuses,
        *(form.refuses if form else ()),
    }
    return [kind for kind in STATUS if kind in found]


def _in_path(operation: Operation, *, walked: bool) -> Iterator[Schema]:
    for part in operation.path.split("/"):
        if part.startswith("{"):
            name = part[1:-1]
            schema, example = _PATH[name]
            parameter = {"name": name, "in": "path", "required": True, "schema": schema}
            yield {**parameter, "example": example} if walked else parameter


def _in_query(query: Mapping[str, str], needed: Sequence[str]) -> Iterator[Schema]:
    for name, meaning in query.items():
        parameter = {"name": name, "in": "query", "description": meaning, "schema": _QUERY[name]}
        yield {**parameter, "required": True} if name in needed else parameter


def _in_headers(operation: Operation) -> Iterator[Schema]:
    if operation.writes:
        yield _IDEMPOTENCY_KEY
    if operation.writes and "{id}" in operation.path:
        yield _IF_MATCH


def _answer(operation: Operation, form: Form | None, shown: Sequence[Exchange]) -> Schema:
    media_type = form.media_type if form else operation.media_type
    schema = {"type": "string"}
    if not form and (operation.gives or media_type == "text/event-stream"):
        schema = _body(operation.gives, media_type)
    headers = ["Statekeeper-Position", "X-Request-Id"]
    if not form and operation.gives in TAGGED:
        headers.append("ETag")
    if operation.writes:
        headers.append("Idempotency-Replayed")
    if operation.status == HTTPStatus.CREATED and operation.gives is CaseView:
        headers.append("Location")
    return {
        "description": _sentence(form.summary if form else operation.summary),
        "headers": _headers(headers),
        "content": {
            media_type: {"schema": schema, "examples": _numbered([one.answer for one in shown])}
        },
    }


def _refused(kinds: Iterable[type[Refusal]], name: str) -> Iterator[tuple[str, Schema]]:
    by_status = sorted(kinds, key=STATUS.__getitem__)
    for status, group in groupby(by_status, key=STATUS.__getitem__):
        told = list({kind.code: kind for kind in group}.values())
        headers = ["Statekeeper-Position", "X-Request-Id", *_WITH_STATUS.get(status, ())]
        yield (
            str(status),
            {
                "description": " · ".join(kind.title for kind in told),
                "headers": _headers(headers),
                "content": {
                    PROBLEM: {
                        "schema": {
                            "$ref": REF.format(name="ProblemDetails"),
                            "properties": {
                                "type": {"enum": [f"/problems/{kind.code}" for kind in told]},
                                "status": {"const": status},
                            },
                        },
                        "examples": dict(_examples_of(told, name)),
                    }
                },
            },
        )


def _examples_of(kinds: Iterable[type[Refusal]], name: str) -> Iterator[tuple[str, Schema]]:
    for kind in kinds:
        if met := examples.refused(kind.code, name):
            yield kind.code, {"value": met.answer}
        elif examples.refused(kind.code):
            yield kind.code, {"$ref": f"#/components/examples/{kind.code}"}


def _problem_examples() -> Iterator[tuple[str, Schema]]:
    for kind in STATUS:
        if met := examples.refused(kind.code):
            yield kind.code, {"summary": kind.title, "value": met.answer}


def _numbered(values: Iterable[object]) -> Schema:
    return {f"walk-{number}": {"value": value} for number, value in enumerate(values, 1)}


def _headers(names: Iterable[str]) -> Schema:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _sentence(text: str) -> str:
    return f"{text.removesuffix('.')}."


def _tag(operation: Operation) -> str:
    module: str = (operation.converse or operation.handle).__module__
    return module.rpartition(".")[2]


def _health() -> Schema:
    """Whether the process lives, and whether it can serve; without a key."""

    def told(text: str) -> Schema:
        schema = {"$ref": REF.format(name="Health")}
        return {"description": text, "content": {"application/json": {"schema": schema}}}

    live = {"200": told("It answers.")}
    ready = {"200": told("It takes asks."), "503": told("It does not, and says why.")}
    return {
        f"/health/{name}": {
            "get": {
                "operationId": f"health_{name}",
                "summary": summary,
                "tags": ["health"],
                "security": [],
                "responses": answers,
            }
        }
        for name, summary, answers in (
            ("live", "Whether this process answers", live),
            ("ready", "Whether this process can take asks", ready),
        )
    }


# --- what stands in addresses and headers -------------------------------------------------------

_DELIVERY: Final = {
    "description": "What the product sends: JSON, a form or XML; of this at most 1 MiB.",
    "content": {"application/json": {"schema": {}}},
}
_PRINTABLE: Final = "^[!-~]([ -~]*[!-~])?$"
_TIME: Final = {"type": "string", "format": "date-time"}

MESSAGE: Final = "msg_o3j7ziqacoazklq4pelxskng"
DRIFT: Final = "dft_gzpwu7i46b4ilx4moxsdbxz7"
NOTICE: Final = "ntc_019df359b0700b3899468123eb"
"""What a message, a difference and a notice of the walk are called."""

_PATH: Final[Mapping[str, tuple[Schema, str]]] = {
    "collection": ({"$ref": REF.format(name="Collection")}, "jobs"),
    "id": ({"$ref": REF.format(name="CaseId")}, "J-1042"),
    "tool": ({"$ref": REF.format(name="ToolId")}, "crm"),
    "name": ({"$ref": REF.format(name="LifecycleId")}, "field_service"),
    "ref": ({"type": "string", "maxLength": 200, "pattern": _PRINTABLE}, "9876543"),
    "message": ({"type": "string", "pattern": "^msg_[a-z2-7]{24}$"}, MESSAGE),
    "drift": ({"type": "string", "pattern": "^dft_[a-z2-7]{24}$"}, DRIFT),
    "notice": ({"type": "string", "pattern": "^ntc_[0-9a-f]{26}$"}, NOTICE),
    "token": ({"type": "string", "minLength": 16, "maxLength": 200}, "3f9c0d7e5a1b4c68"),
}
"""Part of an address → what it may be, and what it is on the walk."""

_QUERY: Final[Mapping[str, Schema]] = {
    "version": {"type": "integer", "minimum": 1, "maximum": 999_999_999},
    "at": _TIME,
    "known_at": _TIME,
    "occurred_at": _TIME,
    "reason": {"type": "string", "minLength": 1, "maxLength": REASON_MAX},
    "ref": {"type": "string", "minLength": 1, "maxLength": 200},
    "kind": {"type": "string"},
    "case": {"$ref": REF.format(name="CaseId")},
    "tell": {"enum": ["true", "false"]},
    "state": {"type": "string"},
    "tool": {"$ref": REF.format(name="ToolId")},
    "word": {"type": "string"},
    "updated_since": _TIME,
    "overdue": {"const": "true"},
    "outcome": {"enum": list(OUTCOMES)},
    "type": {"enum": list(TYPES)},
    "why": {"type": "string", "maxLength": 200},
    "id": {"$ref": REF.format(name="CaseId")},
    "collection": {"$ref": REF.format(name="Collection")},
    "since": _TIME,
    "until": _TIME,
    "ended_since": _TIME,
    "drift": {"const": "true"},
    "q": {"type": "string", "minLength": 1, "maxLength": 200},
    "limit": {"type": "integer", "minimum": 1, "maximum": 500},
    "cursor": {"type": "string"},
    "after": {"type": "integer", "minimum": 0, "maximum": 10**18 - 1},
}

_IDEMPOTENCY_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Asks once: the same key and content again changes nothing, and is answered"
    " with the first success. Kept per tool, and per key of staff.",
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": HEADER_TEXT_MAX,
        "pattern": _PRINTABLE,
    },
}
_IF_MATCH: Final = {
    "name": "If-Match",
    "in": "header",
    "description": "Only if the case stands at this version, as `ETag` told it.",
    "schema": {
        "anyOf": [
            {"const": "*"},
            {"type": "string", "pattern": '^"[0-9]{1,9}"(, ?"[0-9]{1,9}"){0,9}$'},
        ]
    },
    "example": '"4"',
}

_HEADERS: Final[Mapping[str, Schema]] = {
    "Statekeeper-Position": {
        "description": "The place in the whole log that this answer has seen.",
        "required": True,
        "schema": {"type": "integer", "minimum": 0},
    },
    "X-Request-Id": {
        "description": "Names this request in the service's log; yours, where you sent one.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,64}$"},
    },
    "ETag": {
        "description": "The version of the case, for `If-Match`.",
        "required": True,
        "schema": {"type": "string", "pattern": '^"[0-9]+"$'},
    },
    "Idempotency-Replayed": {
        "description": "`true` where this was answered before.",
        "schema": {"const": "true"},
    },
    "Location": {
        "description": "The address of the case.",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "Retry-After": {
        "description": "Seconds after which to try again.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {"required": True, "schema": {"type": "string"}},
    "Allow": {
        "description": "The methods that this address takes.",
        "required": True,
        "schema": {"type": "string"},
    },
}
_WITH_STATUS: Final[Mapping[int, tuple[str, ...]]] = {
    401: ("WWW-Authenticate",),
    405: ("Allow",),
    503: ("Retry-After",),
}


# --- schemas ------------------------------------------------------------------------------------


def _schemas(operations: Iterable[Operation], catalogue: Catalogue) -> dict[str, Schema]:
    shapes = [shape for one in operations for shape in (one.takes, one.gives) if shape]
    _, found = msgspec.json.schema_components([*shapes, Health], ref_template=REF)
    found["OpenBody"]["dependentSchemas"] = {"since": _SINCE_NEEDS_STATE}
    found["ReportBody"]["anyOf"] = _NAMED_ONCE
    return {**found, "ProblemDetails": _PROBLEM_DETAILS, **_declared(catalogue)}


def _schema_of(shape: Any) -> Schema:
    return msgspec.json.schema_components([shape], ref_template=REF)[0][0]


def _body(shape: Any, media_type: str) -> Schema:
    """A body's schema; of lines, JSON Schema can only say that they are text."""
    if media_type == "application/json":
        return _schema_of(shape)
    if media_type == "text/event-stream":
        return _SERVER_SENT
    return {
        "type": "string",
        "description": "One JSON object a line.",
        "contentMediaType": "application/json",
        "contentSchema": _schema_of(shape),
    }


_SERVER_SENT: Final[Schema] = {
    "description": "Each event of the stream; its id is the position.",
    "type": "object",
    "properties": {
        "id": {"type": "string", "pattern": "^[0-9]+$"},
        "event": {"type": "string"},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": REF.format(name="EventView")},
        },
    },
}
_PLAINEST: Final = {"application/x-ndjson": "text/plain"}
"""Media type → what a client that does not know it may call such a body; examples stand there."""

_SINCE_NEEDS_STATE: Final[Schema] = {
    "anyOf": [
        {"properties": {"since": {"type": "null"}}},
        {"required": ["state"], "properties": {"state": {"type": "string"}}},
    ]
}

_NAMED_ONCE: Final[Sequence[Schema]] = [
    {"properties": {name: {"type": "null"}}} for name in ("ref", "id")
]

_PROBLEM_DETAILS: Final[Schema] = {
    "title": "ProblemDetails",
    "description": "Why not (RFC 9457); the facts behind it are members too.",
    "type": "object",
    "properties": {
        "type": {"type": "string", "description": "A page of this service that explains it."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What was asked, what is, what would do."},
    },
    "required": ["type", "title", "status", "detail"],
}


def _declared(catalogue: Catalogue) -> dict[str, Schema]:
    """What the definitions of this service name."""
    lifecycles = catalogue.lifecycles.values()
    keys = {
        key
        for one in lifecycles
        for tool, declared in one.declaration.tools.items()
        for key in (tool, *(f"{tool}:{kind}" for kind in declared.kinds))
    }
    return {
        "Collection": _one_of(catalogue.lifecycles),
        "LifecycleId": _one_of(one.name for one in lifecycles),
        "ToolId": _one_of(catalogue.tools()),
        "TransitionName": _one_of(
            row.name for one in lifecycles for row in one.declaration.transitions
        ),
        "ReferenceKey": {"description": "A tool, or a tool and a kind of record."}
        | _one_of(sorted(keys)),
        "CaseId": {"type": "string", "pattern": f"^{ID_PATTERN}$"},
        "Fields": {
            "description": "Fields of this service's lifecycles; null forgets a value.",
            "type": "object",
            "properties": _fields(catalogue),
            "additionalProperties": False,
        },
    }


def _one_of(names: Iterable[str]) -> Schema:
    return {"type": "string", "enum": list(dict.fromkeys(names))}


def _fields(catalogue: Catalogue) -> dict[str, Schema]:
    """Each field by name; where lifecycles differ about one, what either takes."""
    found: dict[str, list[Schema]] = {}
    for lifecycle in catalogue.lifecycles.values():
        for name, field in lifecycle.declaration.fields.items():
            schemas = found.setdefault(name, [])
            if (schema := _field(field)) not in schemas:
                schemas.append(schema)
    return {name: {"anyOf": [*schemas, {"type": "null"}]} for name, schemas in found.items()}


def _field(field: Field) -> Schema:
    if field.type == "choice":
        return _one_of(field.choices)
    return _FORMATS[field.type]


_FORMATS: Final[Mapping[str, Schema]] = {
    "text": {"type": "string"},
    "number": {"type": "number"},
    "money": {
        "type": "string",
        "description": "An amount and its currency (ISO 4217).",
        "examples": ["1250.00 USD"],
    },
    "date": {"type": "string", "examples": ["2026-05-04"]},
    "datetime": {
        "type": "string",
        "description": "RFC 3339, with its offset.",
        "examples": ["2026-05-04T14:03:11Z"],
    },
    "email": {"type": "string", "examples": ["orders@harbour-bakery.example"]},
    "phone": {"type": "string", "description": "E.164.", "examples": ["+12025550123"]},
    "address": {
        "type": "object",
        "properties": {
            "lines": {"type": "array", "items": {"type": "string"}},
            "city": {"type": "string"},
            "region": {"type": "string"},
            "postcode": {"type": "string"},
            "country": {"type": "string", "description": "ISO 3166-1 alpha-2."},
        },
        "additionalProperties": False,
    },
    "boolean": {"type": "boolean"},
    "case": {
        "type": "string",
        "description": "Another case, which has to exist.",
        "examples": ["clients/C-7"],
    },
}
