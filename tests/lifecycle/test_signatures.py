import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import standardwebhooks
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.connectors import Signature
from lifecycle.doubts import read_connector
from lifecycle.refusals import BadDefinition
from lifecycle.signatures import BadSignature, Unsigned, Verified, verify

ROOT = Path(__file__).parents[2]
VECTORS = ROOT.parent / "shared" / "data" / "webhooks" / "signature_vectors.json"
NOW = datetime(2026, 5, 4, 14, 3, 11, tzinfo=UTC)
STAMP = str(int(NOW.timestamp()))
URL = "https://keeper.example.com/v1/tools/crm/webhook"
SECRET = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def signature_of(text: str) -> Signature:
    """Read the `signature` of a connector's file that holds nothing else."""
    spoken, _ = read_connector(f"connector: one\ntitle: One\n{text}".encode(), "one.yaml")
    assert spoken.signature is not None
    return spoken.signature


def shipped(name: str) -> Signature:
    """Read the signature of a connector that comes along."""
    path = ROOT / "definitions" / "connectors" / f"{name}.yaml"
    signature = read_connector(path.read_bytes(), path.name)[0].signature
    assert signature is not None
    return signature


def tried(signature: Signature, **given: Any) -> Verified:
    """Verify, with what a test says nothing of as any delivery has it."""
    usual: dict[str, Any] = {
        "method": "POST",
        "url": URL,
        "headers": [],
        "query": [],
        "body": b"{}",
        "secrets": [SECRET],
        "now": NOW,
    }
    return verify(signature, **{**usual, **given})


def b64(secret: str, signed: bytes, algorithm: str = "sha256") -> str:
    """Sign as products do that write base64."""
    return base64.b64encode(hmac.digest(secret.encode(), signed, algorithm)).decode()


def hexed(secret: str, signed: bytes) -> str:
    """Sign as products do that write hex."""
    return hmac.digest(secret.encode(), signed, "sha256").hex()


# What others have published.

V1 = 'signature: {header: X-HubSpot-Signature, mac: digest, signs: "{secret}{body}"}'
V2 = 'signature: {header: X-HubSpot-Signature, mac: digest, signs: "{secret}{method}{url}{body}"}'


def published() -> list[dict[str, Any]]:
    """Give the vectors that vendors have published; they stand beside the repository."""
    if not VECTORS.exists():
        return []
    vectors: list[dict[str, Any]] = json.loads(VECTORS.read_bytes())
    return vectors


with_vectors = pytest.mark.skipif(
    not VECTORS.exists(), reason=f"the published vectors are not here: {VECTORS.name}"
)


def expected(vendor: str, vector: dict[str, Any]) -> tuple[Signature, list[tuple[str, str]]]:
    """Say how a vector is to be read, and what came with it."""
    written = vector.get("expected") or vector.get("must_fail") or ""
    if vendor == "hubspot" and vector["scheme"] in {"v1", "v2"}:
        text = {"v1": V1, "v2": V2}[vector["scheme"]]
        return signature_of(text), [("X-HubSpot-Signature", written)]
    signature = shipped(vendor)
    headers = {
        "hubspot": [
            ("X-HubSpot-Signature-v3", written),
            ("X-HubSpot-Request-Timestamp", vector.get("timestamp", "")),
        ],
        "square": [("x-square-hmacsha256-signature", written)],
        "standard_webhooks": [
            ("webhook-id", vector.get("msg_id", "")),
            ("webhook-timestamp", vector.get("timestamp", "")),
            ("webhook-signature", written),
        ],
    }
    return signature, headers[vendor]


@with_vectors
def test_every_published_vector_verifies() -> None:
    """What vendors have published verifies as they say, and what must not verify does not."""
    seen = 0
    for vector in published():
        if "body" not in vector:
            continue
        signature, headers = expected(vector["vendor"], vector)
        stamp = vector.get("timestamp", STAMP)
        now = datetime.fromtimestamp(int(stamp[:10]), UTC)
        given = {
            "method": vector.get("method", "POST"),
            "url": vector.get("url", URL),
            "headers": headers,
            "body": vector["body"].encode(),
            "secrets": [vector["secret"]],
            "now": now,
        }
        seen += 1
        if "must_fail" in vector:
            with pytest.raises(BadSignature):
                tried(signature, **given)
        else:
            assert tried(signature, **given).secret == 0
    assert seen == 6


