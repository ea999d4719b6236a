"""A service killed while it hears a product: what got a 2xx is there once, the rest is sent again.

It is killed at every named step of hearing a webhook and of asking for the record that one names,
and at random under load; the product repeats what got no 2xx.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from tests.api import products
from tests.api.products import Product, running_product, sent
from tests.chaos.book import MOVED, Book
from tests.chaos.clients import beside
from tests.chaos.doomed import DOOM, doomed
from tests.conserving import conserved
from tests.databases import Postgres
from tests.running import Service, command, over, running_service, until
from tests.walks import firm
from tests.walks.firm import STRIPE

pytestmark = [pytest.mark.chaos, firm.needs_published]

HEARING = (
    *("body-read", "believed", "understood", "queued", "decided"),
    *("inserted", "committed", "kept", "answered"),
)
"""Every step of hearing a webhook, in their order; see `doomed`."""
FETCHING = ("record-wanted", "record-had", "record-decided", "record-inserted", "record-committed")
"""Every step of asking for a record once the webhook that named it was answered."""
OF_DATABASES = {
    *("decided", "inserted", "committed"),
    *("record-decided", "record-inserted", "record-committed"),
}
"""The steps around an append; at the others it makes no difference what is appended to."""
UNKNOWN = {"committed", "kept"}
"""The steps at which a message stands in the log, and its product does not know that."""

DELIVERIES = 160
TIMES = 2
"""How often the product sends each of them, whether it needs to or not."""
SENDERS = 8
KILLS = 3
TRIES_MAX = 200
PAUSE_SECONDS = 0.05


class Withheld(dict[str, Any]):
    """Records that a product answers for once it may."""

    def __init__(self) -> None:
        """Answer for none yet."""
        super().__init__()
        self.may_be_had = threading.Event()

    def get(self, key: str, default: Any = None) -> Any:
        """Wait, and give it."""
        self.may_be_had.wait(20)
        return super().get(key, default)


class Mortal:
    """A service that can be told at which step to die."""

    def __init__(self, service: Service, doom: Path, product: Product, definitions: Path) -> None:
        """Take one that runs, and the file that names the step."""
        self.service = service
        self.definitions = definitions
        self.records = product.records = Withheld()
        self._doom = doom
        self._jobs = 0

    def dies_at(self, step: str) -> None:
        """Let it die at the next time that it comes to this step."""
        self._doom.with_suffix(".new").write_text(step)
        self._doom.with_suffix(".new").rename(self._doom)

    def lives_again(self) -> None:
        """Wait until it has died, and start it."""
        until(lambda: self.service.died, f"it dies at {self._doom.name}")
        assert not self._doom.exists()
        self.service.start()

    def job(self, state: str, **references: str) -> str:
        """Have staff take in a job that waits for its deposit, or for the crew; answers its id."""
        self._jobs += 1
        name, staff = f"K-{self._jobs}", self.service.by("staff")
        about = {"fields": {"deposit_due": STRIPE.due}, "references": references}
        since = datetime.fromtimestamp(STRIPE.before, UTC).isoformat()
        body = {"id": name, "state": state, "since": since, "reason": "under way", **about}
        adopted = staff.post("/v1/jobs", json=body)
        assert adopted.status_code == 201, adopted.text
        return name

    def state(self, job: str) -> str:
        """Where a job is."""
        found: str = self.service.by("staff").get(f"/v1/jobs/{job}").json()["state"]
        return found


@contextmanager
def running_mortal(database: str, folder: Path) -> Iterator[Mortal]:
    """Run one that speaks to products of its own."""
    with running_product() as product:
        definitions = firm.declared(folder, STRIPE, product.url)
        with running_service(
            database,
            folder,
            definitions=definitions,
            environment={**firm.secrets(), DOOM: str(folder / "doom")},
            program=doomed,
        ) as service:
            yield Mortal(service, folder / "doom", product, definitions)


@pytest.fixture(scope="module")
def mortals(
    postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Mortal]]:
    """Run one over each database; they are killed and started again within every test."""
    first, second = (tmp_path_factory.mktemp(f"mortal-{name}") for name in ("sqlite", "postgres"))
    with (
        running_mortal(f"sqlite:///{first}/log.db", first) as sqlite,
        running_mortal(postgres.new(), second) as other,
    ):
        yield {"sqlite": sqlite, "postgres": other}


@pytest.fixture(params=["sqlite", "postgres"])
def mortal(request: pytest.FixtureRequest, mortals: Mapping[str, Mortal]) -> Mortal:
    """One of them."""
    return mortals[request.param]


def wherever(steps: Sequence[str]) -> list[tuple[str, str]]:
    """Every step, on the databases that it is to be tried on."""
    matters = [("postgres", step) for step in steps if step in OF_DATABASES]
    return [*(("sqlite", step) for step in steps), *matters]


def payment(number: int) -> tuple[str, str, bytes]:
    """Stripe's published delivery under ids of its own: what it is about, its id, and itself."""
    ref, event = f"pi_{number:024}", f"evt_{number:024}"
    body = STRIPE.published.replace(STRIPE.ref.encode(), ref.encode())
    return ref, event, body.replace(b"evt_000000000000000000000000", event.encode())


