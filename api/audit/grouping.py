"""Groups of records that grow together, held as numbers; in the end each is one case."""

from array import array
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Self, overload

from msgspec import Struct


class How(IntEnum):
    """Why two records are taken for one case."""

    REFERENCE = 0
    EMAIL = 1
    PHONE = 2
    SCORE = 3
    CONFIRMED = 4

    @property
    def written(self) -> str:
        """As the report and its files say it."""
        return ("reference", "key:email", "key:phone", "score", "confirmed")[self]


class Tie(Struct, frozen=True, gc=False):
    """Two records (by their places) that are one case, or may be."""

    left: int
    right: int
    how: How
    score: float


class Cluster(Struct, frozen=True, gc=False):
    """The records of one case, by their places."""

    records: tuple[int, ...]
    ties: tuple[Tie, ...] = ()
    twins: tuple[tuple[int, int], ...] = ()
    """(a record, the earlier one of the same tool that it repeats)."""


class Ties:
    """All ties, in the order in which they were made."""

    def __init__(self) -> None:
        """None yet."""
        self.left = array("I")
        self.right = array("I")
        self.how = array("B")
        self.score = array("d")

    def add(self, left: int, right: int, how: How, score: float) -> None:
        """Keep one more."""
        self.left.append(left)
        self.right.append(right)
        self.how.append(how)
        self.score.append(score)

    def __len__(self) -> int:
        return len(self.left)

    def __getitem__(self, at: int) -> Tie:
        return Tie(self.left[at], self.right[at], How(self.how[at]), self.score[at])


class Groups:
    """Which records belong together so far; each group is known by its first record."""

    def __init__(self, slot: Sequence[int], tool: Sequence[int]) -> None:
        """Every record alone; `slot` and `tool` are bits for its tool and kind, and its tool."""
        self._parent = array("I", range(len(slot)))
        self._held = list(slot)
        self._covered = list(tool)
        self._all = 0
        for bit in set(tool):
            self._all |= bit

    def __len__(self) -> int:
        return len(self._parent)

    def first(self, place: int) -> int:
        """The first record of its group."""
        parent = self._parent
        while (above := parent[place]) != place:
            parent[place] = place = parent[above]
        return place

    def together(self, left: int, right: int) -> bool:
        """Whether both stand in one group."""
        return self.first(left) == self.first(right)

    def complete(self, place: int) -> bool:
        """Whether every tool knows its case."""
        return self._covered[self.first(place)] == self._all

    def fit(self, left: int, right: int) -> bool:
        """Whether the two groups are two, and fill no slot twice between them."""
        mine, theirs = self.first(left), self.first(right)
        return mine != theirs and not self._held[mine] & self._held[theirs]

    def repeat(self, place: int, first: int) -> None:
        """Take a record for the repetition of another: it fills no slot of its own."""
        self._parent[place] = first

    def join(self, left: int, right: int) -> None:
        """Make one group of two."""
        mine, theirs = sorted((self.first(left), self.first(right)))
        if mine != theirs:
            self._parent[theirs] = mine
            self._held[mine] |= self._held[theirs]
            self._covered[mine] |= self._covered[theirs]


class Clusters(Sequence[Cluster]):
    """All groups, each as a cluster when it is looked at, in the order of their first records."""

    def __init__(
        self,
        spans: tuple[Sequence[int], Sequence[int]],
        tied: tuple[Sequence[int], Sequence[int]],
        ties: Ties,
        twins: Mapping[int, int],
    ) -> None:
        """`spans` and `tied`: members one group behind the other, and where each group begins."""
        self._members, self._starts = spans
        self._tied, self._tied_starts = tied
        self._ties = ties
        self._twins = twins

    @classmethod
    def of(cls, groups: Groups, ties: Ties, twins: Mapping[int, int]) -> Self:
        """Number the groups, and sort what belongs to each."""
        number: dict[int, int] = {}
        member_of = array("I")
        for place in range(len(groups)):
            first = groups.first(place)
            member_of.append(number.setdefault(first, len(number)))
        tied_to = array("I", (member_of[left] for left in ties.left))
        return cls(_sorted(member_of, len(number)), _sorted(tied_to, len(number)), ties, twins)

    def __len__(self) -> int:
        return len(self._starts) - 1

    @overload
    def __getitem__(self, at: int) -> Cluster: ...
    @overload
    def __getitem__(self, at: slice) -> list[Cluster]: ...
    def __getitem__(self, at: int | slice) -> Cluster | list[Cluster]:
        """Look at one, or at several."""
        if isinstance(at, slice):
            return [self[one] for one in range(*at.indices(len(self)))]
        if not 0 <= at < len(self):
            raise IndexError(at)
        records = tuple(self._members[self._starts[at] : self._starts[at + 1]])
        tied = self._tied[self._tied_starts[at] : self._tied_starts[at + 1]]
        twins = self._twins
        return Cluster(
            records,
            tuple(self._ties[one] for one in tied),
            tuple((one, twins[one]) for one in records if one in twins) if twins else (),
        )


def _sorted(group_of: Sequence[int], groups: int) -> tuple[Sequence[int], Sequence[int]]:
    """Places by their group, in order within each, and where each group begins."""
    starts = array("I", [0]) * (groups + 1)
    for group in group_of:
        starts[group + 1] += 1
    for group in range(groups):
        starts[group + 1] += starts[group]
    following = array("I", starts)
    order = array("I", [0]) * len(group_of)
    for place, group in enumerate(group_of):
        order[following[group]] = place
        following[group] += 1
    return order, starts
