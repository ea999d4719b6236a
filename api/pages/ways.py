"""How the tools of a lifecycle are told, as this process knows it."""

from collections.abc import Mapping
from typing import Final

from api.door import Keeper
from lifecycle.model import Lifecycle
from projections.routes import Route, routes

NO_ROUTES: Final[Mapping[str, Route]] = {}
"""Nothing is known of how tools are told."""


def routes_of(keeper: Keeper, lifecycle: Lifecycle) -> dict[str, Route]:
    """Tool → how it is told, of those that are."""
    known = routes({lifecycle.collection: lifecycle}, keeper.environment)
    return {tool: route for (tool, _), route in known.items()}
