"""A job's walk through the whole API, refusals included: where the document's examples come from.

`python -m tests.api.walk` walks it and keeps what was answered in `api/examples.json`;
`test_openapi.py` walks it again and holds what is kept against it.
"""

import re
import tempfile
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from hmac import digest
from pathlib import Path
from typing import Any

import httpx
import msgspec
from msgspec import Struct

from api.app import OPERATIONS
from api.examples import KEPT, Exchange
from api.openapi import DRIFT, MESSAGE, NOTICE
from tests.running import ROOT, issue_key, running_service

ASKERS = ("crm", "accounting", "projects", "esign")
JOB = "/v1/jobs/J-1042"
JSON_TYPES = ("application/json", "application/problem+json")


class Step(Struct, frozen=True):
    """One request of the walk, and the status that it has to get."""

    status: int
    by: str
    """A tool, `staff`, or nobody."""
    asked: str
    """Method and address."""
    body: Any = None
    """JSON, or lines; bytes are sent as they are, and not kept."""
    headers: Mapping[str, str] = {}


BOOKS_SECRET = "verifier-token-of-the-books"
BOOKS_SIGNED = {
    "intuit-signature": b64encode(digest(BOOKS_SECRET.encode(), b"[]", "sha256")).decode()
}
SECRETS = {"STATEKEEPER_ACCOUNTING_SECRET": BOOKS_SECRET}
"""What the walk's service has to have in its environment."""

