"""Whatever bytes come, the answer is a clear refusal: a problem, never a fault, never a page."""

import socket
from collections.abc import Iterator
from typing import NamedTuple

import httpx
import msgspec
import pytest

from tests.databases import NewDatabase
from tests.running import Service, issue_key, running_service

JOBS = b"/v1/jobs"
SECONDS_MAX = 20


class Raw(NamedTuple):
    """An answer, as it came over the wire."""

    status: int
    media_type: str
    body: bytes


class Sender:
    """Sends bytes that no proper client would."""

    def __init__(self, port: int, key: str) -> None:
        self._port = port
        self._key = key.encode()

    def ask(self, method: bytes, target: bytes, body: bytes = b"", *headers: bytes) -> Raw:
        """Send one request, its length right and its connection closed afterwards."""
        lines = [
            b"%b %b HTTP/1.1" % (method, target),
            b"Host: here",
            b"Connection: close",
            b"Authorization: Bearer " + self._key,
            b"Content-Length: %d" % len(body),
            *headers,
        ]
        return self.send(b"\r\n".join(lines) + b"\r\n\r\n" + body)

    def send(self, content: bytes) -> Raw:
        """Send these bytes; the answer is read to its end."""
        with socket.create_connection(("127.0.0.1", self._port), SECONDS_MAX) as link:
            link.sendall(content)
            answer = b"".join(iter(lambda: link.recv(65536), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        named = dict(line.lower().split(": ", 1) for line in lines)
        return Raw(int(status.split(" ")[1]), named.get("content-type", ""), body)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def sender(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sender]:
    folder = tmp_path_factory.mktemp("bad-input")
    database = f"sqlite:///{folder}/log.db"
    if request.param == "postgres":
        database = request.getfixturevalue("postgres").new()
    with running_service(database, folder) as service:
        sender = Sender(service.port, issue_key(database, tool="crm").key)
        assert sender.ask(b"POST", JOBS, b'{"id": "J-1"}').status == httpx.codes.CREATED
        yield sender
        assert sender.ask(b"GET", b"/v1/jobs/J-1/why").status == httpx.codes.OK
        assert '"event":"fault"' not in service.said


def refused(answer: Raw, *statuses: int) -> None:
    """Hold an answer to the one form of a problem."""
    assert answer.status in statuses, answer
    assert answer.media_type == "application/problem+json", answer
    problem = msgspec.json.decode(answer.body)
    assert problem["status"] == answer.status
    assert problem["type"].startswith("/problems/")
    assert problem["detail"]


UNREADABLE = {
    "nothing": b"",
    "half": b'{"id": "J-',
    "no object": b"[]",
    "null": b"null",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "no UTF-8": b'{"id": "\xff"}',
    "half a character": b'{"id": "\\ud800"}',
    "a name twice": b'{"id": "a", "id": "b"}',
    "a name twice, deep down": b'{"fields": {"scope": {"a": 1, "a": 2}}}',
    "a member too many": b'{"colour": "red"}',
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "rather deep": b'{"fields": ' + b'{"a":' * 40 + b"1" + b"}" * 41,
    "not a number": b'{"fields": {"scope": NaN}}',
    "a number of very many digits": b'{"fields": {"scope": ' + b"9" * 5000 + b"}}",
    "a number for an id": b'{"id": 1e400}',
    "an id with a slash": b'{"id": "a/b"}',
    "an id with a quote": b'{"id": "a\\"b"}',
    "an id with a line end": b'{"id": "abc\\n"}',
    "an id of a million letters": b'{"id": "' + b"a" * 1_000_000 + b'"}',
    "a reference with NUL": b'{"references": {"crm": "a\\u0000b"}}',
    "a reference with a line end": b'{"references": {"crm": "ab\\n"}}',
    "a time without offset": b'{"occurred_at": "2026-05-04T10:00:00"}',
    "a day that is none": b'{"occurred_at": "2026-02-30T10:00:00Z"}',
    "a time before all time": b'{"occurred_at": "0001-01-01T00:00:00+23:59"}',
    "a time after all time": b'{"occurred_at": "9999-12-31T23:59:59-23:59"}',
}

UNFIT = {
    "NUL in a value": b'{"fields": {"customer_name": "a\\u0000b"}}',
    "NUL in a name": b'{"fields": {"a\\u0000": "b"}}',
    "a number beyond all numbers": b'{"fields": {"customer_name": 1e400}}',
    "thousands of fields": b'{"fields": {' + b",".join(b'"f%d":1' % i for i in range(9999)) + b"}}",
}

TARGETS = {
    "a slash in an id": b"/v1/jobs/a%2Fb",
    "a slash that looks like a resource": b"/v1/jobs/J-1%2Ftransitions",
    "a slash where a part is missing": b"/v1/jobs/J-1/references%2Fcrm",
    "NUL": b"/v1/jobs/%00",
    "a line end": b"/v1/jobs/%0D%0A",
    "quotes": b"/v1/jobs/%22%27",
    "no UTF-8": b"/v1/jobs/%FF",
    "half an escape": b"/v1/jobs/%zz",
    "dots": b"/v1/jobs/..%2f..",
    "two slashes": b"/v1//jobs/J-1",
    "a slash at the end": b"/v1/jobs/J-1/",
    "a collection with NUL": b"/v1/%00/J-1",
    "a long id": b"/v1/jobs/" + b"a" * 50_000,
    "a reference with NUL": b"/v1/tools/crm/jobs/%00",
    "a reference that is no UTF-8": b"/v1/tools/crm/jobs/%FF",
    "a long reference": b"/v1/tools/crm/jobs/" + b"a" * 50_000,
    "a tool with NUL": b"/v1/tools/%00/jobs/a",
    "a lifecycle with NUL": b"/v1/lifecycles/%00",
    "a picture of a case with NUL": b"/v1/lifecycles/field_service.svg?case=%00",
    "a parameter twice": b"/v1/jobs/J-1?version=1&version=2",
    "an unknown parameter": b"/v1/jobs/J-1?%00=1",
    "a parameter without a value": b"/v1/jobs/J-1?version",
    "a parameter that is no UTF-8": b"/v1/jobs/J-1?version=%FF",
    "an Arabic digit": b"/v1/jobs/J-1?version=%D9%A1",
    "a huge version": b"/v1/jobs/J-1?version=" + b"9" * 5000,
    "a time before all time": b"/v1/jobs/J-1?at=0001-01-01T00:00:00%2B23:59",
    "a time before the case": b"/v1/jobs/J-1/why?at=0001-01-01T00:00:00Z",
    "nothing there": b"/v1",
    "no path": b"*",
}

HEADERS = {
    "a version without quotes": b"If-Match: 4",
    "a weak version": b'If-Match: W/"1"',
    "bytes": b"If-Match: \xff",
    "an empty key": b"Idempotency-Key:",
    "a key beyond ASCII": b"Idempotency-Key: \xc3\xa9",
    "a long key": b"Idempotency-Key: " + b"k" * 300,
    "a position that is none": b"Statekeeper-Position: x",
    "a superscript": b"Statekeeper-Position: \xb2",
    "a huge position": b"Statekeeper-Position: " + b"9" * 200,
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_body_that_cannot_be_read_is_refused(sender: Sender, name: str) -> None:
    """What is not JSON of the declared shape is malformed, and opens nothing."""
    refused(sender.ask(b"POST", JOBS, UNREADABLE[name]), 400)


@pytest.mark.parametrize("name", UNFIT)
def test_values_that_nothing_may_hold_are_refused(sender: Sender, name: str) -> None:
    """A value that no format takes is an invalid field, whatever it is."""
    refused(sender.ask(b"POST", JOBS, UNFIT[name]), 422)


@pytest.mark.parametrize("name", TARGETS)
def test_an_address_that_means_nothing_is_refused(sender: Sender, name: str) -> None:
    """An address has one spelling; any other, and any that names nothing, is 400, 403 or 404."""
    refused(sender.ask(b"GET", TARGETS[name]), 400, 403, 404)


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_cannot_be_read_is_refused(sender: Sender, name: str) -> None:
    """A header that is not what it has to be is malformed, and nothing is done without it."""
    refused(sender.ask(b"PATCH", b"/v1/jobs/J-1/fields", b"{}", HEADERS[name]), 400)


@pytest.mark.parametrize(
    "media_type", [b"text/html", b"application/json; charset=latin-1", b"\xff"]
)
def test_a_body_that_is_not_json_is_refused(sender: Sender, media_type: bytes) -> None:
    """A body that is said to be something else than JSON in UTF-8 is not looked at."""
    refused(sender.ask(b"POST", JOBS, b"{}", b"Content-Type: " + media_type), 415)


@pytest.mark.parametrize("media_type", [b"application/json;charset=UTF-8", b"application/a+json"])
def test_json_by_any_of_its_names_is_read(sender: Sender, media_type: bytes) -> None:
    """JSON is JSON, with its charset or without, also where its type says of what."""
    answer = sender.ask(b"POST", JOBS, b"{}", b"Content-Type: " + media_type)
    assert answer.status == httpx.codes.CREATED


def test_a_body_in_pieces_is_read(sender: Sender) -> None:
    """A body may come in chunks, of no declared length and no declared type."""
    head, _, _ = (
        b"POST /v1/jobs HTTP/1.1\r\nHost: here\r\nConnection: close\r\n"
        b"Transfer-Encoding: chunked\r\nAuthorization: Bearer " + sender._key
    ).partition(b"\x00")
    answer = sender.send(head + b'\r\n\r\n5\r\n{"id"\r\n9\r\n: "J-77"}\r\n0\r\n\r\n')
    assert answer.status == httpx.codes.CREATED
    assert msgspec.json.decode(answer.body)["id"] == "J-77"


def test_a_body_that_is_too_large_is_refused(sender: Sender) -> None:
    """A body of a mebibyte is read; one of a byte more is refused, and its sender sees it."""
    assert sender.ask(b"POST", JOBS, b"{}".rjust(2**20)).status == httpx.codes.CREATED
    refused(sender.ask(b"POST", JOBS, b"{}".rjust(2**20 + 1)), 413)


@pytest.mark.parametrize("method", [b"HEAD", b"TRACE", b"DELETE", b"PROPFIND", b"CONNECT"])
def test_a_method_that_an_address_does_not_take_is_refused(sender: Sender, method: bytes) -> None:
    """An address says which methods it takes."""
    answer = sender.ask(method, b"/v1/jobs/J-1")
    assert (answer.status, answer.media_type) == (405, "application/problem+json")


def test_an_address_tells_all_of_its_methods(sqlite_service: Service) -> None:
    """OPTIONS names every method that an address takes, and so does the refusal of another."""
    url = f"{sqlite_service.url}/v1/jobs/J-1/transitions"
    asked = httpx.options(url)
    assert asked.status_code == httpx.codes.NO_CONTENT
    assert asked.headers["allow"] == "GET, OPTIONS, POST"
    assert httpx.delete(url).headers["allow"] == "GET, POST"
    assert httpx.delete(f"{sqlite_service.url}/v1/lifecycles").headers["allow"] == "GET"


def test_a_reference_may_hold_slashes(
    new_sqlite: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A tool's own id is its own affair: with slashes, written plainly or not, and beyond ASCII."""
    database = new_sqlite()
    with running_service(database, tmp_path_factory.mktemp("slashes")) as service:
        sender = Sender(service.port, issue_key(database, tool="crm").key)
        sender.ask(b"POST", JOBS, '{"references": {"crm": "2026/17 ü\u00a0"}}'.encode())
        for target in (b"2026/17%20%C3%BC%C2%A0", b"2026%2F17%20%C3%BC%C2%A0"):
            answer = sender.ask(b"GET", b"/v1/tools/crm/jobs/" + target)
            assert answer.status == httpx.codes.OK, answer
