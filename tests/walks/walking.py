"""One case, walked over HTTP by the keys of the tools that own its states."""

from typing import Any

import httpx

from tests.running import Service


class Walk:
    """Asks for one case, and holds every answer to what is expected of it."""

    def __init__(self, service: Service, name: str) -> None:
        """Take a case by its name, like `jobs/J-1`; it need not be there yet."""
        self.service = service
        self.collection, _, self.id = name.partition("/")
        self.address = f"/v1/{name}"

    def opened(self, by: str, fields: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Have it opened, and give the case."""
        body = {"id": self.id, "fields": fields, **more}
        answer = self.service.by(by).post(f"/v1/{self.collection}", json=body)
        return accepted(answer, 201)

    def moved(self, by: str, transition: str, state: str, **fields: Any) -> dict[str, Any]:
        """Have a transition made that leads to this state, and give the event."""
        answer = accepted(self.moving(by, transition, fields), 201)
        assert answer["case"]["state"] == state, (transition, answer["case"]["state"])
        event: dict[str, Any] = answer["event"]
        return event

    def refused(self, by: str, transition: str, code: str, **fields: Any) -> dict[str, Any]:
        """Have a transition refused with this code, and give the problem."""
        answer = self.moving(by, transition, fields)
        problem: dict[str, Any] = answer.json()
        assert problem["type"] == f"/problems/{code}", problem
        assert answer.status_code == problem["status"] >= 400
        return problem

    def moving(
        self, by: str, transition: str, fields: dict[str, Any] | None = None, **more: Any
    ) -> httpx.Response:
        """Ask for a transition, whatever comes of it."""
        body = {"transition": transition, "fields": fields or {}, **more}
        return self.service.by(by).post(f"{self.address}/transitions", json=body)

    def told(self, by: str, state: str, **fields: Any) -> dict[str, Any]:
        """Have fields set, after which the case is in this state, and give the case."""
        answer = self.service.by(by).patch(f"{self.address}/fields", json=fields)
        case = accepted(answer, 200)
        assert case["state"] == state, (fields, case["state"])
        return case

    def done(self, by: str, what: str, **body: Any) -> dict[str, Any]:
        """Have it corrected or erased, and give the case."""
        return accepted(self.service.by(by).post(f"{self.address}/{what}", json=body), 200)

    def seen(self, by: str = "staff", what: str = "", **query: str) -> dict[str, Any]:
        """Look at it, or at something of it."""
        return accepted(self.service.by(by).get(f"{self.address}{what}", params=query), 200)

    def events(self, by: str = "staff") -> list[dict[str, Any]]:
        """Everything that happened to it, oldest first, but what its tools are told of it."""
        items: list[dict[str, Any]] = self.seen(by, "/history")["items"]
        return [one for one in items if not one["type"].startswith(("Notice", "Reaction"))]

    def view(self, tool: str, ref: str) -> dict[str, Any]:
        """See it as a tool says it."""
        address = f"/v1/tools/{tool}/{self.collection}/{ref}"
        return accepted(self.service.by(tool).get(address), 200)


def accepted(answer: httpx.Response, status: int) -> dict[str, Any]:
    """Give the answer's body, which has to come with this status."""
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    return body
