"""State ↔ word: what each tool calls the state a case is in, total by construction."""

from collections.abc import Collection, Mapping

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


class Vocabulary:
    """The words of one declaration."""

    def __init__(self, declaration: Declaration, chart: Chart) -> None:
        """Bring every entry into one form: a tuple of words."""
        self.status_fields: tuple[StatusField, ...] = tuple(
            _status_field(tool, name, entries)
            for tool, fields in declaration.words.items()
            for name, entries in fields.items()
        )
        self._chart = chart
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
