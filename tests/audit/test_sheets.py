"""What is read of a file, and what ends in a clear refusal."""

import io
import zipfile
from pathlib import Path

import pytest
import xlsxwriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.audit import sheets
from api.audit.rows import BadExport
from api.audit.sheets import open_sheets

ROWS = [["Id", "Name", "Stage"], ["1", "Zoë, of “Mill”", "won"], ["2", "Bridge; Hall", ""]]


def cells(path: Path) -> list[list[object]]:
    (sheet,) = open_sheets(path)
    return [list(row.cells) for row in sheet.rows()]


def written(folder: Path, content: bytes, name: str = "deals.csv") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def workbook(folder: Path, fill: str = "plain") -> Path:
    path = folder / "deals.xlsx"
    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet("Deals")
        sheet.write_row(0, 0, ["Id", "Amount"])
        sheet.write_row(1, 0, ["1", 99.5])
        if fill == "formula":
            sheet.write_formula(2, 1, "=B2*2", value=199)
        if fill == "wide":
            sheet.write(1, 16_383, "far")
        if fill == "deep":
            sheet.write(1_048_575, 700, "far")
    return path


def repacked(source: Path, name: str, content: bytes) -> Path:
    """The same spreadsheet with one part replaced."""
    target = source.with_name("repacked.xlsx")
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.namelist():
            new.writestr(part, content if part == name else old.read(part))
    return target


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_text_is_read_in_every_usual_encoding_and_separation(
    tmp_path: Path, encoding: str, separator: str
) -> None:
    """What is in the cells does not depend on how the file was saved."""
    lines = [
        separator.join('"' + cell.replace('"', '""') + '"' if cell else "" for cell in row)
        for row in ROWS
    ]
    path = written(tmp_path, "\r\n".join(lines).encode(encoding))
    assert cells(path) == ROWS


def test_a_row_counts_as_a_spreadsheet_counts(tmp_path: Path) -> None:
    """A cell with a line break in it is one row, and a blank line is one too."""
    path = written(tmp_path, b'Id,Memo\n1,"two\nlines"\n\n2,x\n')
    (sheet,) = open_sheets(path)
    assert [(row.number, list(row.cells)) for row in sheet.rows()][-1] == (4, ["2", "x"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"  \n \n", "nothing but blanks"),
        (b"%PDF-1.7 ...", "PDF"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "old .xls"),
        (b"PK\x03\x04 not really", "no sound spreadsheet"),
        (b"one column\nonly\n", "two columns"),
        (b'Id,Name\n1,"never closed\n2,x\n', "quotation marks"),
        (b'Id,Name\n1,"a"b\n', "follows the quotation mark"),
        (b"Id,Name\n\x01,2\n", "control character"),
        (b"Id,Name\n\x81\x8d,2\n", "nor Windows-1252"),
        (b"Id,Name\n" + b"," * 5000, "columns"),
    ],
)
def test_what_is_no_export_is_refused_and_told_why(
    tmp_path: Path, content: bytes, said: str
) -> None:
    """A refusal names the file, what is wrong with it, and nothing of how it was read."""
    with pytest.raises(BadExport, match=said) as refused:
        cells(written(tmp_path, content))
    assert "deals.csv" in str(refused.value)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    """A part that unpacks to hundreds of times its size is not unpacked further."""
    bomb = repacked(workbook(tmp_path), "xl/worksheets/sheet1.xml", b" " * 50_000_000)
    with pytest.raises(BadExport, match="times its size"):
        open_sheets(bomb)


def test_a_size_that_a_spreadsheet_claims_is_not_believed(tmp_path: Path) -> None:
    """What counts is what really comes out, whatever the archive's own list says."""
    bomb = repacked(workbook(tmp_path), "xl/worksheets/sheet1.xml", b" " * 50_000_000)
    content = bomb.read_bytes().replace((50_000_000).to_bytes(4, "little"), b"\x10\0\0\0")
    with pytest.raises(BadExport):
        open_sheets(written(tmp_path, content, "liar.xlsx"))


@pytest.mark.parametrize(("fill", "said"), [("wide", "16,384"), ("deep", "spans")])
def test_a_cell_far_out_is_refused(tmp_path: Path, fill: str, said: str) -> None:
    """One cell in the far corner would make everything between it and the first one be held."""
    with pytest.raises(BadExport, match=said):
        open_sheets(workbook(tmp_path, fill))


def test_a_formula_is_known_by_its_place(tmp_path: Path) -> None:
    """The row says in which column a formula stands, so that its result is not taken for data."""
    (sheet,) = open_sheets(workbook(tmp_path, "formula"))
    assert [row.formulas for row in sheet.rows()] == [(), (), (1,)]


def test_more_rows_than_the_bound_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file is read without an end."""
    monkeypatch.setattr(sheets, "ROWS_MAX", 3)
    with pytest.raises(BadExport, match="more than 3 rows"):
        cells(written(tmp_path, b"a,b\n" * 5))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=2000))
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    """Whatever a file holds, it ends in rows or in a refusal, never in a crash."""
    path = written(tmp_path_factory.mktemp("fuzz"), content)
    try:
        for sheet in open_sheets(path):
            assert all(row.number for row in sheet.rows())
    except BadExport as refused:
        assert refused.message  # noqa: PT017 - either end is right


SOUND: dict[str, bytes] = {}


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_damaged_spreadsheet_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Bytes changed anywhere in a spreadsheet, or in its unpacked sheet, never end in a crash."""
    folder = tmp_path_factory.mktemp("fuzz")
    whole = bytearray(SOUND.setdefault("xlsx", workbook(folder, "formula").read_bytes()))
    if data.draw(st.booleans()):
        with zipfile.ZipFile(io.BytesIO(bytes(whole))) as packed:
            name = data.draw(st.sampled_from(packed.namelist()))
            part = bytearray(packed.read(name))
        for _ in range(data.draw(st.integers(1, 8))):
            part[data.draw(st.integers(0, len(part) - 1))] = data.draw(st.integers(0, 255))
        path = repacked(written(folder, bytes(whole), "a.xlsx"), name, bytes(part))
    else:
        for _ in range(data.draw(st.integers(1, 8))):
            whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
        path = written(folder, bytes(whole), "a.xlsx")
    try:
        for sheet in open_sheets(path):
            assert all(row.number for row in sheet.rows())
    except BadExport as refused:
        assert refused.message  # noqa: PT017 - either end is right
