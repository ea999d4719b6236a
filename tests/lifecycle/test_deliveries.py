import csv
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.bodies import BYTES_MAX, JSON, NotUnderstood
from lifecycle.catalogue import load
from lifecycle.connectors import Connector
from lifecycle.deliveries import (
    Delivery,
    Message,
    completed,
    introduced,
    kept,
    named,
    understand,
)
from lifecycle.doubts import read_connector
from lifecycle.fields import TYPES, NotThat, normalise
from lifecycle.readings import moment, money, shaped
from lifecycle.refusals import BadDefinition

ROOT = Path(__file__).parents[2]
DEFINITIONS = ROOT / "definitions"
PAYLOADS = ROOT.parent / "shared" / "data" / "webhooks"
UNDERSTOOD = Path(__file__).with_name("understood.tsv")
"""What each published payload says: one line a message, in the order in which they happened."""

NOW = datetime(2026, 5, 4, 14, 3, 11, tzinfo=UTC)
patiently = settings(deadline=None)


def connector(text: str) -> Connector:
    """Read a connector that stands in no file."""
    return read_connector(f"connector: one\ntitle: One\n{text}".encode(), "one.yaml")[0]


def shipped(name: str) -> Connector:
    """Read a connector that comes along."""
    path = DEFINITIONS / "connectors" / f"{name}.yaml"
    return read_connector(path.read_bytes(), path.name)[0]


