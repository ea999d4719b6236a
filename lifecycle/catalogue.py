"""Reads the definitions folder, checks it whole, and hands out one frozen catalogue."""

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from lifecycle.checks import Source, check
from lifecycle.connectors import Connector, read_connector
from lifecycle.definition import skim
from lifecycle.model import Lifecycle
from lifecycle.refusals import BadDefinition, Problem


class Catalogue(Struct, frozen=True):
    """Every lifecycle of one definitions folder, sound as a whole."""

    lifecycles: Mapping[str, Lifecycle]
    """By collection, as addresses name them; in the order of the files."""
    connectors: Mapping[str, Connector]
    warnings: tuple[Problem, ...] = ()

    def named(self, lifecycle: str) -> Lifecycle | None:
        """The lifecycle of this name."""
        return next((one for one in self.lifecycles.values() if one.name == lifecycle), None)

    def tools(self) -> dict[str, str]:
        """Every tool of the business, with its title."""
        return {
            tool: declared.title
            for lifecycle in self.lifecycles.values()
            for tool, declared in lifecycle.declaration.tools.items()
        }


def load(place: Path, environment: Mapping[str, str]) -> Catalogue:
    """Read and check a folder of definitions, or one file of it.

    `environment` tells which secrets are set. Raises `BadDefinition` with every problem, warnings
    included.
    """
    files = _files(place)
    problems: list[Problem] = []
    connectors: dict[str, Connector] = {}
    folder = place if place.is_dir() else place.parent
    for file in sorted((folder / "connectors").glob("*.yaml")):
        try:
            connector, _ = read_connector(_content(file), str(file))
            connectors[connector.connector] = connector
        except BadDefinition as bad:
            problems += bad.problems
    sources, texts = [], []
    for file in files:
        try:
            content = _content(file)
            sources.append(Source(*skim(content, str(file))))
            texts.append(content.decode())
        except BadDefinition as bad:
            problems += bad.problems
    problems += check(sources, connectors, environment)
    if any(not problem.warning for problem in problems):
        raise BadDefinition(tuple(sorted(problems)))
    lifecycles = [
        Lifecycle(source.declaration, text, connectors)
        for source, text in zip(sources, texts, strict=True)
    ]
    return Catalogue(
        {lifecycle.collection: lifecycle for lifecycle in lifecycles},
        connectors,
        tuple(sorted(problems)),
    )


def _files(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise BadDefinition((Problem(str(place), 0, "", "there is no such folder or file"),))
    files = sorted((*place.glob("*.yaml"), *place.glob("*.yml")))
    if not files:
        message = "no definition here: a lifecycle is one *.yaml file in this folder"
        raise BadDefinition((Problem(str(place), 0, "", message),))
    return files


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as exc:
        raise BadDefinition((Problem(str(file), 0, "", str(exc.strerror)),)) from exc
