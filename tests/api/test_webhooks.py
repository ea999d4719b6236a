"""Webhooks over HTTP: who is believed, what is kept, what is answered; whatever the product."""

import base64
import gzip
import hmac
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from api.ears import STANDARD
from api.verifying import verify
from lifecycle.catalogue import load
from lifecycle.doubts import read_connector
from lifecycle.events import Heard
from lifecycle.opening import open_journal
from projections.store import open_store
from tests.api import products
from tests.api.products import SECRET, Product, Signs, b64, hexed, running_product, sent
from tests.databases import NewDatabase
from tests.running import DEFINITIONS, Service, running_service, until

VECTORS = DEFINITIONS.parents[1] / "shared" / "data" / "webhooks" / "signature_vectors.json"
TOKEN = "3f9c0d7e5a1b4c68"

ORDERS = """\
lifecycle: orders
version: 1
title: Order
collection: orders
tools:
  crm: {title: HubSpot, connector: hubspot, kinds: [deal], record_for: [sales]}
  pay: {title: Stripe, connector: stripe, kinds: [payment_intent, invoice], record_for: [money]}
  shop: {title: Square, connector: square, kinds: [invoice]}
  books: {title: Xero, connector: xero, kinds: [invoice]}
  field: {title: Jobber, connector: jobber, kinds: [job], record_for: [work]}
  ledger: {title: QuickBooks, connector: quickbooks, kinds: [invoice]}
  esign: {title: DocuSign, connector: docusign, kinds: [envelope]}
  own: {title: Our own}
  paint: {title: Paintbox, connector: paintbox, kinds: [canvas]}
  tasks: {title: Asana, connector: tasks}
  boards: {title: monday, connector: boards}
  forms: {title: Dropbox Sign, connector: forms}
  cards: {title: Trello, connector: cards}
  pipe: {title: Pipedrive, connector: pipe}
  chat: {title: Slack, connector: chat}
  graph: {title: Graph, connector: graph}
  lab: {title: GitLab, connector: lab}
  till: {title: Till, connector: till, record_for: [cash]}
fields:
  paid: {type: money, owner: money}
  tip: {type: money, owner: cash}
  starts: {type: date, owner: work}
  note: {type: text, owner: sales, personal: true}
states:
  new: {title: New, owner: sales, initial: true}
  done: {title: Done, owner: work, final: true}
transitions:
  - {name: finish, from: new, to: done, by: [work, paint, own, till]}
words:
  crm: {dealstage: {new: presentationscheduled, done: closedwon}}
  field: {status: {new: active, done: archived}}
  paint: {stage: {new: [primed, painted], done: framed}}
  own: {stage: {new: begun, done: over}}
  till: {state: {new: open, done: settled}}
hears:
  crm: {dealstage: {presentationscheduled: open}}
flows:
  - {tool: own, direction: in, how: webhook, secret: env:OWN_SECRET, steward: a@example.com}
"""

CONNECTORS = {
    "paintbox": """
signature: {header: X-Paint, reads: "sha256={signature}"}
messages: batch.changes
id: uid
occurred_at: at
kind: "'canvas'"
ref: canvas.number
status_field: "'stage'"
word: canvas.stage
zone: America/Denver
fields: {paid: {amount: canvas.units, currency: canvas.unit, minor: true}, starts: canvas.starts}
answer: {status: 202, body: thanks}
""",
    "tasks": """
signature: {header: X-Hook-Signature}
handshake: {header: X-Hook-Secret}
messages: events
ref: resource.gid
""",
    "boards": """
signature: {none: true}
handshake: {body: "challenge && {challenge: challenge}"}
id: event.triggerUuid
ref: event.pulseId
status_field: "'status'"
word: event.value.label.text
""",
    "forms": """
signature: {body: event.event_hash, signs: "{event.event_time}{event.event_type}"}
ref: signature_request.signature_request_id
status_field: "'event'"
word: event.event_type
answer: {body: Hello API Event Received}
""",
    "cards": """
signature: {header: X-Trello-Webhook, signs: "{body}{url}", algorithm: sha1, encoding: base64}
id: action.id
ref: action.data.card.id
""",
    "pipe": """
signature: {basic: true}
id: meta.id
ref: data.id
""",
    "chat": """
signature:
  {header: X-Slack-Signature, reads: "v0={signature}", signs: "v0:{timestamp}:{body}",
   timestamp: X-Slack-Request-Timestamp}
handshake: {body: challenge}
ref: channel.id
""",
    "graph": """
signature: {header: X-Signature}
handshake: {query: validationToken}
messages: value
ref: resource
""",
    "lab": """
signature: {header: X-Gitlab-Token, mac: token}
id: {header: X-Gitlab-Event-UUID}
kind: {header: X-Gitlab-Event}
ref: project.id
status_field: "'state'"
word: object_attributes.state
""",
    "till": """
signature: {header: X-Till, algorithm: sha512}
id: event
occurred_at: at
kind: type
ref: id
status_field: "'state'"
word: state
fields: {tip: {amount: tip, currency: currency, minor: true}}
""",
}


