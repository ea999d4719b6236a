"""A page for every kind of problem."""

from litestar.handlers import HTTPRouteHandler


def page_routes() -> list[HTTPRouteHandler]:
    """The pages open to all."""
    return []