def heard(spoken: Connector, content: Any, **given: Any) -> Delivery:
    """Understand a delivery; its content as bytes, or as what its JSON says."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    usual = {"headers": [], "query": [], "received_at": NOW}
    return understand(spoken, **{**usual, **given}, body=body)


def one(spoken: Connector, content: Any, **given: Any) -> Message:
    """Understand a delivery of one message."""
    (message,) = heard(spoken, content, **given).messages
    return message


# The shipped connectors, over everything that their vendors and others have published.


def lines() -> dict[str, list[dict[str, str]]]:
    """Give payload → what its messages say."""
    payloads: dict[str, list[dict[str, str]]] = {}
    with UNDERSTOOD.open(encoding="utf-8", newline="") as table:
        for line in csv.DictReader(table, delimiter="\t", restval=""):
            payloads.setdefault(line.pop("payload"), []).append(line)
    return payloads


def as_line(spoken: Connector, message: Message) -> dict[str, str]:
    """Write what a message says as the table does."""
    parts = isinstance(spoken.id, tuple)
    time = message.occurred_at
    return {
        "kind": message.kind or "",
        "ref": message.ref or "",
        "status field": message.status_field or "",
        "word": message.word or "",
        "event": "made of parts" if parts and message.event_id else message.event_id or "",
        "time": time.isoformat().replace("+00:00", "Z") if time else "",
        "fields": "; ".join(f"{name}={value}" for name, value in message.fields.items()),
        "fetch": "asks" if message.needs_fetch else "",
    }


@pytest.mark.skipif(not PAYLOADS.exists(), reason="the published payloads are not here")
@pytest.mark.parametrize("payload", lines())
def test_what_a_published_payload_says(payload: str) -> None:
    """Each is understood as the table states, with nothing in it left unread."""
    spoken = shipped(payload.partition("/")[0])
    messages = heard(spoken, (PAYLOADS / payload).read_bytes()).messages
    stated = [line for line in lines()[payload] if any(line.values())]
    said = [message for message in messages if not message.is_empty]
    assert [as_line(spoken, message) for message in said] == stated
    assert not any(message.unread for message in messages)


@pytest.mark.skipif(not PAYLOADS.exists(), reason="the published payloads are not here")
def test_every_published_payload_is_in_the_table() -> None:
    """No payload is left out of what is stated."""
    kinds = ("events", "payloads", "payloads_secondary")
    files = {
        str(path.relative_to(PAYLOADS))
        for kind in kinds
        for path in PAYLOADS.glob(f"*/{kind}/*.json")
    }
    assert files == set(lines())


# The same for what has no published payload: built here, to the documented shapes.


def test_docusign_says_where_the_envelope_is() -> None:
    """The envelope comes along; attempts differ in their count and are one message."""
    said = {
        "event": "envelope-completed",
        "retryCount": 0,
        "generatedDateTime": "2026-05-04T14:03:10.4470000Z",
        "data": {
            "envelopeId": "8b1e0f9c",
            "envelopeSummary": {
                "status": "completed",
                "statusChangedDateTime": "2026-05-04T14:03:09.123Z",
                "completedDateTime": "2026-05-04T14:03:09.123Z",
            },
        },
    }
    first = one(shipped("docusign"), said)
    again = one(shipped("docusign"), {**said, "retryCount": 3})
    assert (first.kind, first.ref, first.word) == ("envelope", "8b1e0f9c", "completed")
    assert first.occurred_at == datetime(2026, 5, 4, 14, 3, 9, 123_000, UTC)
    assert first.fields == {"signed_at": "2026-05-04T14:03:09.123Z"}
    assert (first.event_id, first.digest) == (again.event_id, again.digest)


def test_standard_webhooks_carry_a_report() -> None:
    """The id stands in a header, and the data is the report."""
    data = {"kind": "deal", "ref": "9", "status_field": "stage", "word": "won"}
    message = one(
        shipped("standard_webhooks"),
        {"type": "deal.updated", "timestamp": "2026-05-04T14:03:11Z", "data": data},
        headers=[("Webhook-Id", "msg_1")],
    )
    assert message.event_id == "msg_1"
    assert (message.kind, message.ref) == ("deal", "9")
    assert (message.status_field, message.word) == ("stage", "won")
    assert message.occurred_at == NOW


def test_a_record_that_was_asked_for_completes_its_message() -> None:
    """Jobber names a job only; with the record it says where the job is, as the same message."""
    event = {
        "topic": "JOB_UPDATE", "accountId": "MQ==", "itemId": "Sm9iLzc=",
        "occurredAt": "2026-05-04T08:03:11-06:00",
    }  # fmt: skip
    spoken = shipped("jobber")
    named = one(spoken, {"data": {"webHookEvent": event}})
    assert (named.kind, named.ref, named.needs_fetch) == ("job", "Sm9iLzc=", True)
    record: JSON = {
        "jobStatus": "upcoming",
        "startAt": "2026-05-11T15:00:00Z",
        "instructions": None,
    }
    told = completed(spoken, named, {"data": {"record": record}})
    assert (told.status_field, told.word, told.needs_fetch) == ("status", "upcoming", False)
    assert told.fields == {"scheduled_for": "2026-05-11T15:00:00Z"}
    assert (told.event_id, told.digest) == (named.event_id, named.digest)
    assert told.occurred_at == NOW


def test_what_is_kept_of_a_message_says_the_same() -> None:
    """A message whose record is still wanted is read again by what was kept of it."""
    event = {
        "topic": "JOB_UPDATE", "accountId": "MQ==", "itemId": "Sm9iLzc=",
        "occurredAt": "2026-05-04T08:03:11-06:00", "amount": 1.10,
    }  # fmt: skip
    spoken = shipped("jobber")
    came = one(spoken, {"data": {"webHookEvent": event}})
    assert named(spoken, kept(came)) == came


def test_a_report_in_a_webhook_speaks_in_our_terms() -> None:
    """Who knows our fields, collections and ids may use them; what is no field is left out."""
    said = {"scope": "A roof", "done": None, "Not A Field": 1}
    data = {"collection": "jobs", "id": "J-1", "fields": said}
    message = one(shipped("standard_webhooks"), {"data": data})
    assert (message.collection, message.case) == ("jobs", "J-1")
    assert message.fields == {"scope": "A roof", "done": None}
    other = one(shipped("standard_webhooks"), {"data": {**data, "id": "J-2"}})
    assert other.digest != message.digest
    for strange in ("text", [1], {f"f{number}": 1 for number in range(201)}):
        unread = one(shipped("standard_webhooks"), {"data": {"ref": "1", "fields": strange}})
        assert (unread.fields, list(unread.unread)) == ({}, ["fields"])


def test_a_record_that_is_not_there_completes_nothing() -> None:
    """A record that was deleted meanwhile leaves the message saying nothing."""
    event = {"topic": "JOB_DESTROY", "itemId": "1", "occurredAt": "2026-05-04T14:03:11Z"}
    named = one(shipped("jobber"), {"data": {"webHookEvent": event}})
    answers: list[JSON] = [None, [], {"errors": ["gone"]}, "gone"]
    for answer in answers:
        told = completed(shipped("jobber"), named, answer)
        assert (told.ref, told.word, told.fields, told.needs_fetch) == ("1", None, {}, False)


def test_xero_and_quickbooks_say_what_their_record_says() -> None:
    """The record of the webhook brings word and money, in the record's own currency."""
    event = {
        "resourceId": "r1", "tenantId": "t1", "eventCategory": "INVOICE", "eventType": "UPDATE",
        "eventDateUtc": "2026-05-04T14:03:11.117",
    }  # fmt: skip
    named = one(shipped("xero"), {"events": [event]})
    invoice: JSON = {
        "Status": "PAID", "InvoiceNumber": "INV-7", "AmountPaid": Decimal("115.0"),
        "CurrencyCode": "NZD",
    }  # fmt: skip
    told = completed(shipped("xero"), named, {"Invoices": [invoice]})
    assert told.word == "PAID"
    assert told.fields == {"invoice_no": "INV-7", "deposit_paid": "115.00 NZD"}

    cloud = {"id": "e1", "type": "qbo.estimate.updated.v1", "intuitentityid": "5"}
    estimate = one(shipped("quickbooks"), [cloud])
    told = completed(shipped("quickbooks"), estimate, {"Estimate": {"TxnStatus": "Accepted"}})
    assert (told.kind, told.status_field, told.word) == ("estimate", "estimate_status", "Accepted")


# A ninth connector: a file, and nothing else.

NINTH = """\
connector: paintbox
title: Paintbox
signature: {header: X-Paint, reads: "sha256={signature}"}
messages: batch.changes
id: uid
occurred_at: at
kind: "'canvas'"
ref: canvas.number
status_field: "'stage'"
word: canvas.stage
zone: America/Denver
fields:
  total: {amount: canvas.price.units, currency: canvas.price.unit, minor: true}
  starts: canvas.starts
answer: {status: 202, body: thanks}
vocabulary: {canvas: [primed, painted, framed]}
"""


