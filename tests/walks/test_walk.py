"""The walks: cases of every shipped lifecycle from their beginning to their end, over HTTP."""

import itertools
import re
import shutil
import signal
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.databases import NewDatabase
from tests.running import (
    DEFINITIONS,
    IssuedKey,
    Service,
    command,
    issue_key,
    over,
    running_service,
)
from tests.walks.walking import Walk, accepted

BAKERY = {"customer_name": "Harbour Bakery", "email": "orders@harbour-bakery.example"}
PAID = {"deposit_due": "500.00 USD", "deposit_paid": "500.00 USD"}
NUMBERS = itertools.count(1)


# --- every shipped lifecycle ----------------------------------------------------------------------


def test_field_service_job_goes_from_quoted_to_invoiced(shared_service: Service) -> None:
    """Three tools walk a job to its invoice, each where its word counts, and nowhere else."""
    job = Walk(shared_service, "jobs/W-1")
    job.opened("crm", BAKERY, references={"crm": "w1"})
    job.refused("projects", "schedule", "transition-not-open", scheduled_for="2026-05-11")
    job.refused("crm", "confirm_deposit", "not-the-owner")
    job.told("accounting", "quoted", deposit_due="500.00 USD", deposit_paid="200.00 USD")
    job.refused("accounting", "confirm_deposit", "condition-not-met")
    job.told("accounting", "deposit_confirmed", deposit_paid="500.00 USD")
    job.refused("projects", "schedule", "fields-missing")
    job.moved("projects", "schedule", "scheduled", scheduled_for="2026-05-11")
    job.moved("projects", "unschedule", "deposit_confirmed")
    job.moved("projects", "schedule", "scheduled", scheduled_for="2026-05-18")
    job.moved("projects", "complete", "completed")
    job.refused("crm", "invoice", "not-the-owner", invoice_no="INV-144")
    job.moved("accounting", "invoice", "invoiced", invoice_no="INV-144")
    case = job.seen()
    assert case["open_transitions"] == []
    assert case["fields"] == BAKERY | PAID | {
        "scheduled_for": "2026-05-18",
        "invoice_no": "INV-144",
    }
    types = [event["type"] for event in job.events()]
    assert types.count("TransitionMade") == 6
    assert types.count("Refused") == 5
    assert types[0] == "CaseOpened"


def test_insurance_policy_goes_from_submission_to_its_end(shared_service: Service) -> None:
    """A policy is bound when the carrier, the client, the books and compliance have spoken."""
    policy = Walk(shared_service, "policies/W-1")
    policy.opened("ams", {"line": "auto"}, references={"carrier": "w-1"})
    policy.moved("carrier", "quote", "quoted", premium="1240.00 USD", effective_on="2026-06-01")
    policy.told("accounting", "quoted", deposit_due="310.00 USD", deposit_paid="310.00 USD")
    signed = policy.moved(
        "esign", "sign_application", "deposit_confirmed", signed_at="2026-05-20T10:00:00Z"
    )
    assert signed["data"]["to"] == ["application_signed"]  # the deposit, there before, moved it on
    policy.refused("carrier", "bind", "fields-missing")
    policy.told("compliance", "deposit_confirmed", licence_verified=False)
    policy.refused("carrier", "bind", "condition-not-met")
    policy.told("compliance", "deposit_confirmed", licence_verified=True)
    policy.refused("ams", "bind", "not-the-owner")
    policy.moved("carrier", "bind", "bound")
    policy.moved("carrier", "issue", "issued", policy_no="PA-77", expires_on="2027-06-01")
    policy.moved("ams", "deliver_policy", "active")
    policy.moved("ams", "request_endorsement", "endorsing")
    policy.moved("carrier", "endorse", "active", premium="1300.00 USD")
    policy.moved("ams", "start_renewal", "renewing")
    policy.moved("carrier", "renew", "active", premium="1350.00 USD", expires_on="2028-06-01")
    policy.moved("carrier", "give_notice", "cancel_pending", cancels_on="2027-09-01")
    policy.moved("carrier", "cancel", "cancelled")
    assert policy.view("carrier", "w-1")["words"] == {"status": "Cancelled"}
    assert policy.seen("ams")["tools"]["crm"]["policy_status"] == "Cancelled"


