"""Asking for a record: what is asked, with which token, and where nobody is asked at all."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from api.completing import PAUSE_SECONDS, Turns
from api.fetching import Call, Fetcher, NotFetched, call_for
from lifecycle.connectors import Connector
from lifecycle.deliveries import Message, understand
from lifecycle.doubts import read_connector
from lifecycle.journal import utc_now
from lifecycle.refusals import BadDefinition
from tests.api.products import Product, running_product

ANYWHERE = "{url: '{where}', host: [x.example, 127.0.0.1]}"
TOKEN = {"STATEKEEPER_SHOP_TOKEN": "a-token"}


def connector(fetch: str, more: str = "") -> Connector:
    """Read a connector whose messages only name a record."""
    text = f"connector: shop\ntitle: Shop\nref: id\nword: record.status\nfetch: {fetch}\n{more}"
    return read_connector(text.encode(), "shop.yaml")[0]


def message(spoken: Connector, **said: Any) -> Message:
    """Understand a message that names a record."""
    content = "{" + ", ".join(f'"{name}": {value}' for name, value in said.items()) + "}"
    given = {"headers": [], "query": [], "received_at": utc_now()}
    (one,) = understand(spoken, body=content.encode(), **given).messages  # type: ignore[arg-type]  # the rest, by name
    assert one.needs_fetch
    return one


def asked(fetch: str, environment: dict[str, str] | None = None, **said: Any) -> Call:
    """What is asked about a message."""
    spoken = connector(fetch)
    assert spoken.fetch is not None
    held = TOKEN if environment is None else environment
    return call_for(spoken.fetch, message(spoken, **said).content, held, "shop")


def test_what_a_message_says_stays_inside_of_its_place() -> None:
    """A value can neither leave the path nor the text of a query, nor begin another header."""
    call = asked("{url: 'https://x.example/a/{id}/b'}", id='"../c?d=e#f"')
    assert call.url == "https://x.example/a/..%2Fc%3Fd%3De%23f/b"
    query = "{url: 'https://x.example', method: POST, body: '{{\"id\": \"{id}\"}}'}"
    call = asked(query, id='"a\\"b\\\\"')
    assert (call.method, call.body) == ("POST", b'{"id": "a\\"b\\\\"}')
    assert call.headers["Content-Type"] == "application/json"
    lines = '"1\\r\\nA: b"'
    call = asked("{url: 'https://x.example', headers: {X-Shop: 'of {at}'}}", id=1, at=lines)
    assert call.headers["X-Shop"] == "of 1A: b"
    assert asked("{url: 'https://x.example/{id}'}", id="12.50").url == "https://x.example/12.50"


def test_only_a_message_that_says_the_host_is_held_to_it() -> None:
    """What stands ahead of the path decides whose address it is, and not what follows."""
    for url in ("http://x.example", "http://x.example/{id}", "http://x.example?of={id}"):
        assert not asked(f"{{url: '{url}'}}", id=1).from_message
    shops = "{url: 'https://{id}.example/', host: 1.example}"
    assert asked(shops, id=1).from_message


def test_the_token_goes_along_unless_the_connector_says_otherwise() -> None:
    """A tool's own token is sent as Bearer; a header of the connector's own takes its place."""
    assert asked("{url: 'https://x.example'}", id=1).headers["Authorization"] == "Bearer a-token"
    own = "{url: 'https://x.example', headers: {authorization: 'Key {env:SHOP_KEY}'}}"
    call = asked(own, {**TOKEN, "SHOP_KEY": "k"}, id=1)
    assert call.headers == {"authorization": "Key k"}
    assert not asked("{url: 'https://x.example'}", {}, id=1).headers


@pytest.mark.parametrize(
    ("fetch", "gist", "by_all"),
    [
        ("{url: 'https://x.example/{missing}'}", "nothing is found", False),
        ("{url: 'https://x.example/{env:UNSET}'}", "UNSET is not set", True),
        ("{url: 'file:///etc/{id}'}", "none of http or https", False),
        ("{url: '{id}', host: x.example}", "none of http or https", False),
        ("{url: 'https://{id}.example/', host: 2.example}", "no host that the connector", False),
    ],
)
def test_what_cannot_be_asked_is_said(fetch: str, gist: str, by_all: bool) -> None:  # noqa: FBT001 - a column of the table above
    """A message that does not say enough is told from a product that is not set up."""
    with pytest.raises(NotFetched, match=gist) as said:
        asked(fetch, id=1)
    assert said.value.by_all is by_all


@pytest.fixture
def product() -> Iterator[Product]:
    """A product with one record."""
    with running_product() as running:
        running.records["/r/1"] = {"status": "paid"}
        yield running


def told(fetch: str, environment: dict[str, str] | None = None, **said: Any) -> Message:
    """Ask for the record of a message."""

    async def ask() -> Message:
        spoken, fetcher = connector(fetch), Fetcher(environment or {})
        try:
            return await fetcher.complete("shop", spoken, message(spoken, **said))
        finally:
            await fetcher.close()

    return asyncio.run(ask())


def test_the_operators_own_address_may_be_private(product: Product) -> None:
    """An address from the connector or the environment is asked, wherever it is."""
    assert told(f"{{url: '{product.url}/r/{{id}}'}}", id=1).word == "paid"
    named = "{url: '{env:SHOP}/r/{id}'}"
    assert told(named, {"SHOP": product.url}, id=1).word == "paid"


@pytest.mark.parametrize(
    "fetch",
    [
        "{url: 'http://169.254.169.254/latest/{id}'}",
        "{url: 'http://[fe80::1]/{id}'}",
        "{url: 'http://[::ffff:169.254.169.254]/{id}'}",
        "{url: 'http://0.0.0.0:%(port)s/r/{id}'}",
        "{url: '{where}', host: 127.0.0.1}",
        "{url: 'https://{host}:%(port)s/r/{id}', host: localhost}",
    ],
)
def test_no_message_leads_into_our_own_network(product: Product, fetch: str) -> None:
    """Link-local addresses are never asked, and private ones not on a message's word."""
    where = product.url.replace("http:", "https:")
    said: dict[str, Any] = {"id": 1, "where": f'"{where}/r/1"', "host": '"localhost"'}
    port = product.url.rpartition(":")[2]
    with pytest.raises(NotFetched, match="not one that may be called"):
        told(fetch.replace("%(port)s", port), **said)
    assert not product.asked