def test_a_new_product_is_a_new_file(tmp_path: Path) -> None:
    """A file beside the others, and the product is understood: no code, no registration."""
    folder = copytree(DEFINITIONS, tmp_path / "definitions")
    (folder / "connectors" / "paintbox.yaml").write_text(NINTH, encoding="utf-8")
    spoken = load(folder, {}).connectors["paintbox"]
    canvas = {
        "number": 7, "stage": "framed", "price": {"units": 125_000, "unit": "jpy"},
        "starts": "2026-05-11T02:00:00Z",
    }  # fmt: skip
    changes = [
        {"uid": "b", "at": 1_777_903_391, "canvas": canvas},
        {"uid": "a", "at": 1_777_903_390_000, "canvas": {"number": 7, "stage": "painted"}},
    ]
    delivery = heard(spoken, {"batch": {"changes": changes}})
    earlier, later = delivery.messages
    assert (earlier.event_id, earlier.word, earlier.fields) == ("a", "painted", {})
    assert (later.event_id, later.kind, later.ref) == ("b", "canvas", "7")
    assert later.fields == {"total": "125000 JPY", "starts": "2026-05-11T02:00:00Z"}
    assert shaped("date", later.fields["starts"], spoken.zone) == "2026-05-10"
    assert later.occurred_at == NOW
    assert (delivery.answer.status, delivery.answer.body) == (202, b"thanks")


@pytest.mark.parametrize(
    ("old", "new", "path", "gist"),
    [
        ("ref: canvas.number", "ref: canvas.[", "ref", "no JMESPath"),
        ("id: uid", "id: [uid, 'a b']", "id[1]", "no JMESPath"),
        ("canvas.price.unit,", "upper(unit),", "fields.total.currency", "no function 'upper'"),
        ("starts: canvas.starts", "starts: '#'", "fields.starts", "Unknown token #"),
        ("America/Denver", "America/Denvr", "zone", "no time zone 'America/Denvr'"),
        ("answer:", "fetch: {url: 'https://x/{a b}'}\nanswer:", "fetch.url", "no JMESPath"),
        ("answer:", "write: {url: '{env:X', body: a}\nanswer:", "write.url", "never closed"),
    ],
)
def test_what_cannot_be_evaluated_is_found_at_the_start(
    old: str, new: str, path: str, gist: str
) -> None:
    """A mistake in an expression or a template has its line, before any product sends."""
    text = NINTH.replace(old, new, 1)
    with pytest.raises(BadDefinition) as caught:
        read_connector(text.encode(), "paintbox.yaml")
    (problem,) = caught.value.problems
    assert problem.path == path
    assert gist in problem.message
    assert problem.line == text[: text.index(new)].count("\n") + 1


# How products introduce themselves.

CHALLENGE = '{header: Authorization}\nhandshake: {body: "challenge && {challenge: challenge}"}'


@pytest.mark.parametrize(
    ("text", "given", "status", "body", "header"),
    [
        pytest.param(
            "signature: {header: X-Hook-Signature}\nhandshake: {header: X-Hook-Secret}",
            {"headers": [("x-hook-secret", "b537207f20cbfa02")], "body": b""},
            200, b"", ("X-Hook-Secret", "b537207f20cbfa02"), id="asana",
        ),
        pytest.param(
            f"signature: {CHALLENGE}",
            {"body": b'{"challenge": "3eZbrw1aBm"}'},
            200, b'{"challenge":"3eZbrw1aBm"}', ("Content-Type", "application/json"), id="monday",
        ),
        pytest.param(
            "handshake: {query: hub.challenge}",
            {"query": [("hub.challenge", "115<b>")], "body": b""},
            200, b"115<b>", ("Content-Type", "text/plain; charset=utf-8"), id="by its address",
        ),
    ],
)  # fmt: skip
def test_a_product_reads_back_what_it_introduced_itself_with(
    text: str, given: dict[str, Any], status: int, body: bytes, header: tuple[str, str]
) -> None:
    """What it sends to be read back is read back, unsigned as it is, and nothing else is."""
    spoken = connector(text)
    asked = {"headers": [], "query": [], **given}
    reply = introduced(spoken, **asked)
    assert reply is not None
    assert (reply.status, reply.body) == (status, body)
    assert header in reply.headers
    delivery = understand(spoken, **asked, received_at=NOW)
    assert (delivery.messages, delivery.answer) == ((), reply)


def test_what_is_no_introduction_is_not_answered_as_one() -> None:
    """A message, or something that must not be given back, gets no answer before it is verified."""
    asana = connector("handshake: {header: X-Hook-Secret}")
    monday = connector(f"signature: {CHALLENGE}")
    silent = connector("ref: id")
    asked: dict[str, Any] = {"headers": [], "query": [], "body": b'{"event": {"type": "x"}}'}
    for spoken in (asana, monday, silent):
        assert introduced(spoken, **asked) is None
    strange = [("X-Hook-Secret", "a\r\nSet-Cookie: b")]
    assert introduced(asana, **{**asked, "headers": strange}) is None
    assert (
        introduced(monday, **{**asked, "body": b'{"challenge": "' + b"a" * 5_000 + b'"}'}) is None
    )
    assert introduced(monday, **{**asked, "body": b"{"}) is None


def test_xero_is_introduced_by_bodies_that_say_nothing() -> None:
    """A body without events is answered like any other, and counts as one that says nothing."""
    delivery = heard(shipped("xero"), {"events": [], "firstEventSequence": 0})
    assert [one.is_empty for one in delivery.messages] == [True]
    assert delivery.answer.status == 200


