"""Five products are heard and two tools told: a field-service job from a new deal to Invoiced."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest
from msgspec import Struct

from tests.api import products
from tests.api.products import Product, running_product, sent
from tests.conserving import conserved
from tests.databases import NewDatabase
from tests.projections.tools import SECRET, FakeTool, Post, fake_tools
from tests.running import Service, command, over, running_service, until
from tests.walks import firm
from tests.walks.firm import SQUARE, STRIPE, Payments, needs_published

STAGES = ["quoted", "deposit_confirmed", "scheduled", "completed", "invoiced"]
DEPOSIT_PAID = [("dealstage", "closedwon"), ("job_status", "To schedule")]


@pytest.fixture
def tools() -> Iterator[Sequence[FakeTool]]:
    """The CRM and the books, listening."""
    with fake_tools(2) as listening:
        yield listening


class Story(Struct, frozen=True):
    """One job, of which its products speak and two tools are told."""

    service: Service
    product: Product
    payments: Payments
    crm: FakeTool
    books: FakeTool
    id: str = ""

    @property
    def state(self) -> str:
        """Where the job is."""
        found: str = self.service.by("staff").get(f"/v1/jobs/{self.id}").json()["state"]
        return found

    def sends(self, tool: str, signs: products.Signs, content: object) -> None:
        """A product sends this, and is content with what it reads back."""
        answer = sent(self.service, tool, signs, content)
        assert answer.status_code == httpx.codes.OK, answer.text

    def linked(self, tool: str, ref: str, **kind: str) -> None:
        """A tool says which record of its own the job is."""
        path = f"/v1/jobs/{self.id}/references/{tool}"
        linked = self.service.by(tool).put(path, json={"ref": ref, **kind})
        assert linked.status_code == httpx.codes.OK, linked.text

    def told(self, crm: list[tuple[str, str]], books: list[tuple[str, str]]) -> None:
        """The CRM and the books are told this by now: fields and words, or requests, in order."""
        until(lambda: (words(self.crm), words(self.books)) == (crm, books), f"{crm}, {books}")


def words(tool: FakeTool) -> list[tuple[str, str]]:
    """What a tool was told, each notice once, in order; every signature of it holds."""
    first: dict[str, Post] = {}
    for post in list(tool.posts):
        first.setdefault(post.id, post)
    told = [post.data for post in first.values()]
    return [
        ("request", one["request"]) if "request" in one else (one["status_field"], one["word"])
        for one in told
    ]


@needs_published
@pytest.mark.parametrize("payments", [STRIPE, SQUARE], ids=lambda one: one.connector)
def test_a_job_is_heard_from_a_new_deal_to_invoiced_and_told_step_by_step(
    payments: Payments, tools: Sequence[FakeTool], new_database: NewDatabase, tmp_path: Path
) -> None:
    """Nobody calls but products; the deposit confirms itself; killed in between, nothing is lost.

    The payment is Stripe's or Square's own, the other deliveries are built to their shapes.
    """
    crm, books = tools
    with running_product() as product:
        definitions = firm.declared(tmp_path, payments, product.url)
        listening = {"CRM_URL": crm.url, "ACCOUNTING_URL": books.url}
        listening |= {"CRM_SECRET": SECRET, "ACCOUNTING_SECRET": SECRET}
        environment = {**firm.secrets(), **listening}
        with running_service(
            new_database(), tmp_path, definitions=definitions, environment=environment
        ) as service:
            story = Story(service, product, payments, crm, books)
            assert walked(story) == STAGES
            until(lambda: waiting(service) == {"projects"}, "all that can be told is told")
            sums = conserved(service.database)
        verified = command("verify", *over(service.database, definitions))
    assert verified.returncode == 0, verified.stdout
    assert sums.heard.total() == 9, sums.heard
    assert sums.told["crm", "delivered"] == 5
    assert sums.told["accounting", "delivered"] == 4


def walked(story: Story) -> list[str]:
    """Have the products send; give each state that the job comes to."""
    service, product, payments = story.service, story.product, story.payments
    story.sends("crm", products.hubspot, firm.built_deal(payments.before))
    case = service.by("crm").get("/v1/tools/crm/jobs/9876543").json()
    story = Story(service, product, payments, story.crm, story.books, case["id"])
    states = [story.state]
    quoted = [("stage", "Estimate sent")]
    story.told([], quoted)
    due = {"deposit_due": payments.due}
    service.by("accounting").patch(f"/v1/jobs/{story.id}/fields", json=due)
    # The money comes before anybody has said which job it is for.
    story.sends("payments", payments.signs, payments.published)
    assert story.state == "quoted"
    story.linked("payments", payments.ref, kind=payments.kind)
    states.append(story.state)
    paid = [*quoted, ("stage", "Deposit paid")]
    story.told(DEPOSIT_PAID, paid)
    story.linked("projects", "Sm9iLzc=")
    product.records["Sm9iLzc="] = firm.job_record("upcoming")
    story.sends("projects", products.jobber, firm.built_job())
    service.kill()
    service.start()
    states.append(story.state)
    story.told([*DEPOSIT_PAID, ("job_status", "Scheduled")], paid)
    product.records["Sm9iLzc="] = firm.job_record("requires_invoicing")
    story.sends("projects", products.jobber, firm.built_job())
    states.append(story.state)
    done = [*paid, ("stage", "To invoice"), ("request", "create_invoice")]
    story.told([*DEPOSIT_PAID, ("job_status", "Scheduled"), ("job_status", "Done")], done)
    story.linked("accounting", "130")
    product.records["/v3/company/310687/invoice/130"] = firm.invoice_record("Invoiced")
    billed = firm.built_invoice("e1")
    story.sends("accounting", products.quickbooks, billed)
    story.sends("accounting", products.quickbooks, billed)
    steps = [("job_status", word) for word in ("Scheduled", "Done", "Invoiced")]
    story.told([*DEPOSIT_PAID, *steps], done)  # the books said so themselves
    return [*states, story.state]


def waiting(service: Service) -> set[str]:
    """The tools that have something to be told, by the log; the crew listens nowhere."""
    told = conserved(service.database).told
    return {tool for (tool, state), number in told.items() if state == "waiting" and number}
