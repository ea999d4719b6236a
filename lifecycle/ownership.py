"""May this asker do that, here: whose word counts for each state, transition and field."""

from collections.abc import Collection, Iterable, Mapping

from lifecycle.declaration import Declaration, Transition, walk

ELSEWHERE = "*"
"""In a field's owners by state: every state that is not named."""


class Ownership:
    """Who owns what in one declaration; names of domains are resolved to their tools."""

    def __init__(self, declaration: Declaration) -> None:
        """Resolve every owner once."""
        self._tools = declaration.tools
        self._domains: dict[str, str] = {
            domain: tool for tool, held in declaration.tools.items() for domain in held.record_for
        }
        self.states: dict[str, str | None] = {}
        """State → the tool whose word makes it true: its own owner, else its nearest ancestor's."""
        for place in walk(declaration.states):
            above = self.states[place.above[-1]] if place.above else None
            own = place.state.owner
            self.states[place.id] = self.tool(own) if own else above
        self.makers: tuple[tuple[str, ...], ...] = tuple(
            self._makers(row) for row in declaration.transitions
        )
        """By row: the tools that may make the transition."""
        self._openers = tuple(filter(None, map(self.tool, declaration.opened_by)))
        self._fields: dict[str, str | Mapping[str, str]] = {
            name: field.owner for name, field in declaration.fields.items()
        }
        self._above = {place.id: place.above for place in walk(declaration.states)}

    def tool(self, owner: str) -> str | None:
        """The tool that a tool's id or a domain's name stands for; None where it is neither."""
        return owner if owner in self._tools else self._domains.get(owner)

    def openers(self, initial: Collection[str]) -> tuple[str, ...]:
        """The tools that may open a case: the declared ones, else the owners of where it starts."""
        return self._openers or _distinct(self.states[state] for state in initial)

    def field_owner(self, field: str, active: Collection[str]) -> str | None:
        """The tool that may set a field while these states (ancestors included) are active."""
        owner = self._fields[field]
        if isinstance(owner, str):
            return self.tool(owner)
        named = [state for state in owner if state in active]
        if named:  # an inner state's entry goes before its ancestors'
            return self.tool(owner[max(named, key=lambda state: len(self._above[state]))])
        return self.tool(owner[ELSEWHERE]) if ELSEWHERE in owner else None

    def field_owners(self, field: str) -> tuple[str, ...]:
        """Every tool that owns a field in some state."""
        owner = self._fields[field]
        named = (owner,) if isinstance(owner, str) else owner.values()
        return _distinct(map(self.tool, named))

    def _makers(self, row: Transition) -> tuple[str, ...]:
        if row.makers:
            return _distinct(map(self.tool, row.makers))
        return _distinct([self.states.get(row.to)])


def _distinct(tools: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(tool for tool in tools if tool))