FORM = {
    "multipart/form-data; boundary=xYz": (
        b'--xYz\r\nContent-Disposition: form-data; name="json"\r\n\r\n%s\r\n--xYz--\r\n'
    ),
    "application/x-www-form-urlencoded": b"json=%s",
    "application/json": b"%s",
    "": b"\xef\xbb\xbf%s",
}


@pytest.mark.parametrize("medium", FORM)
def test_dropbox_sign_wants_its_sentence_read_back(medium: str) -> None:
    """However a product wraps its JSON, it is the body; its answer is the one it asks for."""
    spoken = connector(
        'answer: {body: "Hello API Event Received"}\noccurred_at: event.event_time\n'
        "ref: signature_request.signature_request_id\nword: event.event_type\n"
        "status_field: \"'status'\""
    )
    said = b'{"event": {"event_type": "signed", "event_time": "1777903391"}, "signature_request":'
    body = FORM[medium] % (said + b' {"signature_request_id": "fa5c"}}')
    delivery = heard(spoken, body, headers=[("content-type", medium)])
    (message,) = delivery.messages
    assert (message.ref, message.word, message.occurred_at) == ("fa5c", "signed", NOW)
    assert delivery.answer.body == b"Hello API Event Received"


def test_a_form_is_an_object_of_its_fields() -> None:
    """Where a form carries no JSON, its fields are what the expressions find."""
    spoken = connector("ref: CallSid\nword: CallStatus\nstatus_field: \"'call'\"")
    medium = ("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8")
    message = one(spoken, b"CallSid=CA1&CallStatus=in+progress&To=", headers=[medium])
    assert (message.ref, message.word) == ("CA1", "in progress")


SOAP = b"""<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>
<notifications xmlns="http://soap.sforce.com/2005/09/outbound"><OrganizationId>00D</OrganizationId>
<Notification><Id>04l1</Id><sObject><sf:Id>0061</sf:Id><sf:StageName>Won &amp; Done</sf:StageName>
</sObject></Notification>
<Notification><Id>04l2</Id><sObject><sf:Id>0062</sf:Id></sObject></Notification>
</notifications></soapenv:Body></soapenv:Envelope>"""


def test_salesforce_speaks_xml_and_reads_an_ack() -> None:
    """Elements are found by their names; the answer is whatever the product wants, as it is."""
    spoken = connector("""\
signature: {none: true}
messages: Envelope.Body.notifications.Notification
id: Id
ref: sObject.Id
status_field: "'StageName'"
word: sObject.StageName
answer: {body: "<Ack>true</Ack>", headers: {Content-Type: text/xml}}
""")
    delivery = heard(spoken, SOAP, headers=[("Content-Type", "text/xml; charset=utf-8")])
    first, second = delivery.messages
    assert (first.event_id, first.ref, first.word) == ("04l1", "0061", "Won & Done")
    assert (second.event_id, second.ref, second.word) == ("04l2", "0062", None)
    assert delivery.answer.headers == (("Content-Type", "text/xml"),)


@pytest.mark.parametrize(
    "body",
    [b"<a>", b"<a><b></a>", b'<!DOCTYPE a [<!ENTITY b "bb">]><a>&b;</a>', b"<a>" * 100, b"{}"],
    ids=["cut off", "crossed", "document type", "deep", "another language"],
)
def test_xml_that_is_cut_off_or_grows_is_refused(body: bytes) -> None:
    """A document type, with which a document can say more than it holds, is not read."""
    with pytest.raises(NotUnderstood):
        heard(PLAIN, body, headers=[("Content-Type", "application/soap+xml")])


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (rb"cut \ud83d", "cut \ufffd"),
        (rb"\ude00 cut", "\ufffd cut"),
        (rb"whole \ud83d\ude00", "whole \U0001f600"),
        (rb"a path \\ud83d", r"a path \ud83d"),
    ],
    ids=["first half", "second half", "whole", "no escape"],
)
def test_half_a_character_refuses_no_delivery(written: bytes, read: str) -> None:
    """Products that cut text by length leave half a character; the rest of the text stands."""
    assert one(PLAIN, b'{"note": "%s"}' % written).fields == {"note": read}


NO_TEXT = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\xff\r\n--b--'


def test_the_files_of_a_form_are_left_out() -> None:
    """A field is what a form says; a file that comes with it is not looked at."""
    body = (
        b'--b\r\nContent-Disposition: form-data; name="id"\r\n\r\n7\r\n'
        b'--b\r\nContent-Disposition: form-data; name="scan"; filename="a.pdf"\r\n\r\n\xff\r\n'
        b'--b\r\nContent-Disposition: form-data; name="tags"\r\n\r\n["a", \r\n--b--'
    )
    message = one(
        connector("ref: id"), body, headers=[("Content-Type", 'multipart/form-data; boundary="b"')]
    )
    assert message.content == {"id": "7", "tags": '["a", '}


@pytest.mark.parametrize(
    ("medium", "body"),
    [
        ("multipart/form-data", b"--b"),
        ("multipart/form-data; boundary=b", b"--b\r\n"),
        ("multipart/form-data; boundary=b", NO_TEXT),
        ("application/x-www-form-urlencoded", b"a=%ff"),
        ("application/x-www-form-urlencoded", b"a&" * 2_000),
    ],
    ids=["no boundary", "cut off", "no UTF-8", "no UTF-8 either", "too many fields"],
)  # fmt: skip
def test_a_form_that_cannot_be_read_is_refused(medium: str, body: bytes) -> None:
    """A form is read whole or not at all."""
    with pytest.raises(NotUnderstood):
        heard(PLAIN, body, headers=[("Content-Type", medium)])


