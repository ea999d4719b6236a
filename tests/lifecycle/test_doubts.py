"""What is wrong in a connector, or can never work, is told before anything is sent."""

import pytest

from lifecycle.doubts import read_connector
from lifecycle.refusals import BadDefinition, Problem

SIGNED = "signature: {header: S}\n"


def problems(text: str) -> tuple[Problem, ...]:
    """Say what is wrong with a connector that holds this."""
    file = f"connector: one\ntitle: One\n{text}".encode()
    try:
        return read_connector(file, "one.yaml")[1].problems
    except BadDefinition as bad:
        return bad.problems


def wrong(text: str) -> Problem:
    """Give the only thing that is wrong with a connector that holds this."""
    (problem,) = problems(text)
    return problem


# How it is told.


@pytest.mark.parametrize(
    "success",
    ["2xx", "200", "[200, 4xx]", "ok", "ok == `true`", "'!errors'", "{body: ok}",
     "{status: [200, 201], body: '!data.jobEdit.userErrors'}"],
)  # fmt: skip
def test_success_is_a_status_or_what_the_answer_says(success: str) -> None:
    """Statuses, JMESPath on the answer's JSON, or both."""
    assert not problems(f"write: {{url: 'https://x.example', success: {success}}}")


@pytest.mark.parametrize(
    ("success", "path", "gist"),
    [
        ("ok ==", "write.success", "no status like 200 or 2xx, and no JMESPath"),
        ("2XX", "write.success", "no status like 200 or 2xx"),
        ("[200, ok]", "write.success", "'ok' is no status like 200 or 2xx; what the answer's JSON"),
        ("[]", "write.success", "no answer at all"),
        ("{status: 20}", "write.success", "'20' is no status"),
        ("{body: 'ok =='}", "write.success.body", "no JMESPath"),
    ],
)
def test_success_that_no_answer_can_have_is_refused(success: str, path: str, gist: str) -> None:
    """A notice that was taken would be sent again and again."""
    problem = wrong(f"write: {{url: 'https://x.example', success: {success}}}")
    assert (problem.path, problem.warning) == (path, False)
    assert gist in problem.message


@pytest.mark.parametrize("success", ["body.ok", "{body: 'body.ok == `true`'}"])
def test_an_answer_is_held_against_success_as_it_is(success: str) -> None:
    """The answer's JSON stands at the top; a member of that name may be meant, and is doubted."""
    problem = wrong(f"write: {{url: 'https://x.example', success: {success}}}")
    assert problem.warning
    assert "looks for 'body'" in problem.message


@pytest.mark.parametrize(
    "place",
    ["{data.word}", "{data.refs.main[0]}", '{data.refs."deal:x" | [0]}', "{data.with.email}",
     "{env:SHOP}", "{{word}}", "{type}", "{data.was || 'nothing'}", "{data}", "{@}"],
)  # fmt: skip
def test_a_notice_is_written_with_what_it_holds(place: str) -> None:
    """Its names, and below its references and fields whatever a business has named itself."""
    assert not problems(f"write: {{url: 'https://x.example', body: '{_quoted(place)}'}}")


@pytest.mark.parametrize(
    ("place", "gist"),
    [
        ("{word}", "called 'word' (did you mean 'data.word'?); type, timestamp, data.collection"),
        ("{data.wrd}", "called 'data.wrd' (did you mean 'data.word'?)"),
        ("{data.word.title}", "called 'data.word.title'"),
        ("{to_string(notice)}", "called 'notice'"),
    ],
)
def test_a_name_that_no_notice_has_is_refused(place: str, gist: str) -> None:
    """It would find nothing at every try; the names that there are are told."""
    for where in ("url: 'https://x.example/{}'", "url: 'https://x.example', headers: {{N: '{}'}}"):
        problem = wrong(f"write: {{{where.format(_quoted(place))}}}")
        assert not problem.warning
        assert gist in problem.message


def _quoted(text: str) -> str:
    return text.replace("'", "''")


# How records are asked for.


@pytest.mark.parametrize(
    ("place", "gist", "warning"),
    [
        ("{ref}", "finds its ref by 'data.id' (did you mean '{data.id}'?", False),
        ("{record.id}", "'record' is what is asked for", False),
        ("{SHOP_TOKEN}", "did you mean '{env:SHOP_TOKEN}'?", True),
    ],
)
def test_a_record_is_asked_for_by_what_the_message_says(
    place: str, gist: str, *, warning: bool
) -> None:
    """What is no part of a message fills no place in the question."""
    url = f"https://x.example/{place}"
    problem = wrong(f"{SIGNED}ref: data.id\nfetch: {{url: '{url}'}}")
    assert (problem.path, problem.warning) == ("fetch.url", warning)
    assert gist in problem.message


@pytest.mark.parametrize("place", ["{data.id}", "{@.ref}", "{id}", "{env:SHOP}"])
def test_whatever_a_message_may_hold_is_taken(place: str) -> None:
    """What a product sends is not known here."""
    assert not problems(f"{SIGNED}ref: data.id\nfetch: {{url: 'https://x.example/{place}'}}")


@pytest.mark.parametrize(
    "text",
    ["word: record.status", "fields: {paid: {amount: record.total, currency: record.unit}}",
     "occurred_at: record.changed"],
)  # fmt: skip
def test_a_record_stands_beside_a_message_only_where_it_is_fetched(text: str) -> None:
    """Without a `fetch` it is the product's own member of that name, which may be meant."""
    found = problems(f"{SIGNED}{text}")
    assert found
    assert all(one.warning and "only where 'fetch' asks for it" in one.message for one in found)
    assert not problems(f"{SIGNED}{text}\nfetch: {{url: 'https://x.example/{{id}}'}}")


# What it is about, and who says so.


def test_a_product_that_proves_nothing_is_not_believed() -> None:
    """A connector that reads messages says how they are signed, or that they are not."""
    problem = wrong("ref: id")
    assert problem.warning
    assert "signature: {none: true}" in problem.message
    assert not problems("signature: {none: true}\nref: id")
    assert not problems("export: {ref: Number}")


def test_a_kind_of_its_own_is_written_in_quotes() -> None:
    """`kind: invoice` looks for a member of that name, where a kind of that name is published."""
    text = f"{SIGNED}vocabulary: {{invoice: [open]}}\nkind: "
    assert "\"'invoice'\"" in wrong(f"{text}invoice").message
    assert not problems(f"{text}\"'invoice'\"")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("id: {header: 'X Id'}", "id.header"),
        ("kind: {header: ''}", "kind.header"),
        ("word: {header: 'X-Wörd'}", "word.header"),
        ("handshake: {header: 'X:'}", "handshake.header"),
        ("answer: {headers: {'Content Type': x}}", "answer.headers.Content Type"),
        ("fetch: {url: 'https://x.example', headers: {'A B': c}}", "fetch.headers.A B"),
        ("write: {url: 'https://x.example', headers: {'A(B': c}}", "write.headers.A(B"),
    ],
)
def test_a_header_has_a_name_that_headers_have(text: str, path: str) -> None:
    """One that could not be sent is a slip."""
    problem = wrong(f"{SIGNED}{text}")
    assert (problem.path, problem.warning) == (path, False)
    assert "not the name of a header" in problem.message
