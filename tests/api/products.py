"""Products as they speak: each signs as its documentation says, and one answers for its records."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from tests.running import Service

SECRET = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
"""Shared with every product, as base64 where a product wants that."""

Signed = dict[str, str]
Signs = Callable[[bytes, str], Signed]
"""The body and the address that the product was given → the headers that it sends along."""


def b64(signed: bytes, algorithm: str = "sha256", secret: str = SECRET) -> str:
    """Sign, in base64."""
    return base64.b64encode(hmac.digest(secret.encode(), signed, algorithm)).decode()


def hexed(signed: bytes, secret: str = SECRET) -> str:
    """Sign, in hex."""
    return hmac.digest(secret.encode(), signed, "sha256").hex()


def now() -> str:
    """The time, in Unix seconds."""
    return str(int(time.time()))


def hubspot(body: bytes, url: str) -> Signed:
    """Sign as HubSpot does, version 3."""
    stamp = f"{now()}000"
    signed = b"POST" + url.encode() + body + stamp.encode()
    return {"X-HubSpot-Signature-v3": b64(signed), "X-HubSpot-Request-Timestamp": stamp}


def stripe(body: bytes, _: str) -> Signed:
    """Sign as Stripe does."""
    stamp = now()
    return {"Stripe-Signature": f"t={stamp},v1={hexed(stamp.encode() + b'.' + body)}"}


def square(body: bytes, url: str) -> Signed:
    """Sign as Square does."""
    return {"x-square-hmacsha256-signature": b64(url.encode() + body)}


def jobber(body: bytes, _: str) -> Signed:
    """Sign as Jobber does."""
    return {"X-Jobber-Hmac-SHA256": b64(body)}


def quickbooks(body: bytes, _: str) -> Signed:
    """Sign as QuickBooks does."""
    return {"intuit-signature": b64(body)}


def xero(body: bytes, _: str) -> Signed:
    """Sign as Xero does."""
    return {"x-xero-signature": b64(body)}


def docusign(body: bytes, _: str) -> Signed:
    """Sign as DocuSign does, with the second of its keys."""
    return {"X-DocuSign-Signature-1": "AAAA", "X-DocuSign-Signature-2": b64(body)}


def standard(body: bytes, _: str, name: str = "") -> Signed:
    """Sign by Standard Webhooks; each message has its own id where none is given."""
    stamp, name = now(), name or f"msg_{hashlib.sha256(body).hexdigest()[:12]}"
    signed = f"{name}.{stamp}.".encode() + body
    mac = hmac.digest(base64.b64decode(SECRET), signed, "sha256")
    written = f"v1,{base64.b64encode(mac).decode()}"
    return {"webhook-id": name, "webhook-timestamp": stamp, "webhook-signature": written}


def sent(
    service: Service, tool: str, signs: Signs | None, content: Any, more: str = "", **headers: str
) -> httpx.Response:
    """Send a webhook as a product does; content as bytes, or as what its JSON says."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    path = f"/v1/tools/{tool}/webhook{more}"
    signed = signs(body, f"{service.url}{path}") if signs else {}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    usual = {"Content-Type": "application/json"}
    return service.by("nobody").post(path, content=body, headers={**usual, **signed, **named})


class Product:
    """Answers for its records over HTTP, as the test has it answer."""

    def __init__(self) -> None:
        """Know no record, and answer at once."""
        self.records: dict[str, Any] = {}
        """Path, or the `id` of a GraphQL query → what is answered."""
        self.whole: Any = None
        """What is answered whatever is asked."""
        self.status = 200
        self.waits_seconds = 0.0
        self.headers: dict[str, str] = {}
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        """Path, headers and body of each question."""
        self.url = ""

    def answer(self, path: str, body: bytes) -> Any:
        """What there is of a record; None where there is nothing."""
        if self.whole is not None:
            return self.whole
        if body:
            asked = json.loads(body)["variables"]["id"]
            return {"data": {"record": self.records.get(asked)}}
        return self.records.get(path)


@contextmanager
def running_product() -> Iterator[Product]:
    """Run a product on loopback."""
    product = Product()

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(length)
            product.asked.append((self.path, dict(self.headers), body))
            time.sleep(product.waits_seconds)
            found = product.answer(self.path, body)
            status = 404 if found is None and product.status == 200 else product.status
            content = json.dumps(found).encode()
            self.send_response(status)
            for name, value in product.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST  # noqa: N815 - the library's own name

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.daemon_threads = True
    product.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield product
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