# What a message says, whoever sends it.

PLAIN = connector("""\
id: id
occurred_at: at
kind: kind
ref: ref
status_field: "'status'"
word: word
fields: {paid: {amount: amount, currency: currency}, note: note}
""")


def test_null_means_that_nothing_is_said() -> None:
    """What is null, missing or empty is not said, and a field without its word is none."""
    message = one(PLAIN, {"ref": None, "word": "", "note": None, "amount": None})
    assert (message.ref, message.word, message.status_field) == (None, None, None)
    assert (message.fields, message.event_id, message.occurred_at) == ({}, None, None)
    assert message.unread == {}


@pytest.mark.parametrize(
    ("said", "word"), [(True, "true"), (3, "3"), (Decimal("1.50"), "1.50"), ("On hold", "On hold")]
)
def test_a_word_is_text_as_it_was_sent(said: object, word: str) -> None:
    """Products that number their states, or have two of them, have words too."""
    assert one(PLAIN, f'{{"word": {json.dumps(said, default=float)}}}'.encode()).word in {
        word, word.rstrip("0"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ({"ref": {"id": 1}}, "ref"),
        ({"ref": True}, "ref"),
        ({"ref": "a\u0000b"}, "ref"),
        ({"ref": "a" * 201}, "ref"),
        ({"word": ["a"]}, "word"),
        ({"at": "yesterday"}, "occurred_at"),
        ({"at": "2026-02-30T00:00:00Z"}, "occurred_at"),
        ({"amount": 5}, "fields.paid"),
        ({"amount": "5,00", "currency": "EUR"}, "fields.paid"),
        ({"amount": 1.001, "currency": "EUR"}, "fields.paid"),
        ({"amount": 5, "currency": "XXQ"}, "fields.paid"),
    ],
)
def test_what_cannot_be_read_is_named_and_the_rest_stands(
    content: dict[str, object], part: str
) -> None:
    """A product is not refused over one value; what is wrong with it is kept beside the rest."""
    message = one(PLAIN, {"id": "e1", "note": "kept", **content})
    assert set(message.unread) == {part}
    assert (message.event_id, message.fields) == ("e1", {"note": "kept"})


def test_a_reference_without_its_kind_is_none() -> None:
    """Ids repeat between kinds, so one whose kind cannot be read must not pass for the main one."""
    message = one(PLAIN, {"ref": "7", "kind": {"name": "deal"}})
    assert (message.kind, message.ref) == (None, None)
    assert "kind" in message.unread


def test_an_expression_that_does_not_fit_finds_nothing() -> None:
    """A function that wants text and finds none leaves the rest of the message as it is."""
    spoken = connector("ref: id\nkind: starts_with(topic, 'JOB_') && 'job' || topic\nword: w > `1`")
    message = one(spoken, {"id": 7, "w": "text"})
    assert set(message.unread) == {"kind", "word"}


def test_a_header_names_each_message_of_its_body() -> None:
    """One id for a body of several messages is numbered, the same at every attempt."""
    spoken = connector("id: {header: X-Event-Id}\nref: id")
    headers = [("x-event-id", "e7")]
    delivery = heard(spoken, [{"id": 1}, {"id": 2}], headers=headers)
    assert [message.event_id for message in delivery.messages] == ["e7:0", "e7:1"]
    assert one(spoken, [{"id": 1}], headers=headers).event_id == "e7"


def test_an_id_of_several_parts_gives_nothing_away() -> None:
    """Parts make one id that is the same for the same parts, and shows none of them."""
    spoken = connector("id: [a, email]")
    first = one(spoken, {"a": 1, "email": "office@example.com"}).event_id
    assert first == one(spoken, {"email": "office@example.com", "a": 1, "attempt": 2}).event_id
    assert first != one(spoken, {"a": "1", "email": "office@example.com"}).event_id
    assert first is not None
    assert "office" not in first
    assert one(spoken, {"b": 1}).event_id is None


def test_the_digest_is_of_what_is_said() -> None:
    """Attempts that differ in their count alone are one message; another word is another."""
    said = {"ref": "1", "word": "paid", "at": 1_777_903_391}
    digest = one(PLAIN, {**said, "attempt": 1}).digest
    assert digest == one(PLAIN, {**said, "attempt": 2}).digest
    assert digest != one(PLAIN, {**said, "word": "open"}).digest
    assert digest != one(PLAIN, {**said, "at": 1_777_903_392}).digest


def test_messages_come_in_the_order_in_which_they_happened() -> None:
    """Those of one time stay as they came; those without count as from now."""
    times = {"c": NOW, "a": NOW - timedelta(hours=1), "d": None, "e": NOW, "b": NOW - timedelta(1)}
    body = [{"ref": ref, "at": time.isoformat() if time else None} for ref, time in times.items()]
    refs = [message.ref for message in heard(PLAIN, body).messages]
    assert refs == ["b", "a", "c", "d", "e"]


def test_a_body_in_which_no_message_is_found_is_one() -> None:
    """Something signed that is not as the connector says is kept as a message without words."""
    message = one(connector("messages: events\nref: id"), {"other": [1]})
    assert (message.ref, message.content) == (None, {"other": [1]})


