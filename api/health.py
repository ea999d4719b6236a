"""Whether this process lives, and whether it can serve; open to all."""

from litestar import MediaType, Response, get
from litestar.datastructures import State
from msgspec import Struct

from api.door import Keeper
from lifecycle.events import DefinitionAdopted
from lifecycle.streams import definition_stream


class Health(Struct):
    """How this process is."""

    status: str
    reason: str | None = None
    position: int | None = None
    """The last position of the log that this process has seen."""
    queued: int | None = None
    """Asks that wait for the writer."""


@get("/health/live", sync_to_thread=False, include_in_schema=False)
def live() -> Health:
    """This process answers."""
    return Health("live")


@get("/health/ready", sync_to_thread=False, include_in_schema=False)
def ready(state: State) -> Response[Health]:
    """This process can take asks: its database answers, its definitions decide, lists follow."""
    keeper: Keeper = state.keeper
    journal = keeper.journal
    reason = journal.unavailable or not_adopted(keeper) or _starting(keeper)
    health = Health("not ready" if reason else "ready", reason, journal.position, journal.queued)
    return Response(health, status_code=503 if reason else 200, media_type=MediaType.JSON)


def _starting(keeper: Keeper) -> str | None:
    return "the lists are brought up to date" if keeper.starting.is_set() else None


def not_adopted(keeper: Keeper) -> str | None:
    """Which definition of this process is not the one that decides."""
    for lifecycle in keeper.catalogue.lifecycles.values():
        known = keeper.journal.memory.peek(definition_stream(lifecycle.name))
        adopted = known.state if known else None
        if isinstance(adopted, DefinitionAdopted) and adopted.digest != lifecycle.mark.digest:
            return (
                f"version {adopted.version} of {lifecycle.name!r} was adopted,"
                f" this process holds version {lifecycle.mark.version}"
            )
    return None