def standard(signature: str, body: bytes = b'{"test": 2432232314}') -> dict[str, Any]:
    """Make a delivery by Standard Webhooks."""
    headers = [("webhook-id", "msg_1"), ("webhook-timestamp", STAMP)]
    return {"headers": [*headers, ("webhook-signature", signature)], "body": body}


@with_vectors
def test_decoys_beside_a_signature_do_no_harm() -> None:
    """Several signatures may stand in one header; unknown versions are skipped, any v1 counts."""
    decoys = next(vector["decoys"] for vector in published() if "decoys" in vector)
    body = b'{"test": 2432232314}'
    true = standardwebhooks.Webhook(SECRET).sign("msg_1", NOW, body.decode())
    mixed = " ".join([*decoys, true, *decoys])
    assert tried(shipped("standard_webhooks"), **standard(mixed)).secret == 0
    with pytest.raises(BadSignature):
        tried(shipped("standard_webhooks"), **standard(" ".join(decoys)))


@with_vectors
def test_secrets_without_padding_are_taken() -> None:
    """A base64 secret is the same with its padding, without it, and with its prefix."""
    secrets = next(vector["secrets"] for vector in published() if "secrets" in vector)
    for secret in secrets:
        key = base64.b64decode(secret + "=" * (-len(secret) % 4))
        made = hmac.digest(key, f"msg_1.{STAMP}.{{}}".encode(), "sha256")
        delivery = standard(f"v1,{base64.b64encode(made).decode()}", b"{}")
        for written in (secret, f"whsec_{secret}"):
            assert tried(shipped("standard_webhooks"), secrets=[written], **delivery).secret == 0


@settings(deadline=None)
@given(body=st.text(), name=st.from_regex(r"[A-Za-z0-9_]{1,40}", fullmatch=True))
def test_the_standards_own_library_agrees(body: str, name: str) -> None:
    """What the library of Standard Webhooks signs, verifies here; another body does not."""
    body = body.encode("utf-8", "replace").decode()
    signed = standardwebhooks.Webhook(SECRET).sign(name, NOW, body)
    headers = [
        ("Webhook-Id", name), ("Webhook-Timestamp", STAMP), ("Webhook-Signature", signed),
    ]  # fmt: skip
    signature = shipped("standard_webhooks")
    found = tried(signature, headers=headers, body=body.encode())
    assert (found.id, found.timestamp) == (name, NOW)
    with pytest.raises(BadSignature):
        tried(signature, headers=headers, body=body.encode() + b" ")


# Every scheme that products are known to use: each a snippet, the delivery it verifies, and the
# part of it that breaks when changed.

BODY = (
    b'{"event": {"event_time": "1348177752", "event_type": "signed"}, "data": [1.50, "\xc3\xa9"]}'
)
USER = base64.b64encode(b"keeper:open sesame").decode()
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjF9"

