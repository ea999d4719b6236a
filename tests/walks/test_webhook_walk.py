"""A field-service job from a new deal to Invoiced, by nothing but what its products send."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from shutil import copytree
from typing import Any

import httpx
import pytest
from msgspec import Struct

from api.verifying import verify
from lifecycle.catalogue import load
from lifecycle.events import Heard, HeardAgain
from lifecycle.opening import open_journal
from projections.store import open_store
from tests.api import products
from tests.api.products import SECRET, Product, Signs, running_product, sent
from tests.databases import NewDatabase
from tests.running import DEFINITIONS, Service, running_service

PUBLISHED = DEFINITIONS.parents[1] / "shared" / "data" / "webhooks"
INVOICE = "quickbooks/resources/invoice_qbo_sample_company.json"
"""A published invoice; the custom field in which a firm keeps its stage is put into it here."""
pytestmark = pytest.mark.skipif(
    not PUBLISHED.exists(), reason="the published payloads stand beside the repository, not in it"
)


class Payments(Struct, frozen=True):
    """The product that knows of the money, with a delivery that it has published."""

    connector: str
    signs: Signs
    delivery: str
    ref: str
    kind: str
    word: str
    due: str
    """What its delivery pays."""
    before: int
    """A moment before its delivery, in Unix seconds."""


PAYMENTS = {
    "stripe": Payments(
        "stripe",
        products.stripe,
        "stripe/events/payment_intent.succeeded.json",
        "pi_000000000000000000000000",
        "payment_intent",
        "succeeded",
        "20.00 USD",
        1_648_310_000,
    ),
    "square": Payments(
        "square",
        products.square,
        "square/events/invoice.payment_made.json",
        "inv:0-ChCHu2mZEabLeeHahQnXDjZQECY",
        "invoice",
        "PAID",
        "100.00 USD",
        1_592_500_000,
    ),
}


@pytest.fixture(params=PAYMENTS)
def payments(request: pytest.FixtureRequest) -> Payments:
    """The walk is made with each of them."""
    return PAYMENTS[request.param]


@pytest.fixture
def product() -> Iterator[Product]:
    """Jobber and QuickBooks, as they answer for their records."""
    with running_product() as running:
        yield running


@pytest.fixture
def folder(payments: Payments, product: Product, tmp_path: Path) -> Path:
    """The shipped definition, with a product for payments; records are asked for on loopback."""
    made = copytree(DEFINITIONS, tmp_path / "definitions")
    for file in made.glob("*.yaml"):
        if file.name != "field_service.yaml":
            file.unlink()
    said, word = made / "field_service.yaml", payments.word
    text = said.read_text()
    text = text.replace("record_for: [payment, billing]", "record_for: [billing]")
    text = re.sub(r"(deposit_due: .*)owner: payment", r"\1owner: billing", text)
    tool = f"title: P, connector: {payments.connector}, kinds: [{payments.kind}]"
    tool = f"  payments: {{{tool}, record_for: [payment]}}"
    text = text.replace("\nfields:\n", f"{tool}\n\nfields:\n", 1)
    paid = ", ".join(
        f"{state}: {word}" for state in ("deposit_confirmed", "scheduled", "completed", "invoiced")
    )
    words = f"  payments:\n    status: {{quoted: ~, {paid}, cancelled: ~}}\n"
    said.write_text(text.replace("\nhears:\n", f"{words}\nhears:\n", 1))
    for name, address in (
        ("jobber", "https://api.getjobber.com"),
        ("quickbooks", "https://quickbooks.api.intuit.com"),
    ):
        connector = made / "connectors" / f"{name}.yaml"
        connector.write_text(connector.read_text().replace(address, product.url))
    return made


# --- what the products send, built to the documented shapes where nothing is published ----------


def deal(payments: Payments) -> list[dict[str, Any]]:
    """Build what HubSpot sends of a new deal, out of its order."""
    usual = {"objectId": 9876543, "portalId": 33, "appId": 1160452, "attemptNumber": 0}
    stage = {"propertyName": "dealstage", "propertyValue": "presentationscheduled"}
    at = payments.before * 1000
    changed = {"subscriptionType": "deal.propertyChange", "subscriptionId": 25, **stage}
    created = {"subscriptionType": "deal.creation", "subscriptionId": 26}
    return [
        {**usual, **changed, "eventId": 1, "occurredAt": at + 1},
        {**usual, **created, "eventId": 1, "occurredAt": at},
    ]


def job() -> dict[str, Any]:
    """Build what Jobber sends of a job, at this moment."""
    event = {"topic": "JOB_UPDATE", "appId": "a", "accountId": "MQ==", "itemId": "Sm9iLzc="}
    at = datetime.now(UTC).isoformat()
    return {"data": {"webHookEvent": {**event, "occurredAt": at}}}


def invoice(name: str) -> list[dict[str, Any]]:
    """Build what QuickBooks sends of an invoice, as CloudEvents of two companies."""
    usual = {"specversion": "1.0", "source": "intuit.abc=", "datacontenttype": "application/json"}
    ours = {"type": "qbo.invoice.updated.v1", "intuitentityid": "130", "intuitaccountid": "310687"}
    time = {"time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}001Z", "data": {}}
    theirs = {"type": "qbo.vendor.updated.v1", "intuitentityid": "130", "intuitaccountid": "999"}
    return [{**usual, **ours, **time, "id": name}, {**usual, **theirs, **time, "id": f"{name}-2"}]


# --- the walk -----------------------------------------------------------------------------------


def kept(answer: httpx.Response) -> None:
    """A product is content with what it reads back."""
    assert answer.status_code == 200, answer.text


def test_a_job_goes_from_a_new_deal_to_invoiced(
    payments: Payments, product: Product, folder: Path, new_database: NewDatabase, tmp_path: Path
) -> None:
    """Five products send, nobody calls: the deposit confirms itself, and the job is invoiced."""
    database = new_database()
    tools = ("crm", "accounting", "projects", "payments")
    held = {f"STATEKEEPER_{tool.upper()}_SECRET": SECRET for tool in tools}
    held |= {"STATEKEEPER_PROJECTS_TOKEN": "t", "STATEKEEPER_ACCOUNTING_TOKEN": "t"}
    held["JOBBER_GRAPHQL_VERSION"] = "2025-01-20"
    with running_service(database, tmp_path, definitions=folder, environment=held) as service:
        assert walked(service, payments, product) == [
            *("quoted", "deposit_confirmed", "scheduled", "completed", "invoiced")
        ]
        counted = told(service)
    assert counted.total() == 9
    assert sound(database, folder) == counted.total()


def walked(service: Service, payments: Payments, product: Product) -> list[str]:
    """Have the products send; give each state that the job comes to."""
    kept(sent(service, "crm", products.hubspot, deal(payments)))
    name = service.by("crm").get("/v1/tools/crm/jobs/9876543").json()["id"]

    def state() -> str:
        found: str = service.by("staff").get(f"/v1/jobs/{name}").json()["state"]
        return found

    def linked(tool: str, ref: str, **kind: str) -> None:
        path = f"/v1/jobs/{name}/references/{tool}"
        assert service.by(tool).put(path, json={"ref": ref, **kind}).status_code == 200

    states = [state()]
    service.by("accounting").patch(f"/v1/jobs/{name}/fields", json={"deposit_due": payments.due})
    # The money comes before anybody has said which job it is for.
    paid = (PUBLISHED / payments.delivery).read_bytes()
    kept(sent(service, "payments", payments.signs, paid))
    assert state() == "quoted"
    linked("payments", payments.ref, kind=payments.kind)
    states.append(state())
    linked("projects", "Sm9iLzc=")
    for status in ("upcoming", "requires_invoicing"):
        product.records["Sm9iLzc="] = {"jobStatus": status, "startAt": "2026-05-11T15:00:00Z"}
        kept(sent(service, "projects", products.jobber, job()))
        states.append(state())
    linked("accounting", "130")
    record = json.loads((PUBLISHED / INVOICE).read_bytes())
    record["CustomField"] = [{"DefinitionId": "2", "Name": "Stage", "StringValue": "Invoiced"}]
    product.records["/v3/company/310687/invoice/130"] = {"Invoice": record}
    billed = invoice("e1")
    kept(sent(service, "accounting", products.quickbooks, billed))
    kept(sent(service, "accounting", products.quickbooks, billed))
    return [*states, state()]


def told(service: Service) -> Counter[str]:
    """What the service has heard, by outcome."""
    text = service.by("nobody").get("/metrics").text
    found = re.findall(r'messages_total{outcome="([\w-]+)",tool="\w+"} ([0-9.]+)', text)
    counted: Counter[str] = Counter()
    for outcome, number in found:
        counted[outcome] += int(float(number))
    return counted


def sound(database: str, folder: Path) -> int:
    """How much was heard, by the log, which has to be whole."""
    lifecycles = load(folder, {}).lifecycles
    journal = open_journal(database, lifecycles, None)
    store = open_store(database, lifecycles)
    try:
        report = verify(journal, store, lambda _done, _total: None)
        entries = [journal.mapper.to_domain_event(one).event for one in journal.recorder.tail(0)]
    finally:
        store.close()
        journal.stop()
        journal.recorder.close()
    assert not report.problems
    return sum(isinstance(event, Heard | HeardAgain) for event in entries)
