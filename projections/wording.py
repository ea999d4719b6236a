"""How people say it: values, names, conditions and verbs in plain English.

What the lifecycle declares no more, or where there is none, is said by its id in plain words. What
is a pure function of names is remembered; values never are, for they may have to be forgotten.
"""

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final, TypeVar

from msgspec import Struct

from lifecycle.events import ERASED, Asker, Value
from lifecycle.model import Lifecycle

T = TypeVar("T")

FACTS_MAX: Final = 6
"""Facts that one sentence lists; of more it says how many."""
TEXT_LENGTH_MAX: Final = 160
"""Characters of one value or reason that a sentence quotes."""
PERSONAL: Final = "(personal)"
"""What stands in a condition for the value of a personal field."""
UNDECLARED: Final = "*"
"""Among hidden fields: also those that are declared no more, whose values were personal perhaps."""
REMEMBERED_MAX: Final = 4096
"""Wordings that each memory keeps."""

# --- values as people write them ----------------------------------------------------------------

MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July",
    "August", "September", "October", "November", "December",
)  # fmt: skip
_SHAPES: Final = (
    ("money", re.compile(r"-?[0-9]+(\.[0-9]+)? [A-Z]{3}")),
    ("date", re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")),
    ("datetime", re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9:]+)")),
)


def write(value: Value, kind: str | None) -> str:
    """Write a canonical value in plain English; `kind` is its field's type, where one knows it."""
    if isinstance(value, str):
        return _write_text(value, kind)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | Decimal):
        return f"{value:,}"
    if isinstance(value, dict):
        return _address(value)
    return "nothing"


def _write_text(value: str, kind: str | None) -> str:
    if kind is None:
        kind = next((name for name, shape in _SHAPES if shape.fullmatch(value)), None)
    try:
        match kind:
            case "money":
                amount, _, currency = value.partition(" ")
                return f"{Decimal(amount):,f} {currency}"
            case "date":
                return day(datetime.fromisoformat(value))
            case "datetime":
                return moment(datetime.fromisoformat(value))
            case "choice":
                return spaced(value)
            case "email" | "phone" | "case":
                return quote(value)
    except (ValueError, ArithmeticError):  # recorded under another type than it has now
        pass
    text = quote(value)
    return f"“{text}”" if " " in text else text


def day(date: datetime) -> str:
    """Write a date: `11 May 2026`."""
    return f"{date.day} {MONTHS[date.month - 1]} {date.year}"


def moment(time: datetime) -> str:
    """Write a time: `11 May 2026, 14:03 UTC`."""
    time = time.astimezone(UTC)
    return f"{day(time)}, {time:%H:%M} UTC"


def quote(text: str) -> str:
    """Fit what somebody wrote into a sentence: short, in one line, with no full stop of its own."""
    if len(text) > TEXT_LENGTH_MAX:
        text = f"{text[: TEXT_LENGTH_MAX - 1]}…"
    return " ".join(text.split()).rstrip(" .") or "…"


def _address(parts: Mapping[str, object]) -> str:
    lines = parts.get("lines")
    named = [*(lines if isinstance(lines, list | tuple) else ())]
    named += [parts.get(part) for part in ("city", "region", "postcode", "country")]
    return quote(", ".join(str(part) for part in named if part))


# --- conditions ---------------------------------------------------------------------------------


def condition(
    when: str,
    lifecycle: Lifecycle | None,
    case: str,
    values: Mapping[str, Value] | None = None,
) -> str:
    """Say a condition in plain words, with the values it saw where they are known."""
    said = ""
    for piece, name in _reading(when, lifecycle, case):
        said += piece
        if name and values and values.get(name) is not None:
            said += f" {_seen(values[name], kind_of(name, lifecycle))}"
    return said


def _seen(value: Value, kind: str | None) -> str:
    if value == PERSONAL:
        return PERSONAL
    return f"({ERASED})" if value == ERASED else f"({write(value, kind)})"


