"""`statekeeper demo`: some weeks of a field-service firm, played against a running service.

Sales quotes, the books say what came in, the crew's tool plans and does the work: each by its own
key, over HTTP, as the tools of a firm would. Whoever looks afterwards finds jobs in every state,
with histories: one that staff moved in a tool's place, one that was refused, one that was
corrected, some that are overdue, and a client who was erased. And what needs somebody: tools that
show something else than is true, a word that came too early and waits, messages that nobody could
place, and a notice that its tool never took.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, Final
from urllib.parse import quote, urlsplit

from msgspec import Struct

from api.problems import MalformedRequest
from api.untold import tell_in_vain
from lifecycle.journal import Journal
from lifecycle.refusals import StorageUnavailable

TOOLS: Final = ("crm", "accounting", "projects")
PLAYED: Final = frozenset({"field_service", "client"})
"""The lifecycles that it plays."""
SECONDS_MAX: Final = 20.0
LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""Every demo of a day has one of its own, and its jobs are named after both: `D-0504A-17`."""

LATE_DAYS: Final = 6

FIRMS: Final = (
    "Harbour Bakery", "Riverside Dental Practice", "Old Mill Hotel", "Station Road Garage",
    "Hilltop Primary School", "Corner Bookshop", "Lakeside Camping", "Market Street Pharmacy",
    "Northgate Brewery", "Orchard Care Home", "Quayside Fish Smokery", "West End Laundry",
)  # fmt: skip
"""Customers, named after what and where they are."""

WORK: Final = (
    ("Replace the boiler", 4200),
    ("Service the heat pump", 380),
    ("Repair the walk-in fridge", 960),
    ("Install two air conditioners", 5400),
    ("Rewire the kitchen", 3150),
    ("Fit LED lighting", 1800),
    ("Repair the roof drainage", 1250),
    ("Install an extractor hood", 2700),
    ("Test the emergency lighting", 290),
    ("Replace the water softener", 870),
    ("Move the oven connection", 640),
)
"""What is to be done, and what it costs."""

STORIES: Final = {
    "quoted": 8,
    "deposit_confirmed": 7,
    "scheduled": 9,
    "completed": 7,
    "invoiced": 11,
    "cancelled": 4,
}
"""State → how many jobs end there."""

PAGES: Final = {
    "what is happening, and what is wrong": "/",
    "where tools show something else than is true": "/drift",
    "what tools said and nobody could place": "/messages",
    "what tools could not be told": "/notices",
}
"""What staff see of it, once signed in."""

WORKS_AFTER_DAYS: Final = 2
"""How long after it was planned the work is done."""

Move = tuple[int, str, str, dict[str, Any]]
"""Days after the one before, by whom, which transition (or `fields`), and the facts."""

Tell = Callable[[int, int], None]
"""How many asks were played, and of how many."""


class Step(Struct, frozen=True):
    """One ask, by one of the tools or by staff."""

    at: datetime
    """When it happened in the story."""
    by: str
    method: str
    path: str
    body: Mapping[str, Any]
    status: int
    """What it has to be answered with."""
    outcome: str = ""
    """What has to become of a report."""


class Played(Struct, frozen=True):
    """What there is to look at now."""

    asks: int
    states: Mapping[str, int]
    """State → jobs of this demo that are in it."""
    look_at: Mapping[str, str]
    """What it is an example of → the case."""
    pages: Mapping[str, str]
    """What staff find there → the address of the page."""


