"""Goes on with what waits for a reference where that is more than one append decides.

What is left stands in the log, so it is gone on with after a restart too, by whichever process
comes first; that two do so at once does no harm. Between two parts everybody else has their turn.
"""

import asyncio
from typing import Final

import structlog

from api.door import Keeper
from lifecycle.asks import Ask
from lifecycle.events import Asker
from lifecycle.messages import Release, Waiting
from lifecycle.refusals import Overloaded, Refusal, StorageUnavailable
from lifecycle.streams import releasing_stream

LOOK_SECONDS: Final = 2.0
"""How often it is looked for what was left."""

log = structlog.get_logger("statekeeper.releasing")


async def release_all(keeper: Keeper) -> None:
    """Go on for ever, until cancelled."""
    faulty: set[str] = set()
    while True:
        for tool in keeper.catalogue.tools():
            try:
                await _release(keeper, tool, faulty)
            except Refusal:  # the log cannot be used; it says so itself
                continue
            except Exception:
                log.exception("fault", tool=tool)
        await asyncio.sleep(LOOK_SECONDS)


async def _release(keeper: Keeper, tool: str, faulty: set[str]) -> None:
    """Have everything decided that was left for a tool's references, a part of each in turn.

    What cannot be decided is logged the first time, and looked at again the next; the others go on.
    """
    journal = keeper.journal
    lifecycles = keeper.catalogue.lifecycles.items()
    among = [name for name, one in lifecycles if tool in one.declaration.tools]
    failed: set[str] = set()
    while parts := [one for one in await _left(keeper, tool) if one not in failed]:
        for parked in parts:
            what = Release(parked=parked)
            ask = Ask(asker=Asker(), collection=among[0], what=what)
            (outcome,) = await journal.answer_many([ask], 0)
            if isinstance(outcome, StorageUnavailable | Overloaded):
                raise outcome
            if not isinstance(outcome, BaseException):
                faulty.discard(parked)
                continue
            failed.add(parked)
            if parked not in faulty:
                faulty.add(parked)
                log.error("fault", tool=tool, parked=parked, exc_info=outcome)


async def _left(keeper: Keeper, tool: str) -> tuple[str, ...]:
    state = (await keeper.journal.known(releasing_stream(tool))).state
    return state.messages if isinstance(state, Waiting) else ()
