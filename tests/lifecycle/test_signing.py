from base64 import b64encode
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from lifecycle.signing import signed

BODY = '{"word": "Bezahlt, für Übergabe"}'.encode()
OLD = "whsec_" + b64encode(b"the secret of last year").decode()
NEW = "whsec_" + b64encode(b"the secret of this year").decode()


def now() -> datetime:
    return datetime.now(UTC)


@given(st.binary(min_size=1, max_size=64), st.text(max_size=200))
def test_a_signature_is_what_the_standards_own_library_checks(secret: bytes, text: str) -> None:
    """Whatever the secret and the body."""
    written = "whsec_" + b64encode(secret).decode()
    body = text.encode()
    headers = signed(written, "ntc_1", body, now())
    with suppress(ValueError):  # it reads what is signed as JSON afterwards
        Webhook(written).verify(body, headers)
    assert headers["webhook-id"] == "ntc_1"


@pytest.mark.parametrize("held", [OLD, NEW], ids=["old", "new"])
def test_two_secrets_sign_side_by_side_while_one_is_changed(held: str) -> None:
    """Whoever still has the old one believes it, and whoever has the new one already."""
    headers = signed(f"{OLD} {NEW}", "ntc_1", BODY, now())
    assert len(headers["webhook-signature"].split()) == 2
    Webhook(held).verify(BODY, headers)


def test_another_secret_signs_otherwise() -> None:
    """What was signed with the new secret is not believed by who has the old one."""
    with pytest.raises(WebhookVerificationError):
        Webhook(OLD).verify(BODY, signed(NEW, "ntc_1", BODY, now()))


def test_a_secret_that_is_no_base64_is_its_text() -> None:
    """An operator who set a word has it signed with that word."""
    as_text = signed("not-base64!", "ntc_1", BODY, now())
    as_bytes = signed(b64encode(b"not-base64!").decode(), "ntc_1", BODY, now())
    assert as_text["webhook-signature"].split() == as_bytes["webhook-signature"].split()