def insisted(service: Service, tool: str, signs: products.Signs, content: Any) -> int:
    """Send a webhook as its product does, again and again until it gets a 2xx; answers how often.

    The service is started again where nobody listens.
    """
    for tries in range(1, TRIES_MAX):
        try:
            if sent(service, tool, signs, content).is_success:
                return tries
        except httpx.TransportError:
            until(lambda: service.died, "it dies")
            service.start()
    raise AssertionError(f"no 2xx in {TRIES_MAX} tries")


class Repeating:
    """A product that sends each of its webhooks several times, and again until it is taken."""

    def __init__(self, service: Service, bodies: Mapping[str, bytes], chance: Random) -> None:
        """Shuffle what is to be sent."""
        self.sent: Counter[str] = Counter()
        """Event → how often it left the product."""
        self.taken = self.unanswered = 0
        self._service = service
        self._bodies = bodies
        self._left = [event for event in bodies for _ in range(TIMES)]
        chance.shuffle(self._left)

    async def send(self) -> None:
        """Send one after the other, as one of several senders."""
        async with httpx.AsyncClient(base_url=self._service.url, trust_env=False) as http:
            while self._left:
                event = self._left.pop()
                if await self._is_taken(http, event):
                    self.taken += 1
                else:
                    self._left.append(event)
                    await asyncio.sleep(PAUSE_SECONDS)

    async def _is_taken(self, http: httpx.AsyncClient, event: str) -> bool:
        self.sent[event] += 1
        body, path = self._bodies[event], "/v1/tools/payments/webhook"
        headers = {"Content-Type": "application/json", **products.stripe(body, path)}
        try:
            answer = await http.post(path, content=body, headers=headers)
        except httpx.TransportError:
            self.unanswered += 1
            return False
        return answer.is_success


def caused(book: Book, message: str) -> list[str]:
    """The topics of what a message caused in its case, in their order."""
    return [
        fact.topic
        for fact in book.facts
        if fact.stream.startswith("case:") and fact.state.get("message") == message
    ]


@pytest.mark.parametrize(("mortal", "step"), wherever(HEARING), indirect=["mortal"])
def test_a_webhook_killed_at_a_step_is_heard_once(mortal: Mortal, step: str) -> None:
    """Killed there, the product sends it again: one message, one outcome, caused once."""
    ref, event, body = payment(HEARING.index(step))
    job = mortal.job("quoted", **{"payments:payment_intent": ref})
    mortal.dies_at(step)
    tries = insisted(mortal.service, "payments", products.stripe, body)
    assert tries == (1 if step == "answered" else 2)
    if step == "answered":
        mortal.lives_again()
    assert mortal.state(job) == "deposit_confirmed"
    book, stream = Book(mortal.service.database), f"message:payments/{event}"
    heard = [fact.topic for fact in book.streams[stream]]
    assert heard == ["message.heard.v1", *["message.heard-again.v1"] * (step in UNKNOWN)]
    assert book.streams[stream][0].state["outcome"] == "applied"
    assert caused(book, stream) == [MOVED]
    assert len(book.moves(job)) == 1
    mortal.service.conserved()


