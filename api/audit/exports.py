"""The rows of one export as records, and what was refused of it.

An export is read twice: once to settle what its columns leave open (the order of dates, what
stands before the cents), once for the records. Nothing is held of it but the records.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeAlias

from msgspec import Struct

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
from api.audit.sheets import BadExport, Cell, Row, Sheet, open_sheets
from lifecycle.chart import Active, Configuration, Guard
from lifecycle.comparable import Day, Money, Number
from lifecycle.connectors import Derived, Export
from lifecycle.declaration import Field
from lifecycle.fields import NotThat, Value, normalise
from lifecycle.model import Lifecycle

HEADINGS_WITHIN: Final = 40
"""Headings stand among so many first rows: reports put their title above them."""
REFUSED_SHOWN_MAX: Final = 1000
PROGRESS_EVERY: Final = 20_000
TEXT_LENGTH_MAX: Final = 500
"""What is kept of a name, a title or an address, in characters."""
REFERENCES_MAX: Final = 20

Progress: TypeAlias = Callable[[str, int], None]
"""Told the file and how many of its rows have been read so far."""


class Unsettled(NeedsMapping):
    """A column leaves open what it means, and the mapping does not say: it has to be asked."""

    def __init__(self, file: str, heading: str, still_open: StillOpen, mapping: Export) -> None:
        """`setting` of the mapping takes one of `choices`."""
        super().__init__(file, f"the column '{heading}' {still_open} (`{still_open.setting}`)")
        self.heading = heading
        self.setting = still_open.setting
        self.choices = still_open.choices
        self.sample = still_open.sample
        self.mapping = still_to_say(mapping, still_open.setting, still_open.choices)


class Shown(Struct, frozen=True, gc=False):
    """What one status field of a record shows."""

    status_field: str
    word: str
    states: tuple[Configuration, ...]
    """Where a case may stand that shows this word; empty: nobody's word."""
    derived: str = ""
    """The condition that gave it, where the tool has no status of its own."""


class Record(Struct, frozen=True, gc=False):
    """What one row says of one case. Texts are as they were written, tidied."""

    tool: str
    row: int
    ref: str
    shown: tuple[Shown, ...] = ()
    also: tuple[str, ...] = ()
    kind: str = ""
    since: datetime | None = None
    name: str = ""
    title: str = ""
    email: str = ""
    phone: str = ""
    """Digits only, without the country's code where it has one."""
    address: str = ""
    money: Money | None = None
    references: tuple[tuple[str, str], ...] = ()
    """(tool, that tool's id)."""
    fields: tuple[tuple[str, Value], ...] = ()
    """Canonical field → its value in canonical form."""


class Given(Struct, frozen=True):
    """One export as it was given: whose it is, where it lies, what its columns mean."""

    tool: str
    path: Path
    mapping: Export


def read_export(
    given: Given,
    lifecycle: Lifecycle,
    today: date,
    progress: Progress | None = None,
) -> tuple[findings.Export, list[Record]]:
    """Read one export whole.

    Raises `BadExport`: as `ColumnsMissing` with a mapping to be filled in, as `Unsettled` with
    what must be asked, else with the row that ends it. A row that cannot be read is left out
    and stands among the refused.
    """
    return _Reading(given, lifecycle, today, progress).read()


class _Reading:
    def __init__(
        self, given: Given, lifecycle: Lifecycle, today: date, progress: Progress | None
    ) -> None:
        self._given = given
        self._mapping = given.mapping
        self._lifecycle = lifecycle
        self._progress = progress
        self._file = given.path.name
        check_mapping(given.mapping, lifecycle, given.tool, self._file)
        self._refused: list[findings.RefusedRow] = []
        self._refused_count = 0
        self._skipped = 0
        self._ended = False
        self._sheet, self._heading_row, self._columns = self._found()
        self._ref = self._columns.roles["ref"]
        self._words = _Words(lifecycle, given.tool, given.mapping)
        self._deriving = _Deriving(self._mapping, self._columns, lifecycle, today)
        self._dates: dict[int, Dates] = {}
        self._amounts: dict[int, Amounts] = {}
        self._plan()

    def read(self) -> tuple[findings.Export, list[Record]]:
        understood = [*self._sheet.understood, *self._settle()]
        self._skipped = 0
        self._ended = False
        records = [record for row in self._body(tell=True) if (record := self._record(row))]
        unnamed = self._mapping.currency_unnamed
        if unnamed and any(amounts.unnamed_used for amounts in self._amounts.values()):
            understood.append(f"Amounts that name no currency were taken to be {unnamed}.")
        if not records:
            raise BadExport(
                self._file,
                "no row of it could be read; the first was refused for: "
                + (self._refused[0].reason if self._refused else "there is none"),
            )
        return (
            findings.Export(
                tool=self._given.tool,
                file=self._file,
                rows=len(records),
                refused=tuple(self._refused),
                refused_count=self._refused_count,
                skipped=self._skipped,
                understood=tuple(understood),
                columns=self._columns.found(),
            ),
            records,
        )

    # Finding the table.

    def _found(self) -> tuple[Sheet, int, Columns]:
        """The sheet and the row whose headings hold most of what the mapping knows."""
        known = known_headings(self._mapping)
        tools = _tools_by_key(self._lifecycle)
        best: tuple[int, Sheet, Row] | None = None
        for sheet in open_sheets(self._given.path):
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
            raise ColumnsMissing(self._file, missing, headings, mapping)
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
                raise Unsettled(self._file, heading, still_open, self._mapping) from still_open
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
                self._progress(self._file, row.number)
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
        return self._ended and len(filled) == 1

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
            kind=_kind(self._text(row, roles.get("kind"))),
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
            fields=tuple(self._fields(row, currency)),
        )

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

    def _fields(self, row: Row, currency: str) -> Iterator[tuple[str, Value]]:
        for name, index in self._columns.fields:
            cell = self._cell(row, index)
            if cell is None or cell == "":
                continue
            try:
                value = self._value(self._lifecycle.fields[name], index, cell, currency)
            except NotThat as exc:
                self._note(row.number, str(exc), self._columns.headings[index])
                continue
            if value is not None and value != "":
                yield name, value

    def _value(  # noqa: PLR0911 - one for each type
        self, field: Field, index: int, cell: Cell, currency: str
    ) -> Value | None:
        match field.type:
            case "date":
                day = self._dates[index].day(cell)
                return day.isoformat() if day else None
            case "datetime":
                moment = self._dates[index].read(cell)
                return normalise("datetime", moment.isoformat()) if moment else None
            case "money":
                money = self._amounts[index].money(cell, currency)
                return str(money) if money is not None else None
            case "number":
                number = self._amounts[index].number(cell)
                return normalise("number", number) if number is not None else None
            case "email":
                text = written(cell)
                return _email(text) if text else None
            case "text":
                text = written(cell)
                return text if not text or text.isascii() else normalise("text", text)
            case "phone":
                return phone_key(written(cell)) or None
            case "boolean":
                return _truth(cell)
            case "address":
                return {"lines": [written(cell)[:200]]} if written(cell) else None
            case _:
                text = written(cell)
                return normalise(field.type, text, choices=field.choices) if text else None

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


