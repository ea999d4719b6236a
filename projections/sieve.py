"""What may be asked of the cases of a list besides their order, and the cutting out of those.

It is cut out of the sets that the board keeps, block by block: cases in a state, cases that hold a
word. So the work is bounded by the number of blocks, whatever is common and whatever never meets.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final

from msgspec import Struct

from projections.blocks import WHOLE, bit_of, block_of, numbers, unpacked
from projections.follower import written
from projections.store import Session, as_json
from projections.tables import board as tables
from projections.words import looked_for

BLOCKS_FIRST: Final = 4
"""Blocks that are cut at once in the beginning: often the newest are enough."""
BLOCKS_MAX: Final = 256
GROWTH: Final = 8
"""How many times more are cut the next time, where the page is not full."""
RANGED_FIRST: Final = 1
"""Blocks that are looked through at once in the beginning, where many words may begin as asked: in
one there may be thousands."""
DIFFERENCES_MAX: Final = 20_000
"""So many differences are looked up to find the cases that some tool differs from; where there are
more, cases are looked at for differences."""

Found = dict[int, int]
"""Some cases: by block, newest first, the bits of those in it."""


class CasesWanted(Struct, frozen=True, kw_only=True):
    """Which cases of a collection a list is to hold."""

    collection: str
    state: str = ""
    """An active state, ancestors included, or leaves joined by `+`; empty for any."""
    configurations: tuple[str, ...] | None = None
    """Leaves, joined, one of which it must be; None for any. See `finding.configurations_with`."""
    updated_since: datetime | None = None
    overdue_at: datetime | None = None
    """Only those whose limit has run out by then."""
    differing_at: datetime | None = None
    """Only those that some tool differs from, where that is not dismissed at that time."""
    differs: str = ""
    """With `differing_at`: this tool."""
    words: tuple[str, ...] = ()
    """All of them, the last of which may only begin so."""
    visible: frozenset[str] = frozenset()
    """The personal fields in which a word may be found."""


class Sieve:
    """What is asked of cases, ready to be cut out of many."""

    def __init__(self, session: Session, wanted: CasesWanted) -> None:
        """Look up what is the same for all blocks."""
        self._session = session
        self._collection = wanted.collection
        self._states: list[Sequence[str]] = [[wanted.state]] if wanted.state else []
        if wanted.configurations is not None:
            self._states.append(self._there(wanted.configurations))
        self._fields = ["", *sorted(wanted.visible)]
        self._words, self._range = looked_for(wanted.words)
        self._differing = self._differing_from(wanted)

    @property
    def lets_all_through(self) -> bool:
        """Whether nothing is asked that could be cut out."""
        return not (self._states or self._words) and self._differing is None

    def up_to(self, last: int) -> Iterator[int]:
        """Number the cases that fit, from this one on, newest first."""
        high, size = block_of(last), BLOCKS_FIRST
        cut = 2 * bit_of(last) - 1
        while high >= 0:
            blocks = range(high, max(-1, high - size), -1)
            found = {block: cut if block == block_of(last) else WHOLE for block in blocks}
            for block, bits in self._cut(found):
                yield from numbers(block, bits)
            high, size = high - size, min(GROWTH * size, BLOCKS_MAX)

    def of(self, given: Sequence[int]) -> Iterator[int]:
        """Those of these cases that fit, in the order in which they are given."""
        if self.lets_all_through:
            yield from given
            return
        found: Found = {}
        for number in sorted(given, reverse=True):
            block = block_of(number)
            found[block] = found.get(block, 0) | bit_of(number)
        fit = dict(self._cut(found))
        yield from (one for one in given if fit.get(block_of(one), 0) & bit_of(one))

    # --- cutting

    def _cut(self, found: Found) -> Iterator[tuple[int, int]]:
        """What is left of these cases, newest first."""
        if self._differing is not None:
            found = _common(found, self._differing.items())
        for states in self._states:
            found = self._in(states, found)
        if not (self._words and found):
            yield from found.items()
            return
        found, begun = self._holding(found)
        if self._range is None:
            yield from found.items()
            return
        left, size = iter(found.items()), RANGED_FIRST
        while part := dict(islice(left, size)):
            places = [(block, field, *self._range) for block in part for field in begun[block]]
            yield from self._holding_any(places, part).items()
            size = min(GROWTH * size, BLOCKS_MAX)

    def _in(self, states: Sequence[str], found: Found) -> Found:
        if not found or not states:
            return {}
        rows = self._session.rows(
            tables.SELECT_IN_STATES,
            collection=self._collection,
            states=as_json([[state] for state in states]),
            low=min(found),
            high=max(found),
        )
        return _common(found, ((block, unpacked(cases)) for block, cases in rows))

    def _holding(self, found: Found) -> tuple[Found, Mapping[int, Sequence[str]]]:
        """Those that hold all words; and by block, in which fields one begins as is asked."""
        rows = self._session.rows(
            tables.SELECT_HOLDERS,
            collection=self._collection,
            held=as_json([[field, word] for word in self._words for field in self._fields]),
            low=min(found),
            high=max(found),
        )
        holders: dict[str, list[tuple[int, int]]] = {word: [] for word in self._words}
        begun: dict[int, list[str]] = {}
        for word, field, block, cases in rows:
            holders[word].append((block, unpacked(cases)))
            if word == self._words[0]:
                begun.setdefault(block, []).append(field)
        for word in self._words:
            found = _common(found, holders[word])
        return found, begun

    def _holding_any(self, places: Sequence[tuple[int, str, str, str]], found: Found) -> Found:
        """Those that hold any word between bounds, in these blocks and fields."""
        rows = self._session.rows(
            tables.SELECT_RANGE, collection=self._collection, places=as_json(places)
        )
        return _common(found, ((block, unpacked(cases)) for block, cases in rows))

    # --- what is the same for all blocks

    def _there(self, configurations: Sequence[str]) -> Sequence[str]:
        """Those of the many ways in which states can be active that cases are in."""
        rows = self._session.rows(tables.SELECT_COUNTS)
        there = {state for collection, state, _ in rows if collection == self._collection}
        return [one for one in configurations if one in there]

    def _differing_from(self, wanted: CasesWanted) -> Found | None:
        """The cases that some tool differs from, if they are few."""
        if wanted.differing_at is None:
            return None
        asked = {"collection": wanted.collection, **differing(wanted)}
        ((many,),) = self._session.rows(tables.COUNT_DIFFERENCES, most=DIFFERENCES_MAX, **asked)
        if many == DIFFERENCES_MAX:
            return None
        rows = self._session.rows(tables.SELECT_DIFFERING, **asked)
        found: Found = {}
        for (number,) in rows:
            found[block_of(number)] = found.get(block_of(number), 0) | bit_of(number)
        return found


def differing(wanted: CasesWanted) -> Mapping[str, Any]:
    """What is asked of the differences of a case, as statements name it."""
    at = written(wanted.differing_at) if wanted.differing_at else ""
    return {"differing_at": at, "differs": wanted.differs}


def _common(found: Found, others: Iterable[tuple[int, int]]) -> Found:
    """What is among those that were found and among the others, of which a block may come twice."""
    union: Found = {}
    for block, bits in others:
        union[block] = union.get(block, 0) | bits
    both = ((block, bits & union.get(block, 0)) for block, bits in found.items())
    return {block: bits for block, bits in both if bits}