@pytest.mark.parametrize(
    ("mortal", "step"), wherever(FETCHING), indirect=["mortal"], scope="module"
)
def test_a_record_that_is_late_is_taken_once_wherever_the_service_dies(
    mortal: Mortal, step: str
) -> None:
    """Its webhook was answered; killed when the record comes, it is asked for again."""
    job = mortal.job("deposit_confirmed", projects=step)
    mortal.records[step] = firm.job_record("upcoming")
    mortal.records.may_be_had.clear()
    mortal.dies_at(step)
    insisted(mortal.service, "projects", products.jobber, firm.built_job(step))
    mortal.records.may_be_had.set()
    mortal.lives_again()
    until(lambda: mortal.state(job) == "scheduled", "the record is taken")
    book = Book(mortal.service.database)
    (moved,) = book.moves(job)
    stream = moved.state["message"]
    taken = [fact.topic for fact in book.streams[stream] if "again" not in fact.topic]
    assert taken == ["message.heard.v1", "message.fetched.v1", "message.understood.v1"]
    assert caused(book, stream) == [MOVED]
    mortal.service.conserved()


def test_a_webhook_killed_while_its_record_is_asked_for_is_heard_once(mortal: Mortal) -> None:
    """Nothing of it is kept before its record has come, or is late: it is sent again."""
    job = mortal.job("deposit_confirmed", projects="in-time")
    mortal.records["in-time"] = firm.job_record("upcoming")
    mortal.records.may_be_had.set()
    mortal.dies_at("record-asked")
    assert insisted(mortal.service, "projects", products.jobber, firm.built_job("in-time")) == 2
    assert mortal.state(job) == "scheduled"
    mortal.service.conserved()


def test_webhooks_killed_at_random_under_load_are_each_heard_once(mortal: Mortal) -> None:
    """Each is sent twice and more while the service dies again and again: all of it adds up."""
    service, chance = mortal.service, Random(7)  # noqa: S311 - kills need no secret chance
    paid = [payment(len(HEARING) + number) for number in range(DELIVERIES)]
    jobs = [mortal.job("quoted", **{"payments:payment_intent": ref}) for ref, _, _ in paid]
    product = Repeating(service, {event: body for _, event, body in paid}, chance)

    def kill_and_start() -> None:
        for kill in range(KILLS):
            busy = DELIVERIES * TIMES * kill // KILLS
            until(lambda busy=busy: product.taken > busy, "it is at work")  # type: ignore[misc]  # bound at once
            time.sleep(chance.random() / 10)
            service.kill()
            service.start()

    asyncio.run(beside([product.send() for _ in range(SENDERS)], kill_and_start))
    print(f"webhooks: {product.taken} taken, {product.unanswered} unanswered")
    assert product.unanswered > 0
    book, again = Book(service.database), conserved(service.database).again
    for job, (_, event, _) in zip(jobs, paid, strict=True):
        assert len(book.moves(job)) == 1
        assert caused(book, f"message:payments/{event}") == [MOVED]
        heard = 1 + again[f"payments/{event}"]
        assert TIMES <= heard <= product.sent[event], "as often as it was taken, or not answered"
    service.conserved()


def test_what_was_killed_so_often_is_whole(mortal: Mortal) -> None:
    """After all of that, the log is sound, and its lists are what it makes them."""
    definitions = mortal.definitions
    verified = command("verify", *over(mortal.service.database, definitions))
    assert verified.returncode == 0, verified.stdout
