"""Acts on all that a filter names: bounded, true to the end where something breaks, done once."""

import asyncio
import itertools
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import chain
from typing import Any, cast

import httpx
import pytest
from msgspec import Struct

from api import bulk
from api.bulk import Bulk, Filter
from api.door import Keeper
from api.missing import Missing
from api.notices import RecoverMany
from api.problems import BeingAnswered
from api.remembering import Remembered
from lifecycle.asks import Ask, Request
from lifecycle.catalogue import Catalogue
from lifecycle.events import Asker, Done
from lifecycle.journal import Outcome
from lifecycle.refusals import StorageUnavailable
from tests.api.test_messages import asked, said
from tests.databases import NewDatabase
from tests.lifecycle.journals import journal_on
from tests.projections.stories import lifecycles
from tests.running import Service, until

NUMBERS = itertools.count(1)
CASES = 400


class One(Struct, frozen=True):
    """A record of a long list."""

    id: str
    position: int


class LongList(Bulk[One]):
    """A list of so many records, which can be looked at, and cannot be read again."""

    about = "numbers"
    count = 0
    broken: Exception = LookupError("of our own making")

    def check(self) -> None:
        """Take anything."""

    def found(self) -> Iterator[One]:
        """All of them, newest first."""
        return (One(f"r-{number}", number) for number in range(self.count, 0, -1))

    def named(self, ids: Sequence[str]) -> Sequence[One]:
        """Break, whichever are wanted."""
        del ids
        raise self.broken

    def shown(self, records: Sequence[One]) -> Sequence[Struct]:
        """Show them as they are."""
        return records

    def ask(self, record: One) -> Ask:
        """Nothing gets here."""
        raise AssertionError(record)

    def became(self, record: One, outcome: Outcome) -> Done:
        """Nothing gets here."""
        raise AssertionError(record, outcome)


def long_list(count: int, *, plan: bool = True) -> LongList:
    """Make a list of so many; it needs nothing of the service."""
    made = LongList(cast("Any", None), Asker(staff="Steward"), Filter(plan=plan, reason="why"))
    made.count = count
    return made


def nothing() -> Remembered:
    """Nothing was done before."""
    return Remembered(cast("Any", None), Asker(staff="Steward"), None)


def test_of_a_list_that_is_too_long_the_oldest_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more is held than one call does: the oldest, which come first; the rest comes later."""
    monkeypatch.setattr(bulk, "ITEMS_MAX", 700)
    for count, taken in ((0, 0), (499, 499), (500, 500), (2345, 700)):
        found = bulk._gathered(long_list(count), nothing())
        assert [*chain(*found.parts)] == [f"r-{number}" for number in range(1, taken + 1)]
        sample = cast("Sequence[One]", found.sample)
        assert [one.position for one in sample] == list(range(count, max(count - 10, 0), -1))


def test_what_was_done_before_is_not_done_again() -> None:
    """Of what is still on the list, only the rest is left to do."""
    before = nothing()
    before.done = {one: Done(id=one) for one in ("r-2", "r-4", "r-9")}
    found = bulk._gathered(long_list(4, plan=False), before)
    assert found.parts == [["r-1", "r-3"]]
    before.doing = ["r-8", "r-9", "r-3"]
    found = bulk._gathered(long_list(4, plan=False), before)
    assert found.parts == [["r-8", "r-3", "r-1"]], "what it broke off at comes first"


def test_who_has_gone_is_looked_for_no_longer() -> None:
    """Once nobody waits for the answer, it is noticed while one still looks."""

    async def work() -> bool:
        left, gone = threading.Event(), asyncio.Event()

        async def receive() -> Any:
            await gone.wait()
            return {"type": "http.disconnect"}

        async with bulk._watched(receive, left):
            assert not left.is_set()
            gone.set()
            return await asyncio.to_thread(left.wait, 10.0)

    assert asyncio.run(work())


def test_no_case_is_read_for_who_has_gone() -> None:
    """What is missing is looked for page by page, as long as somebody waits for it."""
    keeper = Keeper(cast("Any", None), Catalogue(lifecycles(), {}))
    asked_for = RecoverMany(state="missing", plan=True)
    missing = Missing(keeper, Asker(staff="Steward"), asked_for)
    with pytest.raises(AssertionError, match="no read models"):
        next(missing.found())
    missing.left.set()
    assert list(missing.found()) == []


@pytest.mark.parametrize(
    ("broken", "status"), [(LookupError("ours"), 500), (StorageUnavailable("gone"), 503)]
)
def test_what_breaks_midway_is_said_of_each(broken: Exception, status: int) -> None:
    """An answer that has begun goes on to its end, with a line for each that could not be done."""
    some = long_list(2)
    some.broken = broken
    items = asyncio.run(bulk._done(some, ["r-1", "r-2"]))
    assert [(one.id, one.status) for one in items] == [("r-1", status), ("r-2", status)]
    assert all(one.problem for one in items)


# --- over HTTP ----------------------------------------------------------------------------------


@pytest.fixture
def job(shared_service: Service) -> str:
    """A job of the test's own, of which the CRM says what is not so."""
    name = f"B-{next(NUMBERS)}"
    assert shared_service.by("crm").post("/v1/jobs", json={"id": name}).status_code == 201
    said(shared_service, "crm", id=name, word="closedwon", event_id=f"{name}-1")
    said(shared_service, "crm", id=name, word="nonsense", event_id=f"{name}-2")
    return name