# How products write.


@pytest.mark.parametrize(
    "written",
    [
        "2026-05-04T14:03:11Z", "2026-05-04T16:03:11+02:00", "2026-05-04T16:03:11+0200",
        "2026-05-04 14:03:11", "2026-05-04T14:03:11.000000000Z", 1_777_903_391, "1777903391",
        1_777_903_391_000_000, "1777903391000000000", "2026-05-04 14:03:11 UTC",
        "20260504T140311Z", "20260504T160311+0200", "Mon, 04 May 2026 14:03:11 GMT",
        "4 May 2026 16:03:11 +0200",
        1_777_903_391_000, "1777903391000", Decimal("1777903391.000"), "/Date(1777903391000+0000)/",
    ],
    ids=repr,
)  # fmt: skip
def test_a_time_is_read_however_it_is_written(written: object) -> None:
    """Seconds, milliseconds and RFC 3339, with and without its offset, are one time."""
    assert moment(written) == NOW


@pytest.mark.parametrize(
    "written",
    ["", "yesterday", "2026-05-04", "04/05/2026 14:03", "9" * 21, 10**30, True, None, [],
     20261120100000, "2026-05-04T25:00:00Z", Decimal("Infinity"), "/Date(99999999999999999)/"],
    ids=repr,
)  # fmt: skip
def test_a_time_that_could_be_another_is_none(written: object) -> None:
    """A day has no time, and a time beyond the calendar is a mistake; neither is guessed at."""
    with pytest.raises(NotThat):
        moment(written)


@pytest.mark.parametrize(
    ("amount", "currency", "minor", "written"),
    [
        (2000, "usd", True, "20.00 USD"),
        (2000, "JPY", True, "2000 JPY"),
        (1234, "KWD", True, "1.234 KWD"),
        ("2000", "EUR", True, "20.00 EUR"),
        (Decimal("12.50"), "EUR", False, "12.50 EUR"),
        (Decimal("1000.0"), "JPY", False, "1000 JPY"),
        ("12.5", "eur", False, "12.50 EUR"),
        (-500, "USD", True, "-5.00 USD"),
        (0, "USD", True, "0.00 USD"),
    ],
)
def test_money_has_the_decimals_of_its_currency(
    amount: object, currency: str, minor: bool, written: str  # noqa: FBT001 - a column of the table above
) -> None:  # fmt: skip
    """Smallest units become the amount that ISO 4217 makes of them; nothing is rounded."""
    assert money(amount, currency, minor=minor) == written


@pytest.mark.parametrize(
    "amount", [Decimal("0.5"), "1e400", "1_000", "1,000", "NaN", True, None, [], 10**60]
)
def test_an_amount_that_is_none_is_no_money(amount: object) -> None:
    """Half a cent, no number, or one of no sane size is not taken."""
    with pytest.raises(NotThat):
        money(amount, "USD", minor=True)


@pytest.mark.parametrize(
    ("type_", "said", "zone", "value"),
    [
        ("text", 42, None, "42"),
        ("text", True, None, "true"),
        ("number", "12.50", None, Decimal("12.50")),
        ("boolean", "false", None, False),
        ("date", "2026-05-11", None, "2026-05-11"),
        ("date", "2026-05-11T23:30:00-06:00", None, "2026-05-11"),
        ("date", "2026-05-11T23:30:00Z", "Australia/Sydney", "2026-05-12"),
        ("date", "1778457600000", None, "2026-05-11"),
        ("datetime", 1_777_903_391, None, "2026-05-04T14:03:11+00:00"),
        ("text", "  ", None, None),
    ],
)
def test_a_value_takes_the_form_of_its_field(
    type_: str, said: object, zone: str | None, value: object
) -> None:
    """What can mean one thing only is written as our field wants it, and taken there."""
    found = shaped(type_, said, zone)
    assert found == value
    if found is not None:
        normalise(type_, found)


@pytest.mark.parametrize(
    ("type_", "said"), [("number", "1,250"), ("date", "11/05/2026"), ("boolean", "yes")]
)
def test_what_could_mean_two_things_is_left_for_the_field_to_refuse(type_: str, said: str) -> None:
    """Nothing is guessed."""
    assert shaped(type_, said) == said
    with pytest.raises(NotThat):
        normalise(type_, said)


# Whatever comes.

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["data", "object", "events", "id", "type", "topic", "record", "amount",
                         "webHookEvent", "status", "created", "objectId", "propertyName", "ref"])
        | st.text(max_size=5),
        inner,
        max_size=6,
    ),
    max_leaves=25,
)  # fmt: skip
SHIPPED = sorted(path.stem for path in (DEFINITIONS / "connectors").glob("*.yaml"))
HEADERS = st.lists(st.tuples(st.sampled_from(["webhook-id", "Content-Type", "X"]), st.text()))


def is_sound(message: Message) -> bool:
    """Whether everything in a message may be recorded."""
    texts = [message.event_id, message.kind, message.ref, message.status_field, message.word]
    return all(text is None or (text and "\0" not in text and len(text) <= 500) for text in texts)


@pytest.mark.parametrize("name", SHIPPED)
@patiently
@given(content=VALUES, headers=HEADERS)
def test_any_json_is_understood_or_refused(
    name: str, content: Any, headers: list[tuple[str, str]]
) -> None:
    """Whatever JSON a body holds, it has messages that may be kept, or is `NotUnderstood`."""
    spoken = shipped(name)
    try:
        delivery = heard(spoken, content, headers=headers)
    except NotUnderstood:
        return
    assert all(is_sound(message) for message in delivery.messages)
    for message in delivery.messages:
        assert is_sound(completed(spoken, message, message.content))


