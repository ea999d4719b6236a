"""A field-service firm and its products: what it has declared, and what its products send.

Stripe's and Square's deliveries are published and sent as they stand; those of HubSpot, Jobber and
QuickBooks are built to their documented shapes, and say so.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from msgspec import Struct

from tests.api import products
from tests.api.products import SECRET, Signs
from tests.running import DEFINITIONS

PUBLISHED = DEFINITIONS.parents[1] / "shared" / "data" / "webhooks"
INVOICE = "quickbooks/resources/invoice_qbo_sample_company.json"
"""A published invoice; the custom field in which a firm keeps its stage is put into it here."""
needs_published = pytest.mark.skipif(
    not PUBLISHED.exists(), reason="the published payloads stand beside the repository, not in it"
)
TOOLS = ("crm", "accounting", "projects", "payments")


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

    @property
    def published(self) -> bytes:
        """Its delivery, byte for byte."""
        return (PUBLISHED / self.delivery).read_bytes()


STRIPE = Payments(
    "stripe",
    products.stripe,
    "stripe/events/payment_intent.succeeded.json",
    "pi_000000000000000000000000",
    "payment_intent",
    "succeeded",
    "20.00 USD",
    1_648_310_000,
)
SQUARE = Payments(
    "square",
    products.square,
    "square/events/invoice.payment_made.json",
    "inv:0-ChCHu2mZEabLeeHahQnXDjZQECY",
    "invoice",
    "PAID",
    "100.00 USD",
    1_592_500_000,
)


def declared(folder: Path, payments: Payments, records: str) -> Path:
    """Write the shipped definition down with a product for payments, and a CRM that is told.

    `records` is the address at which Jobber and QuickBooks are asked for their records.
    """
    made = copytree(DEFINITIONS, folder / "definitions")
    for file in made.glob("*.yaml"):
        if file.name != "field_service.yaml":
            file.unlink()
    said = made / "field_service.yaml"
    said.write_text(_with_payments(said.read_text(), payments))
    for name, address in (
        ("jobber", "https://api.getjobber.com"),
        ("quickbooks", "https://quickbooks.api.intuit.com"),
    ):
        connector = made / "connectors" / f"{name}.yaml"
        connector.write_text(connector.read_text().replace(address, records))
    return made


def _with_payments(text: str, payments: Payments) -> str:
    text = text.replace("record_for: [payment, billing]", "record_for: [billing]")
    text = re.sub(r"(deposit_due: .*)owner: payment", r"\1owner: billing", text)
    tool = f"title: P, connector: {payments.connector}, kinds: [{payments.kind}]"
    tool = f"  payments: {{{tool}, record_for: [payment]}}"
    text = text.replace("\nfields:\n", f"{tool}\n\nfields:\n", 1)
    states = ("deposit_confirmed", "scheduled", "completed", "invoiced")
    paid = ", ".join(f"{state}: {payments.word}" for state in states)
    words = f"  payments:\n    status: {{quoted: ~, {paid}, cancelled: ~}}\n"
    text = text.replace("\nhears:\n", f"{words}\nhears:\n", 1)
    by_webhook = "tool: crm, direction: out, how: webhook, url: env:CRM_URL, secret: env:CRM_SECRET"
    return text.replace("tool: crm, direction: out, how: manual", by_webhook)


def secrets() -> Mapping[str, str]:
    """By what its products are believed, and asked for their records."""
    held = {f"STATEKEEPER_{tool.upper()}_SECRET": SECRET for tool in TOOLS}
    held |= {"STATEKEEPER_PROJECTS_TOKEN": "t", "STATEKEEPER_ACCOUNTING_TOKEN": "t"}
    return held | {"JOBBER_GRAPHQL_VERSION": "2025-01-20"}


# --- what is built to the documented shapes, where nothing is published -------------------------


def built_deal(before: int) -> list[dict[str, Any]]:
    """Build what HubSpot sends of a new deal, out of its order."""
    usual = {"objectId": 9876543, "portalId": 33, "appId": 1160452, "attemptNumber": 0}
    stage = {"propertyName": "dealstage", "propertyValue": "presentationscheduled"}
    at = before * 1000
    changed = {"subscriptionType": "deal.propertyChange", "subscriptionId": 25, **stage}
    created = {"subscriptionType": "deal.creation", "subscriptionId": 26}
    return [
        {**usual, **changed, "eventId": 1, "occurredAt": at + 1},
        {**usual, **created, "eventId": 1, "occurredAt": at},
    ]


def built_job(record: str = "Sm9iLzc=") -> dict[str, Any]:
    """Build what Jobber sends of a job, at this moment."""
    event = {"topic": "JOB_UPDATE", "appId": "a", "accountId": "MQ==", "itemId": record}
    at = datetime.now(UTC).isoformat()
    return {"data": {"webHookEvent": {**event, "occurredAt": at}}}


def built_invoice(name: str) -> list[dict[str, Any]]:
    """Build what QuickBooks sends of an invoice, as CloudEvents of two companies."""
    usual = {"specversion": "1.0", "source": "intuit.abc=", "datacontenttype": "application/json"}
    ours = {"type": "qbo.invoice.updated.v1", "intuitentityid": "130", "intuitaccountid": "310687"}
    time = {"time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}001Z", "data": {}}
    theirs = {"type": "qbo.vendor.updated.v1", "intuitentityid": "130", "intuitaccountid": "999"}
    return [{**usual, **ours, **time, "id": name}, {**usual, **theirs, **time, "id": f"{name}-2"}]


def job_record(status: str) -> dict[str, Any]:
    """Build what Jobber answers about a job."""
    return {"jobStatus": status, "startAt": "2026-05-11T15:00:00Z"}


def invoice_record(stage: str) -> dict[str, Any]:
    """Give the published invoice, in this stage."""
    record = json.loads((PUBLISHED / INVOICE).read_bytes())
    record["CustomField"] = [{"DefinitionId": "2", "Name": "Stage", "StringValue": stage}]
    return {"Invoice": record}