def many(
    service: Service, path: str, job: str, key: str = "", by: str = "staff", **more: Any
) -> httpx.Response:
    """Ask for something about all of a job."""
    asked(service, "GET", "/v1/messages?limit=1")  # what the lists have by now
    body = {"collection": "jobs", "id": job, "reason": "it was mended", **more}
    headers = {"Idempotency-Key": key} if key else {}
    return service.by(by).post(path, json=body, headers=headers)


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("/v1/messages/retry", {}),
        ("/v1/notices/recover", {"state": "waiting"}),
        ("/v1/drift/resolve", {"how": "dismiss"}),
    ],
)
def test_a_key_has_many_done_once(
    shared_service: Service, job: str, path: str, more: dict[str, Any]
) -> None:
    """The same again is answered as it was, to the byte, and changes nothing."""
    first = many(shared_service, path, job, f"{job}-all", **more)
    assert first.json()["count"] == len(first.json()["items"]) > 0
    assert "idempotency-replayed" not in first.headers
    after = shared_service.by("staff").get("/v1/events?limit=1").headers["statekeeper-position"]
    again = many(shared_service, path, job, f"{job}-all", **more)
    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["statekeeper-position"] == after


def test_a_key_is_for_one_ask(shared_service: Service, job: str) -> None:
    """Other content under the same key is refused, be it about one or about many."""
    retry = "/v1/messages/retry"
    assert many(shared_service, retry, job, f"{job}-key").status_code == 200
    other = many(shared_service, retry, job, f"{job}-key", tool="crm")
    assert (other.status_code, other.json()["type"]) == (422, "/problems/idempotency-key-reused")
    key = {"Idempotency-Key": f"{job}-key"}
    one = shared_service.by("staff").post("/v1/jobs", json={"reason": "new"}, headers=key)
    assert one.json()["type"] == "/problems/idempotency-key-reused"
    theirs = many(shared_service, retry, job, f"{job}-key", by="crm")
    assert theirs.status_code == 200, "keys are per tool"


def test_a_plan_claims_no_key(shared_service: Service, job: str) -> None:
    """To plan does nothing: the key is free for what is done afterwards."""
    retry = "/v1/messages/retry"
    planned = many(shared_service, retry, job, f"{job}-plan", plan=True)
    assert planned.json()["count"] == len(planned.json()["sample"]) == 2
    done = many(shared_service, retry, job, f"{job}-plan")
    assert (done.status_code, "idempotency-replayed" in done.headers) == (200, False)


def test_where_nothing_is_to_be_done_that_is_the_answer(shared_service: Service, job: str) -> None:
    """An empty answer is remembered like any other."""
    nothing = {"tool": "accounting"}
    first = many(shared_service, "/v1/messages/retry", job, f"{job}-none", **nothing)
    assert first.json() == {"count": 0, "items": []}
    said(shared_service, "accounting", id=job, word="Void", status_field="stage")
    again = many(shared_service, "/v1/messages/retry", job, f"{job}-none", **nothing)
    assert again.content == first.content


def test_many_differences_are_settled_alike(shared_service: Service, job: str) -> None:
    """Staff settle all of a filter, say until when, and are told how each stands then."""
    path = "/v1/drift/resolve"
    tool = many(shared_service, path, job, by="crm", how="dismiss")
    assert (tool.status_code, tool.json()["type"]) == (403, "/problems/staff-only")
    past = many(shared_service, path, job, how="dismiss", dismissed_until="2020-01-01T00:00:00Z")
    assert past.status_code == 400
    done = many(shared_service, path, job, how="dismiss", dismissed_until="2100-01-01T00:00:00Z")
    assert [(one["was"], one["outcome"]) for one in done.json()["items"]] == [("open", "dismissed")]
    told = many(shared_service, path, job, how="tell", state="dismissed").json()["items"]
    assert [(one["was"], one["outcome"], one["why"]) for one in told] == [
        ("dismissed", "dismissed", "it is to be told")
    ]


