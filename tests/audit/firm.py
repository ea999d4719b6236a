"""The shipped field-service lifecycle, and small exports for it."""

from datetime import date
from functools import lru_cache
from pathlib import Path

from msgspec.structs import replace

from api.audit import findings
from api.audit.exports import read_export
from api.audit.mapping import mapping_of
from api.audit.records import Given, Record
from lifecycle.catalogue import Catalogue, load
from lifecycle.connectors import Export
from lifecycle.model import Lifecycle

DEFINITIONS = Path(__file__).parents[2] / "definitions"
TODAY = date(2026, 11, 21)


@lru_cache(maxsize=1)
def catalogue() -> Catalogue:
    """All that is shipped."""
    return load(DEFINITIONS, {})


def lifecycle() -> Lifecycle:
    """The jobs of a field-service firm."""
    found = catalogue().named("field_service")
    assert found
    return found


def mapping(tool: str) -> Export:
    """What the shipped connector of a tool says of its exports."""
    found = mapping_of(lifecycle(), catalogue().connectors, tool)
    assert found
    return found


def given(tool: str, path: Path, **changes: object) -> Given:
    """An export of a tool, its mapping changed a little."""
    return Given(tool, path, replace(mapping(tool), **changes))


def read(
    folder: Path, tool: str, text: str, **changes: object
) -> tuple[findings.Export, list[Record]]:
    """Write an export and read it."""
    path = folder / f"{tool}.csv"
    path.write_text(text, encoding="utf-8")
    return records_of(given(tool, path, **changes))


def records_of(export: Given) -> tuple[findings.Export, list[Record]]:
    """Read an export that is there."""
    records: list[Record] = []
    return read_export(export, lifecycle(), TODAY, records.append), records