SCALARS = st.none() | st.booleans() | st.integers() | st.decimals() | st.text() | st.from_regex(
    r"\A-?[0-9]{1,20}([.:T-][0-9]{1,4}){0,5}(Z|[+]0[0-9]00| )?\Z"
)  # fmt: skip


@patiently
@given(said=SCALARS, other=SCALARS, type_=st.sampled_from(sorted(TYPES)))
def test_any_value_is_read_or_refused(said: object, other: object, type_: str) -> None:
    """Whatever stands where a time, an amount or a field is expected, nothing else is raised."""
    with suppress(NotThat):
        assert moment(said).utcoffset() == timedelta(0)
    with suppress(NotThat):
        assert normalise("money", money(said, "BHD", minor=True), signed=True)
    with suppress(NotThat):
        assert normalise("money", money(said, other, minor=False), signed=True)
    with suppress(NotThat):
        normalise(type_, shaped(type_, said, "America/Denver"))


@patiently
@given(
    body=st.binary(max_size=300),
    medium=st.sampled_from([*FORM, "multipart/form-data", "text/xml"]),
)
def test_any_bytes_are_understood_or_refused(body: bytes, medium: str) -> None:
    """Whatever bytes come, in whatever form they claim to be, nothing else is raised."""
    spoken = connector("handshake: {body: challenge}\nid: a\nref: b\nword: '@'")
    headers = [("Content-Type", medium)]
    introduced(spoken, headers=headers, query=[], body=body)
    with suppress(NotUnderstood):
        assert all(is_sound(message) for message in heard(spoken, body, headers=headers).messages)


@pytest.mark.parametrize(
    ("body", "gist"),
    [
        pytest.param(b"[" * 65 + b"]" * 65, "deeper than 64", id="deep"),
        pytest.param(b"[" * 500_000, "deeper|not JSON", id="very deep"),
        pytest.param(b"[" + b"[]," * 300_000 + b"[]]", "lists and objects", id="wide"),
        pytest.param(b"[" + b"1," * 1_000 + b"1]", "1,001 messages", id="many"),
        pytest.param(b" " * (BYTES_MAX + 1), "bytes", id="long"),
        pytest.param(b'{"id": 1', "not JSON", id="cut off"),
        pytest.param(b'"\xff"', "not JSON", id="no UTF-8"),
        pytest.param(b"<Envelope/>", "not JSON", id="another language"),
    ],
)
def test_what_is_beyond_the_bounds_is_refused(body: bytes, gist: str) -> None:
    """Depth, size and number are bounded before anything is looked through."""
    with pytest.raises(NotUnderstood, match=gist):
        heard(PLAIN, body)


def test_numbers_of_no_sane_size_are_text() -> None:
    """A number nobody means is carried along as it is written, and nothing computes with it."""
    spoken = connector("word: ceil(n)\nref: n\nfields: {note: n}")
    message = one(spoken, b'{"n": 1e999999999}')
    assert (message.ref, message.fields) == ("1e999999999", {"note": "1e999999999"})
    assert "word" in message.unread


def test_numbers_are_exact() -> None:
    """A decimal is what was written, through every expression that compares or computes."""
    spoken = connector("word: to_string(n)\nref: id\nfields: {a: n, b: 'sum([n, n])', c: n > `0`}")
    message = one(spoken, b'{"n": 0.10}')
    assert message.word == "0.10"
    assert message.fields == {"a": Decimal("0.10"), "b": Decimal("0.20"), "c": True}


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("to_number('12.50')", Decimal("12.50")),
        ("to_number('7')", 7),
        ("to_number(n)", Decimal("0.10")),
        ("to_number('1e999999')", None),
        ("to_number('NaN')", None),
        ("to_number(`true`)", None),
        ("to_number('seven')", None),
        ("to_string(`[1]`)", "[1]"),
        ("avg([`1`, `2`])", Decimal("1.5")),
        ("max([n, `0`])", Decimal("0.10")),
        ("type(n)", "number"),
    ],
)
def test_the_functions_take_exact_numbers(expression: str, found: object) -> None:
    """The standard functions know a decimal for a number and make none of what is not one."""
    assert one(connector(f'fields: {{a: "{expression}"}}'), b'{"n": 0.10}').fields.get("a") == found


@pytest.mark.parametrize(
    ("expression", "gist"),
    [
        ("a" * 4_001, "longer than 4,000"),
        ("!" * 160 + "a", "nested deeper"),
        ("(" * 3_000 + "a", "no JMESPath"),
        ("not_null(" * 160 + "a" + ")" * 160, "nested deeper"),
    ],
    ids=["long", "deep", "endless", "many calls"],
)
def test_an_expression_is_bounded(expression: str, gist: str) -> None:
    """What nobody writes by hand is refused before it is evaluated."""
    with pytest.raises(BadDefinition, match=gist):
        connector(f"ref: '{expression}'")


