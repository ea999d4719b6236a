"""The wiring of the web process, and the list of its routes.

A request takes one of two doors. Making a transition, what tools do all day, goes straight to its
operation; everything else is routed by Litestar. Behind both stands `door.serve`.
"""

import asyncio
import gc
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeGuard
from urllib.parse import unquote

from litestar import Litestar, Request, Response, route
from litestar.datastructures import State
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, HTTPScope, Method, Receive, Scope, Send

from api import (
    cases,
    drift,
    events,
    explain,
    facts,
    health,
    imports,
    lifecycles,
    lists,
    messages,
    metrics,
    notices,
    references,
    reports,
    tools,
    transitions,
    webhooks,
)
from api.completing import complete_all
from api.door import Keeper, Operation, Visit, refused, request_id, respond, serve
from api.openapi import document_route
from api.pages import acting, assets, case, lifecycle, listing, live, now, render, sign_in
from api.pages import drift as drift_page
from api.pages import messages as messages_page
from api.pages import notices as notices_page
from api.pages.problems import page_routes, templates
from api.problems import InternalFault, MethodNotAllowed, NotFound
from api.releasing import release_all
from lifecycle.refusals import Overloaded, Refusal

OPERATIONS: tuple[Operation, ...] = (
    *cases.OPERATIONS,
    *transitions.OPERATIONS,
    *facts.OPERATIONS,
    *references.OPERATIONS,
    *explain.OPERATIONS,
    *tools.OPERATIONS,
    *reports.OPERATIONS,
    *messages.OPERATIONS,
    *drift.OPERATIONS,
    *notices.OPERATIONS,
    *webhooks.OPERATIONS,
    *lifecycles.OPERATIONS,
    *imports.OPERATIONS,
    *lists.OPERATIONS,
    *events.OPERATIONS,
)
"""All of `/v1`."""

PAGES: tuple[Operation, ...] = (
    *now.PAGES,
    *listing.PAGES,
    *sign_in.PAGES,
    *live.PAGES,
    *assets.PAGES,
    *case.PAGES,
    *acting.PAGES,
    *lifecycle.PAGES,
    *drift_page.PAGES,
    *messages_page.PAGES,
    *notices_page.PAGES,
)
"""What staff see, outside of `/v1`."""

ROUTES = (*OPERATIONS, *webhooks.GREETINGS, *PAGES)

VISITS_MAX = 1000
"""Requests that are answered at once."""


