"""What can be wrong with a transition's condition: its language, its names, its comparisons."""

import ast
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Final

from lifecycle.chart import Active, BadCondition, Guard
from lifecycle.comparable import comparable
from lifecycle.declaration import Field
from lifecycle.fields import NotThat, Value, normalise
from lifecycle.scope import Problems, Scope


def condition(scope: Scope, path: str, text: str) -> Problems:
    """Find what is wrong with a condition, written at this path."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
        strange = [node for node in ast.walk(tree) if not isinstance(node, _LANGUAGE)]
        if strange:
            said = ast.unparse(strange[0]) or type(strange[0]).__name__.lower()
            yield scope.problem(path, f"no condition: '{said}' is not in its language; {_SPOKEN}")
            return
        guard = Guard(text)
    except (BadCondition, SyntaxError, ValueError, ArithmeticError, RecursionError) as error:
        yield scope.problem(path, f"no condition: {str(error) or text}")
        return
    fields = scope.declaration.fields
    for name in guard.fields:
        yield from scope.known(path, "field", name, fields)
    for state in guard.states:
        yield from scope.known(path, "state", state, scope.states)
    if all(name in fields and scope.whole(f"fields.{name}") for name in guard.fields):
        yield from _comparisons(scope, path, tree)


_LANGUAGE: Final = (
    *(ast.Expression, ast.BoolOp, ast.boolop, ast.UnaryOp, ast.unaryop, ast.BinOp, ast.operator),
    *(ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE),
    *(ast.Call, ast.Name, ast.Constant, ast.expr_context),
)
"""What a condition is made of. The library takes a little more, and stumbles over some of it."""
_SPOKEN: Final = "and, or, not, + - * /, comparisons by == != < <= > >=, and In('state') are"


def _comparisons(scope: Scope, path: str, tree: ast.Expression) -> Problems:
    """Try each comparison on values of the declared types: some pairs can never be judged."""
    fields = scope.declaration.fields
    for pair in _pairs(tree):
        text = ast.unparse(pair)
        guard = Guard(text)
        samples = {name: _sample(fields[name], text) for name in guard.fields}
        verdict = guard.judge(samples, Active(frozenset(), ()))
        if verdict.why is not None:
            yield scope.problem(path, f"'{text}' can never hold: {verdict.why}")
        match pair:
            case ast.Compare(ast.Name(name), _, [ast.Constant(str(word))]) | ast.Compare(
                ast.Constant(str(word)), _, [ast.Name(name)]
            ) if name in fields and fields[name].type == "choice":
                yield from scope.known(path, f"choice of '{name}'", word, fields[name].choices)


def _pairs(tree: ast.Expression) -> Iterator[ast.Compare]:
    """Take comparisons apart into pairs, and keep those of bare names and literals."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = pairwise((node.left, *node.comparators))
            for (left, right), sign in zip(sides, node.ops, strict=True):
                if isinstance(left, _BARE) and isinstance(right, _BARE):
                    yield ast.Compare(left, [sign], [right])


_BARE: Final = (ast.Name, ast.Constant)
_SAMPLES: Final[Mapping[str, Value]] = {
    "number": 1,
    "date": "2026-05-04",
    "datetime": "2026-05-04T14:03:11Z",
    "email": "a@example.com",
    "phone": "+12025550123",
    "address": {"city": "Springfield"},
    "boolean": True,
    "case": "clients/C-7",
}


def _sample(field: Field, pair: str) -> object:
    """Make up a value of a field's type; of money, in the currency that it is compared with."""
    if field.type == "money":
        currency = re.search(r"\b[A-Z]{3}\b", pair)
        try:
            return comparable(
                "money", normalise("money", f"1 {currency[0] if currency else 'USD'}")
            )
        except NotThat:
            return comparable("money", "1.00 USD")
    if field.type in {"text", "choice"}:
        return next(iter(field.choices), "text")
    return comparable(field.type, _SAMPLES[field.type])
