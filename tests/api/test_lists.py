"""Lists over HTTP: what may be asked, who sees what, and how a page leads to the next."""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.databases import Postgres
from tests.forking import Fork
from tests.running import (
    ROOT,
    WAIT_SECONDS_MAX,
    Service,
    command,
    over,
    running_service,
    until,
)

NUMBERS = itertools.count(1)


def opened(service: Service, prefix: str = "L", **fields: Any) -> str:
    """Open a job of the test's own; answers its id."""
    case_id = f"{prefix}-{next(NUMBERS)}"
    given = {"customer_name": f"Harbour Bakery {case_id}", **fields}
    answer = service.by("crm").post("/v1/jobs", json={"id": case_id, "fields": given})
    assert answer.status_code == 201, answer.text
    return case_id


def seen(service: Service) -> dict[str, str]:
    """Ask for what has happened up to now."""
    position = service.by("staff").get("/health/ready").json()["position"]
    return {"Statekeeper-Position": str(position)}


def listed(service: Service, by: str = "staff", **query: Any) -> dict[str, Any]:
    answer = service.by(by).get("/v1/jobs", params=query, headers=seen(service))
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def ids(page: dict[str, Any]) -> list[str]:
    return [item["id"] for item in page["items"]]


class TestLists:
    def test_an_item_is_the_case_itself(self, shared_service: Service) -> None:
        """What a list shows of a case is what the case shows of itself."""
        case_id = opened(shared_service)
        for by in ("staff", "crm", "accounting", "projects"):
            item = listed(shared_service, by, limit=1)["items"][0]
            assert item == shared_service.by(by).get(f"/v1/jobs/{case_id}").json(), by

    def test_a_write_is_listed_for_who_brings_its_position(self, shared_service: Service) -> None:
        """An answer's position, sent with a request for a list, is in the list."""
        for _ in range(5):
            answer = shared_service.by("crm").post("/v1/jobs", json={})
            position = answer.headers["Statekeeper-Position"]
            got = shared_service.by("crm").get(
                "/v1/jobs?limit=1", headers={"Statekeeper-Position": position}
            )
            assert ids(got.json()) == [answer.json()["id"]]
            assert int(got.headers["Statekeeper-Position"]) >= int(position)

    def test_a_position_that_never_comes_is_told_so(self, shared_sqlite_service: Service) -> None:
        """Who asks for what nobody has written is told after a while, not left waiting."""
        answer = shared_sqlite_service.by("crm").get(
            "/v1/jobs", headers={"Statekeeper-Position": "999999999"}
        )
        assert answer.status_code == 503
        assert answer.json()["type"] == "/problems/storage-unavailable"

    def test_pages_follow_their_cursor(self, shared_service: Service) -> None:
        """Pages together are the list; the last says that it is."""
        wanted = [opened(shared_service, "P") for _ in range(5)][::-1]
        got = list[str]()
        cursor: str | None = None
        while True:
            more: dict[str, str] = {"cursor": cursor} if cursor else {}
            page = listed(shared_service, q="P", limit=2, **more)
            got += ids(page)
            cursor = page["next"]
            if cursor is None:
                break
        assert [one for one in got if one in wanted] == wanted

    def test_every_filter_is_understood(self, shared_service: Service) -> None:
        """State, a tool's word, change, lateness and words each find the case they should."""
        case_id = opened(shared_service, "F")
        for query in (
            {"state": "quoted"},
            {"tool": "crm", "word": "presentationscheduled"},
            {"q": case_id},
            {"q": f"harbour bakery {case_id}"},
            {"state": "quoted", "q": case_id},
        ):
            assert ids(listed(shared_service, **query))[0] == case_id, query
        since = listed(shared_service, q=case_id)["items"][0]["since"]
        assert case_id in ids(listed(shared_service, updated_since=since, limit=500))
        assert case_id not in ids(listed(shared_service, overdue="true", limit=500))
        assert ids(listed(shared_service, q=case_id, state="invoiced")) == []

    @pytest.mark.parametrize(
        ("query", "status", "words"),
        [
            ("state=lost", 400, "quoted"),
            ("state=quoted%2Blost", 400, "lost"),
            ("tool=crm", 400, "word"),
            ("word=closedwon", 400, "tool"),
            ("tool=fax&word=closedwon", 404, "accounting"),
            ("tool=crm&word=wonclosed", 400, "closedwon"),
            ("updated_since=yesterday", 400, "updated_since"),
            ("overdue=yes", 400, "true"),
            ("drift=maybe", 400, "drift"),
            ("q=", 400, "q"),
            ("q=%21", 400, "q"),
            ("q=a+b+c+d+e+f", 400, "5 words"),
            ("limit=0", 400, "1 to 500"),
            ("limit=501", 400, "1 to 500"),
            ("limit=ten", 400, "1 to 500"),
            ("limit=000000001999999", 400, "1 to 500"),
            ("limit=000000001" + "9" * 30, 400, "1 to 500"),
            ("cursor=%C3%BC", 400, "cursor"),
            ("cursor=abc", 400, "cursor"),
            ("cursor=bnVsbA", 400, "cursor"),
            ("colour=red", 400, "colour"),
        ],
    )
    def test_what_cannot_be_asked_is_refused_with_what_can(
        self, shared_sqlite_service: Service, query: str, status: int, words: str
    ) -> None:
        """A name that nobody declared is told with those that are."""
        answer = shared_sqlite_service.by("staff").get(f"/v1/jobs?{query}")
        assert answer.status_code == status, answer.text
        assert words in answer.json()["detail"]

    def test_a_cursor_goes_on_in_its_own_list_only(self, shared_sqlite_service: Service) -> None:
        """The cursor of one list says nothing of another."""
        opened(shared_sqlite_service)
        opened(shared_sqlite_service)
        cursor = listed(shared_sqlite_service, limit=1)["next"]
        foreign = shared_sqlite_service.by("staff").get(
            "/v1/jobs", params={"cursor": cursor, "state": "quoted"}
        )
        assert foreign.status_code == 400
        assert "same filters" in foreign.json()["detail"]

    def test_only_tools_of_the_lifecycle_see_its_cases(
        self, shared_sqlite_service: Service
    ) -> None:
        """A tool lists where it stands, and needs a key."""
        service = shared_sqlite_service
        assert service.by("esign").get("/v1/jobs").status_code == 403
        assert service.by("nobody").get("/v1/jobs").status_code == 401
        assert service.by("crm").get("/v1/yachts").status_code == 404

    def test_hidden_values_are_neither_shown_nor_found(self, shared_service: Service) -> None:
        """A tool that may not see a personal field learns nothing of it from a list."""
        case_id = opened(shared_service, "H", customer_name="Zephyrine Lake")
        seeing: dict[str, bool] = {}
        for tool in ("crm", "accounting", "projects"):
            (item,) = listed(shared_service, tool, q=case_id)["items"]
            seeing[tool] = "customer_name" in item["fields"]
            found = case_id in ids(listed(shared_service, tool, q="zephyrine"))
            assert found is seeing[tool], tool
        assert set(seeing.values()) == {True, False}


