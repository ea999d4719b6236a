"""What the words of one tool stand for, as an export writes them or as they are derived."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from api.audit.mapping import Columns, fold
from api.audit.records import Shown
from lifecycle.chart import Active, Configuration, Guard
from lifecycle.comparable import Day
from lifecycle.connectors import Derived, Export
from lifecycle.model import Lifecycle

REMEMBERED_MAX: Final = 10_000


class Words:
    """What the words of one tool stand for, each found once."""

    def __init__(self, lifecycle: Lifecycle, tool: str, mapping: Export) -> None:
        self._words = {fold(written): word for written, word in mapping.words.items()}
        self._states: dict[str, dict[str, list[Configuration]]] = {}
        self._spelt: dict[str, dict[str, str]] = {}
        vocabulary = lifecycle.vocabulary
        order = {name: at for at, name in enumerate(lifecycle.chart.leaves)}
        configurations = sorted(
            lifecycle.chart.configurations, key=lambda one: [order[leaf] for leaf in one]
        )
        for field in vocabulary.status_fields:
            if field.tool != tool:
                continue
            states = self._states.setdefault(field.name, {})
            spelt = self._spelt.setdefault(field.name, {})
            for configuration in configurations:
                for word in vocabulary.words(field, configuration):
                    states.setdefault(fold(word), []).append(configuration)
                    spelt.setdefault(fold(word), word)
        self._shown: dict[tuple[str, str], Shown] = {}

    def shown(self, status_field: str, text: str) -> Shown:
        """What a word in this status field stands for."""
        key = (status_field, text)
        if key not in self._shown:
            if len(self._shown) >= REMEMBERED_MAX:
                self._shown.clear()
            self._shown[key] = Shown(status_field, text, self._stands_for(status_field, text))
        return self._shown[key]

    def derived(self, status_field: str, derived: Derived) -> Shown:
        """What a derived word stands for: any of the states of any of its words."""
        words = (derived.word,) if isinstance(derived.word, str) else derived.word
        text = " or ".join(words)
        key = (status_field, derived.when or text)
        if key not in self._shown:
            states = [one for word in words for one in self._stands_for(status_field, word)]
            why = derived.when or "none of the other conditions holds"
            self._shown[key] = Shown(status_field, text, tuple(dict.fromkeys(states)), why)
        return self._shown[key]

    def _stands_for(self, status_field: str, text: str) -> tuple[Configuration, ...]:
        known = self._states[status_field]
        # HubSpot writes the pipeline behind the stage where there are several.
        for candidate in (text, _BRACKETED.sub("", text)):
            folded = fold(self._words.get(fold(candidate), candidate))
            if folded in known:
                return tuple(known[folded])
        return ()


class Deriving:
    """The conditions by which a tool without a status of its own is understood."""

    def __init__(
        self, mapping: Export, columns: Columns, lifecycle: Lifecycle, today: date
    ) -> None:
        shown = {name for name, _ in columns.status}
        self.today = Day(today)
        self.rules: Mapping[str, tuple[tuple[Derived, Guard | None], ...]] = {
            name: tuple((one, Guard(one.when) if one.when is not None else None) for one in several)
            for name, several in mapping.derived.items()
            if name not in shown
        }
        self._active: Active = lifecycle.chart.active(lifecycle.chart.initial)

    def holds(self, guard: Guard | None, values: Mapping[str, Any]) -> bool:
        """Whether a condition holds; one that names an empty cell does not."""
        if guard is None:
            return True
        if any(values.get(name) is None for name in guard.fields):
            return False
        return guard.judge(values, self._active).holds


_BRACKETED: Final = re.compile(r"\s*\([^()]*\)\s*$")