WALK: Sequence[Step] = (
    # A job is quoted.
    Step(
        201,
        "crm",
        "POST /v1/jobs",
        {
            "id": "J-1042",
            "fields": {"customer_name": "Harbour Bakery", "email": "orders@harbour-bakery.example"},
            "references": {"crm": "9876543"},
        },
        {"Idempotency-Key": "deal-9876543-won"},
    ),
    Step(409, "crm", "POST /v1/jobs", {"id": "J-1042"}),
    Step(409, "crm", "POST /v1/jobs", {"id": "J-1043", "references": {"crm": "9876543"}}),
    Step(422, "crm", "POST /v1/jobs", {"id": "J-2000"}, {"Idempotency-Key": "deal-9876543-won"}),
    Step(404, "crm", "POST /v1/yachts", {"id": "Y-1"}),
    Step(200, "crm", f"GET {JOB}"),
    # Its tools are told; what a person carries is ticked off.
    Step(200, "crm", "GET /v1/notices?limit=1"),
    Step(200, "staff", f"GET /v1/notices/{NOTICE}"),
    Step(404, "projects", f"GET /v1/notices/{NOTICE}"),
    Step(200, "staff", f"POST /v1/notices/{NOTICE}/retry", {"reason": "They are back."}),
    Step(200, "staff", f"POST /v1/notices/{NOTICE}/delivered", {"reason": "By telephone."}),
    Step(
        200,
        "staff",
        "POST /v1/notices/recover",
        {"state": "waiting", "tool": "projects", "plan": True},
    ),
    Step(200, "staff", "POST /v1/notices/recover", {"state": "missing", "plan": True}),
    # Money comes, in two parts; the second covers the deposit and moves the job by itself.
    Step(200, "accounting", f"PATCH {JOB}/fields", {"deposit_due": "500.00 USD"}),
    Step(200, "accounting", f"PATCH {JOB}/fields", {"deposit_paid": "200.00 USD"}),
    Step(409, "accounting", f"POST {JOB}/transitions", {"transition": "confirm_deposit"}),
    Step(422, "accounting", f"PATCH {JOB}/fields", {"deposit_paid": "-3 USD", "colour": "red"}),
    Step(
        200,
        "accounting",
        f"PATCH {JOB}/fields",
        {"deposit_due": "500.00 USD", "deposit_paid": "500.00 USD"},
    ),
    # The crew plans it; what is not theirs, not open or not complete is refused.
    Step(422, "projects", f"POST {JOB}/transitions", {"transition": "schedule"}),
    Step(
        403,
        "crm",
        f"POST {JOB}/transitions",
        {"transition": "schedule", "fields": {"scheduled_for": "2026-05-11"}},
    ),
    Step(409, "projects", f"POST {JOB}/transitions", {"transition": "complete"}),
    Step(422, "projects", f"POST {JOB}/transitions", {"transition": "teleport"}),
    Step(422, "staff", f"POST {JOB}/transitions", {"transition": "cancel"}),
    Step(412, "projects", f"POST {JOB}/transitions", {"transition": "cancel"}, {"If-Match": '"1"'}),
    Step(
        201,
        "projects",
        f"POST {JOB}/transitions",
        {"transition": "schedule", "fields": {"scheduled_for": "2026-05-11"}},
        {"Idempotency-Key": "visit-5521-planned", "If-Match": '"5"'},
    ),
    Step(200, "projects", f"GET {JOB}/transitions"),
    # The tools say what they see.
    Step(
        200,
        "projects",
        "POST /v1/tools/projects/reports",
        {"collection": "jobs", "id": "J-1042", "word": "upcoming", "event_id": "visit-5521"},
        {"Idempotency-Key": "visit-5521-reported"},
    ),
    Step(
        200,
        "crm",
        "POST /v1/tools/crm/reports",
        {
            "collection": "jobs",
            "ref": "9876543",
            "status_field": "dealstage",
            "word": "presentationscheduled",
            "fields": {"email": "office@harbour-bakery.example", "invoice_no": "144"},
            "event_id": "deal-9876543-7",
        },
    ),
    Step(
        403,
        "crm",
        "POST /v1/tools/projects/reports",
        {"collection": "jobs", "id": "J-1042", "word": "today"},
    ),
    # All of it is kept; where a tool differs somebody settles that.
    Step(200, "crm", "GET /v1/messages?outcome=drift"),
    Step(200, "staff", f"GET /v1/messages/{MESSAGE}"),
    Step(200, "crm", f"POST /v1/messages/{MESSAGE}/retry", {}),
    Step(200, "staff", "POST /v1/messages/retry", {"tool": "crm", "reason": "It was mended."}),
    Step(200, "staff", "GET /v1/drift"),
    Step(200, "staff", "POST /v1/drift/resolve", {"how": "dismiss", "tool": "crm", "plan": True}),
    Step(
        200,
        "staff",
        f"POST /v1/drift/{DRIFT}/resolve",
        {"how": "dismiss", "reason": "They number their own.", "until": "2100-01-01T00:00:00Z"},
    ),
    # A product sends by itself: nothing new, but rightly signed; and something that nobody signed.
    Step(200, "", "POST /v1/tools/accounting/webhook", [], BOOKS_SIGNED),
    Step(200, "", "POST /v1/tools/accounting/webhook/3f9c0d7e5a1b4c68", [], BOOKS_SIGNED),
    Step(401, "", "POST /v1/tools/accounting/webhook", []),
    # The books name it.
    Step(200, "accounting", f"PUT {JOB}/references/accounting", {"ref": "144", "kind": "invoice"}),
    Step(200, "accounting", f"DELETE {JOB}/references/accounting?kind=invoice&ref=144"),
    Step(404, "accounting", f"DELETE {JOB}/references/accounting?kind=invoice&ref=144"),
    Step(404, "projects", f"PUT {JOB}/references/fax", {"ref": "144"}),
    # Somebody asks.
    Step(200, "crm", "GET /v1/tools/crm/jobs/9876543"),
    Step(200, "staff", f"GET {JOB}/history"),
    Step(200, "staff", f"GET {JOB}/why"),
    Step(404, "staff", f"GET {JOB}?version=99"),
    Step(404, "staff", "GET /v1/jobs/J-9999"),
    Step(403, "esign", f"GET {JOB}"),
    # Staff put right what went unsaid, and forget what is not to be kept.
    Step(
        200,
        "staff",
        f"POST {JOB}/corrections",
        {"state": "completed", "reason": "The crew finished on Friday and did not say so."},
    ),
    Step(403, "crm", f"POST {JOB}/corrections", {"state": "completed"}),
    Step(200, "staff", f"POST {JOB}/erase", {"reason": "The customer asked for it."}),
    # Many at once, each line on its own.
    Step(
        200,
        "crm",
        "POST /v1/jobs/import",
        '{"do": "open", "id": "J-0007"}\n'
        '{"do": "transition", "id": "J-0007", "transition": "bill"}\n',
        {"Content-Type": "application/x-ndjson"},
    ),
    # What there is.
    Step(200, "staff", "GET /v1/jobs?state=completed"),
    Step(200, "staff", "GET /v1/events?limit=2"),
    # What governs all this.
    Step(200, "crm", "GET /v1/lifecycles"),
    Step(200, "crm", "GET /v1/lifecycles/field_service"),
    Step(200, "crm", "GET /v1/lifecycles/field_service.mermaid"),
    Step(200, "crm", "GET /v1/lifecycles/field_service.svg"),
    # What cannot be read at all.
    Step(400, "crm", "POST /v1/jobs", b'{"id": "J-1044"'),
    Step(413, "crm", "POST /v1/jobs", b" " * (2**20 + 1)),
    Step(415, "crm", "POST /v1/jobs", b"id: J-1044", {"Content-Type": "application/yaml"}),
    Step(404, "crm", "GET /v1/jobs/J-1042/weather"),
    Step(405, "crm", "DELETE /v1/jobs/J-1042"),
    Step(401, "", f"GET {JOB}"),
    Step(503, "crm", f"GET {JOB}", headers={"Statekeeper-Position": "999999999"}),
)


