"""JMESPath, and templates with places to fill in: how a connector points into what a product sends.

The only file that knows the library. An expression that does not fit what it is held against (a
function that wants text and finds none) finds nothing and says why; it never fails otherwise.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, Final, TypeAlias

import jmespath
import msgspec
from jmespath import exceptions, functions, visitor
from msgspec import Struct

from lifecycle.bodies import JSON
from lifecycle.definition import near

LENGTH_MAX: Final = 4_000
"""The longest expression, in characters."""
DEPTH_MAX: Final = 150
"""How deep an expression may nest; each alternative (`||`) nests by one."""


class NotAnExpression(ValueError):
    """What stands there is no JMESPath, or no template; the message says where it breaks."""


class FindsNothing(ValueError):
    """The expression does not fit what it was held against; the message says why."""


class Place(Struct, frozen=True):
    """A place to fill in: what stands between the braces."""

    expression: str


Piece: TypeAlias = str | Place


def check(expression: str) -> None:
    """Raise `NotAnExpression` where the text is no JMESPath that can be evaluated."""
    for node in _nodes(_compiled(expression).parsed):
        if node["type"] == "function_expression":
            _check_call(node["value"], len(node["children"]))


def find(expression: str, value: JSON) -> JSON:
    """Give what the expression finds; None where it finds nothing. Raises `FindsNothing`."""
    try:
        found = _compiled(expression).search(value, options=_OPTIONS)
    except exceptions.JMESPathError as exc:
        raise FindsNothing(str(exc).replace("\n", " ")[:200]) from exc
    except (TypeError, ValueError, ArithmeticError, RecursionError) as exc:
        raise FindsNothing(f"{expression[:80]!r} does not fit what was sent") from exc
    return _exact(found)


def holds(expression: str, value: JSON) -> bool:
    """Whether the expression finds what counts as true: anything but false, null and empty."""
    try:
        found = find(expression, value)
    except FindsNothing:
        return False
    return found is not None and found is not False and found not in ("", [], {})


@lru_cache(maxsize=1024)
def results(expression: str) -> tuple[frozenset[str], bool]:
    """Give the literals that the expression may come to, and whether it can be nothing else.

    `'deal'` is one; `type == 'd' && 'deal' || 'contact'` either of two; `type` may be anything.
    """
    named, whole = set[str](), True
    waiting = [_compiled(expression).parsed]
    while waiting:
        node = waiting.pop()
        match node["type"]:
            case "or_expression":
                waiting += node["children"]
            case "and_expression":
                waiting.append(node["children"][1])
            case "literal" if isinstance(node["value"], str):
                named.add(node["value"])
            case "literal" if node["value"] is None:
                pass
            case _:
                whole = False
    return frozenset(named), whole


def reached(expression: str) -> frozenset[tuple[str, ...]]:
    """Give the paths, from the top, at which the expression looks: `data.word` at two of them.

    What it looks for in the members of a list, whose place is not known, is left out.
    """
    found = set[tuple[str, ...]]()
    _reach(_compiled(expression).parsed, (), found)
    return frozenset(found)


@lru_cache(maxsize=1024)
def pieces(template: str) -> tuple[Piece, ...]:
    """Take a template apart: text as it is, and `{…}` as a `Place`; `{{` and `}}` are braces.

    A place may hold braces and quotes of its own. Raises `NotAnExpression`.
    """
    made: list[Piece] = []
    text, at = "", 0
    while at < len(template):
        if template[at : at + 2] in {"{{", "}}"}:
            text, at = text + template[at], at + 2
        elif template[at] == "{":
            end = _closing(template, at)
            if text:
                made.append(text)
            made.append(Place(template[at + 1 : end].strip()))
            text, at = "", end + 1
        elif template[at] == "}":
            raise NotAnExpression("a '}' closes nothing; a brace that stands for itself is doubled")
        else:
            text, at = text + template[at], at + 1
    return (*made, text) if text else tuple(made)


def filled(
    template: str,
    value: JSON,
    environment: Mapping[str, str],
    quoted: Callable[[str], str] = str,
) -> str:
    """Give the text with its places filled in: `{env:NAME}` as it is set, all others `quoted`.

    Raises `FindsNothing` where one finds nothing; no value stands in what it says.
    """
    text = []
    for piece in pieces(template):
        if isinstance(piece, str):
            text.append(piece)
        elif variable := environment_variable(piece):
            if not environment.get(variable):
                raise FindsNothing(f"{variable} is not set")
            text.append(environment[variable])
        else:
            found = find(piece.expression, value)
            if found is None or found == "":
                raise FindsNothing(f"nothing is found for {{{piece.expression[:80]}}}")
            single = written(found)
            text.append(quoted(_ENCODER.encode(found).decode() if single is None else single))
    return "".join(text)


def environment_variable(place: Place) -> str | None:
    """Give the variable that a place is filled with; None where that is an expression."""
    named = _VARIABLE.fullmatch(place.expression)
    return named[1] if named else None


def written(value: JSON) -> str | None:
    """A single value as text: numbers as they were sent, truth as true and false.

    None where there is nothing, or what is there is no single value.
    """
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case int() | Decimal():
            return str(value)
        case _:
            return None


@lru_cache(maxsize=4096)
def _compiled(expression: str) -> Any:
    if len(expression) > LENGTH_MAX:
        raise NotAnExpression(f"longer than {LENGTH_MAX:,} characters")
    try:
        parsed = jmespath.compile(expression)
    except (exceptions.JMESPathError, ValueError, RecursionError) as exc:
        gist = str(exc).split("\n", 1)[0].rstrip(": ")
        raise NotAnExpression(f"no JMESPath: {gist or 'cannot be read'}") from exc
    for _ in _nodes(parsed.parsed):
        pass
    return parsed


def _nodes(root: Any) -> Iterator[Any]:
    """Every part of a compiled expression, within the depth that evaluating may recurse to."""
    waiting = [(root, 0)]
    while waiting:
        node, depth = waiting.pop()
        if depth > DEPTH_MAX:
            raise NotAnExpression(f"nested deeper than {DEPTH_MAX}")
        yield node
        inner = [child for child in node["children"] if isinstance(child, dict)]
        waiting += [(child, depth + 1) for child in inner]


def _reach(
    node: Any, at: tuple[str, ...] | None, found: set[tuple[str, ...]]
) -> tuple[str, ...] | None:
    """Note where a node looks, held against what stands at a path; answers where that leads."""
    match node["type"]:
        case "field":
            if at is None:
                return None
            found.add((*at, node["value"]))
            return (*at, node["value"])
        case "current" | "identity":
            return at
        case "subexpression" | "pipe":
            for child in node["children"]:
                at = _reach(child, at, found)
            return at
        case "projection" | "value_projection" | "filter_projection" | "flatten" | "expref":
            inside = None if node["type"] == "expref" else at
            _reach(node["children"][0], inside, found)
        case _:
            for child in node["children"]:
                if isinstance(child, dict):
                    _reach(child, at, found)
    return None


def _check_call(name: str, given: int) -> None:
    table: Mapping[str, Any] = _FUNCTIONS.FUNCTION_TABLE
    if name not in table:
        raise NotAnExpression(f"no function '{name}'{near(name, table)}")
    wanted = table[name]["signature"]
    variadic = bool(wanted) and bool(wanted[-1].get("variadic"))
    if given < len(wanted) or (given > len(wanted) and not variadic):
        many = "or more " if variadic else ""
        raise NotAnExpression(f"'{name}' takes {len(wanted)} {many}arguments, not {given}")


def _closing(template: str, start: int) -> int:
    """Find the brace that closes the place begun at `start`; quoted text may hold any."""
    depth = 0
    for found in _BRACES.finditer(template, start):
        depth += {"{": 1, "}": -1}.get(found[0], 0)
        if depth == 0:
            return found.start()
    raise NotAnExpression("a '{' is never closed; a brace that stands for itself is doubled")


_VARIABLE: Final = re.compile(r"env:([A-Z][A-Z0-9_]*)")
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
_BRACES: Final = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`(?:[^`\\]|\\.)*`|[{}]""")


