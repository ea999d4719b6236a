"""The log over HTTP: in pages and live, without what is nobody's business."""

import asyncio
import itertools
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import msgspec
import psutil
import pytest

from api.door import Keeper
from api.events import stream_events
from api.keys import issue
from lifecycle.asks import Ask
from lifecycle.catalogue import Catalogue
from lifecycle.changes import Open
from projections.live import LISTENERS_MAX
from tests.databases import NewDatabase
from tests.lifecycle.given import tell
from tests.lifecycle.journals import ask, journal_on
from tests.running import (
    WAIT_SECONDS_MAX,
    Service,
    command,
    issue_key,
    over,
    running_service,
    until,
)

NUMBERS = itertools.count(1)
CONNECTS = int(os.environ.get("STATEKEEPER_STREAM_CONNECTS", "300"))
"""Streams that are opened and left in the search for leaks; ten thousand take minutes."""
READERS_FILES = 30
"""Files that the log's readers may hold open, however many come: a few for each thread."""
INSIDE = {
    *("KeyIssued", "KeyRevoked", "SessionsEnded", "Answered", "DefinitionAdopted"),
    *("ReferenceHeld", "ReferenceFreed", "MessagesLetGo", "Heard", "Parked"),
}
"""What the log keeps for itself."""
TOLD = {"NoticeDue", "NoticeSuperseded", "NoticeDelivered"}
"""What the tools are due by it."""


def opened(service: Service, **more: Any) -> dict[str, Any]:
    """Open a job of the test's own, and give it."""
    body = {"id": f"E-{next(NUMBERS)}", "fields": {"customer_name": "Zephyrine"}, **more}
    answer = service.by("crm").post("/v1/jobs", json=body)
    assert answer.status_code == 201, answer.text
    case: dict[str, Any] = answer.json()
    return case


