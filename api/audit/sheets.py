"""A CSV or XLSX file as rows of cells, in bounded memory; or a refusal that says where and why.

What a file is, its first bytes say, not its name. What is text is read here.
"""

import codecs
import csv
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from api.audit.rows import COLUMNS_MAX, ROWS_MAX, BadExport, Row, Sheet
from api.audit.spreadsheets import open_spreadsheet

FILE_BYTES_MAX: Final = 2 * 2**30


def open_sheets(path: Path, label: str = "") -> tuple[Sheet, ...]:
    """Open a file: one sheet for CSV, every visible one of a spreadsheet; raises `BadExport`.

    `label` is what it is called in everything that is said of it; else its name.
    """
    file = label or path.name
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise BadExport(file, "this is no file")
        with path.open("rb") as opened:
            first = opened.read(8)
    except OSError as exc:
        raise BadExport(file, exc.strerror or "it cannot be opened") from exc
    if not size:
        raise BadExport(file, "the file is empty; export it again")
    if size > FILE_BYTES_MAX:
        raise BadExport(file, f"the file has {size:,} bytes; at most {FILE_BYTES_MAX:,}")
    if first.startswith(b"PK"):
        return open_spreadsheet(path, file)
    if first.startswith(b"\xd0\xcf\x11\xe0"):
        message = "an old .xls file, or one with a password; save it as .xlsx or CSV without one"
        raise BadExport(file, message)
    for magic, what in _OTHERS.items():
        if first.startswith(magic):
            raise BadExport(file, f"this is {what}; export it as CSV or XLSX")
    return (_open_text(path, file),)


class _TextSheet(Sheet):
    def __init__(self, path: Path, file: str, encoding: str, separator: str) -> None:
        named = _SEPARATORS[separator]
        super().__init__(file, (f"Read as {_ENCODINGS[encoding]}, separated by {named}.",))
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


def _open_text(path: Path, file: str) -> Sheet:
    encoding = _encoding(path, file)
    with path.open(encoding=encoding, newline="") as text:
        sample = text.read(_SAMPLE)
    if not sample.strip():
        raise BadExport(file, "the file holds nothing but blanks; export it again")
    if found := _UNPRINTABLE.search(sample):
        message = f"this is no text: it holds the control character U+{ord(found[0]):04X}"
        raise BadExport(file, message, sample.count("\n", 0, found.start()) + 1)
    return _TextSheet(path, file, encoding, _separator(file, sample))


def _encoding(path: Path, file: str) -> str:
    """Which encoding reads the whole file: what its mark says, else UTF-8, else Windows-1252."""
    with path.open("rb") as raw:
        start = raw.read(_SAMPLE)
    if start.startswith(codecs.BOM_UTF8):
        candidates: tuple[str, ...] = ("utf-8-sig",)
    elif start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        candidates = ("utf-16",)
    elif start.count(0) * 4 > len(start):
        # Without a mark, text of the Latin alphabet shows its byte order by where the zeros are.
        even, odd = start[::2].count(0), start[1::2].count(0)
        candidates = ("utf-16-le",) if odd > even else ("utf-16-be",)
    else:
        candidates = ("utf-8", "cp1252")
    for encoding in candidates:
        if _decodes(path, encoding):
            return encoding
    tried = " nor ".join(_ENCODINGS[encoding] for encoding in candidates)
    raise BadExport(file, f"the text is not {tried}; save it again as UTF-8")


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


_SAMPLE: Final = 64 * 1024
_PIECE: Final = 2**20
_QUOTED: Final = re.compile(r'"(?:[^"]|"")*"')
_UNPRINTABLE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
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
