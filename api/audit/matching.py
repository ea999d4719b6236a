"""Which records of several tools are one case, and how sure that is.

In this order: what tools keep of each other (references), keys that stand once in each tool and
go with a like name (an e-mail address, a phone), then a score of everything that is known of
both, which explains itself. What is likely but not sure is left to a person, whose answers are
kept in a file and go before everything else.

A wrong link is worse than a missed one: it would invent disagreements. So a link needs a second
witness, and of two that are nearly as good neither is taken.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Final

from msgspec import Struct
from rapidfuzz import fuzz
from rapidfuzz.distance import JaroWinkler

from api.audit.exports import Record
from api.audit.findings import Reason

WEIGHTS: Final[Mapping[str, float]] = {
    "name": 0.30,
    "email": 0.25,
    "phone": 0.15,
    "address": 0.10,
    "money": 0.10,
    "title": 0.10,
}
"""What each part counts, before it is shared out over those that both records have."""
LINKED_FROM: Final = 0.90
"""A score from here links by itself, where no other comes near."""
CONFIRM_FROM: Final = 0.65
"""A score from here is shown to a person."""
KNOWN_OF_BOTH_MIN: Final = 0.5
"""So much of the weight must be known of both records before a score may link by itself."""
MARGIN: Final = 0.04
"""How far the next best must stay behind."""
NAME_LIKE: Final = 0.75
"""Names that are so much alike may be one name, mistyped."""
BLOCK_MAX: Final = 40
"""Records that share so little that more than these share it are not compared for it."""
KEYS: Final = ("email", "phone")
"""What is declared to tell customers apart, unless told otherwise."""
DECISIONS_MAX: Final = 200_000


class Tie(Struct, frozen=True, gc=False):
    """Two records (by their places) that are one case, or may be."""

    left: int
    right: int
    how: str
    score: float
    reasons: tuple[Reason, ...] = ()


class Cluster(Struct, frozen=True, gc=False):
    """The records of one case, by their places."""

    records: tuple[int, ...]
    ties: tuple[Tie, ...]
    twins: tuple[tuple[int, int], ...] = ()
    """(a record, the earlier one of the same tool that it repeats)."""


class Matching(Struct, frozen=True):
    """Every record in exactly one cluster, and what a person should look at."""

    clusters: tuple[Cluster, ...]
    to_confirm: tuple[Tie, ...]
    """The most likely first."""


def match(
    records: Sequence[Record],
    decisions: Mapping[str, bool] | None = None,
    keys: Sequence[str] = KEYS,
) -> Matching:
    """Match the records of all tools; `decisions` are a person's, by the key of the pair."""
    return _Matching(records, decisions or {}, keys).run()


def pair_key(left: Record, right: Record) -> str:
    """Name two records, whichever comes first, so that an answer finds them next time."""
    mine, theirs = _named(left), _named(right)
    return f"{mine} = {theirs}" if mine < theirs else f"{theirs} = {mine}"


def compare(left: Record, right: Record) -> tuple[float, tuple[Reason, ...]]:
    """How much two records are alike, from 0 to 1, and why: the parts that both have."""
    parts = [
        (what, mine, theirs, likeness)
        for what, mine, theirs, likeness in _parts(left, right)
        if likeness is not None
    ]
    whole = sum(WEIGHTS[what] for what, _, _, _ in parts)
    if not whole:
        return 0.0, ()
    reasons = tuple(
        Reason(what, mine, theirs, round(likeness, 3), round(WEIGHTS[what] / whole, 3))
        for what, mine, theirs, likeness in parts
    )
    score = sum(WEIGHTS[what] * likeness for what, _, _, likeness in parts) / whole
    return round(score, 4), reasons


def read_decisions(path: Path) -> dict[str, bool]:
    """Read what was decided about doubtful pairs; the last word on a pair counts.

    A line is `{"pair": "…", "same": true}`. No file is no decisions. Raises `ValueError` with the
    line that cannot be read.
    """
    decisions: dict[str, bool] = {}
    if not path.exists():
        return decisions
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if number > DECISIONS_MAX:
                raise ValueError(f"{path.name}: more than {DECISIONS_MAX:,} decisions")
            if not line.strip():
                continue
            try:
                decision = json.loads(line)
                pair, same = decision["pair"], decision["same"]
            except (ValueError, KeyError, TypeError, RecursionError) as exc:
                message = f'{path.name}, line {number}: a decision is {{"pair": "…", "same": true}}'
                raise ValueError(message) from exc
            if not isinstance(pair, str) or not isinstance(same, bool):
                message = f"{path.name}, line {number}: `pair` is text, `same` is true or false"
                raise ValueError(message)  # noqa: TRY004 - what is wrong is the file
            decisions[pair] = same
    return decisions