def test_no_secret_goes_where_a_message_says_unless_sealed(product: Product) -> None:
    """An address that came with a message is asked over https, or not at all."""
    with pytest.raises(NotFetched, match="not https") as said:
        told(ANYWHERE, TOKEN, id=1, where=f'"{product.url}/r/1"')
    assert not said.value.by_all
    assert not product.asked


@pytest.mark.parametrize(
    ("where", "is_named"),
    [
        ("https://api.shop.example/r/1", True),
        ("https://API.shop.example:8443/r/1", True),
        ("https://eu.records.example/r/1", True),
        ("https://records.example/r/1", False),
        ("https://evil.example/r/1", False),
        ("https://api.shop.example.evil.example/", False),
        ("https://evilrecords.example/", False),
        ("https://api.shop.example@evil.example/", False),
        ("https://evil.example/?api.shop.example", False),
        ("https://evil.example#.records.example", False),
        ("https://api.shop.example./r/1", False),
    ],
)
def test_no_token_goes_to_a_host_that_nobody_named(where: str, *, is_named: bool) -> None:
    """Whoever can send a message must not be sent the token: only the connector says where to."""
    fetch = "{url: '{where}', host: [api.shop.example, '*.records.example']}"
    if is_named:
        assert asked(fetch, id=1, where=f'"{where}"').headers["Authorization"] == "Bearer a-token"
    else:
        with pytest.raises(NotFetched, match="no host that the connector names"):
            asked(fetch, id=1, where=f'"{where}"')


@pytest.mark.parametrize(
    "fetch",
    [
        "{url: '{where}'}",
        "{url: 'https://{id}.example/'}",
        "{url: 'https://x.example:{id}/', host: '*'}",
        "{url: 'https://{id}.com/', host: '*.com'}",
    ],
)
def test_an_address_that_messages_say_needs_its_hosts(fetch: str) -> None:
    """A connector that would send the token anywhere is refused at the start, with its line."""
    with pytest.raises(BadDefinition, match=r"shop.yaml:5: fetch\.(url|host)"):
        connector(fetch)


@pytest.mark.parametrize(
    "where",
    [
        "https://x.example:99999/",
        "https://[1.2.3/",
        "https://x.example/" + "a" * 70_000,
        "https://" + "a" * 70 + ".example/",
        "https://a..example/",
        " https://x.example/",
        "https://\u200b/",
    ],
)
def test_an_address_that_is_none_is_the_messages_own_fault(where: str) -> None:
    """Whatever stands where an address should stand, other records are asked for all the same."""
    with pytest.raises(NotFetched) as said:
        told(ANYWHERE, id=1, where=f'"{where}"')
    assert not said.value.by_all


