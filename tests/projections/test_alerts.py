import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_string
from email.message import Message
from functools import partial
from typing import Any

import pytest

from lifecycle.events import Asker, DriftFound, DriftResolved
from lifecycle.journal import Record
from lifecycle.streams import mirror_stream
from projections.alerts import (
    _SUBJECTS,
    BadRoute,
    Hook,
    Mail,
    Teller,
    may_log_in,
    route,
    sentence,
)
from projections.book import Alert
from projections.posting import Poster
from tests.databases import NewDatabase
from tests.projections.carrying import Carrying, carrying, incidents
from tests.projections.tools import SECRET, FakeTool, Reply, fake_tools

TITLES = {"accounting": "QuickBooks Online"}
STEWARDS = {"projects": "operations@example.com"}


class MailBox:
    """A server that takes mail, as plainly as RFC 5321 lets it."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, Message]] = []
        """Who it was for, and what it says."""
        box = self

        class Door(socketserver.StreamRequestHandler):
            timeout = 20

            def handle(self) -> None:
                to = ""
                self._say("220 here")
                while line := self.rfile.readline().decode().strip():
                    verb = line[:4].upper()
                    if verb == "RCPT":
                        to = line.partition("<")[2].partition(">")[0]
                    if verb == "DATA":
                        self._say("354 go on")
                        box.mails.append((to, message_from_string(self._letter())))
                    self._say("221 bye" if verb == "QUIT" else "250 fine")

            def _letter(self) -> str:
                lines: list[str] = []
                while (line := self.rfile.readline().decode()) != ".\r\n":
                    lines.append(line)
                return "".join(lines)

            def _say(self, text: str) -> None:
                self.wfile.write(f"{text}\r\n".encode())

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Door)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """Take no more."""
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def mail_box() -> Iterator[MailBox]:
    box = MailBox()
    try:
        yield box
    finally:
        box.close()


@pytest.fixture
def tool() -> Iterator[FakeTool]:
    with fake_tools() as (one,):
        one.answers(Reply(500))
        yield one


def teller(address: str) -> Callable[[Poster], Teller]:
    environment = {"STATEKEEPER_ALERTS": address, "STATEKEEPER_ALERTS_SECRET": SECRET}
    return lambda poster: Teller(route(environment), TITLES, poster, STEWARDS)


def breaks(books: Carrying, first: int = 0) -> None:
    """Let so many fail that the breaker opens."""
    for number in range(first, first + 6):
        books.job(f"J-{number}")
    books.until(lambda: any(flow.failing for flow in books.book.flows()), "it is known")


def mends(books: Carrying, tool: FakeTool) -> None:
    """Let the tool work again, and be tried."""
    tool.answers(Reply(200))
    books.later(minutes=6)
    books.until(lambda: not any(flow.failing for flow in books.book.flows()), "it works")


def alert(what: str, why: str) -> Alert:
    return Alert(7, 0, "accounting", what, why, "ann@firm.example", 0)


def test_a_steward_is_told_once_an_incident_and_once_when_it_is_over(
    new_database: NewDatabase, tool: FakeTool
) -> None:
    """By mail, to whoever answers for the flow, whatever number of notices fail."""
    with mail_box() as box, carrying(new_database(), {"accounting": tool.url}) as books:
        books.carried(teller=teller(f"smtp://127.0.0.1:{box.port}?from=keeper@firm.example"))
        breaks(books)
        mends(books, tool)
        books.until(lambda: len(box.mails) == 2, "both were told")
        assert incidents(books) == ["FlowFailing", "FlowRecovered"]
    (to, failing), (_, mended) = box.mails
    assert (to, failing["From"]) == ("operations@example.com", "keeper@firm.example")
    assert failing["Subject"] == "Statekeeper: accounting takes nothing"
    assert "QuickBooks Online takes nothing it is told (answered 500)" in str(failing)
    assert "takes what it is told again" in str(mended)


def test_a_restart_tells_nothing_again(new_database: NewDatabase, tool: FakeTool) -> None:
    """The incident stands in the log; whoever comes next knows of it, also with a new book."""
    with fake_tools() as (ear,), carrying(new_database(), {"accounting": tool.url}) as books:
        books.carried(teller=teller(ear.url))
        breaks(books)
        books.until(lambda: len(ear.posts) == 1, "it was told")
        books.rest()
        books.later(hours=2)
        books.book.start_over()
        books.carried(teller=teller(ear.url))
        books.until(lambda: any(flow.opened for flow in books.book.flows()), "it is tried again")
        mends(books, tool)
        books.until(lambda: len(ear.posts) > 1, "that it is over was told")
        assert [post.says["type"] for post in ear.posts] == ["flow.failing", "flow.recovered"]


def test_an_alert_by_webhook_is_signed_and_says_what_happened(
    new_sqlite: NewDatabase, tool: FakeTool
) -> None:
    """As JSON, with the sentence that a mail would have had."""
    with fake_tools() as (ear,), carrying(new_sqlite(), {"accounting": tool.url}) as books:
        books.carried(teller=teller(ear.url))
        breaks(books)
        books.until(lambda: len(ear.posts) == 1, "it was told")
        said = ear.posts[0].says
    assert said["type"] == "flow.failing"
    assert (said["data"]["tool"], said["data"]["why"]) == ("accounting", "answered 500")
    assert said["data"]["sentence"].startswith("QuickBooks Online takes nothing")


def test_what_a_steward_could_not_be_told_is_told_later(
    new_sqlite: NewDatabase, tool: FakeTool
) -> None:
    """The ear that was deaf the first time hears it the second time, once."""
    with fake_tools() as (ear,), carrying(new_sqlite(), {"accounting": tool.url}) as books:
        ear.answers(Reply(500), Reply(200))
        books.carried(teller=teller(ear.url))
        breaks(books)
        books.until(lambda: len(ear.posts) == 1, "it was tried")
        books.later(minutes=1)
        books.until(lambda: len(ear.posts) == 2, "it was told")
        assert len({post.id for post in ear.posts}) == 1


def test_with_nowhere_to_tell_the_log_says_so(
    new_sqlite: NewDatabase, tool: FakeTool, capsys: pytest.CaptureFixture[str]
) -> None:
    """At the start, and with what nobody was told."""
    with carrying(new_sqlite(), {"accounting": tool.url}) as books:
        books.carried(teller=partial(Teller, None, TITLES))
        breaks(books)
        said: list[str] = []

        def is_said() -> bool:
            said.append(capsys.readouterr().out)
            return "QuickBooks Online takes nothing" in "".join(said)

        books.until(is_said, "the log says so")
    assert "nobody is told when a connection fails: STATEKEEPER_ALERTS is not set" in "".join(said)


@pytest.mark.parametrize(
    ("address", "known"),
    [
        ("", None),
        (
            "smtp://ann:p%40ss@mail.example:2525?from=k@firm.example&to=all@firm.example",
            Mail("mail.example", 2525, False, "ann", "p@ss", "k@firm.example", "all@firm.example"),
        ),
        (
            "smtps://mail.example?from=k@firm.example",
            Mail("mail.example", 465, True, "", "", "k@firm.example", ""),
        ),
        ("https://hooks.example/x", Hook("https://hooks.example/x", "")),
    ],
)
def test_how_stewards_are_told_is_read(address: str, known: Mail | Hook | None) -> None:
    """From one address."""
    assert route({"STATEKEEPER_ALERTS": address}) == known


@pytest.mark.parametrize(
    "address", ["mail.example", "smtp://mail.example", "slack://hooks", "smtp://?from=a@b", "https://[x"]
)  # fmt: skip
def test_an_address_by_which_nobody_can_be_told_is_refused(address: str) -> None:
    """Before anybody relies on it."""
    with pytest.raises(BadRoute, match="STATEKEEPER_ALERTS"):
        route({"STATEKEEPER_ALERTS": address})


def test_an_address_that_cannot_be_read_is_not_repeated() -> None:
    """A part of the password may stand where the port should."""
    with pytest.raises(BadRoute) as refused:
        route({"STATEKEEPER_ALERTS": "smtp://ann:pa/s3cret@mail.example?from=k@firm.example"})
    assert "pa" not in str(refused.value).replace("password", "")
    assert refused.value.__suppress_context__


@pytest.mark.parametrize(
    ("peer", "encrypted", "may"),
    [
        ("192.0.2.7", True, True),
        ("192.0.2.7", False, False),
        ("fe80::1%eth0", False, False),
        ("127.0.0.1", False, True),
        ("::1", False, True),
    ],
)
def test_a_password_goes_over_no_line_that_others_can_read(
    peer: str,
    encrypted: bool,  # noqa: FBT001 - pytest names what it passes
    may: bool,  # noqa: FBT001 - pytest names what it passes
) -> None:
    """Only by TLS, or on the very machine."""
    assert may_log_in(peer, encrypted=encrypted) is may


def disagrees(books: Carrying, found: str, *, why: str = "", how: str = "") -> None:
    """Let the project tool be found to differ in a job, or to do so no more."""
    about: dict[str, Any] = {
        "by": Asker(tool="projects"), "id": found, "case": "jobs/J-1",
        "tool": "projects", "field": "status", "recorded_at": books.clock(),
    }  # fmt: skip
    event = (
        DriftResolved(**about, how=how)
        if how
        else DriftFound(**about, is_word=True, reported="late", expected="upcoming", why=why)
    )
    stream = mirror_stream("jobs", "J-1", "projects")
    books.journal.record_now(Record(stream, lambda _known, _now: event))


def test_a_steward_is_told_of_a_fight_once_and_once_when_it_is_over(
    new_database: NewDatabase,
) -> None:
    """However often the tool puts its own back meanwhile, and however long that lasts."""
    with fake_tools() as (ear,), carrying(new_database(), {}) as books:
        books.job("J-1").carried(teller=teller(ear.url))
        disagrees(books, "dft_a", why="not-the-owner")
        disagrees(books, "dft_a", why="fight")
        books.until(lambda: len(ear.posts) == 1, "it was told")
        books.later(days=3)
        disagrees(books, "dft_b", why="fight")
        disagrees(books, "dft_b", how="agrees")
        books.until(lambda: len(ear.posts) == 2, "that it is over was told")
        disagrees(books, "dft_c", why="not-the-owner")
        disagrees(books, "dft_c", how="agrees")
        disagrees(books, "dft_d", why="fight")
        books.until(lambda: len(ear.posts) == 3, "another one was told")
        said = [post.says for post in ear.posts]
    assert [one["type"] for one in said] == ["drift.fight", "drift.peace", "drift.fight"]
    assert {one["data"]["tool"] for one in said} == {"projects"}
    assert {one["data"]["why"] for one in said} == {"jobs/J-1 status"}
    assert {one["data"]["steward"] for one in said} == {"operations@example.com"}


@pytest.mark.parametrize("what", [*_SUBJECTS])
def test_what_happened_is_one_sentence(what: str) -> None:
    """With the tool's title, and what it answered."""
    said = sentence(alert(what, "answered 410"), TITLES)
    assert "QuickBooks Online" in said
    assert said.endswith(".")
    assert said.count(".") == 1
