"""All exports read, side by side where that pays, their records put away in files."""

from collections.abc import Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from api.audit import findings
from api.audit.exports import Progress, read_export
from api.audit.processes import side_by_side
from api.audit.records import Given, Record
from api.audit.shelf import Filling
from lifecycle.declaration import Declaration
from lifecycle.model import Lifecycle

APART_FROM_BYTES: Final = 16 * 2**20
"""From so much text on, a process for each export pays."""


def read_exports(
    exports: Sequence[Given],
    lifecycle: Lifecycle,
    today: date,
    folder: Path,
    progress: Progress,
) -> tuple[list[findings.Export], list[Path]]:
    """Read every export; the files in `folder` are for a `Shelf` of `Record`, one an export.

    Raises `BadExport`, as `read_export` does.
    """
    named = labelled(exports)
    paths = [folder / f"records-{at}" for at in range(len(named))]
    pieces = [
        (given.file, partial(_put_away, given, lifecycle.declaration, today, path))
        for given, path in zip(named, paths, strict=True)
    ]
    size = sum(given.path.stat().st_size for given in named if given.path.is_file())
    return side_by_side(pieces, progress, apart=size > APART_FROM_BYTES), paths


def labelled(exports: Sequence[Given]) -> list[Given]:
    """Name each file with as much of its folder as tells it from the others."""
    parts = [given.path.absolute().parts for given in exports]
    return [
        replace(given, label="/".join(mine[-_telling(mine, parts) :]))
        for given, mine in zip(exports, parts, strict=True)
    ]


def _telling(mine: tuple[str, ...], all_parts: Sequence[tuple[str, ...]]) -> int:
    others = [parts for parts in all_parts if parts != mine]
    for length in range(1, len(mine)):
        if all(parts[-length:] != mine[-length:] for parts in others):
            return length
    return len(mine)


def _put_away(
    given: Given, declaration: Declaration, today: date, path: Path, progress: Progress
) -> findings.Export:
    with Filling[Record](path) as filling:
        return read_export(given, Lifecycle(declaration), today, filling.put, progress)