def _exact(found: Any) -> JSON:
    """Take a float that the library made as the decimal it is written as."""
    if isinstance(found, float):
        exact = Decimal(repr(found))
        return exact if exact.is_finite() else None
    return found  # type: ignore[no-any-return]  # the library has no types


class _Functions(functions.Functions):  # type: ignore[misc]  # the library has no annotations
    """The standard functions, which here take exact decimals for numbers."""

    def _get_allowed_pytypes(self, types: Any) -> Any:
        allowed, inner = super()._get_allowed_pytypes(types)
        numbers = [*allowed, "Decimal"] if "float" in allowed else allowed
        return numbers, [(*one, "Decimal") if "float" in one else one for one in inner]

    @functions.signature({"types": []})  # type: ignore[untyped-decorator]  # the library has no types
    def _func_type(self, arg: JSON) -> str:
        return "number" if isinstance(arg, Decimal) else str(super()._func_type(arg))

    @functions.signature({"types": []})  # type: ignore[untyped-decorator]  # the library has no types
    def _func_to_string(self, arg: JSON) -> str:
        return str(arg) if isinstance(arg, Decimal) else str(super()._func_to_string(arg))

    @functions.signature({"types": []})  # type: ignore[untyped-decorator]  # the library has no types
    def _func_to_number(self, arg: JSON) -> int | Decimal | None:
        if isinstance(arg, bool) or not isinstance(arg, int | Decimal | str):
            return None
        try:
            exact = Decimal(arg)
        except InvalidOperation:
            return None
        if not exact.is_finite() or abs(exact.adjusted()) > _DIGITS_MAX:
            return None
        return int(exact) if exact == exact.to_integral_value() else exact


_DIGITS_MAX: Final = 64
_FUNCTIONS: Final = _Functions()
_OPTIONS: Final = visitor.Options(custom_functions=_FUNCTIONS)