COMPRESSED = gzip.compress(b"[]", mtime=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The definitions of a firm with many tools; connectors of its own are files, and no code."""
    made = tmp_path_factory.mktemp("orders") / "definitions"
    made.mkdir()
    copytree(DEFINITIONS / "connectors", made / "connectors")
    (made / "orders.yaml").write_text(ORDERS, encoding="utf-8")
    for name, text in CONNECTORS.items():
        content = f"connector: {name}\ntitle: {name.title()}\n{text}"
        (made / "connectors" / f"{name}.yaml").write_text(content, encoding="utf-8")
    return made


def environment() -> dict[str, str]:
    """The secrets of all tools; one has two of them, and one a token."""
    tools = re.findall(r"^  (\w+): {title", ORDERS, re.MULTILINE)
    held = {f"STATEKEEPER_{tool.upper()}_SECRET": SECRET for tool in tools}
    del held["STATEKEEPER_OWN_SECRET"]
    return held | {
        "STATEKEEPER_PAY_SECRET": f"old-{SECRET} {SECRET}",
        "STATEKEEPER_BOARDS_SECRET": TOKEN,
        "STATEKEEPER_PIPE_SECRET": "pipe:drive",
        "OWN_SECRET": f"whsec_{SECRET}",
        "STATEKEEPER_ESIGN_SECRET": "",
    }


@pytest.fixture(scope="module")
def service(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The firm's service; the tests of this file share it."""
    place = tmp_path_factory.mktemp("webhooks")
    database = f"sqlite:///{place}/log.db"
    with running_service(database, place, definitions=folder, environment=environment()) as running:
        yield running


def heard(service: Service) -> Counter[tuple[str, str]]:
    """What the service has heard so far, by tool and outcome."""
    text = service.by("nobody").get("/metrics").text
    found = re.findall(r'messages_total{outcome="([\w-]+)",tool="(\w+)"} ([0-9.]+)', text)
    return Counter({(tool, outcome): int(float(n)) for outcome, tool, n in found})


def news(service: Service, before: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    """What was heard since."""
    return dict(heard(service) - Counter(before))


def deal(number: int, word: str = "presentationscheduled", at: int = 1) -> dict[str, Any]:
    """Build what HubSpot sends of a deal, to its documented shape."""
    return {
        "objectId": number, "propertyName": "dealstage", "propertyValue": word, "eventId": at,
        "subscriptionId": 25, "portalId": 33, "appId": 1160452, "attemptNumber": 0,
        "occurredAt": 1_760_000_000_000 + at, "subscriptionType": "deal.propertyChange",
    }  # fmt: skip


def opened(service: Service, number: int) -> dict[str, Any]:
    """The order that a deal opened."""
    answer = service.by("crm").get(f"/v1/tools/crm/orders/{number}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def linked(service: Service, number: int, tool: str, ref: str, **kind: str) -> str:
    """Open an order by a deal, link a tool's record to it, and give its id."""
    assert sent(service, "crm", products.hubspot, [deal(number)]).status_code == 200
    name: str = opened(service, number)["id"]
    path = f"/v1/orders/{name}/references/{tool}"
    answer = service.by(tool).put(path, json={"ref": ref, **kind})
    assert answer.status_code == 200, answer.text
    return name


def shown(service: Service, name: str) -> dict[str, Any]:
    """An order as staff see it."""
    found: dict[str, Any] = service.by("staff").get(f"/v1/orders/{name}").json()
    return found


# --- who is believed ----------------------------------------------------------------------------


def paint(body: bytes, _: str) -> dict[str, str]:
    """Sign as the ninth product does."""
    return {"X-Paint": f"sha256={hexed(body)}"}


def cards(body: bytes, url: str) -> dict[str, str]:
    """Sign as Trello does."""
    return {"X-Trello-Webhook": b64(body + url.encode(), "sha1")}


def pipe(_body: bytes, _url: str) -> dict[str, str]:
    """Prove it as Pipedrive does."""
    return {"Authorization": f"Basic {base64.b64encode(b'pipe:drive').decode()}"}


def tasks(body: bytes, _: str) -> dict[str, str]:
    """Sign as Asana does."""
    return {"X-Hook-Signature": hexed(body)}


def chat(body: bytes, _: str) -> dict[str, str]:
    """Sign as Slack does."""
    stamp = products.now()
    signed = f"v0:{stamp}:".encode() + body
    return {"X-Slack-Signature": f"v0={hexed(signed)}", "X-Slack-Request-Timestamp": stamp}


def lab(_body: bytes, _url: str) -> dict[str, str]:
    """Send along what GitLab was given, and what it is about."""
    return {"X-Gitlab-Token": SECRET, "X-Gitlab-Event": "Issue Hook", "X-Gitlab-Event-UUID": "u1"}


def till(body: bytes, _: str) -> dict[str, str]:
    """Sign with the longest hash."""
    return {"X-Till": hmac.digest(SECRET.encode(), body, "sha512").hex()}


SIGNED: dict[str, tuple[Signs, Any]] = {
    "crm": (products.hubspot, [deal(1)]),
    "pay": (products.stripe, {"id": "evt_1", "data": {"object": {"object": "charge"}}}),
    "shop": (products.square, {"event_id": "e1", "data": {"type": "invoice", "id": "i1"}}),
    "field": (products.jobber, {"data": {"webHookEvent": {"topic": "APP_CONNECT"}}}),
    "ledger": (products.quickbooks, [{"id": "x", "type": "qbo.term.created.v1"}]),
    "own": (products.standard, {"type": "x", "data": {"ref": "1", "word": "begun"}}),
    "paint": (paint, {"batch": {"changes": [{"uid": "a", "canvas": {"number": 1}}]}}),
    "cards": (cards, {"action": {"id": "c1", "data": {"card": {"id": "c"}}}}),
    "pipe": (pipe, {"meta": {"id": "p1"}, "data": {"id": 7}}),
    "tasks": (tasks, {"events": [{"resource": {"gid": "1"}}]}),
    "chat": (chat, b"payload=%7B%22channel%22%3A%7B%22id%22%3A%22C1%22%7D%7D"),
    "lab": (lab, {"project": {"id": 1}}),
    "till": (till, {"event": "e1", "type": "payment", "id": "1"}),
}


@pytest.mark.parametrize("tool", SIGNED)
def test_who_signs_rightly_is_heard(service: Service, tool: str) -> None:
    """Each product's way of signing is believed; one byte more, and nothing is kept of it."""
    signs, content = SIGNED[tool]
    form = {"Content_Type": "application/x-www-form-urlencoded"} if tool == "chat" else {}
    before = heard(service)
    assert sent(service, tool, signs, content, **form).is_success
    assert [name for name, _ in news(service, before)] == [tool]
    if tool in {"pipe", "lab"}:  # which prove who sends, not what
        return
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    before = heard(service)
    answer = sent(service, tool, lambda _, url: signs(body, url), body + b" ", **form)
    assert (answer.status_code, answer.json()["type"]) == (401, "/problems/bad-signature")
    assert not news(service, before)


@pytest.mark.parametrize("tool", [*SIGNED, "boards", "forms", "esign"])
def test_who_does_not_prove_it_is_counted_and_not_heard(service: Service, tool: str) -> None:
    """Without a signature, a token or a secret that is set, nothing is kept; it is counted."""
    pattern = rf'bad_signatures_total{{tool="{tool}"}} ([0-9.]+)'

    def counted() -> float:
        found = re.search(pattern, service.by("nobody").get("/metrics").text)
        return float(found[1]) if found else 0

    before, seen = counted(), heard(service)
    for more in ("", "/not-the-token-that-is-set"):
        answer = sent(service, tool, None, {"event": {"event_hash": "00"}}, more)
        assert (answer.status_code, answer.json()["type"]) == (401, "/problems/bad-signature")
    assert (counted(), heard(service)) == (before + 2, seen)


def test_an_address_that_nobody_can_guess_stands_for_a_signature(service: Service) -> None:
    """Who does not sign at all is believed at the address with the token, which no log holds."""
    content = {"event": {"triggerUuid": "t1", "pulseId": 7, "value": {"label": {"text": "x"}}}}
    before = heard(service)
    assert sent(service, "boards", None, content, f"/{TOKEN}").status_code == 200
    assert news(service, before) == {("boards", "parked"): 1}
    assert TOKEN not in service.said


def published() -> list[dict[str, Any]]:
    """The deliveries that vendors have published with their signatures."""
    if not VECTORS.exists():
        return []
    vectors: list[dict[str, Any]] = json.loads(VECTORS.read_bytes())
    return [one for one in vectors if "body" in one]


OLD_WAYS = {
    "v1": 'signature: {header: X-HubSpot-Signature, mac: digest, signs: "{secret}{body}"}',
    "v2": "signature: {header: X-HubSpot-Signature, mac: digest,"
    ' signs: "{secret}{method}{url}{body}"}',
}


def way(vector: Mapping[str, Any]) -> str:
    """How a published delivery is signed, at the address and the time at which it was."""
    if vector["vendor"] == "hubspot" and vector["scheme"] in OLD_WAYS:
        text = OLD_WAYS[vector["scheme"]]
    else:
        file = DEFINITIONS / "connectors" / f"{vector['vendor']}.yaml"
        text = file.read_text().partition("title:")[2].partition("\n")[2]
    text = re.sub(r"tolerance: .*", "tolerance: 999999 weeks", text)
    return text.replace("{url}", vector.get("url", ""))


@pytest.mark.skipif(not VECTORS.exists(), reason="the published vectors are not here")
def test_what_vendors_have_published_is_believed(folder: Path, tmp_path: Path) -> None:
    """Every published signature holds over HTTP as it stands, and what must not hold does not."""
    made = copytree(folder, tmp_path / "definitions")
    tools = {f"vendor_{index}": vector for index, vector in enumerate(published())}
    known = "".join(f"  {tool}: {{title: V, connector: {tool}}}\n" for tool in tools)
    text = ORDERS.replace("fields:\n", f"{known}fields:\n", 1)
    (made / "orders.yaml").write_text(text, encoding="utf-8")
    for tool, vector in tools.items():
        content = f"connector: {tool}\ntitle: V\n{way(vector)}"
        (made / "connectors" / f"{tool}.yaml").write_text(content, encoding="utf-8")
    secrets = {f"STATEKEEPER_{tool.upper()}_SECRET": v["secret"] for tool, v in tools.items()}
    database = f"sqlite:///{tmp_path}/log.db"
    with running_service(database, tmp_path, definitions=made, environment=secrets) as running:
        for tool, vector in tools.items():
            written = vector.get("expected") or vector["must_fail"]
            headers = {
                "X-HubSpot-Signature": written,
                "X-HubSpot-Signature-v3": written,
                "X-HubSpot-Request-Timestamp": vector.get("timestamp", ""),
                "x-square-hmacsha256-signature": written,
                "webhook-signature": written,
                "webhook-id": vector.get("msg_id", ""),
                "webhook-timestamp": vector.get("timestamp", ""),
            }
            answer = running.by("nobody").post(
                f"/v1/tools/{tool}/webhook", content=vector["body"].encode(), headers=headers
            )
            # HubSpot's example is believed, and then is no JSON.
            readable = 400 if vector["body"].startswith("{'") else 200
            assert answer.status_code == (401 if "must_fail" in vector else readable), vector


def test_both_secrets_hold_while_they_are_rotated(service: Service) -> None:
    """Of several secrets in one variable each is honoured."""
    body = json.dumps({"id": "evt_2", "data": {"object": {"object": "charge"}}}).encode()
    for secret in (SECRET, f"old-{SECRET}", "new-and-unknown"):
        stamp = products.now()
        mac = hexed(f"{stamp}.".encode() + body, secret)
        headers = {"Stripe-Signature": f"t={stamp},v1={mac}"}
        answer = sent(service, "pay", lambda *_, given=headers: given, body)
        assert answer.status_code == (401 if secret.startswith("new") else 200)


# --- how products introduce themselves ----------------------------------------------------------


def test_introductions_are_answered_and_leave_nothing(service: Service) -> None:
    """What a product wants to read back it reads, before anything is signed."""
    before = heard(service)
    hook = sent(service, "tasks", None, b"", X_Hook_Secret="b537207f20cbfa02357cf448134da559e8b")
    assert hook.status_code == 200
    assert hook.headers["x-hook-secret"] == "b537207f20cbfa02357cf448134da559e8b"
    monday = sent(
        service, "boards", None, {"challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7"}
    )
    assert monday.json() == {"challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7"}
    slack = sent(service, "chat", None, {"type": "url_verification", "challenge": "3eZb"})
    assert (slack.text, slack.headers["content-type"]) == ("3eZb", "text/plain; charset=utf-8")
    for asked in ("POST", "GET"):
        path = "/v1/tools/graph/webhook?validationToken=a%20b%3Cscript%3E"
        graph = service.by("nobody").request(asked, path)
        assert (graph.status_code, graph.text) == (200, "a b<script>")
        assert graph.headers["content-type"].startswith("text/plain")
        assert graph.headers["x-content-type-options"] == "nosniff"
    assert service.by("nobody").head("/v1/tools/cards/webhook").status_code == 200
    assert service.by("nobody").get("/v1/tools/cards/webhook").status_code == 405
    assert heard(service) == before


def test_an_introduction_that_is_signed_wrongly_is_none(service: Service) -> None:
    """Who carries a signature has to hold to it, also where something is to be read back."""
    before, challenge = heard(service), {"type": "url_verification", "challenge": "3eZb"}
    right = sent(service, "chat", chat, challenge)
    assert (right.status_code, right.text) == (200, "3eZb")
    wrong = sent(service, "chat", lambda body, url: chat(body + b" ", url), challenge)
    assert (wrong.status_code, wrong.json()["type"]) == (401, "/problems/bad-signature")
    hook = sent(service, "tasks", lambda *_: {"X-Hook-Signature": "00"}, b"", X_Hook_Secret="a")
    assert (hook.status_code, "x-hook-secret" in hook.headers) == (401, False)
    assert sent(service, "boards", None, {"challenge": "3eZb"}, "/not-its-token").status_code == 401
    assert heard(service) == before


def test_xero_is_told_that_we_can_tell(service: Service) -> None:
    """Xero's intent to receive: right signatures are answered 200 and nothing, wrong ones 401."""
    body = {"events": [], "firstEventSequence": 0, "lastEventSequence": 0, "entropy": "QQHZ"}
    right = sent(service, "books", products.xero, body)
    wrong = sent(service, "books", lambda *_: {"x-xero-signature": b64(b"else")}, body)
    assert (right.status_code, right.content, wrong.status_code) == (200, b"", 401)
    assert "set-cookie" not in right.headers


def test_dropbox_sign_reads_its_sentence(service: Service) -> None:
    """JSON in a form is read, its signature in the body, and it is answered as asked."""
    stamp, kind = products.now(), "signature_request_sent"
    event = {
        "event_time": stamp,
        "event_type": kind,
        "event_hash": hexed(f"{stamp}{kind}".encode()),
    }
    said = json.dumps({"event": event, "signature_request": {"signature_request_id": "s1"}})
    body = '--cut\r\nContent-Disposition: form-data; name="json"\r\n\r\n' + said + "\r\n--cut--\r\n"
    answer = sent(
        service, "forms", None, body.encode(), Content_Type="multipart/form-data; boundary=cut"
    )
    assert (answer.status_code, answer.text) == (200, "Hello API Event Received")


# --- what is kept -------------------------------------------------------------------------------


def test_a_delivery_moves_the_order_that_it_is_about(service: Service) -> None:
    """A new product is a new file: its words, money and days are understood, and it is answered."""
    name = linked(service, 100, "paint", "7")
    canvas = {"number": 7, "stage": "framed", "units": 125_000, "unit": "jpy"}
    late = {"uid": "b", "at": 1_777_903_391, "canvas": {**canvas, "starts": "2026-05-11T02:00:00Z"}}
    soon = {"uid": "a", "at": 1_777_903_390_000, "canvas": {"number": 7, "stage": "painted"}}
    before = heard(service)
    answer = sent(service, "paint", paint, {"batch": {"changes": [late, soon]}})
    assert (answer.status_code, answer.text) == (202, "thanks")
    assert news(service, before) == {("paint", "agrees"): 1, ("paint", "applied"): 1}
    assert shown(service, name)["state"] == "done"


def test_one_message_that_nobody_understands_hurts_no_other(service: Service) -> None:
    """Of many messages in a body each has its own outcome; the same body again changes nothing."""
    strange = [{**deal(201), "propertyName": "mood"}, {"objectId": None}, "nonsense", 7, [[]]]
    body = [deal(200, at=n) for n in range(1, 4)] + strange
    before = heard(service)
    assert sent(service, "crm", products.hubspot, body).status_code == 200
    first = news(service, before)
    assert first == {("crm", "applied"): 1, ("crm", "agrees"): 2, ("crm", "parked"): 5}
    before = heard(service)
    again = [{**one, "attemptNumber": 1} if isinstance(one, dict) else one for one in body]
    assert sent(service, "crm", products.hubspot, again).status_code == 200
    assert sum(news(service, before).values()) == len(body)
    assert news(service, before)["crm", "duplicate"] >= 4


def test_kinds_that_nobody_declared_are_kept_apart(service: Service) -> None:
    """Customer 7 is not payment 7: a reference says the kind, and only that record counts."""
    name = linked(service, 460, "till", "7", kind="payment")
    before = heard(service)
    for number, kind in enumerate(("customer", "payment")):
        content = {"event": f"k{number}", "type": kind, "id": "7", "state": "settled"}
        assert sent(service, "till", till, content).is_success
        assert shown(service, name)["state"] == ("new" if kind == "customer" else "done")
    assert news(service, before) == {("till", "parked"): 1, ("till", "applied"): 1}


@pytest.mark.parametrize(
    ("number", "tip", "currency"),
    [(471, "ZZZ", "USD"), (472, 10.5, "USD"), (473, 10, None), (474, 10, "ZZZ")],
)
def test_what_cannot_be_read_is_told(
    service: Service, number: int, tip: Any, currency: str | None
) -> None:
    """Money and times that are no such things are told with the message, and have no effect."""
    name = linked(service, number, "till", f"t{number}", kind="payment")
    says = {"type": "payment", "id": f"t{number}", "tip": tip, "currency": currency}
    before = heard(service)
    content = {"event": f"m{number}", "at": "some time ago", **says}
    assert sent(service, "till", till, content).is_success
    assert news(service, before) == {("till", "applied"): 1}
    staff, items = service.by("staff"), list[Any]()

    def is_listed() -> bool:
        asked = {"tool": "till", "collection": "orders", "id": name}
        items[:] = staff.get("/v1/messages", params=asked).json()["items"]
        return bool(items)

    until(is_listed, "the message is in the list")
    (item,) = items
    assert item["unread"] == ["occurred_at", "fields.tip"]
    assert staff.get(f"/v1/messages/{item['id']}").json()["not_taken"] == {"tip": "invalid"}
    assert "tip" not in shown(service, name)["fields"]
    with service.with_key(None) as window:
        window.post("/sign-in", data={"key": service.keys["staff"]})
        page = window.get("/messages", params={"outcome": "", "tool": "till"})
    assert "Could not be read: occurred at, tip" in page.text


def test_an_id_that_repeats_hides_no_message(service: Service) -> None:
    """What another message says is another message, whatever its product calls it."""
    name = linked(service, 300, "pay", "pi_300", kind="payment_intent")

    def intent(amount: int, created: int) -> dict[str, Any]:
        paid = {"id": "pi_300", "object": "payment_intent", "status": "succeeded"}
        received = {"amount_received": amount, "currency": "usd"}
        return {"id": "evt_same", "created": created, "data": {"object": {**paid, **received}}}

    before = heard(service)
    for amount in (100, 200, 200):
        assert sent(service, "pay", products.stripe, intent(amount, amount)).status_code == 200
    assert ("pay", "duplicate") in news(service, before)
    assert sum(news(service, before).values()) == 3
    assert shown(service, name)["state"] == "new"


@pytest.mark.parametrize(
    ("tool", "body"), [("crm", b""), ("crm", b" \n"), ("crm", b"[]"), ("books", b'{"events": []}')]
)
def test_a_delivery_without_a_message_is_counted(service: Service, tool: str, body: bytes) -> None:
    """What is rightly signed and says nothing is answered, and is one message that says nothing."""
    before = heard(service)
    signs: Signs = products.hubspot if tool == "crm" else products.xero
    assert sent(service, tool, signs, body).is_success
    assert news(service, before) == {(tool, "ignored"): 1}


@pytest.mark.parametrize(("length", "kept"), [(5_000, 5_000), (10_000, 10_000), (10_001, 0)])
def test_a_long_word_is_kept_and_parked(service: Service, length: int, kept: int) -> None:
    """A word that nobody has declared waits for somebody to look at it, however long it is."""
    name = linked(service, 450 + kept // 1000 + length % 2, "paint", f"long-{length}")
    canvas = {"number": f"long-{length}", "stage": "x" * length}
    content = {"batch": {"changes": [{"uid": f"l{length}", "canvas": canvas}]}}
    before = heard(service)
    assert sent(service, "paint", paint, content).is_success
    assert news(service, before) == {("paint", "parked"): 1}
    staff = service.by("staff")
    last = staff.get("/v1/events?limit=1").headers["statekeeper-position"]
    asked: dict[str, Any] = {
        "params": {"collection": "orders", "id": name, "outcome": "parked"},
        "headers": {"Statekeeper-Position": last},
    }
    (item,) = staff.get("/v1/messages", **asked).json()["items"]
    assert (item["why"], item["word"]) == ("unknown-word", "x" * kept)
    whole = staff.get(f"/v1/messages/{item['id']}").json()
    assert whole["unread"] == ([] if kept else ["word"])
    assert b"x" * length in base64.b64decode(whole["raw"])


def test_without_a_connector_a_report_is_sent(service: Service) -> None:
    """Who has no connector signs by Standard Webhooks and says in `data` what it sees."""
    name = linked(service, 400, "own", "w-1")
    data = {"collection": "orders", "ref": "w-1", "word": "over", "status_field": "stage"}
    assert sent(service, "own", products.standard, {"type": "x", "data": data}).status_code == 200
    assert shown(service, name)["state"] == "done"
    before = heard(service)
    for said in ({"id": name, "word": "over"}, {"id": "no-such", "word": "over"}, {}, None):
        body = {"type": "x", "data": said}
        assert sent(service, "own", products.standard, body).status_code == 200
    assert news(service, before) == {("own", "agrees"): 1, ("own", "parked"): 3}


def test_the_built_in_way_is_the_file() -> None:
    """A tool without a connector speaks as the shipped file says."""
    file = DEFINITIONS / "connectors" / "standard_webhooks.yaml"
    assert read_connector(file.read_bytes(), file.name)[0] == STANDARD


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"{", {}, 400, "malformed-request"),
        (b"[" * 100_000, {}, 400, "malformed-request"),
        (b" " * (2**20 + 1), {}, 413, "body-too-large"),
        (COMPRESSED, {"Content_Encoding": "gzip"}, 415, "unsupported-media-type"),
    ],
)
def test_what_cannot_be_read_is_refused(
    service: Service, content: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    """A body that is none, too long, too deep or compressed is refused, rightly signed or not."""
    answer = sent(service, "crm", products.hubspot, content, **headers)
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{code}")


def test_a_tool_that_is_not_there_is_not_heard(service: Service) -> None:
    """An address without a tool behind it is a problem of its own, and counts for nobody."""
    answer = sent(service, "fax", products.hubspot, [])
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/unknown-tool")
    assert 'tool="fax"' not in service.by("nobody").get("/metrics").text


def test_the_public_address_is_the_one_that_is_signed(folder: Path, tmp_path: Path) -> None:
    """Behind a proxy the address that the product was given counts, not the one that arrives."""
    public = {"STATEKEEPER_PUBLIC_URL": "https://keeper.example.com/firm/"}
    database = f"sqlite:///{tmp_path}/log.db"
    with running_service(
        database, tmp_path, definitions=folder, environment=environment() | public
    ) as running:
        body, path = json.dumps([deal(1)]).encode(), "/v1/tools/crm/webhook?a=b%20c"
        for base, status in (("https://keeper.example.com/firm", 200), (running.url, 401)):
            headers = products.hubspot(body, f"{base}{path}")
            answer = running.by("nobody").post(path, content=body, headers=headers)
            assert answer.status_code == status


# --- a tool in two lifecycles -------------------------------------------------------------------

PEOPLE = """\
lifecycle: a_people
version: 1
title: Person
collection: people
tools:
  crm: {title: HubSpot, connector: hubspot, kinds: [contact], record_for: [sales]}
  esign: {title: DocuSign, connector: docusign, kinds: [envelope], record_for: [papers]}
fields:
  signed_at: {type: datetime, owner: papers}
states:
  known: {title: Known, owner: sales, initial: true}
  signed: {title: Signed, owner: papers, final: true}
transitions:
  - {name: sign, from: known, to: signed}
words:
  esign: {status: {known: sent, signed: completed}}
  crm: {lifecyclestage: {known: lead, signed: customer}}
"""


def envelope(name: str, status: str = "completed") -> dict[str, Any]:
    """Build what DocuSign sends of an envelope, to its documented shape."""
    at = "2026-05-04T14:03:10.447Z"
    summary = {"status": status, "statusChangedDateTime": at, "completedDateTime": at}
    data = {"envelopeId": name, "envelopeSummary": summary}
    return {"event": f"envelope-{status}", "generatedDateTime": at, "data": data}


def test_a_message_finds_its_lifecycle(
    folder: Path, new_database: NewDatabase, tmp_path: Path
) -> None:
    """Who holds the record decides; else who opens at the word; else who knows the kind."""
    made = copytree(folder, tmp_path / "definitions")
    text = ORDERS.replace(
        "words:\n", "words:\n  esign: {status: {new: sent, done: completed}}\n", 1
    )
    text = text.replace("by: [work, paint, own, till]", "by: [work, esign]")
    (made / "orders.yaml").write_text(text, encoding="utf-8")
    (made / "a_people.yaml").write_text(PEOPLE, encoding="utf-8")
    held = environment() | {"STATEKEEPER_ESIGN_SECRET": SECRET}
    with running_service(new_database(), tmp_path, definitions=made, environment=held) as running:
        # It opens an order, though people come first and know no deals.
        assert sent(running, "crm", products.hubspot, [deal(1)]).status_code == 200
        order = opened(running, 1)["id"]
        began = {"occurred_at": "2026-05-01T08:00:00Z"}
        # Both know envelopes, and nobody this one: whoever comes to hold it decides.
        for name in ("e-order", "e-person"):
            assert sent(running, "esign", products.docusign, envelope(name)).status_code == 200
        assert heard(running)["esign", "parked"] == 2
        person = running.by("crm").post("/v1/people", json=began).json()["id"]
        for path, name in ((f"orders/{order}", "e-order"), (f"people/{person}", "e-person")):
            link = running.by("esign").put(f"/v1/{path}/references/esign", json={"ref": name})
            assert link.status_code == 200, link.text
        ended = running.by("staff").get(f"/v1/people/{person}").json()
        assert (ended["state"], ended["fields"]["signed_at"]) == (
            "signed",
            "2026-05-04T14:03:10.447Z",
        )
        assert shown(running, order)["state"] == "done"
        # What is held already needs no looking for, and is the same message once more.
        assert sent(running, "esign", products.docusign, envelope("e-person")).status_code == 200
        assert heard(running)["esign", "duplicate"] == 1


# --- records that are only named ----------------------------------------------------------------


@pytest.fixture
def product() -> Iterator[Product]:
    """The product that is asked for its records."""
    with running_product() as running:
        yield running


@contextmanager
def asking_at(product: Product, folder: Path, database: str, place: Path) -> Iterator[Service]:
    """Run a service that asks the product for its records."""
    made = copytree(folder, place / "definitions")
    for name, address in (
        ("jobber", "https://api.getjobber.com"),
        ("xero", "https://api.xero.com"),
    ):
        file = made / "connectors" / f"{name}.yaml"
        file.write_text(file.read_text().replace(address, product.url))
    tokens = {"STATEKEEPER_FIELD_TOKEN": "a-token-of-ours", "JOBBER_GRAPHQL_VERSION": "2025-01-20"}
    with running_service(
        database, place, definitions=made, environment=environment() | tokens
    ) as running:
        yield running


@pytest.fixture
def asking(
    product: Product, folder: Path, new_sqlite: NewDatabase, tmp_path: Path
) -> Iterator[Service]:
    """A service that asks the product, where the database makes no difference."""
    with asking_at(product, folder, new_sqlite(), tmp_path) as running:
        yield running


def job(item: str, at: str = "2026-05-04T08:03:11-06:00") -> dict[str, Any]:
    """Build what Jobber sends of a job, to its documented shape."""
    event = {"topic": "JOB_UPDATE", "accountId": "MQ==", "itemId": item, "occurredAt": at}
    return {"data": {"webHookEvent": event}}


def test_a_record_that_comes_in_time_is_in_the_answer(asking: Service, product: Product) -> None:
    """Jobber is asked by GraphQL with the tool's token, and the job is moved before the answer."""
    name = linked(asking, 1, "field", 'Sm9i"Lzc=')
    product.records['Sm9i"Lzc='] = {"jobStatus": "archived", "startAt": "2026-05-11T15:00:00Z"}
    assert sent(asking, "field", products.jobber, job('Sm9i"Lzc=')).status_code == 200
    assert shown(asking, name)["state"] == "done"
    ((path, headers, _),) = product.asked
    assert (path, headers["Authorization"]) == ("/api/graphql", "Bearer a-token-of-ours")
    assert sent(asking, "field", products.jobber, job('Sm9i"Lzc=')).status_code == 200
    assert len(product.asked) == 1
    assert heard(asking)["field", "duplicate"] == 1


def test_what_is_logged_is_one_object_a_line(asking: Service, product: Product) -> None:
    """Also what libraries say; the address that was asked, and what stands in it, is not told."""
    linked(asking, 1, "field", "J1")
    product.records["J1"] = {"jobStatus": "active"}
    assert sent(asking, "field", products.jobber, job("J1")).status_code == 200
    assert sent(asking, "field", None, job("J1"), "?secret=s3cret").status_code == 401
    assert product.asked
    printed = ("Statekeeper", "First run", "Try", "  ")
    lines = [one for one in asking.said.splitlines() if one and not one.startswith(printed)]
    said = [json.loads(line) for line in lines]
    assert "bad signature" in [one["event"] for one in said]
    assert not [line for line in lines if product.url in line or "s3cret" in line]


def test_a_slow_product_keeps_nobody_waiting(asking: Service, product: Product) -> None:
    """What is not told in time is kept at once, and decided when the record comes."""
    name = linked(asking, 1, "field", "J7")
    product.records["J7"], product.waits_seconds = {"jobStatus": "archived"}, 1.5
    answer = sent(asking, "field", products.jobber, job("J7"))
    assert answer.status_code == 200
    assert answer.elapsed.total_seconds() < 1.2
    assert heard(asking)["field", "parked"] == 1
    assert shown(asking, name)["state"] == "new"
    until(lambda: shown(asking, name)["state"] == "done", "the record came after all")
    assert sum(n for (tool, _), n in heard(asking).items() if tool == "field") == 1


def test_what_a_body_says_twice_is_asked_for_once(asking: Service, product: Product) -> None:
    """The same message standing twice in one body is one question, and one message."""
    product.records["/api.xro/2.0/Invoices/i-1"] = {"Invoices": [{"Status": "PAID"}]}
    said = {
        "tenantId": "t-1",
        "resourceId": "i-1",
        "eventCategory": "INVOICE",
        "eventType": "UPDATE",
        "eventDateUtc": "2026-05-04T08:03:11.000",
    }
    before = heard(asking)
    assert sent(asking, "books", products.xero, {"events": [said, said]}).status_code == 200
    assert [path for path, _, _ in product.asked] == ["/api.xro/2.0/Invoices/i-1"]
    assert news(asking, before) == {("books", "parked"): 1, ("books", "duplicate"): 1}


def test_what_waits_for_its_record_outlives_the_service(asking: Service, product: Product) -> None:
    """A message without its record is asked for again by the next process."""
    name = linked(asking, 1, "field", "J7")
    product.status = 500
    assert sent(asking, "field", products.jobber, job("J7")).status_code == 200
    asking.kill()
    product.records["J7"], product.status = {"jobStatus": "archived"}, 200
    asking.start()
    until(lambda: shown(asking, name)["state"] == "done", "the record was fetched")
    asking.kill()
    lifecycles = load(asking._definitions, {}).lifecycles
    journal = open_journal(asking.database, lifecycles, None)
    store = open_store(asking.database, lifecycles)
    try:
        report = verify(journal, store, lambda _done, _total: None)
    finally:
        store.close()
        journal.stop()
        journal.recorder.close()
    assert not report.problems


def test_what_a_product_answers_is_bounded(asking: Service, product: Product) -> None:
    """Redirects are not followed, long answers not read, and a record that is gone says nothing."""
    linked(asking, 1, "field", "J7")
    whole = {"jobStatus": "archived"}
    ways: dict[str, tuple[int, dict[str, str], Any]] = {
        "redirects": (302, {"Location": f"{product.url}/elsewhere"}, whole),
        "too much": (200, {}, {**whole, "more": "x" * 2**20}),
        "compressed": (200, {"Content-Encoding": "gzip"}, whole),
        "errors": (200, {}, {"errors": ["throttled"]}),
        "gone": (404, {}, whole),
    }
    for hour, (how, (status, headers, record)) in enumerate(ways.items(), 1):
        product.status, product.headers, product.records["J7"] = status, headers, record
        if how == "errors":
            product.records, product.whole = {}, record
        before = heard(asking)
        at = f"2026-05-04T{hour:02}:03:11Z"
        assert sent(asking, "field", products.jobber, job("J7", at)).status_code == 200
        assert news(asking, before) == {("field", "ignored" if how == "gone" else "parked"): 1}, how
        product.whole = None
    assert {path for path, _, _ in product.asked} == {"/api/graphql"}
    assert "a-token-of-ours" not in asking.said


# --- what came ----------------------------------------------------------------------------------


def test_what_came_is_kept_sealed_until_the_order_is_erased(
    folder: Path, new_database: NewDatabase, tmp_path: Path
) -> None:
    """The bytes stand in no clear text in the log, can be read, and are gone with the case."""
    database = new_database()
    with running_service(
        database, tmp_path, definitions=folder, environment=environment()
    ) as running:
        name = linked(running, 1, "own", "w-1")
        data = {"ref": "w-1", "word": "begun", "fields": {"note": "a private word"}}
        sent(running, "own", products.standard, {"type": "one", "data": data})
        sent(running, "own", products.standard, {"type": "two", "data": {**data, "ref": "w-2"}})
        before = kept(database, folder)
        erased = running.by("staff").post(f"/v1/orders/{name}/erase", json={"reason": "asked"})
        assert erased.status_code == 200
    assert [b"private" in raw for raw in before if raw and b'"type"' in raw] == [True, True]
    after = [raw for raw in kept(database, folder) if raw]
    assert len(after) == 1
    assert b'"two"' in after[0]


def kept(database: str, folder: Path) -> list[bytes | None]:
    """What came of each message, as far as it can be read; none of it stands in clear text."""
    journal = open_journal(database, load(folder, {}).lifecycles, None)
    try:
        stored = [one for one in journal.recorder.tail(0) if one.topic == Heard.TOPIC]
        assert not any(b"private" in one.state for one in stored)
        return [journal.mapper.raw(one) for one in stored]
    finally:
        journal.stop()
        journal.recorder.close()
