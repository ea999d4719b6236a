"""Which records of several tools are one case, and how sure that is.

In this order: what tools keep of each other (references), keys that stand once in each tool and
go with a like name (an e-mail address, a phone), then a score of everything that is known of
both, which explains itself. What is likely but not sure is left to a person, whose answers are
kept in a file and go before everything else.

A wrong link is worse than a missed one: it would invent disagreements. So a link needs a second
witness, and of two that are nearly as good neither is taken.

A million records are matched, so nothing is held of them but numbers: what is compared for being
the same is hashed, and a record is unpacked only when it is looked at.
"""

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Final

from msgspec import Struct

from api.audit.decisions import pair_key, record_name
from api.audit.grouping import Clusters, Groups, How, Tie, Ties
from api.audit.likeness import (
    blocks,
    compare,
    enough,
    money_likeness,
    name_likeness,
    title_likeness,
)
from api.audit.records import Record

LINKED_FROM: Final = 0.90
"""A score from here links by itself, where no other comes near."""
CONFIRM_FROM: Final = 0.65
"""A score from here is shown to a person."""
MARGIN: Final = 0.04
"""How far the next best must stay behind."""
NAME_LIKE: Final = 0.75
"""Names that are so much alike may be one name, mistyped."""
BLOCK_PARTS: Final = 16
"""Blocks are looked at in so many parts, so that not all of them stand in memory."""
BLOCK_MAX: Final = 40
"""Records that share so little that more than these share it are not compared for it."""
KEYS: Final = ("email", "phone")
"""What is declared to tell customers apart, unless told otherwise."""


class Matching(Struct, frozen=True):
    """Every record in exactly one cluster, and what a person should look at."""

    clusters: Clusters
    to_confirm: tuple[Tie, ...]
    """The most likely first."""


def match(
    records: Sequence[Record],
    decisions: Mapping[str, bool] | None = None,
    keys: Sequence[str] = KEYS,
) -> Matching:
    """Match the records of all tools; `decisions` are a person's, by the key of the pair."""
    return _Matching(records, decisions or {}, keys).run()


class _Known:
    """What is known of all records, as numbers: 0 is nothing, the same number the same text."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.email = array("q")
        self.phone = array("q")
        self.name = array("q")
        self.ids: dict[int, int | list[int]] = {}
        """A tool's id of a record, hashed → the records that it may mean."""
        self.wanted = array("q")
        self.wanting = array("I")
        """References to other tools: the id, hashed, and the record that holds it."""
        self.kinds: dict[int, str] = {}
        """Reference (its place in `wanted`) → the only kind of record that it may mean."""
        self.twins: list[tuple[int, int]] = []
        """(a record, an earlier one that it repeats word for word, or by its id)."""
        self.slots: dict[tuple[str, str], int] = {}
        self.slot: list[int] = []
        """Of each record: a bit for its tool and kind."""
        self.tools: dict[str, int] = {}
        self.tool: list[int] = []
        """Of each record: a bit for its tool."""
        contents: dict[int, int] = {}
        for place, one in enumerate(records):
            self._take(place, one)
            first = self._repeated(one, place, records)
            if first is None and one.name and one.title and one.money and (one.email or one.phone):
                first = contents.setdefault(hash(_content(one)), place)
                if first != place and _content(records[first]) != _content(one):
                    first = None
            if first is not None and first != place:
                self.twins.append((place, first))
            for ref in {one.ref.casefold(), *(ref.casefold() for ref in one.also)}:
                _add(self.ids, hash((one.tool, ref)), place)

    def _take(self, place: int, one: Record) -> None:
        self.email.append(hash(one.email) if one.email else 0)
        self.phone.append(hash(one.phone) if one.phone else 0)
        self.name.append(hash(one.name) if one.name else 0)
        self.slot.append(self.slots.setdefault((one.tool, one.kind), 1 << len(self.slots)))
        self.tool.append(self.tools.setdefault(one.tool, 1 << len(self.tools)))
        for target, ref in one.references:
            tool, _, kind = target.partition(":")
            if tool != one.tool:
                if kind:
                    self.kinds[len(self.wanted)] = kind
                self.wanted.append(hash((tool, ref.casefold())))
                self.wanting.append(place)

    def _repeated(self, one: Record, place: int, records: Sequence[Record]) -> int | None:
        """The first record of the same kind that has the same id."""
        for other in _listed(self.ids.get(hash((one.tool, one.ref.casefold())))):
            if self.slot[other] == self.slot[place]:
                earlier = records[other]
                if (earlier.tool, earlier.ref.casefold()) == (one.tool, one.ref.casefold()):
                    return other
        return None

    def agree(self, left: int, right: int) -> bool:
        """Whether a key of both, or the name of both, is the same."""
        return bool(
            (self.email[left] and self.email[left] == self.email[right])
            or (self.phone[left] and self.phone[left] == self.phone[right])
        )


