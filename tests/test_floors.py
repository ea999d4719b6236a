"""The floor plans: what each folder's docstring says stands in it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("folder", ["lifecycle", "projections", "api"])
def test_a_floor_plan_names_every_module_and_no_other(folder: str) -> None:
    """Whoever reads a plan upward has met all that there is."""
    floor = ROOT / folder
    plan = (floor / "__init__.py").read_text()
    named = set(re.findall(r"`([a-z_]+)`", plan))
    modules = {file.stem for file in floor.glob("*.py")} - {"__init__"}
    packages = {file.parent.name for file in floor.glob("*/__init__.py")}
    assert named == modules | packages