def events(service: Service, by: str = "staff", **query: Any) -> dict[str, Any]:
    answer = service.by(by).get("/v1/events", params=query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def all_events(service: Service, by: str = "staff", limit: int = 500) -> list[dict[str, Any]]:
    """Read the log page by page."""
    items: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        page = events(service, by, after=after, limit=limit)
        items += page["items"]
        after = page["next"]
    return items


class TestPages:
    def test_it_shows_what_happened_to_cases_and_nothing_else(
        self, shared_service: Service
    ) -> None:
        """No key, no remembered request, no inner book of references, no definition's text."""
        client = shared_service.by("crm")
        case_id = opened(shared_service, references={"crm": f"R{next(NUMBERS)}"})["id"]
        key = f"key-{next(NUMBERS)}"
        client.post("/v1/jobs", json={}, headers={"Idempotency-Key": key})
        client.post(f"/v1/jobs/{case_id}/transitions", json={"transition": "complete"})
        told = all_events(shared_service)
        assert INSIDE.isdisjoint(one["type"] for one in told)
        ours = [one["type"] for one in told if one["id"] == case_id and one["type"] not in TOLD]
        assert ours == ["CaseOpened", "Refused"]
        assert key not in str(told)

    def test_pages_of_any_size_are_the_same_log(self, shared_service: Service) -> None:
        """Pages leave nothing out and hold nothing twice; positions rise."""
        for _ in range(3):
            opened(shared_service)
        whole = all_events(shared_service)
        assert all_events(shared_service, limit=1) == whole
        assert all_events(shared_service, limit=2) == whole
        positions = [one["position"] for one in whole]
        assert positions == sorted(set(positions))
        assert events(shared_service, after=positions[-1]) == {"items": [], "next": None}

    def test_an_event_is_the_one_of_the_history(self, shared_service: Service) -> None:
        """The log and a case's history say the same."""
        case = opened(shared_service)
        told = [one for one in all_events(shared_service) if one["id"] == case["id"]]
        history = shared_service.by("staff").get(f"/v1/jobs/{case['id']}/history").json()
        assert history["items"] == told
        assert told[0]["type"] == "CaseOpened"

    def test_a_tool_hears_of_its_own_lifecycles(self, shared_service: Service) -> None:
        """Where it does not stand it hears nothing, and of no field that it may not see."""
        case = opened(shared_service)
        by_tool = {
            tool: [one for one in all_events(shared_service, tool) if one["id"] == case["id"]]
            for tool in ("crm", "accounting", "esign")
        }
        assert by_tool["crm"][0]["data"]["fields"] == {"customer_name": "Zephyrine"}
        assert by_tool["accounting"][0]["data"]["fields"] == {}
        assert "Zephyrine" not in str(by_tool["accounting"])
        assert by_tool["esign"] == []

    @pytest.mark.parametrize(
        "query",
        [
            "after=x",
            "after=-1",
            "after=1.5",
            "limit=0",
            "limit=501",
            "limit=000000001999999",
            "before=3",
        ],
    )
    def test_what_cannot_be_asked_is_refused(
        self, shared_sqlite_service: Service, query: str
    ) -> None:
        """A position is a whole number, a limit has bounds."""
        answer = shared_sqlite_service.by("staff").get(f"/v1/events?{query}")
        assert answer.status_code == 400
        assert answer.json()["type"] == "/problems/malformed-request"


# --- live ---------------------------------------------------------------------------------------


class Listener:
    """A client of the live stream, in a thread of its own."""

    def __init__(self, service: Service, by: str = "staff", **headers: str) -> None:
        """Begin to listen; `after` may stand among the headers for the query."""
        query = {"after": headers.pop("after")} if "after" in headers else {}
        self.lines: list[str] = []
        self.cut_off = False
        self.ended = threading.Event()
        self._client = service.with_key(service.keys[by])
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen, args=(query, headers), daemon=True)
        self._thread.start()
        until(lambda: bool(self.lines) or self.ended.is_set(), "the stream begins")

    def _listen(self, query: dict[str, str], headers: dict[str, str]) -> None:
        try:
            with self._client.stream(
                "GET", "/v1/events/stream", params=query, headers=headers
            ) as answer:
                for line in answer.iter_lines():
                    self.lines.append(line)
                    if self._stop.is_set():
                        break
        except httpx.TransportError:
            self.cut_off = True
        finally:
            self.ended.set()

    @property
    def events(self) -> list[dict[str, Any]]:
        """What was heard so far."""
        data = [line.removeprefix("data: ") for line in self.lines if line.startswith("data: ")]
        return [msgspec.json.decode(one) for one in data]

    @property
    def ids(self) -> list[int]:
        """The positions, as they were named."""
        return [int(line.removeprefix("id: ")) for line in self.lines if line.startswith("id: ")]

    def close(self) -> None:
        """Hang up."""
        self._stop.set()
        self._client.close()


@contextmanager
def listening(service: Service, by: str = "staff", **headers: str) -> Iterator[Listener]:
    listener = Listener(service, by, **headers)
    try:
        yield listener
    finally:
        listener.close()


def heard(listener: Listener, case_id: str) -> Callable[[], bool]:
    return lambda: any(one["id"] == case_id for one in listener.events)


