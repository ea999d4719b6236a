"""The course of a lifecycle: what lies how far along, what cannot be without what, who is believed.

Where all words of a case leave a state that they share, the tools agree. Where they do not, the
state belongs to the tool whose word makes it true, unless the owner of something that must come
before it says that it has not (invoiced though not completed).
"""

from functools import cached_property
from typing import TypeAlias

from msgspec import Struct

from lifecycle.chart import Chart, Configuration
from lifecycle.model import Lifecycle

Words: TypeAlias = tuple[tuple[str, frozenset[Configuration]], ...]
"""What each status field says: (its tool, the states that its word leaves open)."""


class Settled(Struct, frozen=True):
    """Where a case stands if the owners are believed."""

    state: Configuration | None = None
    """None: it cannot be told."""
    believed: str = ""
    """The tool whose word settles it."""
    disagree: bool = False
    contradicted: tuple[Configuration, str] | None = None
    """(a state that an owner claims, that owner), where another owner's word contradicts it."""
    possible: tuple[Configuration, ...] = ()
    """The states that all words leave open."""

    @property
    def exact(self) -> bool:
        """Whether the words leave exactly one state open."""
        return self.state is not None and self.possible == (self.state,)


class Course:
    """The course of a lifecycle: what lies how far along, and what cannot be without what."""

    def __init__(self, lifecycle: Lifecycle) -> None:
        """Walk it once; `lifecycle` has been checked."""
        self._lifecycle = lifecycle
        chart = lifecycle.chart
        self._after = {one: _targets(lifecycle.chart, one) for one in chart.configurations}
        self._contradictions: dict[tuple[Configuration, Configuration, str], bool] = {}

    @cached_property
    def _depths(self) -> dict[Configuration, int]:
        depths = {self._lifecycle.chart.initial: 0}
        waiting = [self._lifecycle.chart.initial]
        for one in waiting:
            for target in self._after[one]:
                if target not in depths:
                    depths[target] = depths[one] + 1
                    waiting.append(target)
        return depths

    def depth(self, state: Configuration) -> tuple[int, Configuration]:
        """How many transitions away from the beginning, at least; ties by name."""
        return self._depths.get(state, 0), state

    def before(self, state: Configuration) -> list[Configuration]:
        """The states from which one transition leads here."""
        return [one for one, targets in self._after.items() if state in targets and one != state]

    def owner(self, state: Configuration) -> str | None:
        """The tool whose word makes it true; of several regions, where all have the same."""
        owners = {self._lifecycle.ownership.states[leaf] for leaf in state}
        return owners.pop() if len(owners) == 1 else None

    def settle(self, words: Words) -> Settled:
        """Settle where a case stands by what the words of its tools leave open."""
        if not words:
            return Settled()
        shared = frozenset.intersection(*(states for _, states in words))
        claims = [
            (state, tool)
            for tool, states in words
            if (state := min(states, key=self.depth)) and self.owner(state) == tool
        ]
        if shared:
            inside = [claim for claim in claims if claim[0] in shared]
            possible = tuple(sorted(shared, key=self.depth))
            if inside and len(shared) > 1:
                state, tool = max(inside, key=lambda claim: self.depth(claim[0]))
                return Settled(state, tool, possible=possible)
            if len(shared) == 1:
                owner = self.owner(possible[0]) or ""
                heard = owner if owner in dict(words) else ""
                return Settled(possible[0], heard, possible=possible)
            return Settled(possible=possible)
        wrong: tuple[Configuration, str] | None = None
        sound: list[tuple[Configuration, str]] = []
        for state, tool in claims:
            if self._contradicting(state, tool, words):
                wrong = wrong or (state, tool)
            else:
                sound.append((state, tool))
        if not sound:
            return Settled(disagree=True, contradicted=wrong)
        # What has ended stays so, however few steps it took; else the later state is the news.
        ended = self._lifecycle.chart.ended
        state, tool = max(sound, key=lambda claim: (ended(claim[0]), self.depth(claim[0])))
        return Settled(state, tool, disagree=True, contradicted=wrong)

    def _contradicting(self, state: Configuration, claimer: str, words: Words) -> str | None:
        """The tool whose own word cannot be where this state is, if there is one."""
        for tool, states in words:
            if tool == claimer or state in states:
                continue
            if all(self._excludes(one, state, tool) for one in states):
                return tool
        return None

    def _excludes(self, shown: Configuration, claimed: Configuration, tool: str) -> bool:
        """Whether from what a tool shows the claimed state needs another word of that tool first.

        Where the shown state is the tool's own and leads there by no way at all, likewise.
        """
        key = (shown, claimed, tool)
        if key not in self._contradictions:
            free = self._reaches(shown, claimed, avoiding=tool)
            way = free or self._reaches(shown, claimed, avoiding=None)
            back = self._reaches(claimed, shown, avoiding=None)
            self._contradictions[key] = not free and (
                way or (self.owner(shown) == tool and not back)
            )
        return self._contradictions[key]

    def _reaches(self, start: Configuration, end: Configuration, *, avoiding: str | None) -> bool:
        seen, waiting = {start}, [start]
        for one in waiting:
            for target in self._after[one]:
                if target == end:
                    return True
                if target in seen or (avoiding and self._owns_any(avoiding, target)):
                    continue
                seen.add(target)
                waiting.append(target)
        return False

    def _owns_any(self, tool: str, state: Configuration) -> bool:
        return any(self._lifecycle.ownership.states[leaf] == tool for leaf in state)


def _targets(chart: Chart, state: Configuration) -> list[Configuration]:
    """Where one transition leads to from here, whatever its condition says."""
    rows = chart.open_rows(state)
    targets: list[Configuration] = []
    for row in rows:
        name = chart.rows[row].name
        verdicts = {
            other: other == row
            for other in rows
            if other in chart.guards and chart.rows[other].name == name
        }
        if lead := chart.lead(state, name, verdicts):
            targets.append(lead.configuration)
    return targets