BY_HEADER = """
id: {header: X-GitHub-Delivery}
occurred_at: {header: X-Sent}
kind: {header: X-GitHub-Event}
ref: {header: X-Record}
status_field: {header: X-Field}
word: {header: X-Topic}
"""
SENT_ALONG = [
    ("x-github-delivery", "72d3162e"), ("X-Sent", "Mon, 04 May 2026 14:03:11 GMT"),
    ("X-GitHub-Event", "issues"), ("X-Record", "7"), ("X-Field", "state"),
    ("X-Topic", " orders/paid "),
]  # fmt: skip


def test_a_message_may_say_things_in_headers() -> None:
    """GitHub names the kind there, Shopify the word; several in one body share them."""
    message = one(connector(BY_HEADER), {}, headers=SENT_ALONG)
    assert (message.event_id, message.occurred_at, message.kind) == ("72d3162e", NOW, "issues")
    assert (message.ref, message.status_field, message.word) == ("7", "state", "orders/paid")
    several = heard(connector(BY_HEADER), [{}, {}], headers=SENT_ALONG).messages
    assert [(said.word, said.event_id) for said in several] == [
        ("orders/paid", "72d3162e:0"), ("orders/paid", "72d3162e:1")
    ]  # fmt: skip
    bare = one(connector(BY_HEADER), {})
    assert (bare.kind, bare.ref, bare.word, bare.unread) == (None, None, None, {})


def test_what_stood_in_headers_is_known_when_the_record_comes() -> None:
    """What is kept of a message until its record can be had holds them too."""
    spoken = connector(
        "kind: {header: X-Topic}\nref: id\nword: record.state\n"
        "fetch: {url: 'https://x.example/{id}'}"
    )
    message = one(spoken, {"id": 7}, headers=[("x-topic", "orders")])
    again = named(spoken, kept(message))
    for waiting in (message, again):
        told = completed(spoken, waiting, {"state": "paid"})
        assert (told.kind, told.ref, told.word) == ("orders", "7", "paid")
        assert told.content == {"id": 7}


@pytest.mark.parametrize("headers", ["a text", {"x-topic": "invoices"}, {}])
def test_a_message_that_looks_like_our_envelope_is_read_as_it_came(headers: JSON) -> None:
    """What a product sends is never taken for what we wrote about a message ourselves."""
    spoken = connector(
        "kind: {header: X-Topic}\nref: '\"@content\".id'\nword: record.state\n"
        "fetch: {url: 'https://x.example/{\"@content\".id}'}"
    )
    content = {"@content": {"id": 7}, "@headers": headers}
    for sent in ([("x-topic", "orders")], []):
        message = one(spoken, content, headers=sent)
        assert message.needs_fetch
        assert named(spoken, kept(message)) == message


def test_what_looks_like_our_envelope_and_was_kept_bare_is_read_too() -> None:
    """Before such were put into an envelope they were kept as they came."""
    spoken = connector("ref: '\"@content\".id'\nfetch: {url: 'https://x.example/'}")
    bare = b'{"@content": {"id": 7}, "@headers": "a text"}'
    assert named(spoken, bare).ref == "7"


def test_the_time_may_be_the_records() -> None:
    """It counts where the message has none, and tells it from others that name the same."""
    text = "ref: id\noccurred_at: at || record.at\nfetch: {url: 'https://x.example/{id}'}"
    spoken = connector(text)
    bare = one(spoken, {"id": 7})
    assert bare.occurred_at is None
    told = [completed(spoken, bare, {"at": at}) for at in (NOW.isoformat(), 1_777_903_392)]
    assert [said.occurred_at for said in told] == [NOW, NOW + timedelta(seconds=1)]
    assert told[0].digest != told[1].digest
    assert completed(spoken, bare, {"at": 1_777_903_391}).digest == told[0].digest
    assert completed(spoken, bare, {}).digest == bare.digest
    timed = one(spoken, {"id": 7, "at": 1_777_903_391})
    later = completed(spoken, timed, {"at": 1_777_903_999})
    assert (later.occurred_at, later.digest) == (NOW, timed.digest)
    with_id = connector(f"{text}\nid: event")
    named_one = one(with_id, {"id": 7, "event": "e1"})
    assert completed(with_id, named_one, {"at": 1_777_903_392}).digest == named_one.digest


def test_a_salesforce_message_is_xml() -> None:
    """Elements are read by their names without prefixes, from the outermost one inwards."""
    body = b"""<?xml version="1.0" encoding="UTF-8"?>
    <soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>
      <notifications xmlns="http://soap.sforce.com/2005/09/outbound">
        <Notification><Id>04l1</Id><sObject xmlns:sf="urn:sobject.enterprise.soap.sforce.com">
          <sf:Id>0061</sf:Id><sf:StageName>Closed Won</sf:StageName></sObject></Notification>
      </notifications></soapenv:Body></soapenv:Envelope>"""
    spoken = connector(
        "messages: Envelope.Body.notifications.Notification\nid: Id\nref: sObject.Id\n"
        "status_field: \"'stage'\"\nword: sObject.StageName"
    )
    message = one(spoken, body, headers=[("Content-Type", "text/xml; charset=utf-8")])
    assert (message.event_id, message.ref, message.word) == ("04l1", "0061", "Closed Won")


def test_a_long_list_of_alternatives_is_not_deep() -> None:
    """A connector may name as many kinds as its product has."""
    kinds = " || ".join(f"type == 'k{index}' && 'kind {index}'" for index in range(90))
    spoken = connector(f'kind: "{kinds}"')
    assert one(spoken, {"type": "k89"}).kind == "kind 89"