class TestLive:
    def test_what_happens_is_told_as_it_happens(self, shared_service: Service) -> None:
        """Each event once, as the log has it, under its position and its type."""
        with listening(shared_service) as listener:
            cases = [opened(shared_service) for _ in range(3)]
            until(heard(listener, cases[-1]["id"]), "the last one is heard")
            told = [
                one
                for one in listener.events
                if one["id"] in {c["id"] for c in cases} and one["type"] not in TOLD
            ]
            assert [one["id"] for one in told] == [one["id"] for one in cases]
            assert listener.ids == [one["position"] for one in listener.events]
            assert "event: CaseOpened" in listener.lines
        assert told == [one for one in all_events(shared_service) if one in told]

    def test_it_resumes_where_it_was(self, shared_service: Service) -> None:
        """After the last position heard nothing is missing and nothing comes again."""
        cases = [opened(shared_service) for _ in range(4)]
        second = str(cases[1]["position"])
        for headers in ({"Last-Event-ID": second}, {"after": second}):
            with listening(shared_service, **headers) as listener:
                until(heard(listener, cases[3]["id"]), "the last one is heard")
                told = [one for one in listener.events if one["type"] not in TOLD]
                assert [one["id"] for one in told][:2] == [
                    cases[2]["id"],
                    cases[3]["id"],
                ]

    def test_what_another_process_wrote_is_told_too(self, sqlite_service: Service) -> None:
        """The stream follows the log, not this process alone."""
        service = sqlite_service
        case = opened(service)
        key = issue_key(service.database, staff="Dispatcher")
        with listening(service) as listener, service.with_key(key.key) as client:
            client.patch(
                f"/v1/jobs/{case['id']}/fields", params={"reason": "so"}, json={"scope": "x"}
            )
            until(heard(listener, case["id"]), "the change is heard")

    def test_a_tool_hears_what_it_may(self, shared_service: Service) -> None:
        """The stream hides what the pages hide."""
        with (
            listening(shared_service, "accounting") as one,
            listening(shared_service, "esign") as other,
        ):
            case = opened(shared_service)
            until(heard(one, case["id"]), "accounting hears of it")
            assert "Zephyrine" not in str(one.lines)
            assert other.events == []

    def test_a_revoked_key_hears_no_more(self, sqlite_service: Service) -> None:
        """The stream ends soon after its key is revoked."""
        service = sqlite_service
        with listening(service, "projects") as listener:
            key_id = service.keys["projects"].split("_")[1]
            done = command("keys", "revoke", key_id, *over(service.database))
            assert done.returncode == 0, done.stderr
            until(listener.ended.is_set, "the stream has ended")
            opened(service)
            assert listener.events == []

    def test_a_stop_ends_streams_at_once(self, new_sqlite: NewDatabase, tmp_path: Any) -> None:
        """A service that is told to stop does not wait for listeners that would never end."""
        with running_service(new_sqlite(), tmp_path) as service, listening(service) as listener:
            service.signal(signal.SIGTERM)
            assert service.ended() == 0
            until(listener.ended.is_set, "the listener knows")
            assert not listener.cut_off, "it waited until it lost patience"

    def test_streams_are_bounded(self, sqlite_service: Service) -> None:
        """One stream too many is told to come back later; when others leave, there is room."""
        service = sqlite_service
        with many(service) as client, ExitStack() as streams:
            for _ in range(LISTENERS_MAX):
                stream = client.stream("GET", "/v1/events/stream?after=0")
                assert streams.enter_context(stream).status_code == 200
            refused = service.by("staff").get("/v1/events/stream")
            assert refused.status_code == 503
            assert refused.json()["type"] == "/problems/overloaded"
            assert int(refused.headers["Retry-After"]) > 0
            assert service.by("staff").get("/v1/events?limit=1").status_code == 200
        until(lambda: room(service), "there is room again")

    def test_nothing_is_kept_of_those_who_left(self, sqlite_service: Service) -> None:
        """Neither memory nor descriptors grow with clients that come and go."""
        service = sqlite_service
        for _ in range(3):
            opened(service)
        process = psutil.Process(service.pid)
        come_and_go(service, 100)
        until(lambda: connections(process) <= 1, "all but the opener have left")
        files, memory = process.num_fds(), process.memory_info().rss
        come_and_go(service, CONNECTS)
        until(lambda: connections(process) <= 1, "all but the opener have left")
        assert process.num_fds() <= files + READERS_FILES
        assert process.memory_info().rss <= memory + 10 * 2**20

    @pytest.mark.parametrize("last", ["x", "-1", "1" * 30])
    def test_a_position_that_is_none_is_refused(
        self, shared_sqlite_service: Service, last: str
    ) -> None:
        """Who resumes from nowhere is told so, in the form of every refusal."""
        answer = shared_sqlite_service.by("staff").get(
            "/v1/events/stream", headers={"Last-Event-ID": last}
        )
        assert answer.status_code == 400
        assert answer.headers["Content-Type"] == "application/problem+json"

    def test_nobody_listens_without_a_key(self, shared_sqlite_service: Service) -> None:
        """The stream is for those who may read."""
        assert shared_sqlite_service.by("nobody").get("/v1/events/stream").status_code == 401


