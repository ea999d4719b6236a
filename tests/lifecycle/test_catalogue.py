"""The definitions folder, read and checked whole."""

import shutil
from pathlib import Path

import pytest

from lifecycle.catalogue import load
from lifecycle.refusals import BadDefinition
from tests.lifecycle.given import DEFINITIONS, shipped


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEFINITIONS, tmp_path / "definitions"))


def test_what_is_shipped_is_sound() -> None:
    """Every shipped definition is taken, with its connectors, and found by either of its names."""
    catalogue = load(DEFINITIONS, {})
    assert {one.name for one in catalogue.lifecycles.values()} == set(shipped())
    jobs = catalogue.lifecycles["jobs"]
    assert catalogue.named("field_service") is jobs
    assert catalogue.named("jobs") is None
    assert catalogue.tools()["crm"] == "HubSpot"
    assert "hubspot" in catalogue.connectors
    assert all(problem.warning for problem in catalogue.warnings)


def test_one_file_may_be_loaded_alone(folder: Path) -> None:
    """With the connectors that stand beside it."""
    catalogue = load(folder / "field_service.yaml", {})
    assert list(catalogue.lifecycles) == ["jobs"]
    assert "hubspot" in catalogue.connectors


def test_all_that_is_wrong_is_told_at_once(folder: Path) -> None:
    """Problems of every file come together, connectors too, each with its file and line."""
    text = (folder / "client.yaml").read_text(encoding="utf-8")
    (folder / "client.yaml").write_text(text.replace("to: former", "to: formr"), encoding="utf-8")
    (folder / "field_service.yaml").write_text("lifecycle: [", encoding="utf-8")
    (folder / "connectors" / "xero.yaml").write_text("conector: xero", encoding="utf-8")
    with pytest.raises(BadDefinition) as bad:
        load(folder, {})
    wrong = {Path(problem.file).name for problem in bad.value.problems if not problem.warning}
    assert wrong == {"client.yaml", "field_service.yaml", "xero.yaml"}
    assert "did you mean 'former'" in str(bad.value)


@pytest.mark.parametrize(
    ("place", "words"),
    [("empty", "no definition here"), ("nowhere", "there is no such folder or file")],
)
def test_where_there_is_none_is_told(tmp_path: Path, place: str, words: str) -> None:
    """An empty folder, or none at all, is refused as what it is."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadDefinition, match=words):
        load(tmp_path / place, {})


def test_a_definition_that_cannot_be_read_is_told(folder: Path) -> None:
    """A folder that is called like a file is no definition."""
    (folder / "odd.yaml").mkdir()
    with pytest.raises(BadDefinition, match=r"odd\.yaml: Is a directory"):
        load(folder, {})