def test_mortgage_loan_is_cleared_by_whichever_of_three_regions_is_last(
    shared_service: Service,
) -> None:
    """Credit, title and disclosures go on side by side; the last of the three clears the loan."""
    loan = Walk(shared_service, "loans/W-1")
    loan.opened("los", {"property_value": "420000.00 USD", "loan_amount": "336000.00 USD"})
    loan.told("crm", "application", borrower_name="Elm Street Trust", email="trust@elm.example")
    address = {"lines": ["4 Elm Street"], "city": "Dover", "postcode": "19901", "country": "US"}
    loan.moved(
        "los",
        "start_processing",
        "file_open+title_ordered+disclosures_due",
        monthly_income="9000.00 USD",
        property_address=address,
        purpose="purchase",
    )
    assert loan.seen()["states"] == ["file_open", "title_ordered", "disclosures_due"]
    loan.moved("los", "submit", "in_underwriting+title_ordered+disclosures_due")
    loan.moved(
        "title_company",
        "issue_commitment",
        "in_underwriting+committed+disclosures_due",
        title_no="T-9",
    )
    loan.moved("esign", "send_disclosures", "in_underwriting+committed+disclosures_out")
    loan.refused("los", "clear_title", "not-the-owner")
    loan.moved("title_company", "clear_title", "in_underwriting+title_clear+disclosures_out")
    loan.moved(
        "los",
        "approve_with_conditions",
        "conditionally_approved+title_clear+disclosures_out",
        conditions_open=2,
    )
    loan.refused("los", "approve", "condition-not-met")
    loan.refused("los", "clear", "condition-not-met")
    loan.moved("los", "approve", "approved+title_clear+disclosures_out", conditions_open=0)
    assert loan.seen()["tools"]["title_company"] == {"order": "Clear"}
    loan.moved("esign", "sign_disclosures", "clear_to_close", signed_at="2026-05-20T10:00:00+02:00")
    cleared = loan.events()[-1]
    assert (cleared["data"]["transition"], cleared["data"]["auto"]) == ("clear", True)
    assert cleared["by"]["tool"] == "esign"
    loan.moved("los", "issue_closing_disclosure", "disclosure_issued", closing_on="2026-06-15")
    loan.told("los", "disclosure_issued", earliest_closing_on="2026-06-12")
    loan.moved("esign", "receive_closing_disclosure", "disclosure_received")
    loan.refused("title_company", "sign", "condition-not-met", signed_on="2026-06-11")
    loan.moved("title_company", "sign", "signed", signed_on="2026-06-15")
    loan.moved("los", "fund", "funded", funded_on="2026-06-15")
    loan.moved("title_company", "record", "recorded", recording_no="R-5")
    assert loan.seen()["tools"]["crm"] == {"dealstage": "closedwon", "loan_status": "Funded"}


def test_client_is_onboarded_when_papers_checks_and_account_are_done(
    shared_service: Service,
) -> None:
    """A client is active when the three sides are done, not when sales says so."""
    client = Walk(shared_service, "clients/W-1")
    client.opened("crm", {"name": "Mill Lane Dental", "email": "desk@mill-lane.example"})
    client.moved("crm", "engage", "papers_requested+to_screen+account_to_open")
    client.told("documents", "papers_requested+to_screen+account_to_open", agreement_no="A-3")
    client.refused("documents", "file_papers", "condition-not-met", identity_seen=False)
    client.moved(
        "documents",
        "file_papers",
        "papers_complete+to_screen+account_to_open",
        identity_seen=True,
    )
    client.told("compliance", "papers_complete+to_screen+account_to_open", risk_rating="high")
    client.moved(
        "compliance",
        "screen",
        "papers_complete+enhanced_review+account_to_open",
        screened_on="2026-05-04",
    )
    client.refused("crm", "admit", "not-the-owner")
    client.moved(
        "compliance",
        "clear_after_review",
        "papers_complete+cleared+account_to_open",
        next_review_on="2027-05-04",
    )
    client.moved("accounting", "open_account", "in_good_standing", customer_no="C-12")
    assert client.events()[-1]["by"]["tool"] == "accounting"
    client.moved("accounting", "suspend", "on_hold")
    client.moved("accounting", "resume", "in_good_standing")
    client.moved("crm", "part", "former")


