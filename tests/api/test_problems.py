"""Every refusal has a status, a page, and the one form of a problem."""

import re
from collections.abc import Iterator

import httpx
import pytest

from api.pages.advice import GROUPS
from api.pages.problems import SECURITY, example_of
from api.pages.tries import TRIES_MAX
from api.problems import STATUS, NotFound, kinds
from lifecycle.refusals import Refusal
from tests.running import running_service

ADVICE = {kind: advice for group in GROUPS for kind, advice in group.kinds.items()}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("pages")
    with (
        running_service(f"sqlite:///{folder}/log.db", folder) as service,
        httpx.Client(base_url=service.url) as client,
    ):
        yield client


@pytest.mark.parametrize("kind", list(kinds()))
def test_every_refusal_has_a_row_and_a_page(kind: type[Refusal]) -> None:
    """A refusal that can be raised stands in the table of statuses, and its code has a page."""
    assert kind in STATUS
    assert kind.code in {one.code for one in ADVICE}


def test_every_page_is_about_a_refusal() -> None:
    """No page speaks of a problem that is never answered, and none has two."""
    codes = [kind.code for kind in ADVICE]
    assert len(set(codes)) == len(codes)
    assert set(ADVICE) <= set(STATUS)


@pytest.mark.parametrize("kind", ADVICE)
def test_every_page_shows_an_answer(kind: type[Refusal]) -> None:
    """The example on a page is an answer of that very problem, with its status."""
    example = example_of(kind, ADVICE[kind])
    assert f'"type": "/problems/{kind.code}"' in example.answer
    assert example.status.startswith(str(STATUS[kind]))
    assert '"detail": ""' not in example.answer


def test_every_problem_is_explained_to_people(client: httpx.Client) -> None:
    """The index leads to a page for each problem; each says when it happens and what to do."""
    index = client.get("/problems")
    links = set(re.findall(r'href="(/problems/[a-z-]+)"', index.text))
    assert links == {f"/problems/{kind.code}" for kind in ADVICE}
    for kind, advice in ADVICE.items():
        page = client.get(f"/problems/{kind.code}")
        assert page.status_code == httpx.codes.OK
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert f"<title>{kind.title} · Statekeeper</title>" in page.text
        assert len(advice.happens) + len(advice.do) == page.text.count("<li>")


def test_an_unknown_problem_is_one_itself(client: httpx.Client) -> None:
    """A code that nobody answers has no page: 404, as a problem."""
    answer = client.get("/problems/no-such-thing")
    assert answer.status_code == httpx.codes.NOT_FOUND
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"/problems/{NotFound.code}"


def test_an_address_of_nothing_is_not_found(client: httpx.Client) -> None:
    """Whoever asks for JSON is told so as a problem, key or none, and not asked to sign in."""
    answer = client.get("/nonsense", headers={"Accept": "application/json"})
    assert answer.status_code == httpx.codes.NOT_FOUND
    assert answer.json()["type"] == f"/problems/{NotFound.code}"


def test_who_tries_many_keys_is_told_to_wait(client: httpx.Client) -> None:
    """A program that tries keys at the door of the pages is answered with a problem as well."""
    for _ in range(TRIES_MAX):
        client.post("/sign-in", data={"key": "sk_none"})
    answer = client.post("/sign-in", data={"key": "sk_none"})
    assert answer.status_code == httpx.codes.TOO_MANY_REQUESTS
    assert answer.json()["type"] == "/problems/too-many-requests"
    assert int(answer.headers["retry-after"]) == answer.json()["retry_after"] > 0


@pytest.mark.parametrize("path", ["/problems", "/problems/not-the-owner"])
def test_pages_are_guarded(client: httpx.Client, path: str) -> None:
    """A page runs no script, fetches nothing from elsewhere, and has browsers see to it."""
    page = client.get(path)
    assert SECURITY.items() <= {name: page.headers.get(name, "") for name in SECURITY}.items()
    assert "script" not in page.text
    assert not re.search(r'(?:src|href)="(?!/[a-z]?)', page.text.replace('href="#main"', ""))


def test_the_style_is_ours(client: httpx.Client) -> None:
    """What a page links to is served from here, and nothing beside it."""
    for found in re.findall(r'(?:src|href)="(/static/[^"]+)"', client.get("/problems").text):
        assert client.get(found).status_code == httpx.codes.OK
    for path in ("/static/problems.py", "/static/%2e%2e/problems.py", "/static/"):
        answer = client.get(path)
        assert answer.status_code == httpx.codes.NOT_FOUND, path
        assert answer.headers["content-type"] == "application/problem+json"