def test_what_could_not_be_done_is_tried_again(new_database: NewDatabase) -> None:
    """A part that failed for no fault of the asker's is not remembered, nor that this was all."""

    async def work(keeper: Keeper) -> Remembered:
        steward, request = Asker(staff="Steward"), Request("key", "content")
        broken = await Remembered.of(keeper, steward, request)
        await broken.begin("numbers", ["r-1", "r-2"])
        await broken.add([Done(id="r-1"), Done(id="r-2", status=503)], ["r-3"])
        await broken.add([Done(id="r-3", status=409)], ())
        return await Remembered.of(keeper, steward, request)

    with journal_on(new_database()) as journal:
        found = asyncio.run(work(Keeper(journal, cast("Any", None))))
        assert (list(found.done), found.is_over) == (["r-1", "r-3"], False)


def test_one_at_a_time_goes_on_under_a_key(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who comes while it is done is to come back; who is taken for gone keeps nothing more."""

    async def work(keeper: Keeper) -> Remembered:
        steward, request = Asker(staff="Steward"), Request("key", "content")
        first, late = [await Remembered.of(keeper, steward, request) for _ in range(2)]
        await first.begin("numbers", ["r-1"])
        with pytest.raises(BeingAnswered, match="at this moment"):
            await late.begin("numbers", ["r-1"])
        await first.add([Done(id="r-1")], ["r-2"])
        with pytest.raises(BeingAnswered):
            await Remembered.of(keeper, steward, request)
        monkeypatch.setattr("api.remembering.CLAIM_SECONDS", 0.0)
        heir = await Remembered.of(keeper, steward, request)
        await heir.begin("numbers", ["r-2"])
        with pytest.raises(BeingAnswered):
            await first.add([Done(id="r-2", status=404)], ())
        await heir.add([Done(id="r-2")], ())
        return await Remembered.of(keeper, steward, request)

    with journal_on(new_database()) as journal:
        found = asyncio.run(work(Keeper(journal, cast("Any", None))))
        assert found.is_over
        assert [(one.id, one.status) for one in found.done.values()] == [("r-1", 200), ("r-2", 200)]


def test_the_same_at_once_is_done_once(service: Service) -> None:
    """Of many calls at once under one key one does it; the others are to come back, or are told."""
    crm, count = service.by("crm"), 60
    for number in range(count):
        crm.post("/v1/jobs", json={"id": f"A-{number}"})
    asked(service, "GET", "/v1/notices?limit=1")
    body = {"state": "waiting", "reason": "again"}

    def recovered(_: int) -> httpx.Response:
        with service.with_key(service.keys["staff"]) as client:
            key = {"Idempotency-Key": "at-once"}
            return client.post("/v1/notices/recover", json=body, headers=key)

    with ThreadPoolExecutor(4) as pool:
        answers = [*pool.map(recovered, range(4)), recovered(5)]
    later = [one for one in answers if one.status_code == httpx.codes.SERVICE_UNAVAILABLE]
    told = [one for one in answers if one.is_success]
    assert len(later) + len(told) == len(answers)
    assert all(one.headers["retry-after"] for one in later)
    assert len({one.content for one in told}) == 1
    assert len([one for one in told if "idempotency-replayed" not in one.headers]) == 1
    assert {one["status"] for one in told[0].json()["items"] if "status" in one} <= {200}
    assert told[0].json()["count"] >= count


def test_what_was_broken_off_goes_on(service: Service) -> None:
    """Killed in the midst of it and asked again, all is done, each once, and told in order.

    Whoever asks at once is to come back: it is not known yet that nobody is at it any more.
    """
    lines = "".join(f'{{"do": "open", "id": "B-{number:04}"}}\n' for number in range(CASES))
    headers = {"Content-Type": "application/x-ndjson"}
    assert service.by("crm").post("/v1/jobs/import", content=lines, headers=headers).is_success
    key = {"Idempotency-Key": "everything-missing"}
    body = {"state": "missing", "tool": "accounting", "reason": "the flow is new"}

    def recovered() -> httpx.Response:
        last = service.by("staff").get("/v1/events?limit=1").headers["statekeeper-position"]
        seen = {**key, "Statekeeper-Position": last}
        answers: list[httpx.Response] = []

        def is_told() -> bool:
            answers[:] = [service.by("staff").post("/v1/notices/recover", json=body, headers=seen)]
            return answers[0].status_code != httpx.codes.SERVICE_UNAVAILABLE

        until(is_told, "who was killed is taken for gone")
        assert answers[0].status_code == 200, answers[0].text
        return answers[0]

    asked(service, "GET", "/v1/jobs?limit=1")
    with (
        suppress(httpx.TransportError),
        service.by("staff").stream("POST", "/v1/notices/recover", json=body, headers=key) as half,
    ):
        for _ in half.iter_raw():
            service.kill()
            break
    service.start()
    whole = recovered()
    expected = [f"accounting jobs/B-{number:04}" for number in range(CASES)]
    assert [one["id"] for one in whole.json()["items"]] == expected
    assert whole.json()["count"] == CASES
    plan = service.by("staff").post("/v1/notices/recover", json={**body, "plan": True})
    assert plan.json()["count"] == 0
    again = recovered()
    assert (again.content, again.headers["idempotency-replayed"]) == (whole.content, "true")