def test_policy_names_the_client_it_is_for(shared_service: Service) -> None:
    """A field may hold another case, which has to be there."""
    Walk(shared_service, "clients/W-2").opened("crm", {"name": "Mill Lane Dental"})
    policy = Walk(shared_service, "policies/W-2")
    policy.opened("ams", {"client": "clients/W-2"})
    body = {"client": "clients/nobody"}
    answer = shared_service.by("ams").patch(f"{policy.address}/fields", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {"path": "fields.client", "detail": "there is no case 'clients/nobody'"}
    ]


# --- what staff may ------------------------------------------------------------------------------


def test_case_under_way_is_adopted_where_it_is(shared_service: Service) -> None:
    """Staff take in a job that began before Statekeeper, and the tools go on from there."""
    job = Walk(shared_service, "jobs/W-10")
    adopted = {"state": "scheduled", "since": "2026-03-02T08:00:00Z"}
    case = job.opened("staff", PAID, reason="under way when we began", **adopted)
    assert (case["state"], case["since"]) == ("scheduled", "2026-03-02T08:00:00.000Z")
    (event,) = job.events()
    assert event["type"] == "CaseAdopted"
    assert event["data"]["override"] is True
    assert event["data"]["reason"] == "under way when we began"
    job.moved("projects", "complete", "completed")
    refused = shared_service.by("crm").post("/v1/jobs", json={"id": "W-11", **adopted})
    assert refused.json()["type"] == "/problems/staff-only"


def test_case_is_corrected_to_where_it_really_is(shared_service: Service) -> None:
    """Staff put a job where it is, with a reason; no condition stands in the way of the truth."""
    job = Walk(shared_service, "jobs/W-12")
    job.opened("crm", BAKERY)
    address = f"{job.address}/corrections"
    without = shared_service.by("staff").post(address, json={"state": "completed"})
    assert without.json()["type"] == "/problems/reason-required"
    by_tool = {"state": "completed", "reason": "it is done"}
    assert shared_service.by("crm").post(address, json=by_tool).status_code == 403
    case = job.done("staff", "corrections", state="completed", reason="the crew forgot to say so")
    assert (case["state"], case["version"]) == ("completed", 2)
    event = job.events()[-1]
    assert event["type"] == "StateCorrected"
    assert (event["data"]["from"], event["data"]["to"]) == (["quoted"], ["completed"])
    assert "the crew forgot to say so" in job.seen(what="/why")["answer"]


def test_staff_act_in_a_tools_place_with_a_reason(shared_service: Service) -> None:
    """What staff do in a tool's place shows as an override, by name, with the reason."""
    job = Walk(shared_service, "jobs/W-13")
    job.opened("crm", BAKERY)
    job.refused("staff", "cancel", "reason-required")
    answer = job.moving("staff", "cancel", reason="the customer called the office")
    event = accepted(answer, 201)["event"]
    assert event["by"]["staff"] == "operator"
    assert event["data"]["override"] is True
    assert event["data"]["reason"] == "the customer called the office"
    assert "operator" in event["data"]["rule"]