class _Words:
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
            if len(self._shown) >= REFUSED_SHOWN_MAX * 10:
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


class _Deriving:
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


def _tools_by_key(lifecycle: Lifecycle) -> dict[str, str]:
    tools = lifecycle.declaration.tools
    by_connector = {held.connector: tool for tool, held in tools.items() if held.connector}
    return by_connector | {tool: tool for tool in tools}


def written(cell: Cell) -> str:
    """A cell as one line of text."""
    match cell:
        case str():
            cell = cell[:TEXT_LENGTH_MAX].strip()
            tidy = cell.isprintable() and "  " not in cell
            return cell if tidy else _UNPRINTABLE.sub("", " ".join(cell.split()))
        case None:
            return ""
        case bool():
            return str(cell).lower()
        case float():
            return str(int(cell)) if cell.is_integer() else repr(cell)
        case datetime() | date():
            return cell.isoformat()


def reference(cell: Cell) -> str:
    """A tool's id of a record as others may write it: without #, whatever its case."""
    return written(cell).lstrip("#").strip()[:128]


def references(cell: Cell) -> tuple[str, ...]:
    """Every id in a cell that may hold several."""
    text = written(cell)
    if not text:
        return ()
    if "," not in text and ";" not in text:
        return (reference(text),)
    parts = [reference(part) for part in re.split(r"[,;]", text) if part.strip()]
    return tuple(parts[:REFERENCES_MAX])


def email_key(text: str) -> str:
    """An e-mail address as it is compared; empty where it is none."""
    if not text:
        return ""
    if _PLAIN_EMAIL.fullmatch(text):
        return text.casefold()
    try:
        return str(_email(text)).casefold()
    except NotThat:
        return ""


def phone_key(text: str) -> str:
    """The last ten digits of a phone number; empty where there are too few to tell it by.

    Exports write numbers with or without the country's code, so what is compared leaves it out.
    """
    digits = _NO_DIGIT.sub("", _EXTENSION.sub("", text)).lstrip("0")
    return digits[-10:] if len(digits) >= 7 else ""  # noqa: PLR2004 - the shortest that tell people apart


@lru_cache(maxsize=100)
def _kind(text: str) -> str:
    return fold(text)


@lru_cache(maxsize=10_000)
def _normal_email(text: str) -> str:
    return str(normalise("email", text))


def _email(text: str) -> str:
    if _PLAIN_EMAIL.fullmatch(text):  # what normalising changes in these is the domain's case
        name, _, domain = text.partition("@")
        return f"{name}@{domain.lower()}"
    return _normal_email(text)


def _truth(cell: Cell) -> bool | None:
    if isinstance(cell, bool):
        return cell
    text = written(cell).casefold()
    if not text:
        return None
    if text in {"true", "yes", "y", "1", "x"}:
        return True
    if text in {"false", "no", "n", "0"}:
        return False
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
_BRACKETED: Final = re.compile(r"\s*\([^()]*\)\s*$")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_PLAIN_EMAIL: Final = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9_+-]*(?:\.[A-Za-z0-9_+-]+)*@[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
    r"(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*\.[A-Za-z]{2,}",
    re.ASCII,
)
_NO_DIGIT: Final = re.compile(r"[^0-9]+")
_EXTENSION: Final = re.compile(r"(?:ext|x|#).*$", re.IGNORECASE)
