"""An XLSX file as rows of cells: measured, piece by piece, before the library is let near it."""

import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import IO, Final, TypeAlias

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook

from api.audit.rows import COLUMNS_MAX, ROWS_MAX, BadExport, Cell, Row, Sheet

UNPACKED_BYTES_MAX: Final = 2**30
"""What a spreadsheet may unpack to."""
UNPACKED_TIMES_MAX: Final = 200
"""How many times larger a part of a spreadsheet may be than it is packed; honest ones stay
below forty."""
PARTS_MAX: Final = 2000
CELLS_MAX: Final = 30_000_000
"""The corners of a spreadsheet span at most so many cells: the library holds them all."""
FORMULAS_MAX: Final = 100_000
"""So many formulas are remembered by their place; a sheet with more is refused."""

Formulas: TypeAlias = dict[int, tuple[int, ...]]
"""Row (from 1) → the columns (from 0) in which a formula stands."""


def open_spreadsheet(path: Path, file: str) -> tuple[Sheet, ...]:
    """Open every visible sheet that holds anything; raises `BadExport`."""
    formulas = _measured(path, file)
    try:
        workbook = CalamineWorkbook.from_path(str(path))
        sheets: list[Sheet] = []
        for index, name in enumerate(workbook.sheet_names):
            sheet = workbook.get_sheet_by_name(name)
            if sheet.total_height and sheet.total_width:
                sheets.append(_Spread(file, sheet, formulas.get(index, {})))
    except (CalamineError, OSError, ValueError) as exc:
        message = f"this is no sound spreadsheet ({_short(exc)}); save it again as XLSX or CSV"
        raise BadExport(file, message) from exc
    except BaseException as exc:  # the library's own panic derives from BaseException
        if isinstance(exc, KeyboardInterrupt | SystemExit | GeneratorExit):
            raise
        message = "this spreadsheet cannot be read; save it again as XLSX or CSV"
        raise BadExport(file, message) from exc
    if not sheets:
        raise BadExport(file, "every sheet of it is empty; export it again")
    return tuple(sheets)


class _Spread(Sheet):
    def __init__(self, file: str, sheet: CalamineSheet, formulas: Formulas) -> None:
        super().__init__(file, (f"Read the sheet '{sheet.name}'.",))
        self._sheet = sheet
        # The library begins every row at the first column in use, but every sheet at row 1.
        indent = sheet.start[1] if sheet.start else 0
        self._formulas = {
            row: tuple(column - indent for column in columns) for row, columns in formulas.items()
        }

    def rows(self) -> Iterator[Row]:
        for number, cells in enumerate(self._sheet.iter_rows(), 1):
            yield Row(number, [_typed(cell) for cell in cells], self._formulas.get(number, ()))


def _typed(cell: object) -> Cell:
    match cell:
        case "" | None:
            return None
        case str() | bool() | float() | datetime() | date():
            return cell
        case int():
            return float(cell)
        case time() | timedelta():
            return str(cell)
        case _:
            raise AssertionError(f"a cell of type {type(cell).__name__}")


def _measured(path: Path, file: str) -> dict[int, Formulas]:
    """Unpack every part once, counting; raises `BadExport` for bombs.

    The answer is where formulas stand, by worksheet in the order of their files.
    """
    try:
        with zipfile.ZipFile(path) as packed, path.open("rb") as raw:
            parts = packed.infolist()
            _look_over(file, parts)
            return _scanned(file, raw, parts)
    except BadExport:
        raise
    # `zipfile` knows no other word for a packing that it cannot undo than NotImplementedError.
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, NotImplementedError) as exc:
        message = f"this is no sound spreadsheet ({_short(exc)}); save it again as XLSX or CSV"
        raise BadExport(file, message) from exc


def _look_over(file: str, parts: Sequence[zipfile.ZipInfo]) -> None:
    if len(parts) > PARTS_MAX:
        raise BadExport(file, f"{len(parts):,} parts; a spreadsheet has a few dozen")
    if any(part.flag_bits & 1 for part in parts):
        raise BadExport(file, "it has a password; save it without one")
    if not any(part.filename.endswith("workbook.xml") for part in parts):
        message = "a packed file without a spreadsheet in it; export it as CSV or XLSX"
        raise BadExport(file, message)