def test_what_is_erased_is_nowhere(new_database: NewDatabase, tmp_path: Path) -> None:
    """After erasing, no answer and no byte of the database gives a personal value."""
    secret = "Unmistakable Bakery"
    database = new_database()
    with running_service(database, tmp_path) as service:
        job = Walk(service, "jobs/W-1")
        other = Walk(service, "jobs/W-2")
        job.opened("crm", {"customer_name": secret, "email": "unmistakable@bakery.example"})
        other.opened("crm", BAKERY)
        job.told("crm", "quoted", customer_name=f"{secret} and Sons")
        wrapped = vault_key(database, "case:jobs/W-1")
        assert wrapped is not None
        case = job.done("staff", "erase", reason="the customer asked for it")
        assert case["fields"] == {"customer_name": "erased", "email": "erased"}
        shown = [job.seen(version=str(version)) for version in (1, 2, 3)]
        shown += [job.seen(what=what) for what in ("/history", "/why")]
        assert not [one for one in shown if "nmistakable" in str(one)]
        assert [one["fields"]["customer_name"] for one in shown[:3]] == ["erased"] * 3
        assert vault_key(database, "case:jobs/W-1") is None
        assert vault_key(database, "case:jobs/W-2") is not None
        assert other.seen()["fields"] == BAKERY
        assert "nmistakable" not in service.said
    with running_service(database, tmp_path) as again:
        with again.with_key(service.keys["staff"]) as staff:
            case = accepted(staff.get("/v1/jobs/W-1"), 200)
        assert case["fields"] == {"customer_name": "erased", "email": "erased"}
    for held in everything_stored(database):
        assert b"nmistakable" not in held


def test_erased_key_leaves_no_trace_in_the_file(new_sqlite: NewDatabase, tmp_path: Path) -> None:
    """In the database's file the erased key is overwritten, not only unlinked."""
    database = new_sqlite()
    with running_service(database, tmp_path) as service:
        job = Walk(service, "jobs/W-1")
        job.opened("crm", BAKERY)
        wrapped = vault_key(database, "case:jobs/W-1")
        assert wrapped is not None
        job.done("staff", "erase", reason="the customer asked for it")
        service.signal(signal.SIGTERM)
        service.ended()
    assert not [held for held in everything_stored(database) if wrapped in held]


# --- declared, not coded -------------------------------------------------------------------------


