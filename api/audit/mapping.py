"""Which column of an export means what: from the tool's connector, or from a file of the firm.

Headings are compared folded (case, spacing and punctuation say nothing), alternatives in order.
Where one that is needed is missing, a mapping is made ready to be filled in.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import yaml
from msgspec import Struct
from msgspec.structs import replace

from api.audit.rows import BadExport, Cell
from lifecycle.chart import BadCondition, Guard
from lifecycle.connectors import Connector, Derived, Export, Headings
from lifecycle.definition import read_as
from lifecycle.model import Lifecycle
from lifecycle.refusals import BadDefinition, Problem
from lifecycle.vocabulary import StatusField

ROLES: Final = (
    "ref", "also", "kind", "since", "name", "title", "email", "phone", "address", "money",
    "currency",
)  # fmt: skip
"""What a column may mean to the audit itself, beside fields and references."""
MAPPING_BYTES_MAX: Final = 256 * 1024


class NeedsMapping(BadExport):
    """An export that a mapping file would make readable; it is made ready to be filled in."""

    mapping: str
    """The text of the mapping file."""

    def __init__(self, file: str, message: str, *, tool: str) -> None:
        """Name the tool whose mapping is needed."""
        super().__init__(file, message)
        self.tool = tool


class ColumnsMissing(NeedsMapping):
    """Needed columns were not found under any heading that is known."""

    def __init__(
        self, file: str, missing: Sequence[str], found: Sequence[str], mapping: str, *, tool: str
    ) -> None:
        """`mapping` is the text of a mapping file to be filled in."""
        named = ", ".join(repr(heading) for heading in found[:40]) or "none"
        message = (
            f"no column is known to hold {' and '.join(missing)}; its headings are {named}. Fill "
            "in the mapping that was made ready"
        )
        super().__init__(file, message, tool=tool)
        self.missing = tuple(missing)
        self.found = tuple(found)
        self.mapping = mapping


class Columns(Struct, frozen=True):
    """Where everything stands in the rows of one sheet, as indices from 0."""

    headings: tuple[str, ...]
    roles: Mapping[str, int]
    address: tuple[int, ...]
    also: tuple[int, ...]
    status: tuple[tuple[str, int], ...]
    """(status field, column)."""
    references: tuple[tuple[str, int], ...]
    """(tool, or `tool:kind`, column)."""
    fields: tuple[tuple[str, int], ...]
    columns: tuple[tuple[str, int], ...]
    """Further columns that conditions name."""

    def found(self) -> tuple[tuple[str, str], ...]:
        """Each meaning with the heading that it was found under."""
        named = [
            *self.roles.items(),
            *(("address", index) for index in self.address),
            *(("also", index) for index in self.also),
            *((f"status.{name}", index) for name, index in self.status),
            *((f"references.{tool}", index) for tool, index in self.references),
            *((f"fields.{field}", index) for field, index in self.fields),
            *((f"columns.{name}", index) for name, index in self.columns),
        ]
        return tuple((what, self.headings[index]) for what, index in named)


def read_mapping(path: Path) -> Export:
    """Read a mapping file; raises `BadDefinition` with every problem and its line."""
    try:
        with path.open("rb") as file:
            content = file.read(MAPPING_BYTES_MAX + 1)
    except OSError as exc:
        raise BadDefinition((Problem(str(path), 0, "", str(exc.strerror)),)) from exc
    if len(content) > MAPPING_BYTES_MAX:
        message = f"a mapping has at most {MAPPING_BYTES_MAX:,} bytes"
        raise BadDefinition((Problem(str(path), 0, "", message),))
    mapping, _ = read_as(Export, content, str(path))
    return mapping


def mapping_of(
    lifecycle: Lifecycle, connectors: Mapping[str, Connector], tool: str
) -> Export | None:
    """The mapping that the tool's connector brings; None where it brings none.

    A connector knows every status field of its product; those that the lifecycle does not use
    are left out. In a mapping file they would be refused: there somebody meant them.
    """
    connector = connectors.get(lifecycle.declaration.tools[tool].connector or "")
    if connector is None or connector.export is None:
        return None
    known = _status_fields(lifecycle, tool)
    mapping = connector.export
    return replace(
        mapping,
        status={name: one for name, one in mapping.status.items() if name in known},
        derived={name: one for name, one in mapping.derived.items() if name in known},
    )


def _status_fields(lifecycle: Lifecycle, tool: str) -> tuple[str, ...]:
    return tuple(f.name for f in lifecycle.vocabulary.status_fields if f.tool == tool)


def check_mapping(mapping: Export, lifecycle: Lifecycle, tool: str, file: str) -> None:
    """Refuse what the lifecycle does not know; raises `BadExport` with what would do."""
    known = _status_fields(lifecycle, tool)
    for name in (*mapping.status, *mapping.derived):
        if name not in known:
            message = f"'{name}' is no status field of {tool} in {lifecycle.name}; it has "
            raise BadExport(file, message + (", ".join(known) or "none"))
    for derived in (one for several in mapping.derived.values() for one in several):
        try:
            named = wanted_by(derived)
        except BadCondition as exc:
            raise BadExport(file, f"the condition {derived.when!r} cannot be: {exc}") from exc
        names = {*mapping.columns, "money", "today"}
        if unknown := [name for name in named if name not in names]:
            message = f"the condition {derived.when!r} names {unknown[0]!r}; known are "
            raise BadExport(file, message + ", ".join(sorted(names)))


def wanted_by(derived: Derived) -> tuple[str, ...]:
    """What a condition names; raises `BadCondition`."""
    return Guard(derived.when).fields if derived.when is not None else ()


def fit(
    mapping: Export, cells: Sequence[Cell], tools: Mapping[str, str], fields: Sequence[str]
) -> tuple[Columns, tuple[str, ...]]:
    """Find the columns in a row of headings, and name what is needed and missing.

    `tools` gives the tool that a key of `references` stands for: a tool's id or a connector's.
    """
    headings = tuple(str(cell or "") for cell in cells)
    places = places_of(headings)
    roles: dict[str, int] = {}
    for role in ROLES:
        index = _first(getattr(mapping, role), places)
        if index is not None and role not in {"address", "also"}:
            roles[role] = index
    columns = Columns(
        headings=headings,
        roles=roles,
        address=_joined(mapping.address, places),
        also=tuple(
            places[folded] for one in _listed(mapping.also) if (folded := fold(one)) in places
        ),
        status=tuple(
            (name, index)
            for name, names in mapping.status.items()
            if (index := _first(names, places)) is not None
        ),
        references=tuple(
            (target, places[folded])
            for key, names in mapping.references.items()
            if (target := _target(key, tools))
            for one in _listed(names)
            if (folded := fold(one)) in places
        ),
        fields=tuple(
            (name, index)
            for name, names in mapping.fields.items()
            if name in fields and (index := _first(names, places)) is not None
        ),
        columns=tuple(
            (name, index)
            for name, column in mapping.columns.items()
            if (index := _first(column.heading, places)) is not None
        ),
    )
    return columns, _missing(mapping, columns)


def _target(key: str, tools: Mapping[str, str]) -> str:
    """What a key of `references` stands for: `tool`, `tool:kind`, or nothing that is here."""
    name, colon, kind = key.partition(":")
    return f"{tools[name]}{colon}{fold(kind)}" if name in tools else ""


def _missing(mapping: Export, columns: Columns) -> tuple[str, ...]:
    missing = [] if "ref" in columns.roles else ["the record's id (ref)"]
    shown = {name for name, _ in columns.status}
    found = {"money", "today", *(name for name, _ in columns.columns)}
    derived = [
        one for name, several in mapping.derived.items() if name not in shown for one in several
    ]
    if not shown and not derived:
        missing.append(f"its status ({' or '.join(mapping.status)})")
    wanted = dict.fromkeys(name for one in derived for name in wanted_by(one))
    return (*missing, *(f"what its status is derived from ({n})" for n in wanted if n not in found))


def places_of(headings: Sequence[str]) -> dict[str, int]:
    """Folded heading → the first column under it."""
    places: dict[str, int] = {}
    for index, heading in enumerate(headings):
        if folded := fold(heading):
            places.setdefault(folded, index)
    return places


def known_headings(mapping: Export) -> frozenset[str]:
    """Every heading that a mapping knows, folded."""
    named: list[Headings] = [getattr(mapping, role) for role in ROLES]
    named += mapping.status.values()
    named += mapping.references.values()
    named += mapping.fields.values()
    named += [column.heading for column in mapping.columns.values()]
    return frozenset(
        fold(part) for headings in named for one in _listed(headings) for part in one.split(" + ")
    )


def made_ready(tool: str, lifecycle: Lifecycle, headings: Sequence[str]) -> str:
    """Write a mapping to be filled in: every heading of the file stands in it to be moved."""
    status = "".join(
        f"  {field.name}: FILL IN    # known words: {_words(field)}\n"
        for field in lifecycle.vocabulary.status_fields
        if field.tool == tool
    )
    quoted = ", ".join(_quoted(heading) for heading in headings if heading.strip())
    fields = "".join(f"#   {name}: \n" for name in lifecycle.fields)
    return (
        f"# What the columns of {tool}'s export mean. Its headings are:\n"
        f"#   {quoted}\n"
        f"# Put one behind each name below that it belongs to; delete the lines that have none.\n"
        f"ref: FILL IN          # the id that {tool} gives the record\n"
        f"status:               # the column of each status field\n{status}"
        "# words: {What the export writes: what is meant}\n"
        "# Without a status: columns and conditions that say which word it amounts to.\n"
        "# columns: {balance: {heading: Open balance, type: money}}\n"
        "# derived: {STATUS FIELD: [{when: balance <= 0, word: Paid}, {word: Open}]}\n"
        "# since:               # when it changed last\n"
        "# name:                # the customer\n"
        "# title:               # what the job is called\n"
        "# email:\n"
        "# phone:\n"
        "# address:             # several columns: Street + City + Postcode\n"
        "# money:               # what the job is worth\n"
        "# currency_unnamed:    # what amounts without a currency are in, such as USD\n"
        "# dates:               # day first, or month first\n"
        "# decimal:             # point, or comma\n"
        "# references: {TOOL: the column that holds TOOL's own id}\n"
        "# fields:\n" + fields
    )


def still_to_say(mapping: Export, setting: str, choices: Sequence[str]) -> str:
    """Write a mapping out whole, with one setting left to be filled in."""
    known = msgspec.to_builtins(mapping)
    unlike = {
        name: value for name, value in known.items() if value != _DEFAULTS.get(name) and value
    }
    unlike.pop(setting, None)
    written = yaml.safe_dump(unlike, sort_keys=False, allow_unicode=True, width=100)
    return f"{setting}: FILL IN    # {' or '.join(choices)}\n{written}"


def fold(heading: str) -> str:
    """A heading without case, spacing and punctuation."""
    return "".join(letter for letter in heading.casefold() if letter.isalnum())


def _words(field: StatusField) -> str:
    return ", ".join(dict.fromkeys(word for entry in field.entries.values() for word in entry))


def _listed(headings: Headings) -> tuple[str, ...]:
    return (headings,) if isinstance(headings, str) else headings


def _first(headings: Headings, places: Mapping[str, int]) -> int | None:
    return next(
        (places[folded] for one in _listed(headings) if (folded := fold(one)) in places), None
    )


def _joined(headings: Headings, places: Mapping[str, int]) -> tuple[int, ...]:
    """The columns of the first alternative of which any part is there."""
    for one in _listed(headings):
        parts = [places[folded] for part in one.split(" + ") if (folded := fold(part)) in places]
        if parts:
            return tuple(parts)
    return ()


def _quoted(text: str) -> str:
    return yaml.safe_dump(text.replace("\n", " "), default_style='"', width=10_000).strip()


_DEFAULTS: Final = {"zone": "+00:00"}
