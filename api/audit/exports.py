"""The rows of one export as records, and what was refused of it.

An export is read twice: once to settle what its columns leave open (the order of dates, what
stands before the cents), once for the records. Nothing is held of it: records go where they are
wanted, one by one.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from itertools import islice
from typing import Any, Final, TypeAlias

from api.audit import findings
from api.audit.locales import Amounts, Dates, StillOpen
from api.audit.mapping import (
    Columns,
    ColumnsMissing,
    NeedsMapping,
    check_mapping,
    fit,
    fold,
    known_headings,
    made_ready,
    still_to_say,
)
from api.audit.records import (
    Given,
    Record,
    Shown,
    email,
    email_key,
    kind_key,
    phone_key,
    reference,
    references,
    written,
)
from api.audit.rows import BadExport, Cell, Row, Sheet
from api.audit.sheets import open_sheets
from api.audit.words import Deriving, Words
from lifecycle.comparable import Day, Money, Number
from lifecycle.declaration import Field
from lifecycle.fields import NotThat, normalise
from lifecycle.model import Lifecycle

HEADINGS_WITHIN: Final = 40
"""Headings stand among so many first rows: reports put their title above them."""
REFUSED_SHOWN_MAX: Final = 1000
OTHER_KINDS_MAX: Final = 100
ADDRESS_LENGTH_MAX: Final = 200
PROGRESS_EVERY: Final = 20_000

Progress: TypeAlias = Callable[[str, int], None]
"""Told what is being done (to a tool's export: its id), and how many rows or jobs so far."""


class Unsettled(NeedsMapping):
    """A column leaves open what it means, and the mapping does not say: it has to be asked."""

    def __init__(self, given: Given, heading: str, still_open: StillOpen) -> None:
        """`setting` of the mapping takes one of `choices`."""
        message = f"the column '{heading}' {still_open} (`{still_open.setting}`)"
        super().__init__(given.file, message, tool=given.tool)
        self.heading = heading
        self.setting = still_open.setting
        self.choices = still_open.choices
        self.sample = still_open.sample
        self.mapping = still_to_say(given.mapping, still_open.setting, still_open.choices)


def read_export(
    given: Given,
    lifecycle: Lifecycle,
    today: date,
    into: Callable[[Record], object],
    progress: Progress | None = None,
) -> findings.Export:
    """Read one export whole, and put its records `into` whatever keeps them.

    Raises `BadExport`: as `ColumnsMissing` with a mapping to be filled in, as `Unsettled` with
    what must be asked, else with the row that ends it. A row that cannot be read is left out
    and stands among the refused.
    """
    return _Reading(given, lifecycle, today, progress).read(into)


class _Reading:
    def __init__(
        self, given: Given, lifecycle: Lifecycle, today: date, progress: Progress | None
    ) -> None:
        self._given = given
        self._mapping = given.mapping
        self._lifecycle = lifecycle
        self._progress = progress
        self._file = given.file
        check_mapping(given.mapping, lifecycle, given.tool, self._file)
        self._refused: list[findings.RefusedRow] = []
        self._refused_count = 0
        self._skipped = 0
        self._kinds = frozenset(map(kind_key, lifecycle.declaration.tools[given.tool].kinds))
        self._other_kinds: Counter[str] = Counter()
        self._begun: set[int] = set()
        """The records of which a line has been read, hashed, where a record has several."""
        self._lines = 0
        self._of_kind = {
            name: frozenset(map(kind_key, kinds)) for name, kinds in given.mapping.of_kind.items()
        }
        self._ended = False
        self._sheet, self._heading_row, self._columns = self._found()
        self._ref = self._columns.roles["ref"]
        self._words = Words(lifecycle, given.tool, given.mapping)
        self._deriving = Deriving(self._mapping, self._columns, lifecycle, today)
        self._dates: dict[int, Dates] = {}
        self._amounts: dict[int, Amounts] = {}
        self._plan()

    def read(self, into: Callable[[Record], object]) -> findings.Export:
        understood = [*self._sheet.understood, *self._settle()]
        self._skipped = 0
        self._ended = False
        rows = last = 0
        for row in self._body(tell=True):
            last = row.number
            if record := self._record(row):
                into(record)
                rows += 1
        if self._progress:
            self._progress(self._given.tool, last)
        if not rows:
            raise BadExport(self._file, f"no row of it could be read: {self._why_none()}")
        return findings.Export(
            tool=self._given.tool,
            file=self._file,
            rows=rows,
            numbered=self._mapping.numbered,
            refused=tuple(self._refused),
            refused_count=self._refused_count,
            skipped=self._skipped,
            understood=(*understood, *self._assumed()),
            columns=self._columns.found(),
        )

    def _why_none(self) -> str:
        if self._other_kinds:
            return f"none is of a kind that {self._given.tool} holds ({self._others()})"
        if self._refused:
            return f"row {self._refused[0].row} was refused for: {self._refused[0].reason}"
        return "nothing stands below its headings; export it again"

    def _assumed(self) -> Iterator[str]:
        unnamed = self._mapping.currency_unnamed
        if unnamed and any(amounts.unnamed_used for amounts in self._amounts.values()):
            yield f"Amounts that name no currency were taken to be {unnamed}."
        if self._lines:
            yield f"{self._lines:,} rows are further lines of a record that stands above them."
        if self._other_kinds:
            yield f"Passed over what is no job: {self._others()}."

    def _others(self) -> str:
        return ", ".join(f"{kind} ({n:,})" for kind, n in self._other_kinds.most_common(10))

    # Finding the table.

    def _found(self) -> tuple[Sheet, int, Columns]:
        """The sheet and the row whose headings hold most of what the mapping knows."""
        known = known_headings(self._mapping)
        tools = _tools_by_key(self._lifecycle)
        best: tuple[int, Sheet, Row] | None = None
        for sheet in open_sheets(self._given.path, self._file):
            for row in islice(sheet.rows(), HEADINGS_WITHIN):
                hits = sum(isinstance(c, str) and fold(c) in known for c in row.cells)
                if best is None or hits > best[0]:
                    best = hits, sheet, row
        if best is None:
            raise BadExport(self._file, "it has no rows; export it again")
        hits, sheet, row = best
        if not hits:  # nothing is known: the first row with several cells is what a person sees
            row = next(
                (
                    row
                    for row in islice(sheet.rows(), HEADINGS_WITHIN)
                    if sum(cell not in {None, ""} for cell in row.cells) > 1
                ),
                row,
            )
        columns, missing = fit(self._mapping, row.cells, tools, tuple(self._lifecycle.fields))
        if missing:
            headings = [str(cell) for cell in row.cells if cell not in {None, ""}]
            mapping = made_ready(self._given.tool, self._lifecycle, headings)
            raise ColumnsMissing(self._file, missing, headings, mapping, tool=self._given.tool)
        return sheet, row.number, columns

    def _plan(self) -> None:
        """Say which columns hold dates and which amounts."""
        mapping, roles = self._mapping, self._columns.roles
        types: dict[int, str] = {}
        if "since" in roles:
            types[roles["since"]] = "date"
        if "money" in roles:
            types[roles["money"]] = "money"
        for name, index in self._columns.fields:
            types.setdefault(index, self._lifecycle.fields[name].type)
        for name, index in self._columns.columns:
            types.setdefault(index, mapping.columns[name].type)
        for index, type_ in types.items():
            if type_ in {"date", "datetime"}:
                self._dates[index] = Dates(mapping.dates, mapping.zone)
            elif type_ in {"money", "number"}:
                self._amounts[index] = Amounts(mapping.decimal, mapping.currency_unnamed)

    def _settle(self) -> Iterator[str]:
        """Look through the whole file, and say how what was left open is settled."""
        readers: list[tuple[int, Dates | Amounts]] = [*self._dates.items(), *self._amounts.items()]
        looks = [(index, reader.look) for index, reader in readers]
        for row in self._body(tell=False):
            cells = row.cells
            width = len(cells)
            for index, look in looks:
                if index < width:
                    look(cells[index])
        for index, reader in readers:
            heading = self._columns.headings[index]
            try:
                settled = reader.settle()
            except StillOpen as still_open:
                raise Unsettled(self._given, heading, still_open) from still_open
            if settled:
                yield f"The column '{heading}' has {settled}."

    def _body(self, *, tell: bool) -> Iterator[Row]:
        """The rows under the headings, without blank ones, totals and what stands below them."""
        ref = self._columns.roles["ref"]
        headings = self._columns.headings
        for row in self._sheet.rows():
            if row.number <= self._heading_row:
                continue
            if tell and self._progress and row.number % PROGRESS_EVERY == 0:
                self._progress(self._given.tool, row.number)
            cells = row.cells
            if (
                ref < len(cells)
                and cells[ref]
                and not self._ended
                and not _TOTAL.fullmatch(_first(cells))
            ):
                if cells[ref] == headings[ref]:  # the headings again, as on a new page
                    self._skipped += 1
                    continue
                yield row
                continue
            if self._passed_over(cells):
                self._skipped += 1
            else:
                yield row

    def _passed_over(self, cells: Sequence[Cell]) -> bool:
        filled = [cell for cell in cells if cell is not None and str(cell).strip()]
        if not filled:
            return True
        if _TOTAL.fullmatch(str(filled[0])) and not _holds_text(filled[1:]):
            self._ended = True
            return True
        return len(filled) == 1  # the name of a group, or when the report was printed

    # One row.

    def _record(self, row: Row) -> Record | None:
        cells = row.cells
        columns = self._columns
        if _beyond(cells, len(columns.headings)):
            reason = (
                f"{len(cells)} cells under {len(columns.headings)} headings: a separator stands "
                "inside a cell, or a quotation mark is missing"
            )
            self._note(row.number, reason, "")
            return None
        ref = reference(self._cell(row, self._ref))
        if not ref:
            self._note(row.number, f"nothing stands under '{self._heading('ref')}'", "")
            return None
        roles = columns.roles
        said_kind = self._text(row, roles.get("kind"))
        kind = kind_key(said_kind)
        if self._mapping.lines and self._further_line(kind, ref):
            return None
        if kind and self._kinds and kind not in self._kinds:
            if said_kind in self._other_kinds or len(self._other_kinds) < OTHER_KINDS_MAX:
                self._other_kinds[said_kind] += 1
            self._skipped += 1
            return None
        currency = self._text(row, roles.get("currency"))
        money = self._money(row, roles.get("money"), currency)
        return Record(
            tool=self._given.tool,
            row=row.number,
            ref=ref,
            shown=self._shown(row, money, currency),
            also=tuple(
                found for index in columns.also if (found := reference(self._cell(row, index)))
            ),
            kind=kind,
            since=self._moment(row, roles.get("since")),
            name=self._text(row, roles.get("name")),
            title=self._text(row, roles.get("title")),
            email=email_key(self._text(row, roles.get("email"))),
            phone=phone_key(self._text(row, roles.get("phone"))),
            address=" ".join(part for index in columns.address if (part := self._text(row, index))),
            money=money,
            references=tuple(
                (tool, found)
                for tool, index in columns.references
                for found in references(self._cell(row, index))
            ),
            fields=tuple(self._fields(row, currency, kind)),
        )

    def _further_line(self, kind: str, ref: str) -> bool:
        """Whether this is a further line of a record; then it is passed over."""
        known = hash((kind, ref.casefold()))
        if known in self._begun:
            self._lines += 1
            self._skipped += 1
            return True
        self._begun.add(known)
        return False

    def _shown(self, row: Row, money: Money | None, currency: str) -> tuple[Shown, ...]:
        shown: list[Shown] = []
        for name, index in self._columns.status:
            if text := self._text(row, index):
                shown.append(self._words.shown(name, text))
        for name, several in self._deriving.rules.items():
            values = self._values(row, money, currency)
            for derived, guard in several:
                if self._deriving.holds(guard, values):
                    shown.append(self._words.derived(name, derived))
                    break
        return tuple(shown)

    def _values(self, row: Row, money: Money | None, currency: str) -> dict[str, Any]:
        values: dict[str, Any] = {"money": money, "today": self._deriving.today}
        for name, index in self._columns.columns:
            match self._mapping.columns[name].type:
                case "money":
                    values[name] = self._money(row, index, currency)
                case "number":
                    number = self._tried(row, index, self._amounts[index].number)
                    values[name] = Number(number) if number is not None else None
                case "date":
                    day = self._tried(row, index, self._dates[index].day)
                    values[name] = Day(day) if day else None
                case "text":
                    values[name] = self._text(row, index)
        return values

    def _fields(self, row: Row, currency: str, kind: str) -> Iterator[tuple[str, str]]:
        for name, index in self._columns.fields:
            if kind and name in self._of_kind and kind not in self._of_kind[name]:
                continue  # an estimate's number is no invoice's
            cell = self._cell(row, index)
            if cell is None or cell == "":
                continue
            try:
                value = self._value(self._lifecycle.fields[name], index, cell, currency)
            except NotThat as exc:
                self._note(row.number, str(exc), self._columns.headings[index])
                continue
            if value:
                yield name, value

    def _value(  # noqa: PLR0911 - one for each type
        self, field: Field, index: int, cell: Cell, currency: str
    ) -> str:
        """The canonical value as text; empty where the cell says nothing."""
        match field.type:
            case "date":
                day = self._dates[index].day(cell)
                return day.isoformat() if day else ""
            case "datetime":
                moment = self._dates[index].read(cell)
                return str(normalise("datetime", moment.isoformat())) if moment else ""
            case "money":
                money = self._amounts[index].money(cell, currency)
                return str(money) if money is not None else ""
            case "number":
                number = self._amounts[index].number(cell)
                return str(normalise("number", number)) if number is not None else ""
            case "boolean":
                return _truth(cell)
        text = written(cell)
        match field.type:
            case "email":
                return email(text) if text else ""
            case "text":
                return text if text.isascii() else str(normalise("text", text))
            case "phone":
                return phone_key(text)
            case "address":
                return text[:ADDRESS_LENGTH_MAX]
            case _:
                return str(normalise(field.type, text, choices=field.choices)) if text else ""

    def _money(self, row: Row, index: int | None, currency: str) -> Money | None:
        if index is None:
            return None
        try:
            return self._amounts[index].money(self._cell(row, index), currency)
        except NotThat as exc:
            self._note(row.number, str(exc), self._columns.headings[index])
            return None

    def _moment(self, row: Row, index: int | None) -> datetime | None:
        return self._tried(row, index, self._dates[index].read) if index is not None else None

    def _tried(self, row: Row, index: int, read: Callable[[Cell], Any]) -> Any:
        """What a cell holds; one that cannot be read is left out, and stands among the refused."""
        try:
            return read(self._cell(row, index))
        except NotThat as exc:
            self._note(row.number, str(exc), self._columns.headings[index])
            return None

    def _cell(self, row: Row, index: int) -> Cell:
        if row.formulas and index in row.formulas:
            message = "a formula, whose result nobody can vouch for; paste the value"
            self._note(row.number, message, self._columns.headings[index])
            return None
        return row.cells[index] if index < len(row.cells) else None

    def _text(self, row: Row, index: int | None) -> str:
        if index is None:
            return ""
        if row.formulas or index >= len(row.cells):
            return written(self._cell(row, index))
        return written(row.cells[index])

    def _heading(self, role: str) -> str:
        return self._columns.headings[self._columns.roles[role]]

    def _note(self, row: int, reason: str, column: str) -> None:
        self._refused_count += 1
        if len(self._refused) < REFUSED_SHOWN_MAX:
            self._refused.append(findings.RefusedRow(row, reason, column))


def _tools_by_key(lifecycle: Lifecycle) -> dict[str, str]:
    tools = lifecycle.declaration.tools
    by_connector = {held.connector: tool for tool, held in tools.items() if held.connector}
    return by_connector | {tool: tool for tool in tools}


def _truth(cell: Cell) -> str:
    text = written(cell).casefold()
    if text in {"true", "yes", "y", "1", "x"}:
        return "true"
    if text in {"false", "no", "n", "0"}:
        return "false"
    if not text:
        return ""
    raise NotThat(f"{text!r} is neither yes nor no")


def _beyond(cells: Sequence[Cell], width: int) -> bool:
    """Whether anything stands to the right of the last heading."""
    return len(cells) > width and any(written(cell).strip() for cell in cells[width:])


def _first(cells: Sequence[Cell]) -> str:
    for cell in cells:
        if cell is not None and cell != "":
            return str(cell)
    return ""


def _holds_text(cells: Sequence[Cell]) -> bool:
    """Whether any cell holds more than amounts and counts."""
    return any(isinstance(cell, str) and any(map(str.isalpha, cell)) for cell in cells)


_TOTAL: Final = re.compile(
    r"\s*(?:grand\s+)?(?:sub)?(?:total|totals|sum|summe|gesamt|totaal|somme)(?:\s+for\b.*)?\s*:?\s*",
    re.IGNORECASE,
)
