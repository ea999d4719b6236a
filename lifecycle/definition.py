"""A definition as bytes → structs, with every problem of shape at once, each with its line.

YAML guesses types from how a scalar looks: `on` is true, `0123` is 83. Here the structs decide.
A scalar is its text, and only where a type wants a truth value, nothing or a whole number are
`true`, `false`, `~` and decimal digits read as such. So the nodes are walked beside the types.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final, NoReturn, TypeVar

import msgspec
import yaml
from msgspec import Struct, inspect

from lifecycle.declaration import HEAR_ONLY, Declaration, Duration, Id
from lifecycle.refusals import BadDefinition, Problem

BYTES_MAX: Final = 1024 * 1024
"""The size of one file."""
DEPTH_MAX: Final = 64
"""How deep values may nest, aliases followed."""
VALUES_MAX: Final = 100_000
"""How many values a file may hold, aliases followed: a bomb of aliases stops here."""
DIGITS_MAX: Final = 15
"""The length of a whole number."""
UNREAD: Final = "\0"
"""Begins what stands for text that is missing or wrong, its path behind it: no file can."""

Shape = TypeVar("Shape", bound=Struct)
Node = yaml.nodes.Node


class Marks(Struct, frozen=True):
    """Where each part of a definition stands in its file."""

    file: str
    lines: Mapping[str, int]
    """Path → line, from 1."""
    problems: tuple[Problem, ...] = ()
    """What is wrong with its shape."""

    def line(self, path: str) -> int:
        """Find the line of a path, or of the nearest part above it that is written."""
        while path and path not in self.lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.lines.get(path, 1)

    def problem(self, path: str, message: str, *, warning: bool = False) -> Problem:
        """Say what is wrong with the part at a path."""
        return Problem(self.file, self.line(path), path, message, warning)


def read(content: bytes, file: str) -> tuple[Declaration, Marks]:
    """Read the lifecycle a file declares; raises BadDefinition with all that is wrong in shape."""
    return read_as(Declaration, content, file)


def read_as(shape: type[Shape], content: bytes, file: str) -> tuple[Shape, Marks]:
    """Read one YAML document as a struct; raises BadDefinition with every problem of shape."""
    value, marks = _walked(shape, content, file)
    if marks.problems:
        raise BadDefinition(marks.problems)
    return value, marks


def skim(content: bytes, file: str) -> tuple[Declaration, Marks]:
    """Read what can be read of a lifecycle, so that its names can be checked all the same.

    What is wrong in its shape stands in the marks, and text that begins with `UNREAD` where it
    was to be said. Raises BadDefinition where nothing can be read: no YAML, or beyond the bounds.
    """
    return _walked(Declaration, content, file)


def _walked(shape: type[Shape], content: bytes, file: str) -> tuple[Shape, Marks]:
    walk = _Walk(file)
    value = walk.value(_compose(content, file), _type_of(shape), "")
    assert isinstance(value, shape), f"a {type(value)} was read as {shape}"
    return value, Marks(file, walk.lines, tuple(sorted(walk.problems)))


def near(name: str, known: Iterable[str]) -> str:
    """Ask ` (did you mean 'scheduled'?)`, or nothing where no known name comes close."""
    folded = {option.casefold(): option for option in known}
    close = difflib.get_close_matches(name[:DEPTH_MAX].casefold(), folded, 1)
    return f" (did you mean '{folded[close[0]]}'?)" if close else ""


def listed(names: Iterable[str]) -> str:
    """List names as a sentence holds them."""
    return ", ".join(names) or "none"


def schema() -> dict[str, Any]:
    """Make the JSON Schema (draft 2020-12) of a definition, for editors, from the structs.

    An editor reads an unquoted `42` or `true` as a number or a truth value where `read` takes its
    text, so plain text may be any of these.
    """
    made = msgspec.json.schema(Declaration)
    declared = made["$defs"]["Declaration"]["properties"]
    states = declared["words"]["additionalProperties"]["additionalProperties"]
    states["properties"] = {HEAR_ONLY: {"type": "boolean"}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Statekeeper lifecycle definition",
        **_widened(made),
    }


def _widened(part: Any) -> Any:
    if isinstance(part, list | tuple):
        return [_widened(inner) for inner in part]
    if not isinstance(part, dict):
        return part
    if part == {"type": "string"}:
        return {"type": ["string", "number", "boolean"]}
    return {key: _widened(inner) for key, inner in part.items()}


@cache
def _type_of(shape: Any) -> inspect.Type:
    return inspect.type_info(shape)


class _Walk:
    """One pass over the nodes of a file beside the types they are to have."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: dict[str, int] = {}
        self.problems: list[Problem] = []
        self.values = 0
        self.depth = 0

    def value(self, node: Node, wanted: inspect.Type, path: str) -> object:
        """Read what the node says; where that is a problem, something neutral of the type."""
        self.values += 1
        self.depth += 1
        self.lines.setdefault(path, _line(node))
        if self.values > VALUES_MAX or self.depth > DEPTH_MAX:
            _refuse(
                self.file,
                _line(node),
                f"more than {VALUES_MAX:,} values, or deeper than {DEPTH_MAX}, aliases followed",
            )
        said = self._dispatch(node, _fitting(node, wanted), path)
        self.depth -= 1
        return said

    def _dispatch(  # noqa: PLR0911 - one for each kind of type
        self, node: Node, wanted: inspect.Type, path: str
    ) -> object:
        match node, wanted:
            case yaml.MappingNode(), inspect.StructType():
                return self._struct(node, wanted, path)
            case yaml.MappingNode(), inspect.DictType():
                return self._dict(node, wanted, path)
            case yaml.SequenceNode(), inspect.VarTupleType():
                return tuple(
                    self.value(item, wanted.item_type, f"{path}[{index}]")
                    for index, item in enumerate(node.value)
                )
            case yaml.ScalarNode(), inspect.NoneType() if _is_nothing(node):
                return None
            case yaml.ScalarNode(), inspect.BoolType() if _is_plain(node, "true|false"):
                return str(node.value) == "true"
            case yaml.ScalarNode(), inspect.IntType() if _is_plain(node, "-?(0|[1-9][0-9]*)"):
                return self._number(node.value, wanted, path)
            case yaml.ScalarNode(), inspect.LiteralType() if not _is_nothing(node):
                return self._choice(node.value, wanted, path)
            case yaml.ScalarNode(), inspect.StrType() if not _is_nothing(node):
                return self._text(node.value, wanted, path)
        self._say(path, f"expected {_expected(wanted)}, found {_found(node)}")
        return _neutral(wanted, path)

    def _struct(self, node: yaml.MappingNode, wanted: inspect.StructType, path: str) -> object:
        fields = {field.encode_name: field for field in wanted.fields}
        said: dict[str, object] = {}
        for key, inner, at in self._entries(node, path):
            if key in fields:
                said[fields[key].name] = self.value(inner, fields[key].type, at)
            else:
                self._say(at, f"no key {quoted(key)} here{near(key, fields)}; {listed(fields)}")
        for name, field in fields.items():
            if field.required and field.name not in said:
                at = f"{path}.{name}" if path else name
                said[field.name] = _neutral(field.type, at)
                self._say(at, f"missing: expected {_expected(field.type)}", self.lines[path])
        return wanted.cls(**said)

    def _dict(
        self, node: yaml.MappingNode, wanted: inspect.DictType, path: str
    ) -> dict[str, object]:
        said: dict[str, object] = {}
        for key, inner, at in self._entries(node, path):
            self._text(key, wanted.key_type, at)
            said[key] = self.value(inner, _beside_states(key, wanted.value_type), at)
        return said

    def _entries(self, node: yaml.MappingNode, path: str) -> "list[tuple[str, Node, str]]":
        """Key, value and path of each entry; keys that are no text or stand twice are problems."""
        entries: dict[str, tuple[str, Node, str]] = {}
        for key, inner in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._say(path, f"a key is text, not {_found(key)}", _line(key))
                continue
            name = str(key.value)
            at = f"{path}.{name}" if path else name
            if name in entries:
                twice = f"{quoted(name)} stands twice, first on line {self.lines[at]}"
                self._say(at, twice, _line(key))
                continue
            self.lines[at] = _line(key)
            entries[name] = (name, inner, at)
        return list(entries.values())

    def _number(self, text: str, wanted: inspect.IntType, path: str) -> int:
        if len(text) > DIGITS_MAX:
            self._say(path, f"a whole number has at most {DIGITS_MAX} digits")
            return 0
        number = int(text)
        least = number if wanted.ge is None else wanted.ge
        most = number if wanted.le is None else wanted.le
        if not least <= number <= most:
            bounds = f"{least} to {most}" if wanted.le is not None else f"{least}"
            self._say(path, f"expected a whole number from {bounds}, found {number}")
        return number

    def _choice(self, text: str, wanted: inspect.LiteralType, path: str) -> str:
        options = [str(option) for option in wanted.values]
        if text not in options:
            self._say(path, f"no choice {quoted(text)}{near(text, options)}; {listed(options)}")
            return options[0]
        return text

    def _text(self, text: str, wanted: inspect.Type, path: str) -> str:
        pattern = wanted.pattern if isinstance(wanted, inspect.StrType) else None
        if pattern is not None and not re.fullmatch(pattern, text):
            self._say(path, f"{quoted(text)} is not {_expected(wanted)}{_repaired(text, pattern)}")
        return text

    def _say(self, path: str, message: str, line: int | None = None) -> None:
        at = self.lines.get(path, 1) if line is None else line
        self.problems.append(Problem(self.file, at, path, message))