def test_transition_added_to_a_definition_is_driven_without_code(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """A transition written into the file is open after the next start, for cases there already."""
    database, declared = new_database(), tmp_path / "definitions"
    shutil.copytree(DEFINITIONS, declared)
    with running_service(database, tmp_path, definitions=declared) as first:
        keys = first.keys
        job = Walk(first, "jobs/W-1")
        job.opened("crm", BAKERY)
        job.told("accounting", "deposit_confirmed", **PAID)
        job.moved("projects", "schedule", "scheduled", scheduled_for="2026-05-11")
        job.refused("projects", "lose_crew", "unknown-transition")
    file = declared / "field_service.yaml"
    text = file.read_text(encoding="utf-8").replace("version: 1\n", "version: 2\n")
    added = "transitions:\n  - {name: lose_crew, from: scheduled, to: quoted, by: [projects]}\n"
    file.write_text(text.replace("transitions:\n", added), encoding="utf-8")
    with (
        running_service(database, tmp_path, definitions=declared) as second,
        second.with_key(keys["projects"]) as projects,
    ):
        answer = projects.post("/v1/jobs/W-1/transitions", json={"transition": "lose_crew"})
        case = accepted(answer, 201)["case"]
        # The deposit is there, but it is the books' to say so again: nothing moves by itself.
        assert (case["state"], case["lifecycle_version"]) == ("quoted", 2)
        drawn = projects.get("/v1/lifecycles/field_service.mermaid").text
        assert "scheduled --> quoted : lose_crew" in drawn


# --- as it was ------------------------------------------------------------------------------------


@pytest.fixture
def reported_late(shared_service: Service) -> Walk:
    """Have a job walked in March, and reported all at once today."""
    job = Walk(shared_service, f"jobs/W-20-{next(NUMBERS)}")
    job.opened("crm", BAKERY, occurred_at="2026-03-02T09:00:00Z")
    when = {"occurred_at": "2026-03-04T09:00:00Z"}
    accounting = shared_service.by("accounting")
    accepted(accounting.patch(f"{job.address}/fields", params=when, json=PAID), 200)
    planned = {"scheduled_for": "2026-03-11"}
    claimed = {"occurred_at": "2026-03-06T10:00:00+01:00"}
    accepted(job.moving("projects", "schedule", planned, **claimed), 201)
    return job


def test_case_is_shown_as_of_a_version(reported_late: Walk) -> None:
    """Each version shows the case as it stood after that change."""
    states = [reported_late.seen(version=str(version))["state"] for version in (1, 2, 3, 4)]
    assert states == ["quoted", "quoted", "deposit_confirmed", "scheduled"]
    assert reported_late.seen(version="2")["fields"].items() >= PAID.items()
    assert reported_late.seen(version="1")["fields"] == BAKERY
    address = reported_late.address
    answer = reported_late.service.by("crm").get(address, params={"version": "5"})
    assert answer.json()["type"] == "/problems/unknown-version"


def test_case_is_shown_as_of_a_claimed_time(reported_late: Walk) -> None:
    """`at` goes by the times that the tools claimed, to the moment."""
    at = {
        "2026-03-02T09:00:00Z": "quoted",
        "2026-03-04T08:59:59.999Z": "quoted",
        "2026-03-04T09:00:00Z": "deposit_confirmed",
        "2026-03-06T09:00:00Z": "scheduled",
        "2026-03-06T09:00:00+01:00": "deposit_confirmed",
    }
    assert {time: reported_late.seen(at=time)["state"] for time in at} == at
    answer = reported_late.seen(what="/why", at="2026-03-05T00:00:00Z")["answer"]
    assert "Deposit confirmed since 4 March 2026" in answer
    early = {"at": "2026-03-02T08:59:59Z"}
    before = reported_late.service.by("crm").get(reported_late.address, params=early)
    assert before.json()["type"] == "/problems/unknown-version"


def test_case_is_shown_as_it_was_known(reported_late: Walk) -> None:
    """`known_at` shows only what had been recorded by then, whatever time it was about."""
    opened, *_, planned = reported_late.events()
    assert reported_late.seen(known_at=opened["recorded_at"])["fields"] == BAKERY
    assert reported_late.seen(known_at=planned["recorded_at"])["state"] == "scheduled"
    april = {"known_at": "2026-04-01T00:00:00Z"}
    answer = reported_late.service.by("crm").get(reported_late.address, params=april)
    assert answer.json()["type"] == "/problems/unknown-version"


# --- in each tool's words -------------------------------------------------------------------------


def test_every_tool_sees_the_case_in_its_own_words(shared_service: Service) -> None:
    """A tool asks by its own id, and is told its own words and field names."""
    job = Walk(shared_service, "jobs/W-30")
    references = {"crm": "w30", "projects": "w30/1", "accounting:invoice": ["w30", "w31"]}
    job.opened("crm", {**BAKERY, "scope": "New oven hood"}, references=references)
    job.told("accounting", "deposit_confirmed", **PAID)
    job.moved("projects", "schedule", "scheduled", scheduled_for="2026-05-11")
    crm = job.view("crm", "w30")
    assert list(crm) == ["id", "ref", "kind", "words", "fields", "version", "since"]
    assert (crm["id"], crm["ref"], crm["kind"], crm["version"]) == ("W-30", "w30", "deal", 4)
    assert crm["words"] == {"dealstage": "closedwon", "job_status": "Scheduled"}
    projects = job.view("projects", "w30/1")
    assert projects["words"] == {"status": "upcoming"}
    assert projects["fields"] == {
        "clientEmail": BAKERY["email"],
        "instructions": "New oven hood",
        "scheduled_for": "2026-05-11",
    }
    accounting = job.view("accounting", "invoice:w31")
    assert accounting["words"] == {"stage": "Deposit paid"}
    assert accounting["fields"] == PAID
    assert accounting["kind"] == "invoice"


def test_tool_does_not_see_the_case_as_another_tool(shared_service: Service) -> None:
    """Each tool has its own view; staff may look through any of them."""
    job = Walk(shared_service, "jobs/W-31")
    job.opened("crm", BAKERY, references={"crm": "w-31"})
    address = "/v1/tools/crm/jobs/w-31"
    assert shared_service.by("accounting").get(address).json()["type"] == "/problems/not-yours"
    assert shared_service.by("staff").get(address).json()["id"] == "W-31"


def test_reference_is_released_and_taken_by_another_case(shared_service: Service) -> None:
    """A reference means one case at a time; released by its tool, it may mean another."""
    first, second = (Walk(shared_service, f"jobs/W-3{number}") for number in (2, 3))
    first.opened("crm", BAKERY, references={"crm": "w-32"})
    second.opened("crm", BAKERY)
    projects, crm = shared_service.by("projects"), shared_service.by("crm")
    taking: dict[str, Any] = {"url": f"{second.address}/references/crm", "json": {"ref": "w-32"}}
    taken = projects.put(**taking)
    assert taken.json()["type"] == "/problems/reference-taken"
    assert taken.json()["case"] == "jobs/W-32"
    releasing: dict[str, Any] = {
        "url": f"{first.address}/references/crm",
        "params": {"ref": "w-32"},
    }
    assert projects.delete(**releasing).json()["type"] == "/problems/not-the-owner"
    assert accepted(crm.delete(**releasing), 200)["references"] == {}
    assert accepted(projects.put(**taking), 200)["references"] == {"crm": ["w-32"]}
    assert second.view("crm", "w-32")["id"] == "W-33"


# --- keys -----------------------------------------------------------------------------------------


def test_two_keys_of_one_tool_are_one_tool(shared_service: Service) -> None:
    """A tool may have several keys: each may the same, the record names which, one can go."""
    issued = issue_key(shared_service.database, tool="crm")
    job = Walk(shared_service, "jobs/W-40")
    with shared_service.with_key(issued.key) as second:
        first = shared_service.by("crm")
        once: dict[str, Any] = {
            "url": "/v1/jobs",
            "json": {"id": job.id},
            "headers": {"Idempotency-Key": "w-40"},
        }
        opened, repeated = second.post(**once), first.post(**once)
        assert (opened.status_code, repeated.status_code) == (201, 201)
        assert repeated.headers["Idempotency-Replayed"] == "true"
        assert job.events()[0]["by"] == {"tool": "crm", "key": issued.id}
        revoke(shared_service, issued)
        assert second.get(job.address).json()["type"] == "/problems/not-signed-in"
        assert first.get(job.address).status_code == httpx.codes.OK


def revoke(service: Service, key: IssuedKey) -> None:
    """Have the command line revoke a key, beside the service."""
    done = command("keys", "revoke", key.id, *over(service.database))
    assert done.returncode == 0, done.stderr


# --- what the database really holds ---------------------------------------------------------------


def vault_key(database: str, stream: str) -> bytes | None:
    """The wrapped key of a stream, as it is stored."""
    with closing(connected(database)) as connection:
        row = connection.execute(
            f"SELECT wrapped FROM {schema_of(database)}vault WHERE stream = '{stream}'"  # noqa: S608 - names of our own tables
        ).fetchone()
    return bytes(row[0]) if row else None


def everything_stored(database: str) -> list[bytes]:
    """Every byte that the database holds: its files; or, of a server, every row of its schema."""
    if database.startswith("sqlite:///"):
        file = Path(database.removeprefix("sqlite:///"))
        held = []
        for one in file.parent.glob(f"{file.name}*"):
            with suppress(FileNotFoundError):  # a worker that has lost its service is just ending
                held.append(one.read_bytes())
        return held
    schema = schema_of(database).rstrip(".")
    listed = f"SELECT table_name FROM information_schema.tables WHERE table_schema = '{schema}'"  # noqa: S608 - names of our own tables
    with closing(connected(database)) as connection:
        tables = [row[0] for row in connection.execute(listed).fetchall()]
        assert tables
        return [
            value if isinstance(value, bytes) else str(value).encode()
            for table in tables
            for row in connection.execute(f"SELECT * FROM {schema}.{table}").fetchall()  # noqa: S608 - names of our own tables
            for value in row
        ]


def connected(database: str) -> Any:
    """A connection of the tests' own."""
    if database.startswith("sqlite:///"):
        return sqlite3.connect(database.removeprefix("sqlite:///"))
    return psycopg.connect(re.sub(r"[?&]schema=\w+", "", database))


def schema_of(database: str) -> str:
    """The schema's name and a dot, where the database has schemas."""
    found = re.search(r"[?&]schema=(\w+)", database)
    return f"{found[1]}." if found else ""