def play(url: str, keys: Mapping[str, str], journal: Journal, tell: Tell) -> Played:
    """Play the whole story, in the order of its time.

    `keys` are those of the tools and of `staff`; the journal is that of the service's log. Raises
    `StorageUnavailable` where nothing answers at the address, and `MalformedRequest` where the
    service answers otherwise than the story goes.
    """
    service, now = Service(url, keys), journal.clock()
    series, jobs = _series(service, now)
    client = f"C-{series}"
    story = sorted((step for job in jobs for step in job.steps(now)), key=lambda step: step.at)
    story += [*_incidents(jobs, client, now), *_reports(jobs, series, now)]
    for done, step in enumerate(story):
        service.ask(step)
        tell(done + 1, len(story))
    tell_in_vain(journal, "jobs", _chosen(jobs)["untold"].id, "accounting")
    states = Counter(service.look(job.path)["state"] for job in jobs)
    pages = {what: f"{url.rstrip('/')}{path}" for what, path in PAGES.items()}
    return Played(len(story), states, _examples(jobs, client), pages)


class Job:
    """One job of the story."""

    def __init__(self, series: str, end: str, index: int) -> None:
        """Take the demo that it is of, the state where it ends, and its place among all."""
        self._number = f"{series}-{index + 1:02}"
        self.id = f"D-{self._number}"
        self.path = f"/v1/jobs/{self.id}"
        self.end = end
        self._index = index
        self.firm = FIRMS[index % len(FIRMS)]
        self.work, self._price = WORK[index % len(WORK)]

    @property
    def is_late(self) -> bool:
        """Whether it stays where it is for longer than it should."""
        return self._index % 7 == 1

    @property
    def is_billed(self) -> bool:
        """Whether its deposit was asked for while it was quoted."""
        return bool(self._index % 2)

    @property
    def deposit(self) -> str:
        """What is to be paid before the work is planned: three tenths."""
        return f"{self._price * 0.3:.2f} USD"

    def steps(self, now: datetime) -> Iterator[Step]:
        """Everything that happened to it, the last of it some hours or days ago."""
        rests = self._index % 3 + (LATE_DAYS if self.is_late else 0)
        moves = self._moves()
        pause = self._pause
        last = now - timedelta(days=rests, hours=self._index % 9, minutes=self._index * 7 % 60)
        day = last - sum((timedelta(days=days) + pause for days, *_ in moves), timedelta())
        yield Step(day, "crm", "POST", "/v1/jobs", self._opening(day), 201)
        for days, by, what, fields in moves:
            day += timedelta(days=days) + pause
            if what == "fields":
                path = f"{self.path}/fields?occurred_at={quote(_stamp(day))}"
                yield Step(day, by, "PATCH", path, fields, 200)
            else:
                planned = {"scheduled_for": self._day_of_work(day, now)}
                asked = {
                    "transition": what,
                    "fields": planned if what == "schedule" else fields,
                    "occurred_at": _stamp(day),
                }
                yield Step(day, by, "POST", f"{self.path}/transitions", asked, 201)

    @property
    def _pause(self) -> timedelta:
        """What goes by beyond whole days between two moves."""
        return timedelta(minutes=17 * (self._index % 5) + 23)

    def _opening(self, at: datetime) -> dict[str, Any]:
        domain = self.firm.lower().replace(" ", "-")
        return {
            "id": self.id,
            "fields": {
                "customer_name": self.firm,
                "email": f"office@{domain}.example",
                "scope": self.work,
            },
            "references": {
                "crm": f"deal-{self._number}",
                "accounting:estimate": f"EST-{self._number}",
            },
            "occurred_at": _stamp(at),
        }

    def _day_of_work(self, at: datetime, now: datetime) -> str:
        """What is planned then: the day on which it was done, or some day ahead of us."""
        if self.end == "scheduled":
            return (now + timedelta(days=2 + self._index % 6)).date().isoformat()
        return (at + timedelta(days=WORKS_AFTER_DAYS) + self._pause).date().isoformat()

    def _moves(self) -> list[Move]:
        """What happens to it until it is where it ends."""
        deposit, paid = {"deposit_due": self.deposit}, {"deposit_paid": self.deposit}
        due = (0, "accounting", "fields", deposit)
        pays = (1, "accounting", "fields", paid)
        plans: Move = (1, "projects", "schedule", {})
        works: Move = (WORKS_AFTER_DAYS, "projects", "complete", {})
        rain: list[Move] = (
            [(1, "projects", "unschedule", {}), plans] if self._index % 5 == 0 else []
        )
        bills = (0, "accounting", "invoice", {"invoice_no": f"INV-{self._number}"})
        match self.end:
            case "quoted":
                return [due] if self.is_billed else []
            case "deposit_confirmed":
                return [due, pays]
            case "scheduled":
                return [due, pays, plans, *rain]
            case "completed":
                return [due, pays, plans, works]
            case "invoiced":
                return [due, pays, plans, *rain, works, bills]
        return [due, (1, "crm", "cancel", {})] if self._index % 2 else [(2, "crm", "cancel", {})]


