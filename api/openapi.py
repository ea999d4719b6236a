"""The description of `/v1` for machines: OpenAPI 3.1, made from the operations themselves."""

from collections.abc import Sequence
from typing import Any

from litestar import MediaType, Response, get
from litestar.handlers import HTTPRouteHandler

from api.door import Operation


def document_route(operations: Sequence[Operation]) -> HTTPRouteHandler:
    """Serve the description."""
    from api.problems import JSON

    content = JSON.encode(document(operations))

    @get("/schema/openapi.json", sync_to_thread=False, include_in_schema=False)
    def show() -> Response[bytes]:
        return Response(content, media_type=MediaType.JSON)

    return show


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """Describe these operations."""
    return {"openapi": "3.1.0", "info": {"title": "Statekeeper", "version": "0.1.0"}, "paths": {}}
