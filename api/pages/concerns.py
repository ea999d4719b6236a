"""What waits for somebody, besides cases whose time has run out.

Each number leads to the work list behind it.
"""

from collections import Counter

from msgspec import Struct

from api.door import Keeper
from api.pages import notices
from api.pages.telling import untold
from projections import drift
from projections.records import counts
from projections.store import Session


class Concerns(Struct, frozen=True):
    """How much waits for somebody; None where that is not known."""

    drift: int | None = None
    """Where a tool and the shared state differ."""
    waiting: int | None = None
    """Claims of owners that came too early."""
    parked: int | None = None
    """Messages that nobody could place."""
    untold: int | None = None
    """Tools that are not being told: they take nothing, or have no address and are due."""
    given_up: int | None = None
    """Notices that were given up."""
    by_hand: int | None = None
    """Notices that a person is to carry."""


def concerns(keeper: Keeper, session: Session) -> Concerns:
    """What the read models know of it at this moment."""
    messages = Counter[str]()
    for (_, outcome), number in counts(session, "messages").items():
        messages[outcome] += number
    told = notices.counts(keeper, session)
    differences = drift.counts(session, keeper.journal.clock())
    return Concerns(
        drift=sum(number for (_, sort), number in differences.items() if sort == "standing"),
        waiting=messages["early"],
        parked=messages["parked"],
        untold=len({one.tool for one in untold(keeper, session)}),
        given_up=told["given-up"],
        by_hand=told["by-hand"],
    )
