"""A CSV or XLSX file as rows of cells, in bounded memory; or a refusal that says where and why.

What a file is, its first bytes say, not its name. Nothing is believed before it is measured: a
spreadsheet is unpacked piece by piece and counted before the library is let near it.
"""

import codecs
import csv
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import IO, Final, TypeAlias

from msgspec import Struct
from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook

FILE_BYTES_MAX: Final = 2 * 2**30
UNPACKED_BYTES_MAX: Final = 2**30
"""What a spreadsheet may unpack to."""
UNPACKED_TIMES_MAX: Final = 200
"""How many times larger a part of a spreadsheet may be than it is packed; honest ones stay
below forty."""
PARTS_MAX: Final = 2000
COLUMNS_MAX: Final = 702
"""Up to column ZZ."""
ROWS_MAX: Final = 2_000_000
CELLS_MAX: Final = 30_000_000
"""The corners of a spreadsheet span at most so many cells: the library holds them all."""
CELL_LENGTH_MAX: Final = 32_767
"""The most characters of a cell; the products' own limit."""
FORMULAS_MAX: Final = 100_000
"""So many formulas are remembered by their place; a sheet with more is refused."""

Cell: TypeAlias = str | float | bool | date | datetime | None
"""A cell as its file types it; CSV knows only text."""

Formulas: TypeAlias = dict[int, tuple[int, ...]]
"""Row (from 1) → the columns (from 0) in which a formula stands."""


class BadExport(ValueError):
    """An export that cannot be read: where, what stands there, and what would do."""

    def __init__(self, file: str, message: str, row: int = 0) -> None:
        """Name the file, and the row where there is one."""
        place = f"{file}, row {row}" if row else file
        super().__init__(f"{place}: {message}")
        self.file = file
        self.row = row
        self.message = message


class Row(Struct, frozen=True, gc=False):
    """One row, and the columns (from 0) in which a formula stands instead of a value."""

    number: int
    """As a spreadsheet counts, from 1."""
    cells: Sequence[Cell]
    formulas: tuple[int, ...] = ()


class Sheet:
    """The rows of one file (of one of its sheets), to be read as often as needed."""

    def __init__(self, file: str, understood: tuple[str, ...]) -> None:
        """Name the file, without its folder, and say how it is understood."""
        self.file = file
        self.understood = understood

    def rows(self) -> Iterator[Row]:
        """Give every row, blank ones too; raises `BadExport` at the first that is none."""
        raise NotImplementedError


def open_sheets(path: Path) -> tuple[Sheet, ...]:
    """Open a file: one sheet for CSV, every visible one of a spreadsheet; raises `BadExport`."""
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise BadExport(path.name, "this is no file")
        with path.open("rb") as file:
            first = file.read(8)
    except OSError as exc:
        raise BadExport(path.name, exc.strerror or "it cannot be opened") from exc
    if not size:
        raise BadExport(path.name, "the file is empty; export it again")
    if size > FILE_BYTES_MAX:
        raise BadExport(path.name, f"the file has {size:,} bytes; at most {FILE_BYTES_MAX:,}")
    if first.startswith(b"PK"):
        return _open_spreadsheet(path)
    if first.startswith(b"\xd0\xcf\x11\xe0"):
        message = "an old .xls file, or one with a password; save it as .xlsx or CSV without one"
        raise BadExport(path.name, message)
    for magic, what in _OTHERS.items():
        if first.startswith(magic):
            raise BadExport(path.name, f"this is {what}; export it as CSV or XLSX")
    return (_open_text(path),)


# Text.


class _TextSheet(Sheet):
    def __init__(self, path: Path, encoding: str, separator: str) -> None:
        named = _SEPARATORS[separator]
        super().__init__(path.name, (f"Read as {_ENCODINGS[encoding]}, separated by {named}.",))
        self._path = path
        self._encoding = encoding
        self._separator = separator

    def rows(self) -> Iterator[Row]:
        number = 0
        try:
            with self._path.open(encoding=self._encoding, newline="") as file:
                reader = csv.reader(file, delimiter=self._separator, strict=True)
                for number, cells in enumerate(reader, 1):
                    if number > ROWS_MAX:
                        message = f"more than {ROWS_MAX:,} rows; export a shorter period"
                        raise BadExport(self.file, message, number)
                    if len(cells) > COLUMNS_MAX:
                        message = f"{len(cells):,} columns; at most {COLUMNS_MAX}"
                        raise BadExport(self.file, message, number)
                    yield Row(number, cells)
        except csv.Error as exc:
            raise BadExport(self.file, _explained(exc), number + 1) from exc
        except UnicodeError as exc:
            message = f"it does not stay {_ENCODINGS[self._encoding]}; save it again as UTF-8"
            raise BadExport(self.file, message, number + 1) from exc


def _open_text(path: Path) -> Sheet:
    encoding = _encoding(path)
    with path.open(encoding=encoding, newline="") as file:
        sample = file.read(_SAMPLE)
    if not sample.strip():
        raise BadExport(path.name, "the file holds nothing but blanks; export it again")
    if found := _UNPRINTABLE.search(sample):
        message = f"this is no text: it holds the control character U+{ord(found[0]):04X}"
        raise BadExport(path.name, message)
    return _TextSheet(path, encoding, _separator(path.name, sample))


