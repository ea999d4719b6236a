"""Many cases at once: a line an ask, a line an answer, over HTTP and by the command line."""

import asyncio
import itertools
import json
import socket
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from litestar.types import Send

from api.door import Keeper, Visit
from api.imports import Exchange
from api.lines import Import
from lifecycle.catalogue import Catalogue
from tests.databases import NewDatabase
from tests.lifecycle.given import asker
from tests.lifecycle.journals import journal_on
from tests.running import Service, command, over

NUMBERS = itertools.count(1)
LINE_BYTES_MAX = 2**20
JOB_LINES = 5
CREATED = 201


def job(name: str) -> list[dict[str, Any]]:
    """The lines of a job from its quotation to its invoice, each by the tool whose word counts."""
    lines: list[dict[str, Any]] = [
        {"do": "open", "fields": {"customer_name": "Harbour Bakery", "scope": "A new oven"},
         "occurred_at": "2026-03-02T09:00:00Z", "by": "crm"},
        {"do": "transition", "transition": "confirm_deposit", "by": "accounting",
         "fields": {"deposit_due": "500.00 USD", "deposit_paid": "500.00 USD"},
         "occurred_at": "2026-03-03T09:00:00Z"},
        {"do": "transition", "transition": "schedule", "fields": {"scheduled_for": "2026-03-09"},
         "occurred_at": "2026-03-03T10:00:00Z", "by": "projects"},
        {"do": "transition", "transition": "complete", "occurred_at": "2026-03-09T16:00:00Z",
         "by": "projects"},
        {"do": "transition", "transition": "invoice", "fields": {"invoice_no": f"INV-{name}"},
         "occurred_at": "2026-03-10T09:00:00Z", "by": "accounting"},
    ]  # fmt: skip
    return [{"id": name, **line} for line in lines]


def names(count: int) -> list[str]:
    """So many ids that nobody has used."""
    return [f"I-{next(NUMBERS)}" for _ in range(count)]