def _scanned(file: str, raw: IO[bytes], parts: Sequence[zipfile.ZipInfo]) -> dict[int, Formulas]:
    formulas: dict[int, Formulas] = {}
    unpacked = 0
    for part in parts:
        scan = _Scan(file)
        sheet = _WORKSHEET.fullmatch(part.filename)
        for piece in _pieces(file, raw, part):
            unpacked += len(piece)
            if unpacked > UNPACKED_BYTES_MAX:
                raise BadExport(file, f"it unpacks to more than {UNPACKED_BYTES_MAX:,} bytes")
            if sheet:
                scan.take(piece)
        if sheet:
            formulas[int(sheet[1]) - 1] = scan.formulas()
    return formulas


def _pieces(file: str, raw: IO[bytes], part: zipfile.ZipInfo) -> Iterator[bytes]:
    """What one part really unpacks to, whatever it says of its own size."""
    raw.seek(part.header_offset)
    header = raw.read(30)
    if len(header) < 30 or header[:4] != b"PK\x03\x04":  # noqa: PLR2004 - a local header's size
        raise BadExport(
            file, "this is no sound spreadsheet: a part of it is not where it should be"
        )
    raw.seek(int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little"), 1)
    left, given = part.compress_size, 0
    if part.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise BadExport(file, "it is packed in a way that spreadsheets are not")
    inflate = zlib.decompressobj(-15) if part.compress_type == zipfile.ZIP_DEFLATED else None
    while left > 0 and (packed := raw.read(min(left, _PIECE))):
        left -= len(packed)
        while packed:
            piece = inflate.decompress(packed, _PIECE) if inflate else packed
            packed = inflate.unconsumed_tail if inflate else b""
            given += len(piece)
            if given > _PIECE and given > UNPACKED_TIMES_MAX * max(part.compress_size, 1):
                times = given // max(part.compress_size, 1)
                message = f"a part of it unpacks to {times:,} times its size: no spreadsheet does"
                raise BadExport(file, message)
            yield piece


class _Scan:
    """Looks at a worksheet's text as it is unpacked: how far it reaches, and where formulas are."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._tail = b""
        self._columns: set[bytes] = {b"A"}
        self._height = 0
        self._found: dict[int, set[int]] = {}
        self._formulas = 0
        self._cells = 0

    def take(self, piece: bytes) -> None:
        text = self._tail + piece
        if wide := _WIDE.search(text):
            column = _column(wide[1]) + 1
            message = f"a cell in column {column:,} ({wide[1].decode()}); at most {COLUMNS_MAX}"
            raise BadExport(self._file, message)
        self._columns.update(_PLACED.findall(text))
        if rows := _ROW.findall(text):
            self._height = max(self._height, *map(int, rows))
        span = self._height * (max(map(_column, self._columns)) + 1)
        self._cells += piece.count(b"<c")  # also those that do not say where they stand
        span = max(span, self._cells)
        if span > CELLS_MAX or self._height > ROWS_MAX:
            message = f"it spans {span:,} cells; at most {CELLS_MAX:,}: delete what is empty"
            raise BadExport(self._file, message)
        if b"<f" in text:
            self._note(text)
        self._tail = text[-_TAIL:]

    def _note(self, text: bytes) -> None:
        for found in _FORMULA.finditer(text):
            self._formulas += 1
            if self._formulas > FORMULAS_MAX:
                message = f"more than {FORMULAS_MAX:,} formulas; paste the values, not the formulas"
                raise BadExport(self._file, message)
            self._found.setdefault(int(found[2]), set()).add(_column(found[1]))

    def formulas(self) -> Formulas:
        return {row: tuple(sorted(columns)) for row, columns in self._found.items()}


def _column(letters: bytes) -> int:
    """The number, from 0, of the column of these letters."""
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number - 1


def _short(exc: BaseException) -> str:
    return str(exc).splitlines()[0][:120] if str(exc) else type(exc).__name__


_PIECE: Final = 2**20
_TAIL: Final = 512
"""What is kept of a piece, so that nothing is overlooked where it is cut."""
_WORKSHEET: Final = re.compile(r"xl/worksheets/sheet(\d{1,4})\.xml")
_WIDE: Final = re.compile(rb' r="([A-Z]{3,})\d')
_PLACED: Final = re.compile(rb' r="([A-Z]{2})\d')
_ROW: Final = re.compile(rb'<row\b[^>]{0,200}?\br="(\d{1,9})"')
_FORMULA: Final = re.compile(rb'<c\b[^>]{0,100}?\br="([A-Z]{1,3})(\d{1,7})"[^>]{0,100}>\s*<f[\s>/]')