def keep_decision(path: Path, pair: str, *, same: bool) -> None:
    """Add one decision to the file: what is answered is kept, even if the next never is."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"pair": pair, "same": same}, ensure_ascii=False) + "\n")


class _Matching:
    """The work of one matching: sets of records that grow together."""

    def __init__(
        self, records: Sequence[Record], decisions: Mapping[str, bool], keys: Sequence[str]
    ) -> None:
        self._records = records
        self._decisions = decisions
        self._keys = keys
        self._parent = list(range(len(records)))
        slots = {
            slot: 1 << at
            for at, slot in enumerate(dict.fromkeys((one.tool, one.kind) for one in records))
        }
        self._slot = [slots[one.tool, one.kind] for one in records]
        tools = {tool: 1 << at for at, tool in enumerate({one.tool for one in records})}
        self._all_tools = (1 << len(tools)) - 1
        self._covered = [tools[one.tool] for one in records]
        """Of each set's first record: the tools that know the case."""
        self._held = list(self._slot)
        """Of each set's first record: the slots that it fills."""
        self._ties: dict[int, list[Tie]] = defaultdict(list)
        self._twin: dict[int, int] = {}
        self._doubtful: dict[tuple[int, int], Tie] = {}

    def run(self) -> Matching:
        self._find_twins()
        self._obey()
        self._follow_references()
        for key in self._keys:
            self._join_on(key)
        self._score()
        return Matching(tuple(self._clusters()), tuple(self._to_confirm()))

    # What repeats itself within one tool.

    def _find_twins(self) -> None:
        """Take rows that repeat an id, or everything that tells one job from another, for one."""
        by_ref: dict[tuple[str, str, str], int] = {}
        by_content: dict[tuple[object, ...], int] = {}
        for place, one in enumerate(self._records):
            first = by_ref.setdefault((one.tool, one.kind, one.ref.casefold()), place)
            if first == place and one.name and one.title and one.money and (one.email or one.phone):
                content = (
                    *(one.tool, one.kind, one.name, one.title, one.email, one.phone),
                    *(one.address, one.money.amount),
                )
                first = by_content.setdefault(content, place)
            if first != place and self._decision(first, place) is not False:
                self._twin[place] = first
                self._parent[place] = first

    def _obey(self) -> None:
        """What a person decided goes before everything else."""
        if not any(self._decisions.values()):
            return
        places = {_named(one): place for place, one in enumerate(self._records)}
        for pair, same in self._decisions.items():
            left, _, right = pair.partition(" = ")
            if same and left in places and right in places:
                self._join(Tie(places[left], places[right], "confirmed", 1.0))

    # What tools keep of each other.

    def _follow_references(self) -> None:
        known: dict[tuple[str, str], list[int]] = defaultdict(list)
        for place, one in enumerate(self._records):
            if place not in self._twin:
                for ref in {one.ref.casefold(), *(ref.casefold() for ref in one.also)}:
                    known[one.tool, ref].append(place)
        for place, one in enumerate(self._records):
            for tool, ref in one.references:
                found = known.get((tool, ref.casefold()), ())
                if tool == one.tool:
                    continue
                for other in found if len(found) == 1 else self._witnessed(place, found):
                    self._take_reference(place, other)

    def _take_reference(self, place: int, other: int) -> None:
        if self._root(place) == self._root(other) or self._decision(place, other) is False:
            return
        mine, theirs = self._records[place], self._records[other]
        like = _name_likeness(mine, theirs)
        if _agree(mine, theirs) or (like is not None and like >= NAME_LIKE):
            self._join(Tie(place, other, "reference", 1.0))
            return
        score, reasons = compare(mine, theirs)
        if not reasons or score >= CONFIRM_FROM:
            self._join(Tie(place, other, "reference", 1.0))
        else:  # an id that leads to somebody else entirely was mistyped, or reused
            self._doubt(Tie(place, other, "reference", score, reasons))

    def _witnessed(self, place: int, others: Iterable[int]) -> list[int]:
        mine = self._records[place]
        return [other for other in others if _agree(mine, self._records[other])]

    # What each tool should hold once.

    def _join_on(self, key: str) -> None:
        holders: dict[str, list[int]] = defaultdict(list)
        for place, one in enumerate(self._records):
            if (value := getattr(one, key)) and place not in self._twin:
                holders[value].append(place)
        for places in holders.values():
            slots = [self._slot[place] for place in places]
            if len(places) < 2 or len(set(slots)) < len(slots):  # noqa: PLR2004 - a pair
                continue
            for left, right in combinations(places, 2):
                if self._may_join(left, right):
                    self._weigh_key(left, right, key)

    def _weigh_key(self, left: int, right: int, key: str) -> None:
        mine, theirs = self._records[left], self._records[right]
        like = _name_likeness(mine, theirs)
        others = sum(
            bool(getattr(mine, other)) and getattr(mine, other) == getattr(theirs, other)
            for other in KEYS
            if other != key
        )
        another_job = (
            _money_likeness(mine, theirs) == 0 and (_title_likeness(mine, theirs) or 0) < 1
        )
        if not another_job and (others or (like is not None and like >= NAME_LIKE)):
            score, _ = compare(mine, theirs)
            self._join(Tie(left, right, f"key:{key}", score))

    # Everything that is known of both.

    def _score(self) -> None:
        """Compare what is left, within blocks; link the best where no other comes near."""
        weighed: dict[tuple[int, int], tuple[float, tuple[Reason, ...]]] = {}
        best: dict[tuple[int, int], list[float]] = defaultdict(list)
        for left, right in self._candidates():
            score, reasons = compare(self._records[left], self._records[right])
            if score >= CONFIRM_FROM - MARGIN:
                weighed[left, right] = score, reasons
                best[left, self._slot[right]].append(score)
                best[right, self._slot[left]].append(score)
        for (left, right), (score, reasons) in sorted(
            weighed.items(), key=lambda item: (-item[1][0], item[0])
        ):
            if not self._may_join(left, right):
                continue
            rivals = (best[left, self._slot[right]], best[right, self._slot[left]])
            alone = all(sum(other > score - MARGIN for other in rival) == 1 for rival in rivals)
            tie = Tie(left, right, "score", score, reasons)
            if score >= LINKED_FROM and alone and _enough(reasons):
                self._join(tie)
            elif score >= CONFIRM_FROM:
                self._doubt(tie)

    def _candidates(self) -> Iterator[tuple[int, int]]:
        """Pairs worth comparing: both lack the other's tool, and they have something in common."""
        blocks: dict[str, list[int]] = defaultdict(list)
        for place, one in enumerate(self._records):
            if place in self._twin or self._covered[self._root(place)] == self._all_tools:
                continue
            for block in _blocks(one):
                blocks[block].append(place)
        seen: set[tuple[int, int]] = set()
        for places in blocks.values():
            if not 1 < len(places) <= BLOCK_MAX or len(set(map(self._root, places))) == 1:
                continue
            for pair in combinations(places, 2):
                if pair not in seen and self._may_join(*pair):
                    seen.add(pair)
                    yield pair

    # Sets.

    def _root(self, place: int) -> int:
        parent = self._parent
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    def _may_join(self, left: int, right: int) -> bool:
        """Whether one case could hold both: not two records of one kind of one tool."""
        mine, theirs = self._root(left), self._root(right)
        return (
            mine != theirs
            and not self._held[mine] & self._held[theirs]
            and self._records[left].tool != self._records[right].tool
            and self._decision(left, right) is not False
        )

    def _join(self, tie: Tie) -> None:
        mine, theirs = sorted((self._root(tie.left), self._root(tie.right)))
        self._ties[mine].append(tie)
        if mine != theirs:
            self._parent[theirs] = mine
            self._held[mine] |= self._held[theirs]
            self._covered[mine] |= self._covered[theirs]
            self._ties[mine] += self._ties.pop(theirs, [])

    def _doubt(self, tie: Tie) -> None:
        pair = (min(tie.left, tie.right), max(tie.left, tie.right))
        self._doubtful.setdefault(pair, tie)

    def _decision(self, left: int, right: int) -> bool | None:
        if not self._decisions:
            return None
        return self._decisions.get(pair_key(self._records[left], self._records[right]))

    def _clusters(self) -> Iterator[Cluster]:
        sets: dict[int, list[int]] = defaultdict(list)
        for place in range(len(self._records)):
            sets[self._root(place)].append(place)
        twins = self._twin
        for root, places in sets.items():
            repeated = tuple((one, twins[one]) for one in places if one in twins) if twins else ()
            yield Cluster(tuple(places), tuple(self._ties.get(root, ())), repeated)

    def _to_confirm(self) -> list[Tie]:
        open_still = [
            tie for tie in self._doubtful.values() if self._root(tie.left) != self._root(tie.right)
        ]
        open_still.sort(key=lambda tie: (-tie.score, tie.left, tie.right))
        return open_still