@lru_cache(maxsize=REMEMBERED_MAX)
def _reading(
    when: str, lifecycle: Lifecycle | None, case: str
) -> tuple[tuple[str, str | None], ...]:
    """Find its words, each followed by the field whose value may be shown there."""
    try:
        tree = ast.parse(when.strip(), mode="eval").body
        return tuple(_Reader(lifecycle, case).read(tree))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ((plain(when, lifecycle), None),)


Pieces = Iterator[tuple[str, str | None]]


class _Reader:
    """Reads a condition aloud."""

    def __init__(self, lifecycle: Lifecycle | None, case: str) -> None:
        self.lifecycle = lifecycle
        self.case = case

    def read(self, node: ast.expr) -> Pieces:
        """Say it as a statement that holds."""
        match node:
            case ast.BoolOp(op, parts):
                yield from self._several(parts, "and" if isinstance(op, ast.And) else "or")
            case ast.UnaryOp(ast.Not(), ast.Name(name)):
                yield f"the {label(name, self.lifecycle)} is no", None
            case ast.UnaryOp(ast.Not(), inner):
                yield "it is not so that ", None
                yield from self.read(inner)
            case ast.Compare(left, operators, others):
                for index, (compared, right) in enumerate(zip(operators, others, strict=True)):
                    if index:
                        yield " and ", None
                    yield from self._compared(left, compared, right)
                    left = right
            case ast.Call(ast.Name("In"), [ast.Constant(str(state))]):
                yield f"{self.case} is {state_titles((state,), self.lifecycle)}", None
            case ast.Name(name) if _field(node):
                yield f"the {label(name, self.lifecycle)} is yes", None
            case _:
                yield plain(ast.unparse(node), self.lifecycle), None

    def _several(self, parts: list[ast.expr], word: str) -> Pieces:
        states = [
            state_titles((part.args[0].value,), self.lifecycle)
            for part in parts
            if isinstance(part, ast.Call)
            and part.args
            and isinstance(part.args[0], ast.Constant)
            and isinstance(part.args[0].value, str)
        ]
        rest = [part for part in parts if not isinstance(part, ast.Call)]
        if states:
            yield f"{self.case} is {_listed(states, word)}", None
        for index, part in enumerate(rest):
            if index or states:
                yield f" {word} ", None
            yield from self.read(part)

    def _compared(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Pieces:
        fields = [name for name in (_field(left), _field(right)) if name]
        kinds = {kind_of(name, self.lifecycle) for name in fields}
        exact = isinstance(op, ast.Eq) and len(fields) < BOTH
        yield from self._term(left, shown=not exact)
        yield f" {_operator(op, kinds, len(fields))} ", None
        yield from self._term(right, shown=not exact)

    def _term(self, node: ast.expr, *, shown: bool) -> Pieces:
        match node:
            case ast.Name(name) if _field(node):
                yield f"the {label(name, self.lifecycle)}", name if shown else None
            case ast.Constant(bool(value)):
                yield "yes" if value else "no", None
            case ast.Name(value):
                yield "yes" if value == "true" else "no", None
            case ast.Constant(str(text)):
                yield _write_text(text, "choice" if re.fullmatch(r"\w+", text) else None), None
            case ast.Constant(value):
                yield str(value), None
            case ast.BinOp(one, op, two) if type(op) in _ARITHMETIC:
                yield from self._term(one, shown=shown)
                yield f" {_ARITHMETIC[type(op)]} ", None
                yield from self._term(two, shown=shown)
            case _:
                yield plain(ast.unparse(node), self.lifecycle), None


def _field(node: ast.expr) -> str | None:
    return node.id if isinstance(node, ast.Name) and node.id not in {"true", "false"} else None


BOTH: Final = 2
"""Fields on the two sides of a comparison."""
_ARITHMETIC: Final[Mapping[type[ast.operator], str]] = {
    ast.Add: "plus", ast.Sub: "minus", ast.Mult: "times", ast.Div: "divided by",
}  # fmt: skip
_COMPARED: Final[Mapping[type[ast.cmpop], str]] = {
    ast.Eq: "is", ast.NotEq: "is not", ast.Lt: "is less than", ast.LtE: "is at most",
    ast.Gt: "is more than", ast.GtE: "is at least",
}  # fmt: skip
_COMPARED_TIMES: Final[Mapping[type[ast.cmpop], str]] = {
    ast.Eq: "is", ast.NotEq: "is not", ast.Lt: "is before", ast.LtE: "is not after",
    ast.Gt: "is after", ast.GtE: "is not before",
}  # fmt: skip


def _operator(op: ast.cmpop, kinds: set[str | None], fields: int) -> str:
    if kinds == {"money"} and fields == BOTH and isinstance(op, ast.GtE):
        return "covers"
    times = bool(kinds) and kinds <= {"date", "datetime"}
    return (_COMPARED_TIMES if times else _COMPARED).get(type(op), "compares with")


# --- names that people use ----------------------------------------------------------------------


def noun(lifecycle: Lifecycle | None) -> str:
    """Say what one case of a collection is called: `the job`."""
    return _noun(lifecycle.collection) if lifecycle else "the case"


@lru_cache(maxsize=REMEMBERED_MAX)
def _noun(collection: str) -> str:
    words = spaced(collection)
    if words.endswith("ies"):
        return f"the {words[:-3]}y"
    if words.endswith(("sses", "xes", "ches", "shes", "zes")):
        return f"the {words[:-2]}"
    return f"the {words if words.endswith(('ss', 'us')) else words.removesuffix('s')}"


def asker(by: Asker, lifecycle: Lifecycle | None) -> str:
    """Name who asked, or acted: a tool as people do, or a member of staff."""
    if by.tool:
        return tool_title(by.tool, lifecycle)
    return by.staff or "Statekeeper"


def tool_title(tool: str, lifecycle: Lifecycle | None) -> str:
    """Name a tool as people do."""
    declared = lifecycle.declaration.tools.get(tool) if lifecycle else None
    return declared.title if declared else spaced(tool)


def state_titles(states: Iterable[str], lifecycle: Lifecycle | None) -> str:
    """Name states as people do."""
    places = lifecycle.chart.places if lifecycle else {}
    return all_of(
        (state in places and places[state].state.title) or spaced(state).capitalize()
        for state in states
    )


@lru_cache(maxsize=REMEMBERED_MAX)
def label(field: str, lifecycle: Lifecycle | None) -> str:
    """Name a field, fit to stand after `the`: by its title, or its id in plain words."""
    declared = lifecycle.fields.get(field) if lifecycle else None
    if declared and declared.title:
        title = declared.title
        return title if title[1:2].isupper() else f"{title[0].lower()}{title[1:]}"
    words = field.split("_")
    if len(words) > 1 and words[-1] in {"on", "at", "for"}:
        return _label_of_time(words[:-1], "time" if words[-1] == "at" else "date")
    if len(words) > 1 and words[-1] == "no":
        words[-1] = "number"
    return " ".join(words)


def _label_of_time(words: list[str], what: str) -> str:
    """`scheduled_for` is the date scheduled, `expires_on` the date it expires."""
    if words[-1].endswith("ed"):
        return f"{what} {' '.join(words)}"
    if words[-1].endswith("s") and not words[-1].endswith("ss"):
        return f"{what} {'it' if len(words) == 1 else 'the'} {' '.join(words)}"
    return f"{' '.join(words)} {what}"


def kind_of(field: str, lifecycle: Lifecycle | None) -> str | None:
    """Find a field's type; None where it is not declared."""
    declared = lifecycle.declaration.fields.get(field) if lifecycle else None
    return declared.type if declared else None


_TOKEN: Final = re.compile(r"'([a-z][a-z0-9_+]*)'|\b([a-z][a-z0-9]*(?:_[a-z0-9]+)*)\b")


def plain(text: str, lifecycle: Lifecycle | None) -> str:
    """Put the names that people use into a sentence that speaks in ids."""

    def named(found: re.Match[str]) -> str:
        word = found[1] or found[2]
        quoted = found[1] is not None
        if lifecycle and quoted and all(s in lifecycle.chart.places for s in word.split("+")):
            return state_titles(word.split("+"), lifecycle)
        if lifecycle and word in lifecycle.declaration.tools:
            return tool_title(word, lifecycle)
        seen = "_" in word or found.string.startswith(" is ", found.end())
        if lifecycle and word in lifecycle.fields and seen and not quoted:
            return f"the {label(word, lifecycle)}"
        return spaced(word) if quoted or "_" in word else word

    return quote(_TOKEN.sub(named, text))


def is_hidden(name: str, hidden: Collection[str], lifecycle: Lifecycle | None) -> bool:
    """Tell whether the values of a field are among what is hidden."""
    if name in hidden:
        return True
    return UNDECLARED in hidden and (lifecycle is None or name not in lifecycle.fields)


def unhidden(
    values: Mapping[str, T], hidden: Collection[str], lifecycle: Lifecycle | None
) -> Mapping[str, T]:
    """Leave out the values of fields that are hidden."""
    if not hidden:
        return values
    if UNDECLARED not in hidden:
        return {name: value for name, value in values.items() if name not in hidden}
    known = lifecycle.fields if lifecycle else {}
    return {name: value for name, value in values.items() if name in known and name not in hidden}


def mentions(text: str, names: Collection[str]) -> bool:
    """Tell whether a text speaks of one of these fields."""
    return bool(names) and not set(re.findall(r"\w+", text)).isdisjoint(names)


def spaced(name: str) -> str:
    """Write an id in plain words."""
    return name.replace("_", " ").replace("+", " and ").strip()


def all_of(names: Iterable[str]) -> str:
    """List what holds together: `a, b and c`."""
    return _listed(list(names), "and")


def any_of(names: Iterable[str]) -> str:
    """List alternatives: `a, b or c`."""
    return _listed(list(names), "or")


def _listed(names: list[str], word: str) -> str:
    if len(names) < 2:  # noqa: PLR2004 - one, or none
        return names[0] if names else "nothing"
    return f"{', '.join(names[:-1])} {word} {names[-1]}"


def some_of(facts: list[str]) -> str:
    """List facts, not more of them than a sentence bears."""
    if len(facts) > FACTS_MAX:
        facts = [*facts[: FACTS_MAX - 1], f"{len(facts) - FACTS_MAX + 1} more"]
    return _listed(facts, "and")


# --- English ------------------------------------------------------------------------------------


class Phrase(Struct, frozen=True):
    """A verb with what it acts on."""

    past: str
    base: str


@lru_cache(maxsize=REMEMBERED_MAX)
def phrase(name: str, title: str | None, case: str) -> Phrase:
    """Make a verb phrase of a transition's name, or of its title where that has the same verb."""
    verb, *rest = name.split("_")
    if title and title.split()[0].lower() == verb:
        after = " ".join(title.split()[1:]) or case
    elif title:
        return _moved_on(quote(title), case)
    else:
        after = _object(rest, case)
    if not _is_verb(verb):
        return _moved_on(spaced(name), case)
    return Phrase(f"{past(verb)} {after}", f"{verb} {after}")


def _moved_on(name: str, case: str) -> Phrase:
    """Name a transition that is no verb."""
    return Phrase(f"moved {case} on (“{name}”)", f"move {case} on (“{name}”)")


def _object(rest: list[str], case: str) -> str:
    """Say what the verb of a transition's name acts on: the case, unless the name tells."""
    if not rest:
        return case
    words = " ".join(rest)
    if rest == ["away"]:
        return f"away from {case}"
    if rest[0].endswith("ing") and len(rest) == 1:
        return f"{words} {case}"
    if rest[0] in _PARTICLES and len(rest) > 1:
        return f"{rest[0]} the {' '.join(rest[1:])}"
    if rest[0] in _PARTICLES or rest[0] in _AFTER:
        return f"{case} {words}"
    return words if rest[0] in {"the", "a", "an", "all", "no"} else f"the {words}"


_PARTICLES: Final = frozenset({"up", "off", "out", "down", "back", "over"})
_AFTER: Final = frozenset(
    {"after", "again", "as", "at", "before", "by", "early", "for", "from", "in", "incomplete"}
    | {"into", "late", "on", "outside", "through", "to", "under", "until", "with", "without"}
)
"""Words that follow what is acted on: `approve_with_conditions`."""

_NOUN_ENDINGS: Final = ("tion", "sion", "ment", "ance", "ence", "ity", "ness", "oval", "ewal")
_VERBS: Final = frozenset(
    {"advance", "balance", "commission", "condition", "document", "enhance", "finance"}
    | {"implement", "position", "question", "reference", "sequence", "station", "supplement"}
)
"""Verbs that look like nouns."""


def _is_verb(word: str) -> bool:
    if word in _IRREGULAR or word in _VERBS:
        return True
    is_past = word in _PASTS or (word.endswith("ed") and word[-3:] not in {"eed", "bed"})
    return not is_past and not word.endswith(_NOUN_ENDINGS)


@lru_cache(maxsize=REMEMBERED_MAX)
def past(verb: str) -> str:
    """Put an English verb into the past tense."""
    if verb in _IRREGULAR:
        return _IRREGULAR[verb]
    for prefix in ("re", "un", "over", "under", "out", "mis", "with"):
        if verb.startswith(prefix) and verb.removeprefix(prefix) in _IRREGULAR:
            return prefix + _IRREGULAR[verb.removeprefix(prefix)]
    if verb.endswith("e"):
        return f"{verb}d"
    if verb.endswith("y") and verb[-2:-1] not in _VOWELS:
        return f"{verb[:-1]}ied"
    return f"{verb}{verb[-1]}ed" if _doubles(verb) else f"{verb}ed"


def _doubles(verb: str) -> bool:
    """`plan` → `planned`, `submit` → `submitted`, but `open` → `opened`."""
    if not re.search(r"[^aeiou][aeiou][^aeiouwxyh]$", verb):
        return False
    if len(re.findall(r"[aeiouy]+", verb)) == 1:
        return True
    stressed = ("mit", "fer", "cur", "pel", "cel", "bel", "vel", "del", "trol", "equip", "format")
    return verb.endswith(stressed) and not verb.endswith(("limit", "vomit", "ffer"))


_VOWELS: Final = frozenset("aeiou")
_PAST: Final = """
be:was become:became begin:began bid:bid bind:bound break:broke bring:brought build:built
buy:bought catch:caught choose:chose come:came cost:cost cut:cut deal:dealt do:did draw:drew
drive:drove fall:fell feed:fed find:found fix:fixed forget:forgot freeze:froze get:got give:gave
go:went grow:grew hear:heard hit:hit hold:held keep:kept know:knew lay:laid lead:led leave:left
lend:lent let:let lose:lost make:made mean:meant meet:met pay:paid put:put quit:quit read:read
relay:relayed rise:rose run:ran say:said see:saw seek:sought sell:sold send:sent set:set shut:shut
speak:spoke spend:spent split:split stand:stood strike:struck take:took teach:taught tell:told
think:thought throw:threw wake:woke win:won withdraw:withdrew withhold:withheld write:wrote
"""
_IRREGULAR: Final = dict(pair.split(":") for pair in _PAST.split())
_PASTS: Final = frozenset(_IRREGULAR.values()) - frozenset(_IRREGULAR)