def test_a_header_that_cannot_be_sent_is_the_messages_own_fault(product: Product) -> None:
    """A value that no header can carry keeps its own record from us, and no other."""
    with pytest.raises(NotFetched, match="none that can be sent") as said:
        told(f"{{url: '{product.url}', headers: {{X-At: '{{at}}'}}}}", id=1, at='"\u0416"')
    assert not said.value.by_all


@pytest.mark.parametrize(("status", "by_all"), [(401, True), (403, False), (500, True)])
def test_a_record_that_is_not_ours_to_see_hides_no_other(
    product: Product,
    status: int,
    by_all: bool,  # noqa: FBT001 - a column of the table above
) -> None:
    """403 is said of one record; 401 and 500 of the product."""
    product.status = status
    with pytest.raises(NotFetched, match=str(status)) as said:
        told(f"{{url: '{product.url}/r/{{id}}'}}", id=1)
    assert said.value.by_all is by_all


def test_connections_that_are_too_many_are_closed(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who was not asked for longest is let go of; who was asked just now is kept."""
    monkeypatch.setattr("api.fetching.CLIENTS_MAX", 1)

    async def ask() -> list[bool]:
        fetcher = Fetcher({})
        spoken = connector(f"{{url: '{product.url}/r/{{id}}'}}")
        made = []
        for tool in ("shop", "books"):
            await fetcher.complete(tool, spoken, message(spoken, id=1))
            made.append(fetcher._clients[tool, "127.0.0.1"])
        try:
            return [client.is_closed for client in made]
        finally:
            await fetcher.close()

    assert asyncio.run(ask()) == [True, False]


def test_a_look_up_that_hangs_keeps_no_thread_of_the_pages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Hosts are looked up in few threads of their own; all others go on working."""
    end = threading.Event()
    names: list[str] = []

    def hang(*_: object, **__: object) -> list[Any]:
        names.append(threading.current_thread().name)
        end.wait(5)
        return []

    monkeypatch.setattr("socket.getaddrinfo", hang)
    try:
        with pytest.raises(NotFetched, match="within 1 s"):
            told("{url: 'http://x.example/{id}', within: 1 second}", id=1)
    finally:
        end.set()
    assert [name.startswith("look-up") for name in names] == [True]


def test_who_could_not_be_had_stands_behind_all_others() -> None:
    """A record that fails is asked for after the others, and each time after a longer pause."""
    turns = Turns()
    assert turns.due(["a", "b"], 0) == ["a", "b"]
    turns.failed("a", 0)
    assert turns.due(["a", "b", "c"], PAUSE_SECONDS - 1) == ["b", "c"]
    assert turns.due(["a", "b", "c"], PAUSE_SECONDS) == ["b", "c", "a"]
    turns.failed("a", PAUSE_SECONDS)
    assert turns.due(["a"], 3 * PAUSE_SECONDS - 1) == []
    assert turns.due(["a"], 3 * PAUSE_SECONDS) == ["a"]
    assert turns.due([], 0) == []
    assert turns.due(["a"], 0) == ["a"], "what waits no longer is forgotten"


def test_a_product_that_hangs_is_left(product: Product) -> None:
    """An answer that does not come in its time is a record that could not be had."""
    product.waits_seconds = 1.5
    with pytest.raises(NotFetched, match="within 1 s") as said:
        told(f"{{url: '{product.url}/r/{{id}}', within: 1 second}}", id=1)
    assert said.value.by_all


def test_a_product_that_is_not_there_is_said_so() -> None:
    """Nobody listening, and no such host, are the product's fault, and not the message's."""
    for url in ("http://127.0.0.1:9/", "http://no-such-host.invalid/"):
        with pytest.raises(NotFetched) as said:
            told(f"{{url: '{url}{{id}}'}}", id=1)
        assert said.value.by_all


def test_webhooks_wait_for_half_of_their_time() -> None:
    """Jobber's one second leaves half of it; whoever was slow is not waited for."""
    fetcher, spoken = Fetcher(), connector("{url: 'https://x.example'}")
    assert fetcher.patience("shop", spoken) == 1.0
    for within, seconds in (("1 second", 0.5), ("3 seconds", 1.5), ("10 seconds", 2.0)):
        spoken = connector("{url: 'https://x.example'}", f"answer_within: {within}")
        assert fetcher.patience("shop", spoken) == seconds
    fetcher.was_slow("shop")
    assert fetcher.patience("shop", spoken) == 0
    assert fetcher.patience("other", spoken) == 2
