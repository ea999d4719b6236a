"""State ↔ word: what each tool calls the state a case is in, total by construction."""

from collections.abc import Collection, Iterator, Mapping

from msgspec import Struct

from lifecycle.chart import Chart, Configuration
from lifecycle.declaration import HEAR_ONLY, Declaration, Words


class StatusField(Struct, frozen=True):
    """One field in which one tool shows where a case stands."""

    tool: str
    name: str
    entries: Mapping[str, tuple[str, ...]]
    """State → its words, the first of which is told; empty where the tool is told nothing."""
    hear_only: bool = False


class Turn(Struct, frozen=True):
    """A status field that should show another word than before."""

    status_field: str
    word: str
    was: str | None
    words: tuple[str, ...]
    """All that it may show now."""


TURNS_REMEMBERED_MAX = 10_000


class Vocabulary:
    """The words of one declaration."""

    def __init__(self, declaration: Declaration, chart: Chart) -> None:
        """Bring every entry into one form: a tuple of words."""
        self.status_fields: tuple[StatusField, ...] = tuple(
            _status_field(tool, name, entries)
            for tool, fields in declaration.words.items()
            for name, entries in fields.items()
        )
        self.named: Mapping[tuple[str, str], StatusField] = {
            (field.tool, field.name): field for field in self.status_fields
        }
        """Tool and name → the status field."""
        self._chart = chart
        self._turns: dict[tuple[Configuration, Configuration], dict[str, tuple[Turn, ...]]] = {}
        self._shown: dict[Configuration, dict[str, dict[str, str | None]]] = {}

    def shown(self, configuration: Configuration) -> Mapping[str, Mapping[str, str | None]]:
        """Tool → status field → the word it should show; None where it is told nothing."""
        if configuration not in self._shown:
            shown: dict[str, dict[str, str | None]] = {}
            for field in self.status_fields:
                words = self.words(field, configuration)
                shown.setdefault(field.tool, {})[field.name] = words[0] if words else None
            self._shown[configuration] = shown
        return self._shown[configuration]

    def turns(self, before: Configuration, after: Configuration) -> Mapping[str, tuple[Turn, ...]]:
        """Tool → what it is to show another word for; `before` is empty where the case began."""
        turns = self._turns.get((before, after))
        if turns is None:
            if len(self._turns) >= TURNS_REMEMBERED_MAX:
                self._turns.clear()
            turned = {tool: tuple(self._turned(tool, before, after)) for tool in self.shown(after)}
            turns = {tool: found for tool, found in turned.items() if found}
            self._turns[before, after] = turns
        return turns

    def _turned(self, tool: str, before: Configuration, after: Configuration) -> Iterator[Turn]:
        old = self.shown(before).get(tool, {}) if before else {}
        for name, word in self.shown(after)[tool].items():
            field, was = self.named[tool, name], old.get(name)
            if word is not None and word != was and not field.hear_only:
                yield Turn(name, word, was, self.words(field, after))

    def words(self, field: StatusField, configuration: Configuration) -> tuple[str, ...]:
        """All words that this field may show here; none where the tool is told nothing."""
        entries = self.entries_for(field, configuration)
        return field.entries[entries[0]] if entries else ()

    def entries_for(self, field: StatusField, configuration: Configuration) -> tuple[str, ...]:
        """The states whose entries apply: more or fewer than one is a fault of the definition.

        An entry serves its state's descendants and gives way to any active descendant's own.
        """
        active = self._chart.active(configuration).ids
        named = [state for state in field.entries if state in active]
        return tuple(state for state in named if not self._any_below(state, named))

    def _any_below(self, state: str, others: Collection[str]) -> bool:
        return any(state in self._chart.places[other].above for other in others)


def _status_field(tool: str, name: str, entries: Mapping[str, Words | bool]) -> StatusField:
    words = {
        state: _words(entry) for state, entry in entries.items() if not isinstance(entry, bool)
    }
    return StatusField(tool, name, words, hear_only=bool(entries.get(HEAR_ONLY)))


def _words(entry: Words) -> tuple[str, ...]:
    if isinstance(entry, str):
        return (entry,)
    return entry or ()