def _ends() -> Iterator[str]:
    """The states where the jobs end, well mixed."""
    left = Counter(STORIES)
    while left:
        for state in list(left):
            yield state
            left -= Counter({state: 1})


def _incidents(jobs: Sequence[Job], client: str, now: datetime) -> Iterator[Step]:
    """What goes beside the plan, today."""
    chosen = _chosen(jobs)
    refused, moved, corrected = (chosen[name] for name in ("refused", "moved", "corrected"))
    yield Step(now, "crm", "POST", f"{refused.path}/transitions",
               {"transition": "confirm_deposit"}, 403)  # fmt: skip
    by_phone = {
        "transition": "complete",
        "fields": {"scheduled_for": now.date().isoformat()},
        "reason": "The crew phoned: they came today already, and are done; no signal on the site.",
    }
    yield Step(now, "staff", "POST", f"{moved.path}/transitions", by_phone, 201)
    week = {"scheduled_for": (now + timedelta(days=7)).date().isoformat()}
    yield Step(now, "projects", "PATCH", f"{corrected.path}/fields", week, 200)
    wrongly = {"state": "scheduled", "reason": "Billed by mistake: the work is next week."}
    yield Step(now, "staff", "POST", f"{corrected.path}/corrections", wrongly, 200)
    opening = {
        "id": client,
        "fields": {
            "name": "Lakeside Camping",
            "email": "office@lakeside-camping.example",
            "phone": "+1 212 555 0148",
        },
        "references": {"crm": f"contact-{client}"},
        "occurred_at": _stamp(now - timedelta(days=20)),
    }
    yield Step(now, "crm", "POST", "/v1/clients", opening, 201)
    asked = {"reason": "Asked by letter to be forgotten."}
    yield Step(now, "staff", "POST", f"/v1/clients/{client}/erase", asked, 200)


def _reports(jobs: Sequence[Job], series: str, now: datetime) -> Iterator[Step]:
    """What tools say today that does not fit: each answered by what becomes of it."""
    chosen = _chosen(jobs)

    def said(tool: str, job: Job | None, outcome: str, **what: Any) -> Step:
        about = {"id": job.id} if job else {}
        body = {"collection": "jobs", **about, **what}
        return Step(now, tool, "POST", f"/v1/tools/{tool}/reports", body, 200, outcome)

    # The bookkeeper voided the estimate; that the job is off is not for the books to say.
    yield said("accounting", chosen["voided"], "drift", status_field="stage", word="Void")
    other = {"customer_name": f"{chosen['renamed'].firm} Ltd"}
    yield said("accounting", chosen["renamed"], "applied", fields=other)
    # The crew is done, but the deposit has not come: their word waits for the bank.
    yield said("projects", chosen["early"], "early", word="requires_invoicing")
    yield said("projects", chosen["strange"], "parked", word="waiting_for_parts")
    # Nobody linked the invoice by which that very deposit came.
    late = chosen["early"]
    says = {"customer_name": late.firm, "deposit_paid": late.deposit}
    paid = {"status_field": "stage", "word": "Deposit paid", "fields": says}
    yield said("accounting", None, "parked", kind="invoice", ref=f"inv-{series}-9001", **paid)