class _Matching:
    """The work of one matching: groups of records that grow together."""

    def __init__(
        self, records: Sequence[Record], decisions: Mapping[str, bool], keys: Sequence[str]
    ) -> None:
        self._records = records
        self._decisions = decisions
        self._keys = keys
        self._known = _Known(records)
        self._groups = Groups(self._known.slot, self._known.tool)
        self._ties = Ties()
        self._twin: dict[int, int] = {}
        self._doubtful: dict[tuple[int, int], Tie] = {}

    def run(self) -> Matching:
        for place, first in self._known.twins:
            if self._decision(place, first) is not False:
                self._twin[place] = self._twin.get(first, first)
                self._groups.repeat(place, self._twin[place])
        self._obey()
        self._follow_references()
        for key in self._keys:
            self._join_on(key)
        self._score()
        return Matching(
            Clusters.of(self._groups, self._ties, self._twin), tuple(self._to_confirm())
        )

    def _obey(self) -> None:
        """What a person decided goes before everything else."""
        if not any(self._decisions.values()):
            return
        wanted = {
            name for pair, same in self._decisions.items() if same for name in pair.split(" = ", 1)
        }
        places = {
            name: place
            for place, one in enumerate(self._records)
            if (name := record_name(one)) in wanted
        }
        for pair, same in self._decisions.items():
            left, _, right = pair.partition(" = ")
            if same and left in places and right in places:
                self._join(places[left], places[right], How.CONFIRMED, 1.0)

    # What tools keep of each other.

    def _follow_references(self) -> None:
        known = self._known
        for at, (place, wanted) in enumerate(zip(known.wanting, known.wanted, strict=True)):
            found = [one for one in _listed(known.ids.get(wanted)) if one not in self._twin]
            if at in known.kinds:
                found = [one for one in found if self._records[one].kind in {known.kinds[at], ""}]
            if len(found) > 1:  # one number, several records: which is meant, a key tells
                found = [other for other in found if known.agree(place, other)]
            for other in found:
                self._take_reference(place, other)
        known.ids.clear()

    def _take_reference(self, place: int, other: int) -> None:
        if self._groups.together(place, other) or self._decision(place, other) is False:
            return
        known = self._known
        if known.agree(place, other) or known.name[place] == known.name[other] != 0:
            self._join(place, other, How.REFERENCE, 1.0)
            return
        mine, theirs = self._records[place], self._records[other]
        like = name_likeness(mine, theirs)
        score, reasons = compare(mine, theirs)
        if (like or 0) >= NAME_LIKE or not reasons or score >= CONFIRM_FROM:
            self._join(place, other, How.REFERENCE, 1.0)
        else:  # an id that leads to somebody else entirely was mistyped, or reused
            self._doubt(Tie(place, other, How.REFERENCE, score))

    # What each tool should hold once.

    def _join_on(self, key: str) -> None:
        holders: dict[int, int | list[int]] = {}
        for place, value in enumerate(self._known.email if key == "email" else self._known.phone):
            if value and place not in self._twin:
                _add(holders, value, place)
        how = How.EMAIL if key == "email" else How.PHONE
        slot, together = self._known.slot, self._groups.together
        for places in holders.values():
            if isinstance(places, int):
                continue
            if len({slot[place] for place in places}) < len(places):
                continue
            for left, right in combinations(places, 2):
                if not together(left, right) and self._may_join(left, right):
                    self._weigh_key(left, right, how)

    def _weigh_key(self, left: int, right: int, how: How) -> None:
        mine, theirs = self._records[left], self._records[right]
        known = self._known
        like = name_likeness(mine, theirs)
        others = known.phone if how is How.EMAIL else known.email
        witnessed = others[left] == others[right] != 0
        another_job = money_likeness(mine, theirs) == 0 and (title_likeness(mine, theirs) or 0) < 1
        if not another_job and (witnessed or (like is not None and like >= NAME_LIKE)):
            score, _ = compare(mine, theirs)
            self._join(left, right, how, score)

    # Everything that is known of both.

    def _score(self) -> None:
        """Compare what is left, within blocks; link the best where no other comes near."""
        weighed: list[tuple[float, int, int, bool]] = []
        best: dict[tuple[int, int], list[float]] = defaultdict(list)
        slot = self._known.slot
        for left, right in self._candidates():
            score, reasons = compare(self._records[left], self._records[right])
            if score >= CONFIRM_FROM - MARGIN:
                weighed.append((-score, left, right, enough(reasons)))
                best[left, slot[right]].append(score)
                best[right, slot[left]].append(score)
        for negative, left, right, known_enough in sorted(weighed):
            score = -negative
            if not self._may_join(left, right):
                continue
            rivals = (best[left, slot[right]], best[right, slot[left]])
            alone = all(sum(other > score - MARGIN for other in rival) == 1 for rival in rivals)
            if score >= LINKED_FROM and alone and known_enough:
                self._join(left, right, How.SCORE, score)
            elif score >= CONFIRM_FROM:
                self._doubt(Tie(left, right, How.SCORE, score))

    def _candidates(self) -> Iterator[tuple[int, int]]:
        """Pairs worth comparing: both lack the other's tool, and they have something in common."""
        parts = [(array("q"), array("I")) for _ in range(BLOCK_PARTS)]
        for place, one in enumerate(self._records):
            if place in self._twin or self._groups.complete(place):
                continue
            for block in blocks(one):
                hashed = hash(block)
                hashes, places = parts[hashed % BLOCK_PARTS]
                hashes.append(hashed)
                places.append(place)
        seen: set[tuple[int, int]] = set()
        while parts:  # one part after the other: only of one the blocks stand in memory
            shared: dict[int, int | list[int]] = {}
            for hashed, place in zip(*parts.pop(), strict=True):
                _add(shared, hashed, place)
            for held in shared.values():
                if isinstance(held, int) or len(held) > BLOCK_MAX:
                    continue
                for pair in combinations(held, 2):
                    if pair not in seen and self._may_join(*pair):
                        seen.add(pair)
                        yield pair

    # Groups.

    def _may_join(self, left: int, right: int) -> bool:
        """Whether one case could hold both: not two records of one kind of one tool."""
        return (
            self._groups.fit(left, right)
            and self._known.tool[left] != self._known.tool[right]
            and self._decision(left, right) is not False
        )

    def _join(self, left: int, right: int, how: How, score: float) -> None:
        self._ties.add(left, right, how, score)
        self._groups.join(left, right)

    def _doubt(self, doubt: Tie) -> None:
        pair = (min(doubt.left, doubt.right), max(doubt.left, doubt.right))
        self._doubtful.setdefault(pair, doubt)

    def _decision(self, left: int, right: int) -> bool | None:
        if not self._decisions:
            return None
        return self._decisions.get(pair_key(self._records[left], self._records[right]))

    def _to_confirm(self) -> Iterable[Tie]:
        open_still = [
            doubt
            for doubt in self._doubtful.values()
            if not self._groups.together(doubt.left, doubt.right)
        ]
        return sorted(open_still, key=lambda doubt: (-doubt.score, doubt.left, doubt.right))


def _content(one: Record) -> tuple[object, ...]:
    """Everything that tells one job from another."""
    amount = one.money.amount if one.money else None
    return (
        *(one.tool, one.kind, one.name, one.title, one.email, one.phone),
        *(one.address, amount),
    )


def _add(places: dict[int, int | list[int]], key: int, place: int) -> None:
    """Keep one place as itself and several as a list: of a million most are one."""
    there = places.setdefault(key, place)
    if isinstance(there, list):
        if there[-1] != place:
            there.append(place)
    elif there != place:
        places[key] = [there, place]


def _listed(places: int | list[int] | None) -> Sequence[int]:
    if places is None:
        return ()
    return (places,) if isinstance(places, int) else places
