"""What the names in one definition can mean, for the rules that look for what is wrong in it."""

from collections.abc import Collection, Iterator, Mapping

from lifecycle.connectors import Connector
from lifecycle.declaration import Declaration, walk
from lifecycle.definition import UNREAD, Marks, near
from lifecycle.ownership import Ownership
from lifecycle.refusals import Problem

Problems = Iterator[Problem]


class Scope:
    """One file with what its names can mean; `marks` say where each part of it is written."""

    def __init__(
        self,
        declaration: Declaration,
        marks: Marks,
        connectors: Mapping[str, Connector],
        environment: Mapping[str, str],
        faulty: Collection[str] = (),
    ) -> None:
        self.declaration = declaration
        self.problem = marks.problem
        self.shape = marks.problems
        self.connectors = connectors
        self.environment = environment
        self.faulty = faulty
        """Connectors that are there, and could not be read."""
        self.places = walk(self.declaration.states)
        self.states = {place.id: place for place in self.places}
        self.tools = self.declaration.tools
        self.owners = [*self.tools, *_domains(self.declaration)]
        self.names = dict.fromkeys(row.name for row in self.declaration.transitions)
        self.ownership = Ownership(self.declaration)

    def known(self, path: str, kind: str, name: str, known: Collection[str]) -> Problems:
        """Refuse a name that nothing has."""
        skimmed = bool(self.shape) and not known
        if name not in known and not name.startswith(UNREAD) and not skimmed:
            yield self.problem(path, f"no {kind} '{name}'{near(name, known)}")

    def whole(self, path: str) -> bool:
        """Tell whether a part is as it was written, with nothing left out."""
        return not any(_holds(path, wrong.path) for wrong in self.shape)

    def stands(self, problem: Problem) -> bool:
        """Tell whether a problem is one of its own, not around or inside a part of wrong shape."""
        return not any(
            _holds(problem.path, wrong.path) or _holds(wrong.path, problem.path)
            for wrong in self.shape
        )

    def owner(self, path: str, name: str) -> Problems:
        """Refuse an owner that is neither a tool nor a domain."""
        return self.known(path, "tool or domain", name, self.owners)

    def connector(self, tool: str) -> Connector | None:
        """Find how a tool's product speaks, where that is known."""
        declared = self.tools.get(tool)
        return self.connectors.get(declared.connector or "") if declared else None

    def published(self, tool: str, status_field: str) -> tuple[str, ...] | None:
        """Give the words that a product can show in this field, where it has published them."""
        connector = self.connector(tool)
        return connector.published(status_field, self.tools[tool].kinds) if connector else None


def _holds(path: str, other: str) -> bool:
    """Tell whether one path is another's, or of something around it."""
    return f"{other}.".startswith((f"{path}.", f"{path}["))


def _domains(declared: Declaration) -> list[str]:
    return [domain for tool in declared.tools.values() for domain in tool.record_for]
