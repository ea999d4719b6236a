"""How a product is told in its own way, and whether it took it."""

import pytest

from lifecycle.bodies import BYTES_MAX
from lifecycle.connectors import Success, Write
from lifecycle.writing import lacks

LONG = b'{"all": "' + b"x" * 100_000 + b'", "ok": true}'


@pytest.mark.parametrize(
    ("success", "status", "body", "why"),
    [
        ("2xx", 204, b"", ""),
        ("2xx", 500, b"", "answered 500"),
        (("200", "404"), 404, b"gone", ""),
        (("200", "404"), 201, b"", "answered 201"),
        ("ok", 200, b'{"ok": true}', ""),
        ("ok", 200, b'{"ok": false, "error": "s3cret"}', "answered 200, where ok does not hold"),
        ("ok", 200, b"<html>", "answered 200, with something else than JSON"),
        ("ok", 200, b"", "answered 200, where ok does not hold"),
        ("ok", 500, b'{"ok": true}', "answered 500"),
        ("ok", 200, LONG, ""),
        (
            "ok",
            200,
            LONG + b" " * BYTES_MAX,
            f"answered 200, with more than the {BYTES_MAX:,} bytes that are judged",
        ),
        (
            "length(a) == `1`",
            200,
            b'{"a": 3}',
            "answered 200, where length(a) == `1` does not hold",
        ),
        (Success("3xx", "!e"), 302, b'{"e": []}', ""),
        (Success(("200", "201"), "!e"), 202, b"{}", "answered 202"),
    ],
)
def test_an_answer_is_judged_as_the_connector_says(
    success: str | tuple[str, ...] | Success, status: int, body: bytes, why: str
) -> None:
    """By its status, by what its JSON says, or both; what is lacking repeats nothing of it."""
    assert lacks(Write("https://x.example", success=success), status, body) == why
