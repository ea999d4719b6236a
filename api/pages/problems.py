"""A page for every kind of problem: what it means, when it happens, what to do, what it looks like.

The `type` of every problem that this service answers leads here. No page needs a key, runs a
script, or fetches anything from elsewhere.
"""

from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import msgspec
from litestar import Router, get
from litestar.exceptions import NotFoundException
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.response import Template
from litestar.template import TemplateConfig
from msgspec import Struct

from api import examples
from api.pages.advice import GROUPS, Advice, Group
from api.problems import JSON, STATUS, body_of
from lifecycle.refusals import Refusal

HERE: Final = Path(__file__).parent

SECURITY: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-cache",
}
"""A page may show its own style and pictures, and nothing else may happen in it."""


class Example(Struct, frozen=True):
    """A request that is refused so, and the answer."""

    asked: str | None
    """Method and address; None where no request brings it about by itself."""
    headers: Mapping[str, str]
    body: str | None
    status: str
    answer: str


def page_routes() -> list[Router]:
    """The pages open to all."""
    return [Router("/", route_handlers=[index, page], response_headers=SECURITY)]


def templates() -> TemplateConfig[JinjaTemplateEngine]:
    """Where the pages' templates stand."""
    return TemplateConfig(directory=HERE / "templates", engine=JinjaTemplateEngine)


@get("/problems", sync_to_thread=False, include_in_schema=False)
def index() -> Template:
    """Every problem, by what is to be put right."""
    return Template("problems.html", context={"groups": GROUPS, "status": STATUS})


@get("/problems/{code:str}", sync_to_thread=False, include_in_schema=False)
def page(code: str) -> Template:
    """One problem."""
    group, kind, advice = _found(code)
    near = [one for one in group.kinds if one is not kind]
    return Template("problem.html", context=_shown(kind, advice) | {"group": group, "near": near})


def _found(code: str) -> tuple[Group, type[Refusal], Advice]:
    for group in GROUPS:
        for kind, advice in group.kinds.items():
            if kind.code == code:
                return group, kind, advice
    raise NotFoundException


def _shown(kind: type[Refusal], advice: Advice) -> dict[str, Any]:
    status = HTTPStatus(STATUS[kind])
    return {"kind": kind, "advice": advice, "status": status, "example": example_of(kind, advice)}


def example_of(kind: type[Refusal], advice: Advice) -> Example:
    """What was really answered; where no request brings it about by itself, what would be."""
    status = HTTPStatus(STATUS[kind])
    line = f"{status.value} {status.phrase}"
    met = examples.refused(kind.code)
    if met is None:
        made = msgspec.json.decode(body_of(kind(advice.detail, **advice.facts)))
        return Example(None, {}, None, line, _pretty(made))
    body = None if met.body is None else _pretty(met.body)
    return Example(f"{met.method} {met.address}", met.headers, body, line, _pretty(met.answer))


def _pretty(value: object) -> str:
    return msgspec.json.format(JSON.encode(value), indent=2).decode()