def _named(one: Record) -> str:
    return f"{one.tool}:{one.kind}:{one.ref}" if one.kind else f"{one.tool}:{one.ref}"


# How the parts are compared: None where either does not have it.


def _parts(left: Record, right: Record) -> Iterator[tuple[str, str, str, float | None]]:
    yield "name", left.name, right.name, _name_likeness(left, right)
    yield "email", left.email, right.email, _email_likeness(left.email, right.email)
    yield "phone", left.phone, right.phone, _phone_likeness(left.phone, right.phone)
    yield "address", left.address, right.address, _address_likeness(left.address, right.address)
    yield "money", str(left.money), str(right.money), _money_likeness(left, right)
    yield "title", left.title, right.title, _title_likeness(left, right)


def _agree(left: Record, right: Record) -> bool:
    """Whether a key of both says the same."""
    return bool(
        (left.email and left.email == right.email) or (left.phone and left.phone == right.phone)
    )


def _name_likeness(left: Record, right: Record) -> float | None:
    if not left.name or not right.name:
        return None
    if left.name == right.name:
        return 1.0
    return fuzz.token_sort_ratio(_plain(left.name), _plain(right.name)) / 100


def _email_likeness(left: str, right: str) -> float | None:
    if not left or not right:
        return None
    if left == right:
        return 1.0
    likeness = JaroWinkler.similarity(left, right)
    return 0.7 if likeness >= _EMAIL_LIKE else 0.0


