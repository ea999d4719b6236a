import asyncio
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from projections.posting import Answered, Poster, may_be_called
from tests.projections.tools import FakeTool, Reply, fake_tools


@pytest.fixture
def tool() -> Iterator[FakeTool]:
    with fake_tools() as (one,):
        yield one


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for `localhost` that nobody knows, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "localhost.pem"
    as_text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(as_text + made.public_bytes(Encoding.PEM))
    return file


@pytest.fixture
def sealed_tool(certificate: Path) -> Iterator[FakeTool]:
    """A tool that speaks TLS, with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with fake_tools(context=context) as (one,):
        yield one


def posted(url: str, poster: Poster | None = None) -> Answered:
    async def post() -> Answered:
        one = poster or Poster(seconds_max=3.0)
        try:
            return await one.post("crm", url, {}, b"{}")
        finally:
            await one.close()

    return asyncio.run(post())


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "fe80::1", "::ffff:169.254.169.254", "0.0.0.0", "::", "224.0.0.1"],  # noqa: S104 - an address to refuse
)
def test_addresses_that_no_tool_has_are_not_called(address: str) -> None:
    """Where clouds keep their secrets, for one; nothing is sent."""
    assert not may_be_called(ip_address(address))
    where = f"[{address}]" if ":" in address else address
    assert "not one that may be called" in posted(f"http://{where}/latest").why


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "192.168.0.9", "::1", "fd00::7"])
def test_private_addresses_are_the_operators_own(address: str) -> None:
    """Tools may stand in the same network."""
    assert may_be_called(ip_address(address))


def test_a_host_is_tried_at_each_of_its_addresses(tool: FakeTool) -> None:
    """A tool that listens at one of them is found, and called by its name."""
    assert posted(f"http://localhost:{tool.port}/hook") == Answered(200)
    assert tool.posts[0].headers["host"] == f"localhost:{tool.port}"


def test_a_host_that_is_not_known_is_said_to_be_so() -> None:
    """In words that a steward understands."""
    assert posted("http://nowhere.invalid/").why == "its host is not known"


def test_nobody_there_is_said_to_be_so() -> None:
    """Likewise."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        assert posted(f"http://127.0.0.1:{port}/").why == "no connection"


@pytest.mark.parametrize("url", ["", "http://", "http://[::1", "nonsense", "http://\x00/"])
def test_what_is_no_address_harms_nobody(url: str) -> None:
    """It is a failure like any other."""
    answer = posted(url)
    assert not answer.is_taken
    assert answer.status is None


def test_a_certificate_that_nobody_vouches_for_is_not_trusted(sealed_tool: FakeTool) -> None:
    """Nothing is sent to whoever shows it."""
    answer = posted(f"https://localhost:{sealed_tool.port}/hook")
    assert "certificate is not trusted" in answer.why
    assert sealed_tool.posts == []


def test_a_certificate_is_held_against_the_name_of_the_host(
    sealed_tool: FakeTool, certificate: Path
) -> None:
    """Trusted for `localhost`, and not for the number that stands behind it."""
    trusting = ssl.create_default_context(cafile=certificate)
    by_name = f"https://localhost:{sealed_tool.port}/hook"
    assert posted(by_name, Poster(certificates=trusting)) == Answered(200)
    by_number = f"https://127.0.0.1:{sealed_tool.port}/hook"
    assert "certificate is not trusted" in posted(by_number, Poster(certificates=trusting)).why


def test_a_redirect_is_a_no(tool: FakeTool) -> None:
    """It is not followed, and its status is said."""
    tool.answers(Reply(308, {"Location": tool.url}))
    assert posted(tool.url) == Answered(308, "redirects to elsewhere (308)")
    assert len(tool.posts) == 1


def test_how_long_to_wait_comes_with_the_answer(tool: FakeTool) -> None:
    """As the tool has written it."""
    tool.answers(Reply(503, {"Retry-After": "120"}))
    assert posted(tool.url) == Answered(503, "answered 503", "120")
