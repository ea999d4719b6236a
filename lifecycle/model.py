"""A lifecycle: one adopted declaration with everything that is derived from it once."""

import hashlib
from collections.abc import Mapping
from functools import cached_property

from lifecycle.chart import Chart
from lifecycle.connectors import Connector
from lifecycle.declaration import Declaration, Field, Reaction, meaning, seconds
from lifecycle.events import DefinitionMark
from lifecycle.ownership import Ownership
from lifecycle.vocabulary import Vocabulary

NO_CONNECTORS: Mapping[str, Connector] = {}


class Lifecycle:
    """The declared model that governs the cases of one collection."""

    def __init__(
        self,
        declaration: Declaration,
        text: str = "",
        connectors: Mapping[str, Connector] = NO_CONNECTORS,
    ) -> None:
        """Derive the rest; `checks` has found the declaration sound."""
        self.declaration = declaration
        self._connectors = connectors
        self.text = text
        """The definition as it was written."""
        self.name = declaration.lifecycle
        self.collection = declaration.collection
        self.chart = Chart(declaration)
        self.ownership = Ownership(declaration)
        self.vocabulary = Vocabulary(declaration, self.chart)
        self.mark = DefinitionMark(
            declaration.version, hashlib.sha256(meaning(declaration)).hexdigest()[:16]
        )
        self.personal = frozenset(
            name for name, field in declaration.fields.items() if field.personal
        )
        self.case_fields = frozenset(
            name for name, field in declaration.fields.items() if field.type == "case"
        )
        self.limits = {
            name: seconds(place.state.within)
            for name, place in self.chart.places.items()
            if place.state.within
        }
        """State → how many seconds a case may stay in it."""

    @cached_property
    def autos(self) -> bool:
        """Is any transition made without being asked for?"""
        return any(row.auto for row in self.chart.rows)

    @property
    def hears(self) -> bool:
        """Does any tool say in words of its own where a case stands?"""
        return bool(self.vocabulary.status_fields)

    @property
    def fields(self) -> dict[str, Field]:
        """The canonical data model."""
        return self.declaration.fields

    @cached_property
    def transitions(self) -> frozenset[str]:
        """The names of all declared transitions."""
        return frozenset(row.name for row in self.chart.rows)

    @cached_property
    def told(self) -> tuple[str, ...]:
        """The tools that are told what changes: those with a flow out."""
        out = {flow.tool for flow in self.declaration.flows if flow.direction == "out"}
        return tuple(tool for tool in self.declaration.tools if tool in out)

    @cached_property
    def mirrored(self) -> tuple[str, ...]:
        """The tools that say or are told where a case stands."""
        words = {field.tool for field in self.vocabulary.status_fields}
        tools = self.declaration.tools
        return tuple(tool for tool in tools if tool in words or tool in self.told)

    @cached_property
    def reactions(self) -> Mapping[tuple[str, str], tuple[Reaction, ...]]:
        """Tool and transition → what the tool is asked after it."""
        found: dict[tuple[str, str], tuple[Reaction, ...]] = {}
        for one in self.declaration.reactions:
            key = (one.tell, one.after)
            found[key] = (*found.get(key, ()), one)
        return found

    @cached_property
    def asked(self) -> Mapping[str, frozenset[str]]:
        """Tool → the transitions after which a reaction asks it for something."""
        found: dict[str, frozenset[str]] = {}
        for one in self.declaration.reactions:
            found[one.tell] = found.get(one.tell, frozenset()) | {one.after}
        return found

    def main_kind(self, tool: str) -> str:
        """The kind of reference that needs no name; empty where the tool declares none."""
        kinds = self.declaration.tools[tool].kinds
        return kinds[0] if kinds else ""

    def kind_of(self, tool: str, said: str) -> str:
        """The kind of a record by what the product calls it; empty for the main one.

        Where none is declared there is one, unless the product tells several apart: their ids
        repeat from one kind to the next, so each is kept apart under its own name.
        """
        kinds = self.declaration.tools[tool].kinds
        if said == self.main_kind(tool) or not (kinds or self._tells_apart(tool)):
            return ""
        return said

    def knows_kind(self, tool: str, kind: str) -> bool:
        """Whether references of this kind may be named: declared, or kept apart undeclared."""
        kinds = self.declaration.tools[tool].kinds
        apart = not kinds and self._tells_apart(tool)
        return kind in kinds or (apart and "/" not in kind)

    def _tells_apart(self, tool: str) -> bool:
        connector = self.connector(tool)
        return connector is None or connector.tells_kinds_apart

    def connector(self, tool: str) -> Connector | None:
        """How the tool's product speaks, where that is declared."""
        return self._connectors.get(self.declaration.tools[tool].connector or "")

    def published(self, tool: str, status_field: str) -> tuple[str, ...] | None:
        """The words that the tool's product is known to have in a status field, used or not."""
        declared = self.declaration.tools[tool]
        connector = self._connectors.get(declared.connector or "")
        return connector.published(status_field, declared.kinds) if connector else None

    def readable(self, tool: str) -> frozenset[str]:
        """The fields that a tool may see: all but the personal ones it neither owns nor reads."""
        return self._readable[tool]

    @cached_property
    def _readable(self) -> dict[str, frozenset[str]]:
        reads = self.declaration.reads
        return {
            tool: frozenset(
                name
                for name, field in self.fields.items()
                if not field.personal
                or name in reads.get(tool, {})
                or tool in self.ownership.field_owners(name)
            )
            for tool in self.declaration.tools
        }
