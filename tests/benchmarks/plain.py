"""The plain version: the same libraries, used as their own tutorials use them.

An ``Application`` with an aggregate, ``repository.get``, a new state machine per request, ``save``:
a replay, a decision and a commit for each transition. There are no keys, owners, words or notices
here; what is measured is the way of writing, not the work that Statekeeper does beside it.

The store comes from the environment, as the library reads it: ``PERSISTENCE_MODULE`` and
``SQLITE_DBNAME`` or ``POSTGRES_*``.
"""

from typing import cast
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec
from eventsourcing.application import AggregateNotFoundError, Application
from eventsourcing.domain import Aggregate, event
from litestar import Litestar, Request, Response, post
from litestar.datastructures import State as AppState
from litestar.params import FromPath, JSONBody
from statemachine import State, StateMachine
from statemachine.exceptions import TransitionNotAllowed

from tests.benchmarks.noop import TransitionAsked


class JobChart(StateMachine):
    """A field-service job, as far as the benchmark takes it."""

    quoted = State(initial=True)
    deposit_confirmed = State()
    scheduled = State()
    completed = State(final=True)

    confirm_deposit = quoted.to(deposit_confirmed)
    schedule = deposit_confirmed.to(scheduled)
    unschedule = scheduled.to(deposit_confirmed)
    complete = scheduled.to(completed)


class Job(Aggregate):
    """A job and what is known of it."""

    @event("Opened")
    def __init__(self, name: str) -> None:
        self.name = name
        self.state = JobChart.quoted.value
        self.fields: dict[str, str] = {}

    @staticmethod
    def create_id(name: str) -> UUID:
        """Give the same id for the same name."""
        return uuid5(NAMESPACE_URL, f"/jobs/{name}")

    @event("TransitionMade")
    def make_transition(
        self,
        transition: str,  # noqa: ARG002 - only recorded
        to: str,
        fields: dict[str, str],
    ) -> None:
        """Be in another state, and know more."""
        self.state = to
        self.fields.update(fields)


class Jobs(Application[UUID]):
    """Opens jobs and moves them."""

    def open(self, name: str) -> Job:
        """Open a job."""
        job = Job(name)
        self.save(job)
        return job

    def make_transition(self, name: str, ask: TransitionAsked) -> Job:
        """Read the whole job, let the machine decide, save."""
        job = cast("Job", self.repository.get(Job.create_id(name)))
        chart = JobChart(start_value=job.state)
        chart.send(ask.transition)
        job.make_transition(ask.transition, str(chart.current_state_value), ask.fields)
        self.save(job)
        return job


class OpenAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body that opens a job."""

    id: str


class JobSeen(msgspec.Struct, frozen=True):
    """A job as it is answered."""

    id: str
    state: str
    version: int
    fields: dict[str, str]


def app() -> Litestar:
    """Make the application over the store that the environment names."""
    jobs = Jobs()

    @post("/v1/jobs", status_code=201, sync_to_thread=True)
    def open_job(data: JSONBody[OpenAsked]) -> JobSeen:
        return seen(jobs.open(data.id))

    @post("/v1/jobs/{id:str}/transitions", status_code=201, sync_to_thread=True)
    def make_transition(
        id: FromPath[str],  # noqa: A002 - the contract's own name
        data: JSONBody[TransitionAsked],
    ) -> JobSeen:
        return seen(jobs.make_transition(id, data))

    return Litestar(
        [open_job, make_transition],
        openapi_config=None,
        on_shutdown=[jobs.close],
        exception_handlers={AggregateNotFoundError: not_found, TransitionNotAllowed: not_open},
    )


def seen(job: Job) -> JobSeen:
    """Show a job."""
    return JobSeen(job.name, job.state, job.version, job.fields)


def not_found(_: Request[None, None, AppState], __: Exception) -> Response[dict[str, str]]:
    """Answer that there is no such job."""
    return Response({"title": "no such job"}, status_code=404)


def not_open(_: Request[None, None, AppState], exc: Exception) -> Response[dict[str, str]]:
    """Answer that the transition is not open."""
    return Response({"title": str(exc)}, status_code=409)
