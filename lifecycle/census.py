"""Where every case of a collection stands, and what it is known by: read from the whole log."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from lifecycle.chart import Configuration
from lifecycle.events import (
    CarriedOver,
    CaseOpened,
    Event,
    StateCorrected,
    TransitionMade,
    Valued,
)
from lifecycle.journal import Journal


class Standing(Struct, frozen=True):
    """Where a case stands, and the names of the fields it has."""

    states: Configuration = ()
    before: Configuration = ()
    """Where it stood last in the words of an earlier version of the definition."""
    fields: tuple[str, ...] = ()
    version: int = 0
    """Of the definition that last moved it."""


def census(journal: Journal, collection: str, version: int) -> Mapping[str, Standing]:
    """Every case of a collection by its name, like `jobs/J-1042`.

    `before` is told apart by `version`: what an earlier one did is before it.
    """
    standing: dict[str, Standing] = {}
    position, prefix = 0, f"case:{collection}/"
    while tail := journal.recorder.tail(position):
        for stored in tail:
            if str(stored.originator_id).startswith(prefix):
                entry = journal.mapper.to_domain_event(stored)
                case = entry.stream.removeprefix("case:")
                standing[case] = _moved(standing.get(case, _NOWHERE), entry.event, version)
        position = tail[-1].id
    return standing


def _moved(where: Standing, event: Event, version: int) -> Standing:
    states, before, fields, by = where.states, where.before, where.fields, where.version
    if isinstance(event, CaseOpened | TransitionMade | StateCorrected | CarriedOver):
        states, by = event.to, event.definition.version
        before = states if by < version else before
    if isinstance(event, Valued):
        told = {**event.fields, **event.personal}
        kept = dict.fromkeys(name for name in fields if name not in told)
        fields = (*kept, *(name for name, value in told.items() if value is not None))
    if isinstance(event, CarriedOver):
        fields = tuple(event.renamed.get(name, name) for name in fields)
    return Standing(states, before, fields, by)


_NOWHERE: Final = Standing()