def _fitting(node: Node, wanted: inspect.Type) -> inspect.Type:
    """Choose the one type among several that a node of this kind can only mean."""
    if isinstance(wanted, inspect.Metadata):
        return _fitting(node, wanted.type)
    if not isinstance(wanted, inspect.UnionType):
        return wanted
    fits: tuple[type[inspect.Type], ...]
    match node:
        case yaml.MappingNode():
            fits = (inspect.StructType, inspect.DictType)
        case yaml.SequenceNode():
            fits = (inspect.VarTupleType,)
        case yaml.ScalarNode() if _is_nothing(node):
            fits = (inspect.NoneType,)
        case _:
            fits = (inspect.StrType, inspect.LiteralType, inspect.IntType, inspect.BoolType)
    bare = [_bare(option) for option in wanted.types]
    return next((option for option in bare if isinstance(option, fits)), wanted)


def _bare(wanted: inspect.Type) -> inspect.Type:
    return _bare(wanted.type) if isinstance(wanted, inspect.Metadata) else wanted


def _neutral(wanted: inspect.Type, path: str) -> object:  # noqa: PLR0911 - one for each kind
    """Stand in for what could not be read."""
    match _bare(wanted):
        case inspect.UnionType(types=options):
            return None if inspect.NoneType() in options else _neutral(options[0], path)
        case inspect.StructType(cls=shape, fields=fields):
            required = [field for field in fields if field.required]
            return shape(**{field.name: _neutral(field.type, path) for field in required})
        case inspect.DictType():
            return {}
        case inspect.VarTupleType():
            return ()
        case inspect.BoolType():
            return False
        case inspect.IntType():
            return 0
        case inspect.LiteralType(values=options):
            return options[0]
    return UNREAD + path


