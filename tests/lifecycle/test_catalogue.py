"""The definitions folder, read and checked whole."""

import shutil
from pathlib import Path

import pytest

from lifecycle.catalogue import holds_connectors, load, load_connectors
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


# Connectors.


def told(folder: Path) -> dict[str, str]:
    """Say what is wrong in a folder, by file."""
    with pytest.raises(BadDefinition) as bad:
        load(folder, {})
    wrong = [problem for problem in bad.value.problems if not problem.warning]
    return {Path(problem.file).name: problem.message for problem in wrong}


def test_a_faulty_connector_is_told_once(folder: Path) -> None:
    """That its tools have no connector then, and write to no address, follows from it."""
    (folder / "connectors" / "hubspot.yaml").write_text("connector: hubspot", encoding="utf-8")
    assert told(folder) == {"hubspot.yaml": "missing: expected text"}


def test_a_connector_stands_in_a_file_of_its_name(folder: Path) -> None:
    """Whoever looks for the connector that a tool names finds it."""
    connectors = folder / "connectors"
    (connectors / "xero.yaml").rename(connectors / "zero.yaml")
    wanted = "'xero' is not the name of its file; call the file xero.yaml"
    assert told(folder) == {"zero.yaml": wanted}


def test_a_name_means_one_connector(folder: Path) -> None:
    """Files may end in .yaml or .yml, and one name stands in one of them."""
    connectors = folder / "connectors"
    (connectors / "xero.yaml").rename(connectors / "xero.yml")
    assert "xero" in load(folder, {}).connectors
    shutil.copy(connectors / "xero.yml", connectors / "xero.yaml")
    twice = f"connector 'xero' is declared by {connectors / 'xero.yaml'} too"
    assert told(folder) == {"xero.yml": twice}


def test_connectors_may_be_checked_alone(folder: Path) -> None:
    """A file of them, wherever it stands, or all of a folder; a lifecycle is none."""
    connectors = folder / "connectors"
    assert holds_connectors(connectors)
    assert len(load_connectors(connectors).connectors) == len(list(connectors.iterdir()))
    mine = shutil.copy(connectors / "stripe.yaml", folder.parent / "stripe.yaml")
    for place in (connectors / "stripe.yaml", Path(mine)):
        assert holds_connectors(place)
        alone = load_connectors(place)
        assert (list(alone.connectors), alone.lifecycles) == (["stripe"], {})
    assert not holds_connectors(folder)
    assert not holds_connectors(folder / "client.yaml")
    (connectors / "stripe.yaml").write_text("connector: stripe", encoding="utf-8")
    with pytest.raises(BadDefinition, match="missing"):
        load_connectors(connectors)


def test_warnings_of_connectors_are_among_the_catalogues(folder: Path) -> None:
    """What a connector's author may have meant otherwise is told at every start."""
    connector = folder / "connectors" / "mute.yaml"
    connector.write_text("connector: mute\ntitle: Mute\nref: id\n", encoding="utf-8")
    (warning,) = (one for one in load(folder, {}).warnings if one.file == str(connector))
    assert "without a 'signature'" in warning.message
