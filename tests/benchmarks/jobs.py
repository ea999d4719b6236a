"""The jobs that the clients drive: how they are opened, and what is then asked of them."""

from collections.abc import Callable, Sequence
from itertools import cycle

import httpx
import msgspec

from tests.benchmarks.load import UnexpectedAnswer, request
from tests.benchmarks.servers import Server, issued_key

SECONDS_MAX = 30.0

SCHEDULE = [
    {"transition": "schedule", "fields": {"scheduled_for": "2026-05-11"}},
    {"transition": "schedule", "fields": {"scheduled_for": "2026-05-18"}},
]
UNSCHEDULE = {"transition": "unschedule"}
ASKS = [SCHEDULE[0], UNSCHEDULE, SCHEDULE[1], UNSCHEDULE]
"""Asked round and round of a job with its deposit confirmed; the day differs, so it is news."""


class Keys(msgspec.Struct, frozen=True):
    """One key per tool of the field-service definition."""

    crm: str
    accounting: str
    projects: str

    @classmethod
    def issued(cls, database: str) -> "Keys":
        """Have one issued to each tool."""
        return cls(*(issued_key(database, tool) for tool in cls.__struct_fields__))


def transitions(name: str, *, key: str = "none") -> Callable[[], bytes]:
    """Give what a client asks of its job, one request a call, for ever."""
    path = f"/v1/jobs/{name}/transitions"
    return cycle([request("POST", path, ask, key=key) for ask in ASKS]).__next__


def open_on_statekeeper(server: Server, keys: Keys, names: Sequence[str]) -> None:
    """Open jobs as the CRM does, and let accounting say that each deposit is paid."""
    deposit = {"deposit_due": "500.00 USD", "deposit_paid": "500.00 USD"}
    with httpx.Client(base_url=server.url, timeout=SECONDS_MAX) as http:
        for name in names:
            opened = http.post("/v1/jobs", json={"id": name}, headers=bearer(keys.crm))
            accepted(opened)
            path = f"/v1/jobs/{name}/fields"
            paid = accepted(http.patch(path, json=deposit, headers=bearer(keys.accounting)))
            state = msgspec.json.decode(paid)["state"]
            if state != "deposit_confirmed":
                raise UnexpectedAnswer(f"{name}: the deposit is paid, but the state is {state!r}")


def open_on_plain(server: Server, names: Sequence[str]) -> None:
    """Open jobs and confirm their deposits."""
    with httpx.Client(base_url=server.url, timeout=SECONDS_MAX) as http:
        for name in names:
            accepted(http.post("/v1/jobs", json={"id": name}))
            path = f"/v1/jobs/{name}/transitions"
            accepted(http.post(path, json={"transition": "confirm_deposit"}))


def answer_bytes(server: Server, keys: Keys, name: str) -> int:
    """Tell how long Statekeeper's answers to the asks of the load are, on average."""
    with httpx.Client(base_url=server.url, headers=bearer(keys.projects)) as http:
        path = f"/v1/jobs/{name}/transitions"
        sizes = [len(accepted(http.post(path, json=ask))) for ask in ASKS]
    return round(sum(sizes) / len(sizes))


def accepted(answer: httpx.Response) -> bytes:
    """Give the body of a 2xx.

    Raises:
        UnexpectedAnswer: with what was answered instead.
    """
    if not answer.is_success:
        asked = f"{answer.request.method} {answer.request.url.path}"
        raise UnexpectedAnswer(f"{asked}: {answer.status_code} {answer.text[:600]}")
    return answer.content


def bearer(key: str) -> dict[str, str]:
    """Give the header that carries a key."""
    return {"Authorization": f"Bearer {key}"}
