"""Reads the definitions folder, checks it whole, and hands out one frozen catalogue."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from lifecycle.checks import Source, check
from lifecycle.connectors import Connector
from lifecycle.definition import Marks, skim
from lifecycle.doubts import read_connector
from lifecycle.fitting import fields
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
    folder = place if place.is_dir() else place.parent
    spoken = _spoken(_yaml(folder / CONNECTORS))
    problems = [*spoken.problems]
    sources, texts = [], []
    for file in files:
        try:
            content = _content(file)
            sources.append(Source(*skim(content, str(file))))
            texts.append(content.decode())
        except BadDefinition as bad:
            problems += bad.problems
    problems += check(sources, spoken.connectors, environment, spoken.faulty)
    if len(sources) == len(files) and not any(source.marks.problems for source in sources):
        declared = [source.declaration for source in sources]
        problems += fields(declared, spoken.connectors, spoken.marks)
    if any(not problem.warning for problem in problems):
        raise BadDefinition(tuple(sorted(problems)))
    lifecycles = [
        Lifecycle(source.declaration, text, spoken.connectors)
        for source, text in zip(sources, texts, strict=True)
    ]
    return Catalogue(
        {lifecycle.collection: lifecycle for lifecycle in lifecycles},
        spoken.connectors,
        tuple(sorted(problems)),
    )


def load_connectors(place: Path) -> Catalogue:
    """Read and check a connector's file alone, or a folder of them; nothing is declared there.

    Raises `BadDefinition` with every problem, warnings included.
    """
    spoken = _spoken([place] if place.is_file() else _yaml(place))
    if any(not problem.warning for problem in spoken.problems):
        raise BadDefinition(tuple(sorted(spoken.problems)))
    return Catalogue({}, spoken.connectors, tuple(sorted(spoken.problems)))


def holds_connectors(place: Path) -> bool:
    """Whether connectors stand here, and no lifecycles: by the folder's name, or as a file says."""
    if place.name == CONNECTORS or (place.is_file() and place.parent.name == CONNECTORS):
        return True
    if not place.is_file():
        return False
    content = _content(place)
    return bool(_CONNECTOR.search(content)) and not _LIFECYCLE.search(content)


class _Spoken(Struct):
    """What a folder of connectors holds."""

    connectors: dict[str, Connector] = {}
    marks: dict[str, Marks] = {}
    faulty: list[str] = []
    """The names of those that cannot be used."""
    problems: list[Problem] = []


def _spoken(files: Iterable[Path]) -> _Spoken:
    """Read connectors; each stands in a file of its own name, so that a name means one."""
    spoken = _Spoken()
    for file in files:
        try:
            connector, marks = read_connector(_content(file), str(file))
        except BadDefinition as bad:
            spoken.problems += bad.problems
            spoken.faulty.append(file.stem)
            continue
        name = connector.connector
        spoken.problems += marks.problems
        if name != file.stem:
            wanted = f"'{name}' is not the name of its file; call the file {name}.yaml"
            spoken.problems.append(marks.problem("connector", wanted))
            spoken.faulty += [name, file.stem]
        elif name in spoken.connectors:
            first = spoken.marks[name].file
            twice = f"connector '{name}' is declared by {first} too"
            spoken.problems.append(marks.problem("connector", twice))
        else:
            spoken.connectors[name], spoken.marks[name] = connector, marks
    return spoken


def _files(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise BadDefinition((Problem(str(place), 0, "", "there is no such folder or file"),))
    files = _yaml(place)
    if not files:
        message = "no definition here: a lifecycle is one *.yaml file in this folder"
        raise BadDefinition((Problem(str(place), 0, "", message),))
    return files


def _yaml(folder: Path) -> list[Path]:
    return sorted((*folder.glob("*.yaml"), *folder.glob("*.yml")))


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as exc:
        raise BadDefinition((Problem(str(file), 0, "", str(exc.strerror)),)) from exc


CONNECTORS: Final = "connectors"
"""The folder in which they stand, beside the lifecycles."""
_CONNECTOR: Final = re.compile(rb"^connector:", re.MULTILINE)
_LIFECYCLE: Final = re.compile(rb"^lifecycle:", re.MULTILINE)