def ndjson(lines: Iterable[Any]) -> bytes:
    """Lines as they are sent; bytes stay as they are."""
    return b"".join(
        (line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines
    )


def imported(service: Service, body: bytes, by: str = "staff", **query: str) -> list[Any]:
    """Import into the jobs, and give the answers line by line."""
    headers = {"Content-Type": "application/x-ndjson"}
    answer = service.by(by).post("/v1/jobs/import", content=body, headers=headers, params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def case(service: Service, name: str) -> dict[str, Any]:
    """The job as staff see it."""
    found: dict[str, Any] = service.by("staff").get(f"/v1/jobs/{name}").json()
    return found


def code(answer: dict[str, Any]) -> str:
    """Why a line was refused; nothing where it was not."""
    return str(answer.get("type", "")).removeprefix("/problems/")


def test_lines_are_applied_in_order_and_answered_in_order(shared_service: Service) -> None:
    """Each line is answered with where its case stands after it, in the order of the lines."""
    first, second = names(2)
    lines = [line for pair in zip(job(first), job(second), strict=True) for line in pair]
    answers = imported(shared_service, ndjson(lines))
    assert [answer["line"] for answer in answers] == list(range(1, 11))
    assert [answer["status"] for answer in answers] == [201] * 10
    assert [(one["id"], one["state"], one["version"]) for one in answers[-2:]] == [
        (first, "invoiced", 5),
        (second, "invoiced", 5),
    ]
    made = case(shared_service, first)
    assert (made["state"], made["since"]) == ("invoiced", "2026-03-10T09:00:00.000Z")


def test_the_same_lines_again_change_nothing(shared_service: Service) -> None:
    """Imported again, every line is answered as it was, as replayed, and no case has changed."""
    here = names(40)
    lines = [line for name in here for line in job(name)]
    lines.insert(3, {"do": "transition", "id": here[0], "transition": "unschedule", "by": "crm"})
    lines.insert(0, {"do": "transition", "id": here[1], "transition": "schedule", "by": "projects",
                     "fields": {"scheduled_for": "2026-03-09"}})  # fmt: skip
    first = imported(shared_service, ndjson(lines))
    before = [case(shared_service, name) for name in here]
    again = imported(shared_service, ndjson(lines))
    assert [case(shared_service, name) for name in here] == before
    assert all(answer["replayed"] for answer in again)
    kept = ("line", "status", "state", "version", "type", "detail")
    assert [{k: one[k] for k in kept if k in one} for one in again] == [
        {k: one[k] for k in kept if k in one} for one in first
    ]
    assert Counter(map(code, again)) == {"": 200, "not-the-owner": 1, "unknown-case": 1}


def test_equal_lines_are_each_applied(shared_service: Service) -> None:
    """A line that stands twice for one case is asked twice, and remembered twice."""
    (name,) = names(1)
    there = {"do": "transition", "id": name, "transition": "schedule", "by": "projects",
             "fields": {"scheduled_for": "2026-03-09"}}  # fmt: skip
    back = {"do": "transition", "id": name, "transition": "unschedule", "by": "projects"}
    lines = ndjson([*job(name)[:2], there, back, there, back, there])
    answers = imported(shared_service, lines)
    assert [answer["version"] for answer in answers] == [1, 2, 3, 4, 5, 6, 7]
    assert imported(shared_service, lines) == [{**one, "replayed": True} for one in answers]
    assert case(shared_service, name)["version"] == 7


def test_a_mended_line_is_decided_and_the_others_stay(shared_service: Service) -> None:
    """In a file that was mended only the mended line is news."""
    (name,) = names(1)
    lines = job(name)[:3]
    wrong = [*lines[:2], {**lines[2], "fields": {"scheduled_for": "soon"}}]
    answers = imported(shared_service, ndjson(wrong))
    assert [code(answer) for answer in answers] == ["", "", "invalid-fields"]
    answers = imported(shared_service, ndjson(lines))
    assert [answer.get("replayed", False) for answer in answers] == [True, True, False]
    assert answers[2]["state"] == "scheduled"


def test_what_was_refused_is_decided_again_once_a_line_before_it_is_mended(
    shared_service: Service,
) -> None:
    """One wrong line takes those after it down; mended, it lets all of them through, once."""
    (name,) = names(1)
    lines = job(name)
    wrong = [{**lines[0], "fields": {"email": "nobody"}}, *lines[1:]]
    refused = imported(shared_service, ndjson(wrong))
    assert [code(answer) for answer in refused] == ["invalid-fields", *["unknown-case"] * 4]
    for replayed in (False, True):
        answers = imported(shared_service, ndjson(lines))
        assert [answer["version"] for answer in answers] == [1, 2, 3, 4, 5]
        assert {answer.get("replayed", False) for answer in answers} == {replayed}


def test_what_was_refused_is_not_applied_out_of_its_order(shared_service: Service) -> None:
    """Once a later line of its case was applied, a refused one stays so, whatever is open now."""
    (name,) = names(1)
    opened, paid, schedule, *_ = job(name)
    early = {"do": "transition", "id": name, "transition": "unschedule", "by": "projects"}
    lines = ndjson([opened, early, paid, schedule])
    first = imported(shared_service, lines)
    assert [code(answer) for answer in first] == ["", "transition-not-open", "", ""]
    for _ in range(2):
        again = imported(shared_service, lines)
        assert (code(again[1]), again[1]["detail"]) == ("transition-not-open", first[1]["detail"])
        assert case(shared_service, name)["state"] == "scheduled"


def test_what_was_refused_is_decided_again_once_the_case_is_ready(shared_service: Service) -> None:
    """The same lines are decided on what there is now, as any ask under a key is."""
    (name,) = names(1)
    opened, paid, *_ = job(name)
    assert code(imported(shared_service, ndjson([paid]))[0]) == "unknown-case"
    imported(shared_service, ndjson([opened]))
    assert imported(shared_service, ndjson([paid]))[0]["state"] == "deposit_confirmed"
    assert imported(shared_service, ndjson([paid]))[0]["replayed"]


def test_a_key_of_its_own_makes_a_line_an_ordinary_request(shared_service: Service) -> None:
    """A line with a key is applied once under it, is decided again if refused, and is one thing."""
    (name,) = names(1)
    schedule = {**job(name)[2], "key": f"schedule-{name}"}
    assert code(imported(shared_service, ndjson([schedule]))[0]) == "unknown-case"
    imported(shared_service, ndjson(job(name)[:2]))
    assert imported(shared_service, ndjson([schedule]))[0]["state"] == "scheduled"
    assert imported(shared_service, ndjson([schedule]))[0]["replayed"]
    other = {**schedule, "fields": {"scheduled_for": "2026-04-09"}}
    assert code(imported(shared_service, ndjson([other]))[0]) == "idempotency-key-reused"


def test_a_bad_line_stops_nothing_but_itself(shared_service: Service) -> None:
    """Whatever a line is, the lines around it are applied; blank ones are counted only."""
    (name,) = names(1)
    opened, paid, *_ = job(name)
    bad = [
        b"no JSON",
        b'{"do": "open", "id": "I-0", "id": "I-00"}',
        b"\xff\xfe",
        b"[" * 2000,
        b"[]",
        b'{"do": "dance", "id": "I-0"}',
        b'{"do": "open", "id": "no id!"}',
        b'{"do": "open", "since": "2026-03-02T09:00:00Z"}',
        b'{"do": "transition", "id": "I-0"}',
        b'{"do": "transition", "id": "I-0", "transition": "complete", "other": 1}',
        b'{"do": "open", "key": "\\u0000"}',
        b'{"do": "open", "fields": {"scope": "' + b"x" * LINE_BYTES_MAX + b'"}}',
    ]
    answers = imported(shared_service, ndjson([opened, b"", b"  \r", *bad, paid]))
    assert [code(answer) for answer in answers] == [
        "",
        *["malformed-request"] * (len(bad) - 1),
        "body-too-large",
        "",
    ]
    assert [answer["line"] for answer in answers] == [1, *range(4, 4 + len(bad) + 1)]
    assert all(answer["status"] == 400 for answer in answers[1:-2])
    assert answers[-1]["state"] == "deposit_confirmed"


def test_lines_are_read_however_they_are_cut(shared_service: Service) -> None:
    """Where a piece of the body ends says nothing; a last line needs no end; CR LF is an end."""
    (name,) = names(1)
    body = ndjson(job(name)).replace(b"\n", b"\r\n").removesuffix(b"\r\n")

    def cut() -> Iterator[bytes]:
        yield from (body[at : at + 7] for at in range(0, len(body), 7))

    headers = {"Content-Type": "application/x-ndjson; charset=utf-8"}
    http = shared_service.by("staff")
    answer = http.post("/v1/jobs/import", content=cut(), headers=headers)
    states = [json.loads(line)["state"] for line in answer.text.splitlines()]
    assert states == ["quoted", "deposit_confirmed", "scheduled", "completed", "invoiced"]
    # The ends of lines are not of the lines: the same with other ends is the same.
    assert all(one["replayed"] for one in imported(shared_service, ndjson(job(name))))


def test_only_staff_import_on_behalf_of_a_tool(shared_service: Service) -> None:
    """A tool imports what it may do itself; staff say for whom, or act as the steward, and why."""
    first, second, third = names(3)
    lines = ndjson([{"do": "open", "id": first}, *job(second)])
    by_tool = imported(shared_service, lines, by="crm")
    assert [code(answer) for answer in by_tool] == ["", *["staff-only"] * 5]
    by_staff = imported(
        shared_service,
        ndjson(
            [
                {"do": "open", "id": third, "state": "scheduled", "since": "2026-03-03T10:00:00Z"},
                {"do": "transition", "id": third, "transition": "complete", "reason": "by phone"},
                {"do": "transition", "id": third, "transition": "invoice", "by": "nobody"},
            ]
        ),
    )
    assert [code(answer) for answer in by_staff] == ["", "", "unknown-tool"]
    items = shared_service.by("staff").get(f"/v1/jobs/{third}/history").json()["items"]
    assert [item["type"] for item in items] == ["CaseAdopted", "TransitionMade"]
    assert [item["data"]["reason"] for item in items] == ["import of jobs", "by phone"]
    assert all(item["data"]["override"] for item in items)


def test_what_is_no_import_is_refused_as_a_whole(shared_service: Service) -> None:
    """Nobody's import, one into nothing, and one in another form are answered by one problem."""
    body = ndjson(job("I-0")) * 2000
    ours = {"Content-Type": "application/x-ndjson"}

    def refused(by: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
        answer = shared_service.by(by).post(path, content=body, headers=headers)
        return answer.status_code, code(answer.json())

    assert refused("nobody", "/v1/jobs/import", ours) == (401, "not-signed-in")
    assert refused("staff", "/v1/nothing/import", ours) == (404, "unknown-collection")
    assert refused("staff", "/v1/jobs/import?tell=maybe", ours) == (400, "malformed-request")
    form = {"Content-Type": "text/csv"}
    assert refused("staff", "/v1/jobs/import", form) == (415, "unsupported-media-type")
    assert shared_service.by("staff").get("/v1/jobs/I-0").status_code == 404


def test_a_client_that_sends_everything_first_is_answered(sqlite_service: Service) -> None:
    """Answers wait for a client that reads nothing until it has sent all, however much it is."""
    lines = 30_000
    wide = json.dumps({"do": "open", "fields": {"scope": "x" * 500}, "by": "dance"}).encode()
    body = (wide + b"\n") * lines
    head = {
        "Authorization": f"Bearer {sqlite_service.keys['staff']}",
        "Content-Type": "application/x-ndjson",
    }
    with closing(HTTPConnection("127.0.0.1", sqlite_service.port, timeout=30)) as connection:
        connection.request("POST", "/v1/jobs/import", body, head)
        heard = [json.loads(line) for line in connection.getresponse().read().splitlines()]
    assert [one["line"] for one in heard] == list(range(1, lines + 1))
    assert {one["type"] for one in heard} == {"/problems/unknown-tool"}


def test_nobody_is_given_up_for_not_reading_while_still_sending(new_sqlite: NewDatabase) -> None:
    """However long the sending takes; who takes nothing after that is given up."""
    pieces = [ndjson([{"do": "open", "id": f"S-{number}", "by": "dance"}]) for number in range(5)]
    idle, step = 2.0, 0.6
    all_came, taken = asyncio.Event(), bytearray()

    async def receive() -> Any:
        await asyncio.sleep(step)
        piece = pieces.pop(0)
        if not pieces:
            all_came.set()
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    async def send(message: Any) -> None:
        if message.get("body"):
            await all_came.wait()
        taken.extend(message.get("body", b""))

    async def never(message: Any) -> None:
        if message.get("body"):
            await asyncio.Event().wait()

    async def exchanged(keeper: Keeper, idle_seconds: float, send: Send) -> None:
        scope: Any = {
            "method": "POST",
            "scheme": "http",
            "path": "/v1/jobs/import",
            "headers": [],
            "query_string": b"",
        }
        lifecycle = keeper.catalogue.lifecycles["jobs"]
        exchange = Exchange(keeper, Import(lifecycle, asker("staff"), "jobs"), idle_seconds)
        with closing(exchange.spool):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(exchange.hear(receive))
                tasks.create_task(exchange.ask())
                tasks.create_task(exchange.tell(send, Visit(scope, b"")))

    with journal_on(new_sqlite()) as journal:
        keeper = Keeper(journal, Catalogue(journal.lifecycles, {}))
        asyncio.run(exchanged(keeper, idle, send))
        assert len(taken.splitlines()) == 5
        pieces.append(ndjson([{"do": "open", "id": "S-9", "by": "dance"}]))
        with pytest.raises(ExceptionGroup) as given_up:
            asyncio.run(exchanged(keeper, step * 2, never))
        assert given_up.group_contains(TimeoutError)


def test_an_import_is_answered_while_it_is_sent(shared_sqlite_service: Service) -> None:
    """A client may read the answer to a line before it sends the next."""
    (name,) = names(1)
    head = (
        "POST /v1/jobs/import HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n"
        f"Authorization: Bearer {shared_sqlite_service.keys['staff']}\r\n"
        "Content-Type: application/x-ndjson\r\n\r\n"
    )
    address = ("127.0.0.1", shared_sqlite_service.port)
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(head.encode())
        for number, line in enumerate(job(name), 1):
            piece = ndjson([line])
            connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
            heard = b""
            while b'{"line":%d,' % number not in heard:
                heard += connection.recv(65536)
        connection.sendall(b"0\r\n\r\n")
    assert case(shared_sqlite_service, name)["state"] == "invoiced"


def test_a_client_that_goes_away_leaves_whole_lines(shared_sqlite_service: Service) -> None:
    """What is left of a line when the connection ends is no line; what came before it counts."""
    (name,) = names(1)
    whole = ndjson(job(name)[:2])
    head = (
        f"POST /v1/jobs/import HTTP/1.1\r\nHost: here\r\nContent-Length: {10 * len(whole)}\r\n"
        f"Authorization: Bearer {shared_sqlite_service.keys['staff']}\r\n"
        "Content-Type: application/x-ndjson\r\n\r\n"
    )
    cut = json.dumps(job(name)[2]).encode()
    address = ("127.0.0.1", shared_sqlite_service.port)
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(head.encode() + whole + cut)
        heard = b""
        while b'{"line":2,' not in heard:
            heard += connection.recv(65536)
    assert case(shared_sqlite_service, name)["state"] == "deposit_confirmed"
    # And the whole of it again, once the line is ended.
    states = [one["state"] for one in imported(shared_sqlite_service, ndjson(job(name)))]
    assert states[-1] == "invoiced"


def test_what_the_database_cannot_take_is_mended_by_the_same_again(
    sqlite_service: Service,
) -> None:
    """Once the log cannot be written, the rest is not even tried: nothing is applied out of order.

    Another program that keeps the file to itself makes it so.
    """
    body = ndjson(line for name in names(60) for line in job(name))
    file = sqlite3.connect(sqlite_service.database.removeprefix("sqlite:///"), isolation_level=None)
    with closing(file):
        file.execute("BEGIN IMMEDIATE")
        answers = imported(sqlite_service, body)
        file.execute("ROLLBACK")
    assert {code(answer) for answer in answers} == {"storage-unavailable"}
    assert [answer["line"] for answer in answers] == list(range(1, 60 * JOB_LINES + 1))
    assert not any(answer["may_have_happened"] for answer in answers)
    again = imported(sqlite_service, body)
    assert {answer["status"] for answer in again} == {201}
    assert not any("replayed" in answer for answer in again)


def test_command_line_imports_and_reports(new_database: NewDatabase, tmp_path: Path) -> None:
    """`import` tells how many lines were applied, refused by code with an example, and repeated."""
    database, file = new_database(), tmp_path / "history.ndjson"
    lines = [line for name in names(30) for line in job(name)]
    file.write_bytes(ndjson([*lines, {**lines[0], "occurred_at": None}, b"no JSON"]))
    words = ["import", "jobs", str(file), "--as", "Operator", *over(database)]
    done = command(*words, "--json")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: 2 of 152 lines were refused")
    report = json.loads(done.stdout)
    assert (report["lines"], report["applied"], report["repeated"]) == (152, 150, 0)
    assert report["refused"]["case-exists"]["times"] == 1
    assert report["refused"]["case-exists"]["line"] == 151
    assert set(report["refused"]) == {"case-exists", "malformed-request"}
    assert report["per_second"] > 0
    again = command(*words, "--allow-refused")
    assert again.returncode == 0, again.stderr
    assert "0 applied" in again.stdout
    assert "150 repeated" in again.stdout
    assert " 1 case-exists, like line 151: " in again.stdout
    assert "case-exists, like line 151: " in again.stdout


def test_command_line_applies_nothing_out_of_its_order(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """A refused line and the later one that overtakes it may stand far apart in the file."""
    database, file = new_database(), tmp_path / "history.ndjson"
    early, others = names(1)[0], names(400)
    opened, paid, schedule, *_ = job(early)
    back = {"do": "transition", "id": early, "transition": "unschedule", "by": "projects"}
    between = [job(name)[0] for name in others]
    file.write_bytes(ndjson([opened, back, *between[:200], paid, *between[200:], schedule]))
    words = ["import", "jobs", str(file), "--as", "Operator", "--json", *over(database)]
    for applied in (403, 0):
        done = command(*words)
        report = json.loads(done.stdout)
        assert (done.returncode, report["applied"]) == (1, applied)
        assert report["refused"]["transition-not-open"]["times"] == 1
    state = json.loads(command("why", f"jobs/{early}", "--json", *over(database)).stdout)["state"]
    assert state == "scheduled"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["import", "jobs", "-"], "name one of --as and --tool"),
        (["import", "nothing", "-", "--tool", "crm"], "no collection is called 'nothing'"),
        (["import", "jobs", "-", "--tool", "nobody"], "jobs know no tool 'nobody'"),
        (["import", "jobs", "no-file", "--tool", "crm"], "no-file"),
    ],
)
def test_command_line_says_what_is_wrong(
    new_sqlite: NewDatabase, words: list[str], said: str
) -> None:
    """What cannot be imported is said in one line."""
    done = command(*words, *over(new_sqlite()))
    assert done.returncode in {1, 2}
    assert said in done.stderr
    assert not done.stdout


def test_http_and_command_line_agree_on_what_was_imported(
    sqlite_service: Service, tmp_path: Path
) -> None:
    """A file may be imported beside a running service, which sees it at once."""
    (name,) = names(1)
    file = tmp_path / "one.ndjson"
    file.write_bytes(ndjson(job(name)))
    words = ["import", "jobs", str(file), "--as", "Operator", *over(sqlite_service.database)]
    done = command(*words)
    assert done.returncode == 0, done.stderr
    assert case(sqlite_service, name)["state"] == "invoiced"
    # On behalf of a tool it is the tool that is remembered, whoever's key it was.
    assert all(one["replayed"] for one in imported(sqlite_service, file.read_bytes()))
