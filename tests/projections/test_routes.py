import pytest
from msgspec.structs import replace

from lifecycle.declaration import Flow
from lifecycle.model import Lifecycle
from projections.routes import Route, routes
from tests.lifecycle.given import shipped

BOTH = {"ACCOUNTING_URL": "http://10.0.0.7:8080/hook", "ACCOUNTING_SECRET": "whsec_aGk="}


def accounting(environment: dict[str, str], lifecycle: Lifecycle | None = None) -> Route:
    jobs = lifecycle or shipped()["field_service"]
    return routes({"jobs": jobs}, environment)["accounting", "jobs"]


def told_by(**flow: str) -> Lifecycle:
    """Let the books be told otherwise."""
    jobs = shipped()["field_service"].declaration
    return Lifecycle(replace(jobs, flows=(Flow("accounting", "out", "webhook", **flow),)))


def test_address_and_secret_stand_in_the_environment() -> None:
    """A private address is the operator's own affair."""
    route = accounting(BOTH)
    assert (route.url, route.secret, route.waits) == (*BOTH.values(), "")
    assert route.steward == "operations@example.com"


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({}, "no address: ACCOUNTING_URL is not set"),
        ({"ACCOUNTING_URL": "http://books/"}, "no secret: ACCOUNTING_SECRET is not set"),
        (BOTH | {"ACCOUNTING_SECRET": "  "}, "no secret: ACCOUNTING_SECRET is not set"),
        (BOTH | {"ACCOUNTING_URL": "ftp://books/"}, "is no address of http or https"),
        (BOTH | {"ACCOUNTING_URL": "http://"}, "is no address of http or https"),
        (BOTH | {"ACCOUNTING_URL": "http://books:99999/"}, "is no address of http or https"),
    ],
)
def test_what_is_missing_is_said(environment: dict[str, str], why: str) -> None:
    """Nothing is sent then, and the value itself stands nowhere."""
    route = accounting(environment)
    assert why in route.waits
    assert (route.url, route.secret) == ("", "")


def test_a_secret_without_a_name_is_the_tools() -> None:
    """Its variable is named after the tool."""
    jobs = told_by(url="env:BOOKS")
    environment = {"BOOKS": "https://books.example/", "STATEKEEPER_ACCOUNTING_SECRET": "s3cret"}
    assert accounting(environment, jobs).secret == "s3cret"


def test_what_a_person_carries_has_no_address() -> None:
    """And says so."""
    route = routes({"jobs": shipped()["field_service"]}, BOTH)["crm", "jobs"]
    assert route.manual
    assert route.waits == "carried by a person"
    assert route.steward == "sales@example.com"


@pytest.mark.parametrize(
    ("rate", "interval_ms"), [("10 per second", 100.0), ("30 per minute", 2000.0)]
)
def test_a_declared_rate_is_a_least_time_between_two(rate: str, interval_ms: float) -> None:
    """In milliseconds."""
    jobs = told_by(url="env:ACCOUNTING_URL", secret="env:ACCOUNTING_SECRET", rate=rate)
    assert accounting(BOTH, jobs).interval_ms == interval_ms


def test_only_flows_that_tell_are_routes() -> None:
    """A tool that is only heard is told nothing."""
    found = routes({one.collection: one for one in shipped().values()}, {})
    assert ("carrier", "policies") not in found
    assert ("crm", "clients") in found