def _phone_likeness(left: str, right: str) -> float | None:
    if not left or not right:
        return None
    if left == right:
        return 1.0
    return 0.8 if left[-7:] == right[-7:] else 0.0


def _address_likeness(left: str, right: str) -> float | None:
    if not left or not right:
        return None
    if left == right:
        return 1.0
    mine, theirs = _plain(left), _plain(right)
    likeness = fuzz.token_set_ratio(mine, theirs) / 100
    numbers = set(_DIGITS.findall(mine)), set(_DIGITS.findall(theirs))
    if all(numbers) and not numbers[0] & numbers[1]:  # another house in the same street
        return likeness / 2
    return likeness


def _money_likeness(left: Record, right: Record) -> float | None:
    mine, theirs = left.money, right.money
    if not mine or not theirs or mine.currency != theirs.currency:
        return None
    if mine.amount == theirs.amount:
        return 1.0
    apart = abs(mine.amount - theirs.amount) / max(abs(mine.amount), abs(theirs.amount))
    return 0.8 if apart <= _MONEY_NEAR else 0.0


def _title_likeness(left: Record, right: Record) -> float | None:
    if not left.title or not right.title:
        return None
    if left.title == right.title:
        return 1.0
    return fuzz.token_set_ratio(_plain(left.title), _plain(right.title)) / 100


def _enough(reasons: Sequence[Reason]) -> bool:
    """Whether so much is known of both that a score means something by itself."""
    return sum(WEIGHTS[reason.what] for reason in reasons) >= KNOWN_OF_BOTH_MIN


def _blocks(one: Record) -> Iterator[str]:
    if one.email:
        yield "e" + one.email
        yield "l" + one.email.partition("@")[0]
    if one.phone:
        yield "p" + one.phone
    if one.name:
        tokens = sorted(_plain(one.name).split())
        yield "n" + " ".join(_VOWELS.sub("", token) for token in tokens)
        if len(tokens) > 2:  # noqa: PLR2004 - of three words one may be mistyped
            for left_out in range(len(tokens)):
                yield "m" + " ".join(tokens[:left_out] + tokens[left_out + 1 :])
    if one.address and (words := _plain(one.address).split()):
        yield "a" + " ".join(words[:2])
    if one.money and one.money.amount:  # to the cent: finds what is left where a name is mistyped
        yield f"${one.money}"


def _plain(text: str) -> str:
    return _PUNCTUATION.sub(" ", text.casefold())


_PUNCTUATION: Final = re.compile(r"[\W_]+")
_VOWELS: Final = re.compile(r"(?<=.)[aeiou]")
_DIGITS: Final = re.compile(r"\d+")
_EMAIL_LIKE: Final = 0.93
_MONEY_NEAR: Final = 0.01