def application(keeper: Keeper) -> ASGIApp:
    """The web process over an open journal."""
    framework = Litestar(
        [
            *(_methods_at(path) for path in dict.fromkeys(one.path for one in ROUTES)),
            *(_mounted(operation, keeper) for operation in ROUTES),
            health.live,
            health.ready,
            metrics.metrics,
            document_route(OPERATIONS, keeper.catalogue),
            *page_routes(),
        ],
        state=State({"keeper": keeper}),
        lifespan=[_frozen, _completing],
        exception_handlers={HTTPException: _problem, Exception: _problem},
        template_config=templates(),
        openapi_config=None,
        logging_config=None,
        request_max_body_size=None,
    )

    inside = 0

    async def two_doors(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal inside
        if not _is_http(scope):
            await framework(scope, receive, send)
            return
        if inside >= VISITS_MAX:
            full = Overloaded(f"{inside} requests are being answered already; try again shortly")
            await respond(refused(full), keeper, request_id(dict(scope["headers"])), send)
            return
        inside += 1
        try:
            if _is_transition(scope):
                await serve(transitions.MAKE, keeper, scope, receive, send)
            else:
                await framework(_routable(scope), receive, send)
        finally:
            inside -= 1

    return two_doors


def _is_http(scope: Scope) -> TypeGuard[HTTPScope]:
    return scope["type"] == ScopeType.HTTP


def _is_transition(scope: HTTPScope) -> bool:
    """`POST /v1/{collection}/{id}/transitions`, and nothing that only looks like it."""
    path: str = scope["path"]
    return (
        scope["method"] == "POST"
        and path.endswith("/transitions")
        and path.startswith("/v1/")
        and path.count("/") == _TRANSITION_SLASHES
        and b"%2f" not in scope["raw_path"].lower()
    )


def _routable(scope: HTTPScope) -> HTTPScope:
    """The scope with a path in which a slash inside of a part, `%2F`, separates nothing."""
    if b"%2f" not in scope["raw_path"].lower():
        return scope
    kept = _SLASH.sub(b"%252F", scope["raw_path"]).decode("latin-1")
    return {**scope, "path": unquote(kept)}


_SLASH = re.compile(rb"%2f", re.IGNORECASE)
_TRANSITION_SLASHES = transitions.MAKE.path.count("/")


def _mounted(operation: Operation, keeper: Keeper) -> HTTPRouteHandler:
    """An operation as Litestar's routing knows it."""
    pattern = operation.path.split("/")
    of_cases = operation.path.startswith("/{collection}/")  # a page: anything could be meant
    of_list = operation.path == "/{collection}"

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        assert _is_http(scope)
        await serve(operation, keeper, scope, receive, send)

    async def handle(request: Request[Any, Any, Any]) -> ASGIApp:
        # Litestar's routing takes `/v1//jobs/` for `/v1/jobs`; here an address has one spelling.
        parts = request.scope["raw_path"].decode("latin-1").split("/")
        is_lost = of_cases or (of_list and not _wants_page(request))  # a page names the lists
        if not _matches(pattern, parts) or (is_lost and not _is_collection(parts[1], keeper)):
            raise NotFoundException
        return answer

    return route(
        _template(operation.path),
        http_method=[_method(operation.method)],
        status_code=operation.status,
        include_in_schema=False,
        name=f"{operation.method} {operation.path}",
    )(handle)


def _wants_page(request: Request[Any, Any, Any]) -> bool:
    return render.wants_page(request.headers.get("accept", "").encode("latin-1"))


def _is_collection(part: str, keeper: Keeper) -> bool:
    return part.partition(".")[0] in keeper.catalogue.lifecycles


def _methods_at(path: str) -> HTTPRouteHandler:
    """`OPTIONS` at an address; Litestar's own answer knows of one operation there only."""
    told = (one.method for one in (*OPERATIONS, *PAGES) if one.path == path)
    methods = sorted({"OPTIONS", *told})

    def tell() -> Response[None]:
        return Response(None, status_code=204, headers={"allow": ", ".join(methods)})

    return route(
        _template(path),
        http_method=["OPTIONS"],
        status_code=204,
        sync_to_thread=False,
        include_in_schema=False,
        name=f"OPTIONS {path}",
    )(tell)


def _template(path: str) -> str:
    """An operation's path as Litestar writes it; a reference may hold slashes."""
    return path.replace("}", ":str}").replace("{ref:str}", "{ref:path}")


def _method(name: str) -> Method:
    return name  # type: ignore[return-value]  # one of HTTP's methods


@asynccontextmanager
async def _completing(app: Litestar) -> AsyncIterator[None]:
    """What products were too slow to tell, or told too often, is gone on with beside all else."""
    keeper: Keeper = app.state.keeper
    beside = [asyncio.create_task(one(keeper)) for one in (complete_all, release_all)]
    yield
    for task in beside:
        task.cancel()
    await asyncio.wait(beside)
    await keeper.fetcher.close()


@asynccontextmanager
async def _frozen(_: Litestar) -> AsyncIterator[None]:
    """What stands after the start is not looked at by the garbage collector again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    yield


def _problem(request: Request[Any, Any, Any], exc: Exception) -> Response[bytes]:
    """What the framework itself refuses, in the same form as everything else."""
    keeper: Keeper = request.app.state.keeper
    visit = Visit(request.scope, b"")
    refusal = _refusal(request, exc)
    is_page = not request.scope["path"].startswith("/v1/")
    answer = render.refuse(keeper, visit, refusal) if is_page else refused(refusal)
    headers = {name.decode(): value.decode() for name, value in answer.headers}
    headers["cache-control"] = "no-store"
    headers["x-request-id"] = request_id(dict(request.scope["headers"]))
    headers["statekeeper-position"] = str(keeper.journal.position)
    return Response(
        answer.body,
        status_code=answer.status,
        media_type=answer.media_type.decode().partition(";")[0],
        headers=headers,
    )


def _refusal(request: Request[Any, Any, Any], exc: Exception) -> Refusal:
    path = request.scope["path"][:200]
    match exc:
        case MethodNotAllowedException():
            allowed = _allowed(request.scope["path"])
            return MethodNotAllowed(
                f"{path!r} does not take {request.method} (it takes {', '.join(allowed)})",
                allowed=allowed,
            )
        case NotFoundException() | HTTPException():
            return NotFound(f"nothing is at {path!r}")
    return InternalFault("this is our fault; the service's log says more")


def _allowed(path: str) -> list[str]:
    """The methods that the operations at this address take; what stands plainly goes first."""
    parts = path.rstrip("/").split("/")
    paths = {one.path for one in ROUTES if _matches(one.path.split("/"), parts)}
    if not paths:
        return ["GET"]
    nearest = min(paths, key=lambda one: [part.startswith("{") for part in one.split("/")])
    return sorted(one.method for one in ROUTES if one.path == nearest)


def _matches(pattern: Sequence[str], parts: Sequence[str]) -> bool:
    if pattern[-1] == "{ref}" and len(parts) > len(pattern):
        parts = [*parts[: len(pattern) - 1], "ref"]
    return len(pattern) == len(parts) and all(
        bool(other) if one.startswith("{") else one == other
        for one, other in zip(pattern, parts, strict=True)
    )