def _beside_states(key: str, wanted: inspect.Type) -> inspect.Type:
    """Where words and a truth value share a map, the key tells which is meant."""
    if not isinstance(wanted, inspect.UnionType):
        return wanted
    truth = [option for option in wanted.types if isinstance(option, inspect.BoolType)]
    if not truth:
        return wanted
    if key == HEAR_ONLY:
        return truth[0]
    return inspect.UnionType(tuple(option for option in wanted.types if option not in truth))


def _compose(content: bytes, file: str) -> Node:
    """Read the document's nodes, within the bounds."""
    if len(content) > BYTES_MAX:
        _refuse(file, 0, f"{len(content):,} bytes; a definition has at most {BYTES_MAX:,}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        _refuse(file, line, f"no UTF-8: byte 0x{content[error.start]:02x} cannot stand here")
    try:
        _bound(text, file)
        node = yaml.compose(text, _LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = mark.line + 1 if mark else 0
        _refuse(file, line, _syntax(error, text, line))
    except yaml.YAMLError:
        strange = re.search(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-]", text)
        line = text.count("\n", 0, strange.start()) + 1 if strange else 0
        _refuse(file, line, "no YAML: a character that cannot be printed stands here")
    if node is None:
        _refuse(file, 0, "empty; a definition is a map of keys")
    return node


_Tagged = yaml.ScalarEvent | yaml.CollectionStartEvent
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""LibYAML where PyYAML was built with it: several times faster, the same nodes."""


def _bound(text: str, file: str) -> None:
    """Refuse what should not be composed: composing recurses, and tags would mean types."""
    depth = documents = 0
    for event in yaml.parse(text, _LOADER):
        line = _line(event)
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
        elif isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if documents > 1:
            _refuse(file, line, "a second document begins; one file declares one thing")
        if depth > DEPTH_MAX:
            _refuse(file, line, f"nested deeper than {DEPTH_MAX}")
        if isinstance(event, _Tagged) and event.tag:
            _refuse(file, line, f"no tags such as {quoted(event.tag)}: the keys decide the types")


def _syntax(error: yaml.MarkedYAMLError, text: str, line: int) -> str:
    lines = text.split("\n")
    if 0 < line <= len(lines) and re.match(r"\s*\t", lines[line - 1]):
        return "no YAML: a tab stands here; indent with spaces"
    context = f" {error.context}" if error.context else ""
    return f"no YAML: {error.problem or 'cannot be read'}{context}"


def _refuse(file: str, line: int, message: str) -> NoReturn:
    raise BadDefinition((Problem(file, line, "", message),)) from None


def _line(part: Node | yaml.Event) -> int:
    return part.start_mark.line + 1 if part.start_mark else 0


def _is_plain(node: yaml.ScalarNode, pattern: str) -> bool:
    """Whether it stands there unquoted, and so."""
    return not node.style and re.fullmatch(pattern, node.value) is not None


def _is_nothing(node: yaml.ScalarNode) -> bool:
    return _is_plain(node, "~?")


def _pattern(kind: Any) -> str | None:
    wanted = _bare(_type_of(kind))
    return wanted.pattern if isinstance(wanted, inspect.StrType) else None


_PATTERNS: Final = {
    _pattern(Id): "an id (small letters, digits and _, beginning with a letter)",
    _pattern(Duration): "a duration (a whole number and seconds, minutes, hours, days or weeks)",
}


def _expected(wanted: inspect.Type) -> str:  # noqa: PLR0911 - one for each kind of type
    """Say what a type wants."""
    match _bare(wanted):
        case inspect.UnionType(types=options):
            return " or ".join(dict.fromkeys(_expected(option) for option in options))
        case inspect.StructType() | inspect.DictType():
            return "a map"
        case inspect.VarTupleType():
            return "a list"
        case inspect.NoneType():
            return "~"
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return "a whole number"
        case inspect.LiteralType(values=options):
            return f"one of {listed(str(option) for option in options)}"
        case inspect.StrType(pattern=pattern):
            return _PATTERNS.get(pattern, "text")
    return "text"


def _found(node: Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a map"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    if isinstance(node, yaml.ScalarNode) and _is_nothing(node):
        return "nothing"
    if isinstance(node, yaml.ScalarNode) and node.style in {"'", '"'}:
        return f"{quoted(node.value)} in quotes"
    return quoted(str(node.value))


def _repaired(text: str, pattern: str) -> str:
    """Guess the id that somebody who wrote `To Schedule` meant."""
    meant = re.sub(r"[^a-z0-9]+", "_", text[:DEPTH_MAX].casefold()).strip("_")
    fits = pattern == _pattern(Id) and re.fullmatch(pattern, meant)
    return f" (did you mean '{meant}'?)" if fits else ""


def quoted(text: str) -> str:
    """Show a name in a message: on one line, and not too long."""
    shown = text if len(text) <= DEPTH_MAX else text[:DEPTH_MAX] + "…"
    return "'" + re.sub(r"[\x00-\x1f\x7f]+", " ", shown) + "'"