SCHEMES: dict[str, tuple[str, dict[str, Any]]] = {
    "asana": (
        "{header: X-Hook-Signature}",
        {"headers": [("X-Hook-Signature", hexed(SECRET, BODY))]},
    ),
    "calendly": (
        (
            '{header: Calendly-Webhook-Signature, reads: "t={timestamp},v1={signature}",'
            ' signs: "{timestamp}.{body}", tolerance: 3 minutes}'
        ),
        {"headers": [(
            "Calendly-Webhook-Signature",
            f"t={STAMP},v1={hexed(SECRET, STAMP.encode() + b'.' + BODY)}",
        )]},
    ),
    "clickup": ("{header: X-Signature}", {"headers": [("x-signature", hexed(SECRET, BODY))]}),
    "docusign": (
        "{header: X-DocuSign-Signature-*, encoding: base64}",
        {"headers": [
            ("X-DocuSign-Signature-1", b64("another key", BODY)),
            ("X-DocuSign-Signature-2", b64(SECRET, BODY)),
        ]},
    ),
    "dropbox sign": (
        '{body: hash, signs: "{event.event_time}{event.event_type}"}',
        {"body": json.dumps({
            "hash": hexed(SECRET, b"1348177752signed"),
            "event": {"event_time": "1348177752", "event_type": "signed"},
        }).encode()},
    ),
    "encompass": (
        "{header: Elli-Signature, encoding: base64}",
        {"headers": [("Elli-Signature", b64(SECRET, BODY))]},
    ),
    "hubspot": (
        (
            '{header: X-HubSpot-Signature-v3, signs: "{method}{url}{body}{timestamp}",'
            " timestamp: X-HubSpot-Request-Timestamp, encoding: base64, tolerance: 5 minutes}"
        ),
        {"headers": [
            ("X-HubSpot-Request-Timestamp", f"{STAMP}000"),
            ("X-HubSpot-Signature-v3",
             b64(SECRET, f"POST{URL}".encode() + BODY + f"{STAMP}000".encode())),
        ]},
    ),
    "jira": (
        '{header: X-Hub-Signature, reads: "sha256={signature}"}',
        {"headers": [("X-Hub-Signature", f"sha256={hexed(SECRET, BODY)}")]},
    ),
    "jobber": (
        "{header: X-Jobber-Hmac-SHA256, encoding: base64}",
        {"headers": [("X-Jobber-Hmac-SHA256", b64(SECRET, BODY))]},
    ),
    "monday": (
        '{header: Authorization, reads: "{id}.{signature}", signs: "{id}", encoding: base64}',
        {"headers": [(
            "Authorization", f"{TOKEN}.{b64(SECRET, TOKEN.encode()).translate({43: 45, 47: 95})}",
        )]},
    ),
    "pandadoc": ("{query: signature}", {"query": [("signature", hexed(SECRET, BODY))]}),
    "pipedrive": (
        "{basic: true}",
        {"headers": [("Authorization", f"Basic {USER}")], "secrets": ["keeper:open sesame"]},
    ),
    "quickbooks": (
        "{header: intuit-signature, encoding: base64}",
        {"headers": [("intuit-signature", b64(SECRET, BODY))]},
    ),
    "square": (
        '{header: x-square-hmacsha256-signature, signs: "{url}{body}", encoding: base64}',
        {"headers": [("x-square-hmacsha256-signature", b64(SECRET, URL.encode() + BODY))]},
    ),
    "stripe": (
        (
            '{header: Stripe-Signature, reads: "t={timestamp},v1={signature}",'
            ' signs: "{timestamp}.{body}"}'
        ),
        {"headers": [(
            "Stripe-Signature",
            f"t={STAMP}, v1=00, v0=ff, v1={hexed(SECRET, STAMP.encode() + b'.' + BODY)}",
        )]},
    ),
    "trello": (
        '{header: X-Trello-Webhook, signs: "{body}{url}", algorithm: sha1, encoding: base64}',
        {"headers": [("X-Trello-Webhook", b64(SECRET, BODY + URL.encode(), "sha1"))]},
    ),
    "xero": (
        "{header: x-xero-signature, encoding: base64}",
        {"headers": [("x-xero-signature", b64(SECRET, BODY))]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("product", SCHEMES)
def test_every_known_scheme_can_be_stated(product: str) -> None:
    """A connector's file says how a product signs; a genuine delivery verifies by it."""
    text, delivery = SCHEMES[product]
    found = tried(signature_of(f"signature: {text}"), **{"body": BODY, **delivery})
    assert found.secret == 0


@pytest.mark.parametrize("product", SCHEMES)
def test_another_secret_signs_nothing(product: str) -> None:
    """Whoever does not know the secret is refused, in every scheme."""
    text, delivery = SCHEMES[product]
    with pytest.raises(BadSignature, match="at present"):
        tried(
            signature_of(f"signature: {text}"),
            **{"body": BODY, **delivery, "secrets": ["another:secret"]},
        )


@pytest.mark.parametrize("product", sorted(set(SCHEMES) - {"dropbox sign", "monday", "pipedrive"}))
def test_another_body_is_not_signed(product: str) -> None:
    """One byte more, and the signature is not of this body, wherever the body is signed."""
    text, delivery = SCHEMES[product]
    with pytest.raises(BadSignature):
        tried(signature_of(f"signature: {text}"), **delivery, body=BODY + b" ")


@pytest.mark.parametrize("product", SCHEMES)
def test_a_delivery_without_a_signature_is_refused(product: str) -> None:
    """What is expected to be signed, and is not, is not believed."""
    with pytest.raises(BadSignature):
        tried(signature_of(f"signature: {SCHEMES[product][0]}"))


def test_a_product_that_does_not_sign_is_taken_at_its_address() -> None:
    """`none: true` asks for no proof; the path of the flow is the secret then."""
    assert tried(signature_of("signature: {none: true}"), secrets=[]) == Verified()


# What holds for all of them.


def test_secrets_are_rotated_without_a_gap() -> None:
    """While two secrets hold, what either of them signed is taken, and it is told which."""
    signature = signature_of("signature: {header: X-Sign}")
    for index, secret in enumerate(["old", "new"]):
        headers = [("X-Sign", hexed(secret, b"{}"))]
        assert tried(signature, headers=headers, secrets=["old", "new"]).secret == index


def test_no_secret_lets_nothing_through() -> None:
    """A tool whose secret is not set is not heard, not even with an empty key."""
    signature = signature_of("signature: {header: X-Sign}")
    for secrets in ([], [""]):
        with pytest.raises(BadSignature, match="no secret"):
            tried(signature, headers=[("X-Sign", hexed("", b"{}"))], secrets=secrets)


@pytest.mark.parametrize(
    ("tolerance", "age", "taken"),
    [
        ("", 300, True),
        ("", 301, False),
        ("", -301, False),
        (", tolerance: 1 hour", 3600, True),
        (", tolerance: 1 hour", 3601, False),
    ],
)
def test_a_signed_time_has_to_be_near(tolerance: str, age: int, taken: bool) -> None:  # noqa: FBT001 - a column of the table above
    """A delivery that somebody kept and sends again later, or dated ahead, is refused."""
    signature = signature_of(
        f'signature: {{header: S, timestamp: T, signs: "{{timestamp}}.{{body}}"{tolerance}}}'
    )
    headers = [("S", hexed(SECRET, f"{STAMP}.{{}}".encode())), ("T", STAMP)]
    now = NOW + timedelta(seconds=age)
    if taken:
        assert tried(signature, headers=headers, now=now).timestamp == NOW
        return
    with pytest.raises(BadSignature, match="timestamp"):
        tried(signature, headers=headers, now=now)


def test_times_may_be_written_in_several_ways() -> None:
    """Seconds, milliseconds and RFC 3339 are one time; what is signed is what was written."""
    signature = signature_of('signature: {header: S, timestamp: T, signs: "{timestamp}{body}"}')
    for written in (STAMP, f"{STAMP}000", "2026-05-04T14:03:11Z", "2026-05-04T16:03:11+02:00"):
        headers = [("S", hexed(SECRET, f"{written}{{}}".encode())), ("T", written)]
        assert tried(signature, headers=headers).timestamp == NOW


@pytest.mark.parametrize(
    "written",
    ["{signature}", "{timestamp}:{signature}", 'k="x",t="{timestamp}",s="{signature}"'],
)
def test_a_signature_may_be_written_in_many_ways(written: str) -> None:
    """Signature and time are read part by part, in any order, out of what stands there."""
    text = f"header: S, timestamp: T, signs: '{{timestamp}}.{{body}}', reads: '{written}'"
    said = hexed(SECRET, f"{STAMP}.{{}}".encode())
    header = written.replace("{signature}", said).replace("{timestamp}", STAMP)
    headers = [("S", header), ("T", STAMP)]
    assert tried(signature_of(f"signature: {{{text}}}"), headers=headers).secret == 0


def test_parts_may_stand_in_another_order() -> None:
    """What is written as key and value is found by its key."""
    signature = signature_of(
        "signature: {header: S, reads: 't={timestamp};s={signature}', signs: '{timestamp}{body}'}"
    )
    said = hexed(SECRET, f"{STAMP}{{}}".encode())
    assert tried(signature, headers=[("S", f"x=1; s={said}; t={STAMP}")]).secret == 0


def test_how_it_is_signed_is_part_of_what_it_says() -> None:
    """A digest over the secret is no HMAC, and neither passes for the other."""
    digest = hashlib.sha256(SECRET.encode() + b"{}").hexdigest()
    headers = [("S", digest)]
    stated = signature_of('signature: {header: S, mac: digest, signs: "{secret}{body}"}')
    assert tried(stated, headers=headers).secret == 0
    with pytest.raises(BadSignature):
        tried(signature_of("signature: {header: S}"), headers=headers)


def test_a_flood_of_signatures_is_not_worked_through() -> None:
    """Of very many signatures in a header the first are tried, and a true one behind is not."""
    true = standardwebhooks.Webhook(SECRET).sign("msg_1", NOW, "{}")
    decoys = ["v1,aaaa"] * 16
    with pytest.raises(BadSignature):
        tried(shipped("standard_webhooks"), **standard(" ".join([*decoys, true]), b"{}"))


@pytest.mark.parametrize(
    ("text", "path", "gist"),
    [
        ('{header: S, reads: "t={timestamp}"}', "signature.reads", "'{signature}' is missing"),
        ('{header: S, reads: "{signature},{signature}"}', "signature.reads", "stands twice"),
        ('{header: S, reads: "{signature"}', "signature.reads", "never closed"),
        ('{header: S, reads: "v1"}', "signature.reads", "names no part"),
        ('{header: S, signs: "{body}}"}', "signature.signs", "closes nothing"),
        ('{header: S, signs: "{a.[}"}', "signature.signs", "no JMESPath"),
        ('{body: "a ||", signs: "{x}"}', "signature.body", "no JMESPath"),
        ('{body: "lower(a)", signs: "{x}"}', "signature.body", "no function 'lower'"),
        ('{body: "join(a)", signs: "{x}"}', "signature.body", "'join' takes 2 arguments, not 1"),
    ],
)
def test_a_signature_that_cannot_be_read_is_refused_at_the_start(
    text: str, path: str, gist: str
) -> None:
    """A mistake in how a product signs is found before anything is sent, with its line."""
    with pytest.raises(BadDefinition) as caught:
        signature_of(f"signature: {text}")
    (problem,) = caught.value.problems
    assert (problem.path, problem.line) == (path, 3)
    assert gist in problem.message


NAMES = st.sampled_from(["S", "T", "I", "Authorization", "content-type"])
PAIRS = st.lists(st.tuples(NAMES, st.text() | st.from_regex(r"(t=|v1=|v1,)?[0-9a-f,= ]*")))
# Nothing that could never hold, or that anybody could make.


@pytest.mark.parametrize(
    ("text", "path", "gist"),
    [
        ("{header: S, mac: digest}", "signature.signs", "has to hold {secret}"),
        ('{header: S, signs: "static"}', "signature.signs", "nothing of the delivery is signed"),
        ('{header: S, signs: "{method}{secret}", mac: digest}', "signature.signs", "nothing of"),
        ('{header: S, signs: "{timestamp}{body}"}', "signature.signs", "gives '{timestamp}'"),
        ('{header: S, signs: "{id}.{body}"}', "signature.signs", "nothing gives '{id}'"),
        ("{header: S, tolerance: 5 minutes}", "signature.tolerance", "no time is signed"),
        ("{body: hash}", "signature.signs", "the body holds the signature itself"),
        ('{query: hash, signs: "{url}"}', "signature.signs", "the address holds the signature"),
        ('{header: S, reads: "{signature}{timestamp}"}', "signature.reads", "cannot be told"),
        ("{header: S, mac: token, tolerance: 1 minute}", "signature.tolerance", "means nothing"),
        ('{header: S, mac: token, signs: "{body}"}', "signature.signs", "the secret itself"),
        ('{header: S, mac: token, reads: "{signature},{id}"}', "signature.reads", "stands alone"),
        ('{basic: true, signs: "{body}"}', "signature.signs", "beside basic: true"),
        ("{none: true, algorithm: sha1}", "signature.algorithm", "beside none: true"),
        ("{header: X Sign}", "signature.header", "not the name of a header"),
        ('{header: S, timestamp: "T:", signs: "{timestamp}{body}"}', "signature.timestamp", "name"),
        ('{header: S, timestamp: {body: "a ||"}, signs: "{timestamp}{body}"}',
         "signature.timestamp.body", "no JMESPath"),
    ],
)  # fmt: skip
def test_what_could_never_hold_is_refused_at_the_start(text: str, path: str, gist: str) -> None:
    """A signature that cannot verify, or proves nothing, is no signature: its line says why."""
    with pytest.raises(BadDefinition) as caught:
        signature_of(f"signature: {text}")
    (problem,) = caught.value.problems
    assert problem.path == path
    assert gist in problem.message


@pytest.mark.parametrize(
    ("text", "gist"),
    [
        ("{header: S, timestamp: X-Time}", "this time is not signed"),
        ('{header: S, signs: "{body}{bdy}"}', "did you mean 'body'?"),
    ],
)
def test_what_may_be_meant_is_a_warning(text: str, gist: str) -> None:
    """What holds, and yet is hardly what its author wanted, is told and taken."""
    file = f"connector: one\ntitle: One\nsignature: {text}"
    (warning,) = read_connector(file.encode(), "one.yaml")[1].problems
    assert warning.warning
    assert gist in warning.message


# Secrets and algorithms.


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
def test_products_hash_in_three_ways(algorithm: str) -> None:
    """The old one, the usual one, and the long one."""
    signature = signature_of(f"signature: {{header: S, algorithm: {algorithm}, encoding: base64}}")
    assert tried(signature, headers=[("S", b64(SECRET, b"{}", algorithm))]).secret == 0
    with pytest.raises(BadSignature):
        tried(signature, headers=[("S", b64(SECRET, b"{}", "sha384"))])


def test_a_secret_may_be_written_in_hex() -> None:
    """Adyen's key is; what it signs are parts of the body, and the signature stands among them."""
    item = "notificationItems[0].NotificationRequestItem"
    signature = signature_of(
        f"signature:\n  body: {item}.additionalData.hmacSignature\n"
        f'  signs: "{{{item}.pspReference}}:{{{item}.amount.value}}:{{{item}.eventCode}}"\n'
        "  encoding: base64\n  secret: hex"
    )
    key = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
    mac = hmac.digest(bytes.fromhex(key), b"7914073381342284:1130:AUTHORISATION", "sha256")
    said = {
        "pspReference": "7914073381342284",
        "amount": {"value": 1130},
        "eventCode": "AUTHORISATION",
        "additionalData": {"hmacSignature": base64.b64encode(mac).decode()},
    }
    body = json.dumps({"notificationItems": [{"NotificationRequestItem": said}]}).encode()
    assert tried(signature, body=body, secrets=["no hex", key]).secret == 1
    with pytest.raises(BadSignature):
        tried(signature, body=body.replace(b"1130", b"1131"), secrets=[key])


# A plain token.


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("{header: X-Gitlab-Token, mac: token}", {"headers": [("x-gitlab-token", SECRET)]}),
        ('{header: Authorization, mac: token, reads: "Bearer {signature}"}',
         {"headers": [("Authorization", f"bearer {SECRET}")]}),
        ("{query: token, mac: token}", {"query": [("token", SECRET)]}),
        ('{body: "value[].clientState", mac: token}',
         {"body": json.dumps({"value": [{"clientState": SECRET}] * 20}).encode()}),
    ],
    ids=["header", "bearer", "address", "body"],
)  # fmt: skip
def test_a_token_is_the_secret_itself(text: str, given: dict[str, Any]) -> None:
    """Some products sign nothing, and send along what they were given, wherever they put it."""
    signature = signature_of(f"signature: {text}")
    assert tried(signature, secrets=["the old one", SECRET], **given).secret == 1
    with pytest.raises(BadSignature, match="not a token that holds"):
        tried(signature, secrets=["another"], **given)
    with pytest.raises(BadSignature, match="no secret is set"):
        tried(signature, secrets=[""], **given)
    with pytest.raises(Unsigned):
        tried(signature)


def test_every_token_of_a_body_has_to_hold() -> None:
    """One right token does not speak for what stands beside it under another."""
    signature = signature_of('signature: {body: "value[].clientState", mac: token}')
    said = [{"clientState": SECRET}] * 20 + [{"clientState": "guessed"}]
    with pytest.raises(BadSignature):
        tried(signature, body=json.dumps({"value": said}).encode())


# A time in the body.


@pytest.mark.parametrize("signs", ["{timestamp}{signature.token}", "{body}"])
def test_the_time_may_stand_in_the_body(signs: str) -> None:
    """Mailgun's stands beside what is signed; an old delivery is refused by it."""
    where = "{body: signature.hash" if signs != "{body}" else "{header: S"
    signature = signature_of(
        f'signature: {where}, signs: "{signs}", timestamp: {{body: signature.timestamp}},'
        " tolerance: 1 minute}"
    )

    def delivery(at: datetime) -> dict[str, Any]:
        said = {"timestamp": str(int(at.timestamp())), "token": "t0"}
        said["hash"] = hexed(SECRET, f"{said['timestamp']}t0".encode())
        body = json.dumps({"signature": said}).encode()
        return {"body": body, "headers": [("S", hexed(SECRET, body))]}

    assert tried(signature, **delivery(NOW)).timestamp == NOW
    for at in (NOW - timedelta(seconds=61), NOW + timedelta(seconds=61)):
        with pytest.raises(BadSignature, match="too old"):
            tried(signature, **delivery(at))
    with pytest.raises(BadSignature):
        tried(signature, headers=[("S", hexed(SECRET, b"{}"))])


# Signed or not.


def test_what_is_not_signed_is_told_from_what_is_signed_wrongly() -> None:
    """Only who carries no signature at all may be introducing himself."""
    by_header = signature_of("signature: {header: S}")
    by_body = signature_of('signature: {body: a.hash, signs: "{a.b}"}')
    by_password = signature_of("signature: {basic: true}")
    for nothing in (by_header, by_body, by_password):
        with pytest.raises(Unsigned):
            tried(nothing)
    for signature, usual in (
        (by_header, {"headers": [("S", "!?")]}),
        (by_header, {"headers": [("S", "00")], "secrets": []}),
        (by_body, {"body": b'{"a": {"hash": "00", "b": "x"}}'}),
        (by_password, {"headers": [("Authorization", "Basic eA==")]}),
    ):
        with pytest.raises(BadSignature) as caught:
            tried(signature, **usual)
        assert type(caught.value) is BadSignature


BODIES = st.binary() | st.text().map(str.encode) | st.just(b"[" * 100_000)
ANY = [
    "{header: S}",
    "{header: S*, encoding: base64, secret: base64}",
    "{query: S, reads: 't={timestamp},v1={signature}', signs: '{timestamp}.{id}.{body}', id: I}",
    "{body: a.b, signs: '{a}{method}{url}{secret}'}",
    "{basic: true}",
    "{header: S, mac: token, reads: 'Bearer {signature}'}",
    "{body: 'a[].b', mac: token}",
    "{header: S, timestamp: {body: a.t}, secret: hex, algorithm: sha512}",
    "{header: S, reads: '{id}.{timestamp}:{signature}', signs: '{id}{secret}', mac: digest}",
]


@pytest.mark.parametrize("text", ANY)
@settings(deadline=None)
@given(headers=PAIRS, query=PAIRS, body=BODIES, secret=st.text(), url=st.text())
def test_whatever_comes_is_refused_and_nothing_else(
    text: str,
    headers: list[tuple[str, str]],
    query: list[tuple[str, str]],
    body: bytes,
    secret: str,
    url: str,
) -> None:
    """No header, address, body or secret brings about anything but `BadSignature`."""
    with pytest.raises(BadSignature):
        tried(
            signature_of(f"signature: {text}"),
            headers=headers,
            query=query,
            body=body.decode("utf-8", "replace").encode() if body[:1] == b"{" else body,
            secrets=[secret + "\0unguessable"],
            url=url,
        )


def test_a_signature_is_data() -> None:
    """How a product signs is written to a file and read back unchanged."""
    signature = shipped("stripe")
    assert msgspec.convert(msgspec.to_builtins(signature), Signature) == signature
