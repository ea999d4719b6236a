"""Definitions as bytes: what is taken, what is refused, and how it is said."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.connectors import Amount, Connector, Header
from lifecycle.declaration import Declaration, Ignore
from lifecycle.definition import BYTES_MAX, Marks, read, schema
from lifecycle.doubts import read_connector
from lifecycle.refusals import BadDefinition, Problem

DEFINITIONS = Path(__file__).parents[2] / "definitions"
SHIPPED = sorted(DEFINITIONS.glob("*.yaml"))
CONNECTORS = sorted((DEFINITIONS / "connectors").glob("*.yaml"))

GOOD = """\
lifecycle: order
version: 3
title: Order
collection: orders
tools:
  shop: {title: Shop, record_for: [sales], drift: tell}
fields:
  paid: {type: boolean, owner: {taken: shop, "*": sales}}
states:
  taken:
    title: Taken
    initial: true
    within: 3 days
  gone: {title: Gone, final: true}
transitions:
  - {name: send, from: [taken], to: gone, by: shop}
  - name: lose
    from: taken
    to: gone
words:
  shop:
    shown: {hear_only: true, taken: [NO, on], gone: ~}
hears:
  shop: {shown: {0123: send, off: {ignore: true, until: 2027-01-01}}}
"""


def refused(text: str | bytes) -> tuple[Problem, ...]:
    content = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(BadDefinition) as caught:
        read(content, "order.yaml")
    return caught.value.problems


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


def test_a_declaration_is_what_its_file_says() -> None:
    """Every part of a definition arrives under its own name, in the order it was written."""
    declared, _ = read(GOOD.encode(), "order.yaml")
    assert (declared.lifecycle, declared.version, list(declared.states)) == (
        "order",
        3,
        ["taken", "gone"],
    )
    assert declared.states["taken"].initial
    assert [row.sources for row in declared.transitions] == [("taken",), ("taken",)]
    assert declared.fields["paid"].owner == {"taken": "shop", "*": "sales"}


def test_words_are_their_text() -> None:
    """What YAML would read as a truth value or a number stays the word that was written."""
    declared, _ = read(GOOD.encode(), "order.yaml")
    assert declared.words["shop"]["shown"] == {
        "hear_only": True,
        "taken": ("NO", "on"),
        "gone": None,
    }
    assert declared.hears["shop"]["shown"] == {
        "0123": "send",
        "off": Ignore(ignore=True, until="2027-01-01"),
    }


@pytest.mark.parametrize("word", ["true", "false", "yes", "7", "1.0", "null", "2027-01-01", "0x1F"])
def test_a_word_has_no_type(word: str) -> None:
    """Any plain scalar is a word as it stands, `true` and numbers too."""
    declared, _ = read(GOOD.replace("[NO, on]", word).encode(), "order.yaml")
    assert declared.words["shop"]["shown"]["taken"] == word


def test_marks_know_each_line() -> None:
    """A path has the line it is written on, and what is not written that of what is around it."""
    _, marks = read(GOOD.encode(), "order.yaml")
    assert marks.line("states.taken.within") == line_of(GOOD, "within:")
    assert marks.line("transitions[1].to") == line_of(GOOD, "    to: gone")
    assert marks.line("transitions[1].by") == line_of(GOOD, "- name: lose")
    assert marks.line("hears.shop.shown.0123") == line_of(GOOD, "0123")
    assert marks.line("flows[7].url") == 1


@pytest.mark.parametrize(
    ("old", "new", "at", "path", "gist"),
    [
        pytest.param(
            "    title: Taken",
            "    titel: Taken",
            "titel: Taken",
            "states.taken.titel",
            "no key 'titel' here (did you mean 'title'?); title, owner, initial,",
            id="unknown key",
        ),
        pytest.param(
            "    to: gone\n",
            "",
            "- name: lose",
            "transitions[1].to",
            "missing: expected text",
            id="missing key",
        ),
        pytest.param(
            "[taken], to", "{a: b}, to", "{a: b}", "transitions[0].from", "found a map", id="kind"
        ),
        pytest.param(
            "title: Order", "title: ~", "title: ~", "title", "expected text, found nothing", id="~"
        ),
        pytest.param(
            "3 days",
            "3 dayz",
            "3 dayz",
            "states.taken.within",
            "'3 dayz' is not a duration",
            id="duration",
        ),
        pytest.param(
            "name: lose",
            "name: Lose It",
            "Lose It",
            "transitions[1].name",
            "'Lose It' is not an id (small letters, digits and _, beginning with a letter) "
            "(did you mean 'lose_it'?)",
            id="id",
        ),
        pytest.param(
            "name: lose", 'name: "lose\\n"', "lose\\n", "transitions[1].name", "not an id", id="end"
        ),
        pytest.param(
            "  gone: {title",
            "  Gone: {title",
            "Gone: {",
            "states.Gone",
            "not an id",
            id="id as key",
        ),
        pytest.param(
            "  gone: {title: Gone",
            "  taken: {title: Gone",
            "  taken: {title: Gone",
            "states.taken",
            "'taken' stands twice, first on line 10",
            id="duplicate key",
        ),
        pytest.param(
            "version: 3", "version: 0", "version: 0", "version", "a whole number from 1", id="zero"
        ),
        pytest.param(
            "version: 3", 'version: "3"', '"3"', "version", "found '3' in quotes", id="quoted"
        ),
        pytest.param(
            "version: 3", "version: 03", "03", "version", "expected a whole number", id="octal"
        ),
        pytest.param(
            "version: 3", "version: 3" + "0" * 5000, "30", "version", "at most 15 digits", id="long"
        ),
        pytest.param(
            "initial: true",
            "initial: yes",
            "initial: yes",
            "states.taken.initial",
            "expected true or false, found 'yes'",
            id="truth value",
        ),
        pytest.param(
            "drift: tell",
            "drift: tel",
            "drift: tel",
            "tools.shop.drift",
            "no choice 'tel' (did you mean 'tell'?)",
            id="choice",
        ),
        pytest.param(
            "hear_only: true",
            "hear_only: sometimes",
            "hear_only",
            "words.shop.shown.hear_only",
            "expected true or false",
            id="hear_only is no state",
        ),
        pytest.param(
            "  gone: {title",
            "  [gone]: {title",
            "[gone]",
            "states",
            "a key is text",
            id="list as key",
        ),
    ],
)
def test_a_problem_of_shape_has_its_place(
    old: str, new: str, at: str, path: str, gist: str
) -> None:
    """A wrong part is named with file, line and path, and the message says what would do."""
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    (problem,) = refused(text)
    assert (problem.file, problem.line, problem.path) == ("order.yaml", line_of(text, at), path)
    assert gist in problem.message


def test_nothing_is_said_by_a_key_that_may_be_left_out() -> None:
    """Where a value may be absent, a key with nothing behind it is as if it were not there."""
    declared, _ = read(GOOD.replace("within: 3 days", "within:").encode(), "order.yaml")
    assert declared.states["taken"].within is None


def test_all_problems_come_at_once() -> None:
    """Who wrote five mistakes reads of all five, in the order of the lines."""
    text = (
        GOOD.replace("version: 3", "version: new")
        .replace("record_for: [sales]", "records: [sales]")
        .replace("3 days", "soon")
        .replace("from: taken", "form: taken")
    )
    problems = refused(text)
    assert [problem.path for problem in problems] == [
        "version",
        "tools.shop.records",
        "states.taken.within",
        "transitions[1].from",
        "transitions[1].form",
    ]
    assert [problem.line for problem in problems] == sorted(problem.line for problem in problems)


@pytest.mark.parametrize(
    ("content", "line", "gist"),
    [
        pytest.param(b"", 0, "empty", id="empty"),
        pytest.param(b"# nothing\n", 0, "empty", id="only a comment"),
        pytest.param(b"a: b\n---\na: c\n", 2, "second document", id="two documents"),
        pytest.param(b"a: [b\nc: d\n", 2, "no YAML", id="syntax"),
        pytest.param(b"a:\n\tb: c\n", 2, "indent with spaces", id="tab"),
        pytest.param(b"a: 1\nb: \xff\n", 2, "no UTF-8: byte 0xff", id="not UTF-8"),
        pytest.param(b"a: 1\nb: \x00\n", 2, "cannot be printed", id="control character"),
        pytest.param(b"a: !!int 7\n", 1, "no tags", id="tag"),
        pytest.param(b"a: *b\n", 1, "undefined alias", id="alias of nothing"),
        pytest.param(b"#" * (BYTES_MAX + 1), 0, "1,048,577 bytes", id="too large"),
        pytest.param(b"[" * 100_000, 1, "nested deeper than 64", id="too deep"),
        pytest.param(b"just words\n", 1, "expected a map, found 'just words'", id="no map"),
    ],
)
def test_what_is_no_definition_at_all_is_one_problem(content: bytes, line: int, gist: str) -> None:
    """A file that cannot be walked is refused in one sentence, with the line where there is one."""
    (problem,) = refused(content)
    assert problem.line == line
    assert gist in problem.message


@pytest.mark.parametrize(
    "states",
    [
        pytest.param("&a {x: {states: *a}}", id="an alias inside itself"),
        pytest.param("&a {x: &b {states: {y: *b, z: *b}}}", id="twice inside itself"),
        pytest.param(
            "{a0: &a0 {title: A}, "
            + ", ".join(
                f"a{n}: &a{n} {{states: {{l{n}: *a{n - 1}, r{n}: *a{n - 1}}}}}"
                for n in range(1, 25)
            )
            + "}",
            id="a bomb",
        ),
    ],
)
def test_aliases_cannot_grow_without_end(states: str) -> None:
    """Aliases are followed within the bounds that hold for every value."""
    problems = refused(f"lifecycle: a\nstates: {states}\n")
    assert "aliases followed" in problems[-1].message


def test_aliases_within_bounds_are_followed() -> None:
    """A part that is written once and meant twice says the same in both places."""
    text = GOOD.replace("from: [taken]", "from: &from [taken]").replace(
        "from: taken", "from: *from"
    )
    declared, _ = read(text.encode(), "order.yaml")
    assert declared.transitions[1].sources == ("taken",)


def outcome(content: bytes) -> tuple[object, ...]:
    try:
        return read(content, "order.yaml")
    except BadDefinition as refusal:
        return refusal.problems


def only_reads_or_refuses(content: bytes) -> None:
    match outcome(content):
        case (Declaration(), Marks()):
            pass
        case problems:
            assert problems
            assert all(isinstance(one, Problem) and one.message for one in problems)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    """Nothing that a file can hold ends in anything but a declaration or its problems."""
    only_reads_or_refuses(content)


@given(st.data())
def test_any_slip_of_the_pen_is_read_or_refused(data: st.DataObject) -> None:
    """Wherever a good definition is cut, overwritten or torn, it is read or refused."""
    content = GOOD.encode()
    begin = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(begin, min(begin + 40, len(content))))
    slips = st.sampled_from(
        ["", "~", "[", "{", "*a", "&a ", "- ", ": ", "\n", "\t", '"', "? ", "\ufeff"]
    )
    only_reads_or_refuses(
        content[:begin] + data.draw(slips | st.text(max_size=5)).encode() + content[end:]
    )


# The schema for editors.


def test_the_schema_is_the_one_the_structs_give() -> None:
    """What editors check with is made from the structs, and kept beside the definitions."""
    assert json.loads((DEFINITIONS / "schema.json").read_text()) == schema()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_schema_takes_every_shipped_definition(path: Path) -> None:
    """An editor has nothing to say against the definitions that come along."""
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(yaml.safe_load(path.read_text()), schema(), jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    to: gone", "    too: gone"),
        ("    to: gone\n", ""),
        ("version: 3", "version: 0"),
        ("hear_only: true", "hear_only: sometimes"),
        ("3 days", "3 dayz"),
        ("name: lose", "name: Lose"),
    ],
)
def test_the_schema_refuses_what_is_refused_here(old: str, new: str) -> None:
    """An editor underlines the mistakes for which the service would not start."""
    text = GOOD.replace(old, new, 1)
    assert refused(text)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text), schema())


# Connectors.

CONNECTOR = b"""\
connector: teller
title: Teller
signature: {header: X-Sign, secret: base64}
id: [account, number]
status_field: "'status'"
fields: {paid: {amount: total, currency: unit, minor: true}, name: who}
answer: {status: 204}
vocabulary: {invoice: [open, NO], stage: [won]}
"""


def test_a_connector_is_data() -> None:
    """How a product speaks is read with the same eyes as a lifecycle."""
    spoken, marks = read_connector(CONNECTOR, "teller.yaml")
    assert isinstance(spoken, Connector)
    assert spoken.signature is not None
    assert spoken.signature.signs == "{body}"
    assert spoken.id == ("account", "number")
    assert spoken.fields == {"paid": Amount("total", "unit", minor=True), "name": "who"}
    assert spoken.vocabulary["invoice"] == ("open", "NO")
    assert marks.line("vocabulary") == line_of(CONNECTOR.decode(), "vocabulary")


def test_a_connectors_id_may_stand_in_a_header() -> None:
    """What tells messages apart is an expression, several, or the name of a header."""
    text = CONNECTOR.replace(b"[account, number]", b"{header: webhook-id}")
    assert read_connector(text, "teller.yaml")[0].id == Header("webhook-id")


def test_published_words_belong_to_a_field_or_to_a_kind() -> None:
    """A vocabulary by field speaks for that field, one by kind for the field of a fixed name."""
    spoken, _ = read_connector(CONNECTOR, "teller.yaml")
    assert spoken.published("stage", ()) == ("won",)
    assert spoken.published("status", ("invoice", "estimate")) == ("open", "NO")
    assert spoken.published("status", ("estimate",)) is None
    assert spoken.published("job_status", ("invoice",)) is None


def test_a_wrong_connector_is_refused_like_a_definition() -> None:
    """A mistake in a connector has its line and path too."""
    text = CONNECTOR.replace(b"header: X-Sign", b"headers: X-Sign")
    with pytest.raises(BadDefinition) as caught:
        read_connector(text, "teller.yaml")
    (problem,) = caught.value.problems
    assert str(problem).startswith(
        "teller.yaml:3: signature.headers: no key 'headers' here (did you mean 'header'?)"
    )


@pytest.mark.parametrize(
    ("old", "new", "path", "gist"),
    [
        ("header: X-Sign", "header: X-Sign, query: sign", "signature", "names header, query; one"),
        ("header: X-Sign, ", "", "signature", "names none; one of header, query, body"),
        ("header: X-Sign", 'header: X, reads: "{sign}"', "signature.reads", "no part '{sign}'"),
        ("answer: ", "handshake: {}\nanswer: ", "handshake", "names none"),
    ],
)
def test_a_connector_says_one_thing(old: str, new: str, path: str, gist: str) -> None:
    """A signature and a handshake stand in one place each, written in parts that can be read."""
    text = CONNECTOR.decode().replace(old, new)
    with pytest.raises(BadDefinition) as caught:
        read_connector(text.encode(), "teller.yaml")
    (problem,) = caught.value.problems
    assert problem.path == path
    assert gist in problem.message


@pytest.mark.parametrize("path", CONNECTORS, ids=lambda path: path.stem)
def test_every_shipped_connector_reads(path: Path) -> None:
    """The connectors that come along are sound, and named like their files."""
    spoken, _ = read_connector(path.read_bytes(), path.name)
    assert spoken.connector == path.stem