class TestRebuilding:
    def test_a_rebuild_beside_the_service_changes_nothing(self, shared_service: Service) -> None:
        """`statekeeper rebuild` runs while the service does, and its lists stay as they are."""
        opened(shared_service)
        before = ids(listed(shared_service, limit=20))
        done = command("rebuild", *over(shared_service.database))
        assert done.returncode == 0, done.stderr
        assert "rebuilt up to position" in done.stdout
        assert ids(listed(shared_service, limit=20)) == before
        case_id = opened(shared_service)
        assert ids(listed(shared_service, limit=1)) == [case_id]


class TestWorker:
    def test_a_worker_that_dies_is_started_again(self, service: Service) -> None:
        """Lists go on after the death of the worker; the service itself did not notice."""
        opened(service)
        until(lambda: bool(workers(service)), "a worker runs")
        (first,) = workers(service)
        psutil.Process(first).kill()
        case_id = opened(service)
        until(lambda: case_id in ids(anyhow(service)), "the new case is listed")
        assert service.ready

    def test_a_worker_ends_with_its_service(self, sqlite_service: Service) -> None:
        """However the service ends, nobody is left behind."""
        until(lambda: bool(workers(sqlite_service)), "a worker runs")
        (worker,) = workers(sqlite_service)
        process = psutil.Process(worker)
        sqlite_service.kill()
        until(lambda: gone(process), "the worker has ended")


class TestSplit:
    def test_a_worker_of_its_own_keeps_the_lists(self, postgres: Postgres, tmp_path: Path) -> None:
        """Without a worker a service lists nothing new; one that runs beside it mends that."""
        with running_service(postgres.new(), tmp_path, options=["--no-worker"]) as service:
            case_id = opened(service)
            assert workers(service) == []
            assert ids(anyhow(service)) == []
            with beside(service, "worker"):
                until(lambda: case_id in ids(anyhow(service)), "the case is listed")
            other = opened(service)
            assert other not in ids(anyhow(service))
            with beside(service, "worker"), beside(service, "worker"):
                until(lambda: other in ids(anyhow(service)), "two workers are as good as one")


@contextmanager
def beside(service: Service, *words: str) -> Iterator[None]:
    """Run a command over the service's database; it ends with the block, and ends well."""
    process = Fork(
        [*words, *over(service.database)],
        folder=ROOT,
        environment=os.environ,
        stdout=service.log,
        stderr=service.log,
    )
    try:
        yield
        process.terminate()
        assert process.wait(WAIT_SECONDS_MAX) == 0
    finally:
        process.kill()
        process.wait()


def workers(service: Service) -> list[int]:
    return [child.pid for child in psutil.Process(service.pid).children()]


def gone(process: Any) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def anyhow(service: Service) -> dict[str, Any]:
    body: dict[str, Any] = service.by("staff").get("/v1/jobs", timeout=httpx.Timeout(10)).json()
    return body
