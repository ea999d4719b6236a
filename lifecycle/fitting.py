"""Does what a business declares of its tools fit how their products speak?

The kinds of record that a tool is to be told apart by, and the fields that its connector reads.
"""

from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Final

from lifecycle.connectors import Connector
from lifecycle.declaration import Declaration
from lifecycle.definition import Marks, listed, near
from lifecycle.refusals import Problem
from lifecycle.scope import Problems, Scope

LIKE: Final = 0.75
"""How much alike two kinds are of which one can only be a slip of the other,"""
SLIPS_MAX: Final = 2
"""and how many letters it may be shorter or longer."""


def kinds(scope: Scope) -> Problems:
    """Find kinds that a product cannot have, and tools whose kinds nobody declared."""
    for name, tool in scope.tools.items():
        connector = scope.connector(name)
        if connector is None:
            continue
        known, whole = connector.kinds
        path = f"tools.{name}.kinds"
        for index, kind in enumerate(tool.kinds):
            if known and kind not in known and (whole or _is_slip(kind, known)):
                close = near(kind, known) or f"; {listed(sorted(known))}"
                yield scope.problem(f"{path}[{index}]", f"{tool.title} has no kind '{kind}'{close}")
            if connector.kind == kind:
                yield scope.problem(
                    f"{path}[{index}]",
                    f"its connector looks for '{kind}' in the message; the kind itself is written"
                    f" \"'{kind}'\" there",
                    warning=True,
                )
        if not tool.kinds and connector.tells_kinds_apart:
            which = f": {listed(sorted(known))}" if known else ""
            yield scope.problem(
                f"tools.{name}",
                f"{tool.title} speaks of several kinds of record, whose ids repeat; name those that"
                f" are meant in 'kinds', the main one first{which}. Until then each is kept apart,"
                f" and a reference has to say its kind: '{name}:<kind>'",
                warning=True,
            )


def _is_slip(kind: str, known: frozenset[str]) -> bool:
    return any(
        abs(len(kind) - len(one)) <= SLIPS_MAX and SequenceMatcher(None, kind, one).ratio() >= LIKE
        for one in known
    )


def fields(
    declarations: Sequence[Declaration],
    connectors: Mapping[str, Connector],
    marks: Mapping[str, Marks],
) -> Iterator[Problem]:
    """Find fields that a connector reads and that none of the lifecycles of its tools has."""
    for name, connector in connectors.items():
        among = [
            one
            for one in declarations
            if any(tool.connector == name for tool in one.tools.values())
        ]
        known = {field for one in among for field in one.fields}
        for field in sorted(connector.fields_read - known) if among else ():
            meant = near(field, known - connector.fields_read)
            yield marks[name].problem(
                f"fields.{field}",
                f"no lifecycle in which {connector.title} stands has a field '{field}'{meant}",
                warning=True,
            )