class Names:
    """What notices are called, which says when they became due, under names that stay the same."""

    def __init__(self) -> None:
        """Know none yet; the first one that is met is the walk's own."""
        self._kept: dict[str, str] = {}

    def kept(self, text: str) -> str:
        """An answer, with the names that are kept."""
        return re.sub(r"ntc_[0-9a-f]{26}", lambda found: self._name(found[0]), text)

    def told(self, address: str) -> str:
        """An address, with the names that the service knows."""
        for name, kept in self._kept.items():
            address = address.replace(kept, name)
        return address

    def _name(self, name: str) -> str:
        return self._kept.setdefault(name, f"ntc_{len(self._kept):026x}" if self._kept else NOTICE)


def walk(url: str, keys: Mapping[str, str]) -> Iterator[Exchange]:
    """Walk it on a fresh service; every answer has to have the status that the walk expects."""
    with httpx.Client(base_url=url, timeout=20) as client:
        seen: dict[str, str] = {}
        notices = Names()
        for step in WALK:
            method, _, address = step.asked.partition(" ")
            answer = client.request(
                method,
                notices.told(address),
                content=_sent(step.body),
                headers={"Content-Type": "application/json", **seen, **step.headers}
                | ({"Authorization": f"Bearer {keys[step.by]}"} if step.by else {}),
            )
            assert answer.status_code == step.status, (step, answer.status_code, answer.text)
            seen = {"Statekeeper-Position": answer.headers["statekeeper-position"]}
            yield Exchange(
                operation=operation_at(method, address),
                method=method,
                address=address,
                headers=dict(step.headers),
                body=None if isinstance(step.body, bytes) else step.body,
                status=answer.status_code,
                media_type=answer.headers["content-type"].partition(";")[0],
                answer=_read(answer, notices),
            )


def walked(database: str, folder: Path) -> list[Exchange]:
    """Walk it on a service of its own."""
    with running_service(database, folder, environment=SECRETS) as service:
        keys = {tool: issue_key(database, tool=tool).key for tool in ASKERS}
        keys["staff"] = issue_key(database, staff="Office").key
        return list(walk(service.url, keys))


def operation_at(method: str, address: str) -> str:
    """Name the operation at an address as the document does; empty where there is none."""
    parts = address.partition("?")[0].split("/")
    names = [
        f"{one.method} {path}"
        for one in OPERATIONS
        for path in (one.path, *(one.path + form.suffix for form in one.forms))
        if one.method == method and _fits(path.split("/"), parts)
    ]
    return min(names, key=lambda name: (name.count("{"), -len(name)), default="")


def _fits(pattern: Sequence[str], parts: Sequence[str]) -> bool:
    return len(pattern) == len(parts) and all(
        part.endswith(one.partition("}")[2]) if "{" in one else one == part
        for one, part in zip(pattern, parts, strict=True)
    )


def _sent(body: object) -> bytes | str | None:
    return body if isinstance(body, bytes | str | None) else msgspec.json.encode(body)


def _read(answer: httpx.Response, notices: Names) -> Any:
    text = notices.kept(answer.text)
    return msgspec.json.decode(text) if answer.headers["content-type"] in JSON_TYPES else text


def main() -> None:
    """Keep what the walk is answered."""
    with tempfile.TemporaryDirectory() as folder:
        exchanges = walked(f"sqlite:///{folder}/walk.db", Path(folder))
    KEPT.write_bytes(msgspec.json.format(msgspec.json.encode(exchanges), indent=1) + b"\n")
    print(f"{len(exchanges)} exchanges kept in {KEPT.relative_to(ROOT)}")  # noqa: T201 - a figure to be seen


if __name__ == "__main__":
    main()
