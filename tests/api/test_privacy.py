"""What no tool is shown: the personal values of others, wherever its key lets it look."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx

from api.asking import hidden_from
from lifecycle.events import Asker
from projections.wording import is_hidden
from tests.databases import NewDatabase
from tests.projections.stories import lifecycles
from tests.running import Service, running_service, until

JOB = "J-1"
NAMES = ("Zephyrine", "Aurelia")
"""What the customer was called before, and is called."""
EMAIL = "quill.example"
SAID = "Balthazar"
"""What the books say that the customer is called."""
NEVER_ITS_OWN = {
    "crm": (SAID,),
    "accounting": (*NAMES, EMAIL, SAID),
    "projects": (*NAMES, SAID),
}
"""Tool → the personal values that it neither owns nor reads."""
ITS_OWN_WORDS = {
    ("accounting", "/v1/drift"): (SAID,),
    ("accounting", "/v1/messages/{message}"): (SAID,),
    ("accounting", "/v1/notices/{notice}"): (*NAMES, EMAIL),
}
"""Where a tool reads what it said itself, or what a request told it."""
ENOUGH = 30
"""Events that are shown by the end of the walk, at least."""


def test_no_tool_reads_what_is_personal_and_not_its_own(service: Service) -> None:
    """A tool sees personal values that it owns or reads, and what it said or was told itself."""
    walk(service)
    shown = [(tool, *answer) for tool in NEVER_ITS_OWN for answer in all_it_may_read(service, tool)]

    leaks = [
        (tool, path, value)
        for tool, operation, path, text in shown
        for value in NEVER_ITS_OWN[tool]
        if value in text and value not in ITS_OWN_WORDS.get((tool, operation), ())
    ]
    assert not leaks
    assert any(EMAIL in text for tool, *_, text in shown if tool == "projects")
    assert any(NAMES[1] in text for tool, *_, text in shown if tool == "crm")


def test_a_field_that_is_declared_no_more_is_shown_to_no_tool(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """What was personal stays so after its field has left the definition: staff alone read it."""
    database, definitions = new_database(), tmp_path / "definitions"
    definitions.mkdir()
    with declared(definitions, database, tmp_path, FIRST) as service:
        opened = {"id": JOB, "fields": {"nickname": NAMES[0]}}
        done(service.by("shop").post("/v1/orders", json=opened))
        done(service.by("shop").patch(f"/v1/orders/{JOB}/fields", json={"nickname": None}))
        keys = service.keys
    history = f"/v1/orders/{JOB}/history"
    paths = (history, f"/v1/orders/{JOB}?version=1", f"/v1/orders/{JOB}/why", "/v1/events")
    with (
        declared(definitions, database, tmp_path, SECOND) as service,
        service.with_key(keys["staff"]) as staff,
        service.with_key(keys["shop"]) as shop,
    ):
        assert NAMES[0] in staff.get(history).text
        for path in paths:
            assert NAMES[0] not in done(shop.get(path)).text, path


def test_where_nobody_says_what_is_personal_a_tool_is_shown_no_value() -> None:
    """Without a lifecycle everything may have been personal; a stranger to one reads no more."""
    jobs = lifecycles()["field_service"]
    for asker, sees in ((Asker(staff="Ann"), True), (Asker(tool="crm"), False)):
        assert is_hidden("email", hidden_from(asker, None), None) is not sees
    for tool, sees in (("crm", True), ("accounting", False), ("fax", False)):
        assert is_hidden("email", hidden_from(Asker(tool=tool), jobs), jobs) is not sees


def walk(service: Service) -> None:
    """A job goes its whole way, with all that tools say wrong, are refused and are told."""
    crm, books, projects, staff = map(service.by, ("crm", "accounting", "projects", "staff"))
    fields = {"customer_name": f"{NAMES[0]} Quill", "email": f"z@{EMAIL}", "scope": "Fence"}
    references = {"crm": "D-1", "accounting": "I-1", "projects": "P-1"}
    opened = {"id": JOB, "fields": fields, "references": references}
    done(crm.post("/v1/jobs", json=opened))
    done(crm.patch(f"/v1/jobs/{JOB}/fields", json={"customer_name": f"{NAMES[1]} Quill"}))
    for tool, client in (("accounting", books), ("projects", projects)):
        said = {"customer_name": f"{SAID} Quill", "email": f"b@{SAID}.example"}
        report = {"collection": "jobs", "ref": references[tool], "fields": said}
        if tool == "accounting":
            done(client.post(f"/v1/tools/{tool}/reports", json=report))
        unknown = {**report, "ref": "nobody-knows", "fields": {}}
        done(client.post(f"/v1/tools/{tool}/reports", json=unknown))
        client.patch(f"/v1/jobs/{JOB}/fields", json={"email": "x@y.example"})
    books.post(f"/v1/jobs/{JOB}/transitions", json={"transition": "confirm_deposit"})
    paid = {"deposit_due": "5.00 USD", "deposit_paid": "5.00 USD"}
    done(books.patch(f"/v1/jobs/{JOB}/fields", json=paid))
    for transition, known in (("schedule", {"scheduled_for": "2026-05-11"}), ("complete", {})):
        move = {"transition": transition, "fields": known}
        done(projects.post(f"/v1/jobs/{JOB}/transitions", json=move))
    done(staff.patch(f"/v1/jobs/{JOB}/fields?reason=asked", json={"email": f"new@{EMAIL}"}))
    until(lambda: len(staff.get("/v1/drift").json()["items"]) > 1, "the differences are listed")
    found = done(staff.get("/v1/drift", params={"tool": "accounting"})).json()["items"]
    dismiss = {"how": "dismiss", "reason": "a trade name"}
    done(staff.post(f"/v1/drift/{found[0]['id']}/resolve", json=dismiss))
    moved = {"transition": "invoice", "fields": {"invoice_no": "130"}}
    done(books.post(f"/v1/jobs/{JOB}/transitions", json=moved))
    events = "/v1/events?limit=500"
    until(lambda: len(staff.get(events).json()["items"]) >= ENOUGH, "all of it is shown")


def all_it_may_read(service: Service, tool: str) -> Iterator[tuple[str, str, str]]:
    """Each operation that reads, its path and what it answers the tool; also what is live."""
    client = service.by(tool)
    described = client.get("/schema/openapi.json").json()["paths"]
    for operation, methods in described.items():
        if "get" not in methods or not operation.startswith("/v1/") or "stream" in operation:
            continue
        for path in paths_of(operation, client, tool):
            answer = client.get(path)
            assert answer.status_code in {200, 403, 404}, (path, answer.text)
            yield operation, path, answer.text
    params: dict[str, Any] = {"after": 0}
    with client.stream("GET", "/v1/events/stream", params=params) as live:
        said = ""
        for line in live.iter_lines():
            said += line
            if said.count("data: ") >= ENOUGH // 2:
                break
    yield "/v1/events/stream", "/v1/events/stream", said


def paths_of(operation: str, client: httpx.Client, tool: str) -> list[str]:
    """The addresses of an operation for the job and all that is about it."""
    references = {"crm": "D-1", "accounting": "I-1", "projects": "P-1"}
    path = operation.replace("{collection}", "jobs").replace("{tool}", tool)
    path = path.replace("{ref}", references[tool]).replace("{name}", "field_service")
    if operation == "/v1/{collection}/{id}":
        last = client.get(f"/v1/jobs/{JOB}").json()["version"]
        return [f"/v1/jobs/{JOB}?version={version}" for version in range(1, last + 1)]
    path = path.replace("{id}", JOB)
    for kind in ("message", "notice"):
        if f"{{{kind}}}" in path:
            listed = client.get(f"/v1/{kind}s?limit=500").json()["items"]
            return [path.replace(f"{{{kind}}}", one["id"]) for one in listed]
    if path == "/v1/jobs":
        return [path, f"{path}?q={NAMES[1]}", f"{path}?q={EMAIL}"]
    if path == "/v1/drift":
        return [path, f"{path}?state=dismissed", f"{path}?state=resolved"]
    return [f"{path}?limit=500" if path == "/v1/events" else path]


def done(answer: httpx.Response) -> httpx.Response:
    assert answer.is_success, answer.text
    return answer


def declared(
    definitions: Path, database: str, folder: Path, text: str
) -> AbstractContextManager[Service]:
    """Run a service over a definition of the test's own."""
    (definitions / "orders.yaml").write_text(text)
    return running_service(database, folder, definitions=definitions)


FIRST = """
lifecycle: orders
version: 1
title: Order
collection: orders
tools:
  shop: {title: Shop}
  depot: {title: Depot}
fields:
  nickname: {type: text, owner: shop, personal: true}
states:
  placed: {title: Placed, owner: shop, initial: true}
  sent: {title: Sent, owner: shop, final: true}
transitions:
  - {name: send, from: placed, to: sent}
"""
SECOND = FIRST.replace("version: 1", "version: 2").replace(
    "nickname: {type: text, owner: shop, personal: true}", "note: {type: text, owner: shop}"
)