class Wire:
    """The client's end of one stream: what it is sent, and when it hangs up or stops reading."""

    def __init__(self, key: str) -> None:
        self.heard = b""
        self.reads = True
        self._gone = asyncio.Event()
        self.scope: Any = {
            "type": "http",
            "method": "GET",
            "path": "/v1/events/stream",
            "raw_path": b"/v1/events/stream",
            "query_string": b"after=0",
            "scheme": "http",
            "client": ("192.0.2.7", 4711),
            "headers": [(b"authorization", f"Bearer {key}".encode())],
        }
        self._asked = False

    def hang_up(self) -> None:
        """Go."""
        self._gone.set()

    async def receive(self) -> Any:
        """The request, which is short, and then nothing but the end."""
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        """Take what comes, or nothing any more: then whoever sends waits."""
        if not self.reads:
            await asyncio.Event().wait()
        self.heard += message.get("body", b"")


@pytest.fixture
def keeper(new_sqlite: NewDatabase) -> Iterator[Keeper]:
    """A process of our own, in which a client's end of the wire can be held."""
    with journal_on(new_sqlite()) as journal:
        yield Keeper(journal, Catalogue(journal.lifecycles, {}))


class TestClients:
    def test_a_stream_on_which_nothing_happens_still_beats(
        self, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever is between the two sees that both are there; who hangs up is let go of."""
        monkeypatch.setattr("api.events.HEARTBEAT_SECONDS", 0.05)
        monkeypatch.setattr("api.events.LOOK_UP_SECONDS", 0.05)
        wire = Wire(issue(keeper.journal, staff="Dispatcher").key)

        async def listen() -> None:
            stream = asyncio.create_task(stream_events(keeper, wire.scope, wire.receive, wire.send))
            async with asyncio.timeout(WAIT_SECONDS_MAX):
                while wire.heard.count(b": still here\n\n") < 3:  # noqa: ASYNC110 - there is nothing to wait for
                    await asyncio.sleep(0.01)
                assert keeper.live.open == 1
                wire.hang_up()
                await stream

        asyncio.run(listen())
        assert b"data:" not in wire.heard
        assert keeper.live.open == 0

    def test_who_does_not_read_is_hung_up_on(
        self, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A client that takes nothing more costs nothing more: its place is free."""
        monkeypatch.setattr("api.events.WRITE_SECONDS_MAX", 0.05)
        wire = Wire(issue(keeper.journal, staff="Dispatcher").key)
        keeper.journal.answer_now(ask(Open(fields={"scope": "Boiler"})))

        async def listen() -> None:
            stream = asyncio.create_task(stream_events(keeper, wire.scope, wire.receive, wire.send))
            async with asyncio.timeout(WAIT_SECONDS_MAX):
                while b"retry:" not in wire.heard:  # noqa: ASYNC110 - there is nothing to wait for
                    await asyncio.sleep(0)
                wire.reads = False
                while not stream.done():
                    await asyncio.to_thread(keeper.journal.answer_now, another())
            with pytest.raises(TimeoutError):
                await stream

        asyncio.run(listen())
        assert keeper.live.open == 0


def another() -> Ask:
    """Something that happens."""
    return ask(tell(scope=f"Boiler {next(NUMBERS)}"))


def many(service: Service) -> httpx.Client:
    """A client that opens as many connections as it is asked to."""
    return httpx.Client(
        base_url=service.url,
        headers={"Authorization": f"Bearer {service.keys['staff']}"},
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        timeout=20,
        trust_env=False,
    )


def room(service: Service) -> bool:
    with service.by("staff").stream("GET", "/v1/events/stream") as answer:
        return answer.status_code == 200


def come_and_go(service: Service, times: int) -> None:
    """Listen a moment and hang up, in the middle of what is told."""
    with many(service) as client:
        for _ in range(times):
            with client.stream("GET", "/v1/events/stream?after=0") as answer:
                next(answer.iter_lines())


def connections(process: psutil.Process) -> int:
    open_now = process.net_connections("tcp")
    return sum(one.status == psutil.CONN_ESTABLISHED for one in open_now)