def _encoding(path: Path) -> str:
    """Which encoding reads the whole file: what its mark says, else UTF-8, else Windows-1252."""
    with path.open("rb") as file:
        start = file.read(_SAMPLE)
    if start.startswith(codecs.BOM_UTF8):
        candidates: tuple[str, ...] = ("utf-8-sig",)
    elif start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        candidates = ("utf-16",)
    elif b"\0" in start:
        # Without a mark, text of the Latin alphabet shows its byte order by where the zeros are.
        even, odd = start[::2].count(0), start[1::2].count(0)
        candidates = ("utf-16-le",) if odd > even else ("utf-16-be",)
    else:
        candidates = ("utf-8", "cp1252")
    for encoding in candidates:
        if _decodes(path, encoding):
            return encoding
    tried = " nor ".join(_ENCODINGS[encoding] for encoding in candidates)
    raise BadExport(path.name, f"the text is not {tried}; save it again as UTF-8")


def _decodes(path: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeError:
        return False
    return True


def _separator(file: str, sample: str) -> str:
    """The separator that cuts most lines into equally many parts, more than one."""
    lines = [line for line in _QUOTED.sub("q", sample).splitlines()[:50] if line.strip()]
    best, best_score = "", 0
    for separator in _SEPARATORS:
        parts = Counter(line.count(separator) for line in lines)
        parts.pop(0, None)
        if parts:
            count, number = max(parts.items(), key=lambda item: (item[1], item[0]))
            score = number * 1000 + count
            if score > best_score:
                best, best_score = separator, score
    if not best:
        separators = ", ".join(_SEPARATORS.values())
        raise BadExport(file, f"no line has two columns; columns are separated by {separators}")
    return best


def _explained(exc: csv.Error) -> str:
    text = str(exc)
    if "field larger" in text:
        return "a cell has more than 131,072 characters: a quotation mark is opened, never closed"
    if "unexpected end" in text:
        return "the file ends inside quotation marks: it was cut off, or one is never closed"
    if "expected after" in text:
        return "something follows the quotation mark that ends a cell; inside cells write two"
    return text


# Spreadsheets.


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


def _open_spreadsheet(path: Path) -> tuple[Sheet, ...]:
    formulas = _measured(path)
    try:
        workbook = CalamineWorkbook.from_path(str(path))
        sheets: list[Sheet] = []
        for index, name in enumerate(workbook.sheet_names):
            sheet = workbook.get_sheet_by_name(name)
            if sheet.total_height and sheet.total_width:
                sheets.append(_Spread(path.name, sheet, formulas.get(index, {})))
    except (CalamineError, OSError, ValueError) as exc:
        message = f"this is no sound spreadsheet ({_short(exc)}); save it again as XLSX or CSV"
        raise BadExport(path.name, message) from exc
    except BaseException as exc:  # the library's own panic derives from BaseException
        if isinstance(exc, KeyboardInterrupt | SystemExit | GeneratorExit):
            raise
        message = "this spreadsheet cannot be read; save it again as XLSX or CSV"
        raise BadExport(path.name, message) from exc
    if not sheets:
        raise BadExport(path.name, "every sheet of it is empty; export it again")
    return tuple(sheets)


def _measured(path: Path) -> dict[int, Formulas]:
    """Unpack every part once, counting; raises `BadExport` for bombs.

    The answer is where formulas stand, by worksheet in the order of their files.
    """
    try:
        with zipfile.ZipFile(path) as packed, path.open("rb") as raw:
            parts = packed.infolist()
            _look_over(path.name, parts)
            return _scanned(path.name, raw, parts)
    except BadExport:
        raise
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, NotImplementedError) as exc:
        message = f"this is no sound spreadsheet ({_short(exc)}); save it again as XLSX or CSV"
        raise BadExport(path.name, message) from exc


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


_SAMPLE: Final = 64 * 1024
_PIECE: Final = 2**20
_TAIL: Final = 512
"""What is kept of a piece, so that nothing is overlooked where it is cut."""
_QUOTED: Final = re.compile(r'"(?:[^"]|"")*"')
_UNPRINTABLE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_WORKSHEET: Final = re.compile(r"xl/worksheets/sheet(\d{1,4})\.xml")
_WIDE: Final = re.compile(rb' r="([A-Z]{3,})\d')
_PLACED: Final = re.compile(rb' r="([A-Z]{2})\d')
_ROW: Final = re.compile(rb'<row\b[^>]{0,200}?\br="(\d{1,9})"')
_FORMULA: Final = re.compile(rb'<c\b[^>]{0,100}?\br="([A-Z]{1,3})(\d{1,7})"[^>]{0,100}>\s*<f[\s>/]')
_SEPARATORS: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_ENCODINGS: Final = {
    "utf-8": "UTF-8",
    "utf-8-sig": "UTF-8 with a byte-order mark",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16 without a byte-order mark",
    "utf-16-be": "UTF-16 without a byte-order mark",
    "cp1252": "Windows-1252",
}
_OTHERS: Final = {
    b"%PDF": "a PDF document",
    b"<!DO": "a web page",
    b"<htm": "a web page",
    b"<HTM": "a web page",
    b"<?xm": "an XML document",
    b"{": "JSON",
    b"\x1f\x8b": "a packed file",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
}
