"""Signs what a tool is told, by Standard Webhooks (https://www.standardwebhooks.com).

The same message keeps its id at every attempt; its timestamp is that of the attempt, so that a
receiver can refuse what is old. While a secret is being changed both sign, side by side.
"""

import base64
import binascii
import hmac
from datetime import datetime
from typing import Final

SECRETS_MAX: Final = 8
"""How many secrets sign at once; while one is being changed there are two."""


def signed(secrets: str, message: str, body: bytes, now: datetime) -> dict[str, str]:
    """Make the three headers; `secrets` are written as they are set, divided by spaces."""
    timestamp = str(int(now.timestamp()))
    content = f"{message}.{timestamp}.".encode() + body
    return {
        "webhook-id": message,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(
            _signature(key(secret), content) for secret in secrets.split()[:SECRETS_MAX]
        ),
    }


def key(secret: str) -> bytes:
    """Give the bytes that a secret stands for: base64, perhaps after `whsec_`, else its text."""
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        return secret.encode()


def _signature(key: bytes, content: bytes) -> str:
    return "v1," + base64.b64encode(hmac.digest(key, content, "sha256")).decode()