def _chosen(jobs: Sequence[Job]) -> dict[str, Job]:
    """The jobs to which something happens beside the plan."""
    ending: dict[str, list[Job]] = {}
    for job in jobs:
        ending.setdefault(job.end, []).append(job)
    return {
        "refused": ending["quoted"][1],
        "moved": ending["scheduled"][-1],
        "corrected": ending["invoiced"][0],
        "overdue": next(job for job in ending["deposit_confirmed"] if job.is_late),
        "voided": ending["scheduled"][2],
        "renamed": ending["scheduled"][3],
        "strange": ending["scheduled"][4],
        "early": next(job for job in ending["quoted"][2:] if job.is_billed),
        "untold": ending["completed"][0],
    }


def _examples(jobs: Sequence[Job], client: str) -> dict[str, str]:
    chosen = _chosen(jobs)
    return {
        "a job that staff moved in a tool's place": f"jobs/{chosen['moved'].id}",
        "a job with a refused ask": f"jobs/{chosen['refused'].id}",
        "a job that was corrected": f"jobs/{chosen['corrected'].id}",
        "a job that is overdue": f"jobs/{chosen['overdue'].id}",
        "a job that a tool shows wrongly": f"jobs/{chosen['voided'].id}",
        "a job with a claim that waits": f"jobs/{chosen['early'].id}",
        "a job whose tool could not be told": f"jobs/{chosen['untold'].id}",
        "a client who was erased": f"clients/{client}",
    }


def _series(service: "Service", now: datetime) -> tuple[str, list[Job]]:
    """The first demo of the day of which nothing is there yet, not even of one that broke off.

    Jobs of other origin are in nobody's way. Raises `MalformedRequest` where the day's are used up.
    """
    for letter in LETTERS:
        series = f"{now:%m%d}{letter}"
        jobs = [Job(series, state, index) for index, state in enumerate(_ends())]
        paths = [f"/v1/clients/C-{series}", *(job.path for job in jobs)]
        if not any(service.look(path, missing=True) for path in paths):
            return series, jobs
    raise MalformedRequest(
        f"{len(LETTERS)} demos were played on this day of the year already:"
        " try again tomorrow, or with another database"
    )


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Service:
    """The service as tools meet it: one connection, everybody by their own key."""

    def __init__(self, url: str, keys: Mapping[str, str]) -> None:
        """Connect with the first ask."""
        parts = urlsplit(url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._url = url
        self._keys = keys
        self._http = kind(parts.hostname or "", parts.port, timeout=SECONDS_MAX)

    def ask(self, step: Step) -> None:
        """Ask, and be answered as the story goes."""
        status, answer = self._answered(step.by, step.method, step.path, step.body)
        if status != step.status or step.outcome not in {"", answer.get("outcome")}:
            said = answer.get("detail") or answer.get("outcome", "")
            raise MalformedRequest(
                f"the story does not go on: {step.method} {step.path} by {step.by} was answered"
                f" {status} ({said}); it is of the definitions `jobs` and `clients` as they are"
                " shipped"
            )

    def look(self, path: str, *, missing: bool = False) -> dict[str, Any]:
        """See a case; nothing where it is `missing`, if it may be."""
        status, answer = self._answered("staff", "GET", path, None)
        if status == 404 and missing and answer["type"].endswith("/unknown-case"):  # noqa: PLR2004 - a status of HTTP
            return {}
        if status != 200:  # noqa: PLR2004 - a status of HTTP
            raise MalformedRequest(f"{path} was answered {status} ({answer.get('detail', '')})")
        return answer

    def _answered(
        self, by: str, method: str, path: str, body: Mapping[str, Any] | None
    ) -> tuple[int, dict[str, Any]]:
        headers = {
            "Authorization": f"Bearer {self._keys[by]}",
            "Content-Type": "application/json",
        }
        content = None if body is None else json.dumps(body)
        try:
            self._http.request(method, path, content, headers)
            answer = self._http.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, HTTPException, ValueError) as exc:
            raise StorageUnavailable(
                f"no service answers at {self._url}: {exc} (start one: statekeeper serve)"
            ) from exc
