"""What a million rows need: work side by side, little memory, and the same answer as ever."""

import os
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from api.audit import reading, verdicts
from api.audit.auditing import audit
from api.audit.exports import Progress
from api.audit.findings import Audit, Source
from api.audit.mapping import ColumnsMissing
from api.audit.processes import side_by_side
from api.audit.records import Given
from api.audit.rows import BadExport
from api.audit.shelf import Filling, Shelf
from tests.audit import firm
from tests.audit.exports import NOW, Exports, generate


def audit_of(exports: Exports, told: dict[str, int]) -> Audit:
    def tell(what: str, done: int) -> None:
        assert done >= told.get(what, 0), "progress only grows"
        told[what] = done

    given = [Given(tool, path, firm.mapping(tool)) for tool, path in exports.files.items()]
    return audit(firm.lifecycle(), given, at=NOW, progress=tell)


def test_side_by_side_comes_to_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of their own find what one process finds, in the same order, and tell how far."""
    exports = generate(tmp_path, 600)
    alone = audit_of(exports, {})
    monkeypatch.setattr(reading, "APART_FROM_BYTES", 0)
    monkeypatch.setattr(verdicts, "APART_FROM_CASES", 0)
    told: dict[str, int] = {}
    apart = audit_of(exports, told)
    assert list(apart.findings) == list(alone.findings)
    assert list(apart.jobs) == list(alone.jobs)
    assert replace(apart, findings=(), jobs=(), seconds=0.0) == replace(
        alone, findings=(), jobs=(), seconds=0.0
    )
    assert told[verdicts.JUDGING] > 500


def test_a_refusal_comes_out_of_its_process_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the mapping to be filled in, as if it had been read here."""
    monkeypatch.setattr(reading, "APART_FROM_BYTES", 0)
    exports = generate(tmp_path, 20)
    exports.files["projects"].write_text("Auftrag,Stand\n17,upcoming\n", encoding="utf-8")
    with pytest.raises(ColumnsMissing, match="Auftrag") as missing:
        audit_of(exports, {})
    assert (missing.value.tool, missing.value.file) == ("projects", "jobs.csv")
    assert "ref: FILL IN" in missing.value.mapping


def die(code: int, _progress: Progress) -> None:
    """End as a process ends that the system kills for its memory."""
    os._exit(code)


def test_a_process_that_dies_is_a_refusal() -> None:
    """Nobody waits for ever, and nobody sees how it was run."""
    with pytest.raises(BadExport, match=r"deals\.csv: .* ended early \(3\)"):
        side_by_side([("deals.csv", partial(die, 3))], lambda _what, _done: None, apart=True)


def shelves(folder: Path, *counts: int) -> Shelf[Source]:
    paths = [folder / str(number) for number in range(len(counts))]
    for number, (path, count) in enumerate(zip(paths, counts, strict=True)):
        with Filling[Source](path) as filling:
            for row in range(count):
                filling.put(Source("crm", f"deals-{number}.csv", row))
    return Shelf(Source, paths)


def test_what_is_put_away_is_found_again(tmp_path: Path) -> None:
    """In its order, over several files, of which some are empty; also when they are gone."""
    shelf = shelves(tmp_path, 3, 0, 2)
    for file in tmp_path.iterdir():
        file.unlink()
    expected = [("deals-0.csv", 0), ("deals-0.csv", 1), ("deals-0.csv", 2)]
    expected += [("deals-2.csv", 0), ("deals-2.csv", 1)]
    assert [(one.file, one.row) for one in shelf] == expected
    assert [(one.file, one.row) for one in shelf[1:4]] == expected[1:4]
    assert [(shelf[at].file, shelf[at].row) for at in range(len(shelf))] == expected
    shelf.forget()
    assert shelf[4].row == 1
    with pytest.raises(IndexError):
        shelf[5]
