"""Foreign addresses: what is refused is never connected to, what is read stays within its limits."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from chassis import foreign
from chassis.foreign import ForeignError, Limits, Policy, download, guarded_client, is_public, origin_of

LIMITS = Limits(max_bytes=100_000, seconds=5)
Answer = Callable[[str, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Server:
    """A server that counts its connections and keeps the requests it got."""

    port: int = 0
    connections: int = 0
    requests: list[str] = field(default_factory=list)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def serving(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                server.requests.append(head.decode())
                await answer(head.split(b" ", 2)[1].decode(), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()


def trusting(server: Server) -> Policy:
    return Policy(trusted=frozenset({server.origin}))


async def whole(
    client: httpx.AsyncClient, url: str, limits: Limits = LIMITS, headers: Mapping[str, str] | None = None
) -> bytes:
    return b"".join([chunk async for chunk in download(client, url, limits, headers=headers)])


async def collect(found: list[bytes], chunks: AsyncIterator[bytes]) -> None:
    async for chunk in chunks:
        found.append(chunk)  # noqa: PERF401 - what came before it broke off is kept


async def say(
    writer: asyncio.StreamWriter, status: str, body: bytes = b"", *headers: str, length: int | None = None
) -> None:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers, "", ""]
    writer.write("\r\n".join(lines).encode() + body)
    await writer.drain()


def resolving(*addresses: str) -> foreign.Resolve:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    return resolve


async def test_a_trusted_origin_is_read_as_it_stands() -> None:
    async def answer(path: str, writer: asyncio.StreamWriter) -> None:
        await say(writer, "200 OK", b"picture" * 1000)

    async with serving(answer) as server, guarded_client(trusting(server)) as client:
        assert await whole(client, f"{server.origin}/a.png") == b"picture" * 1000


SPELLINGS = [
    "127.0.0.1",
    "2130706433",
    "0x7f000001",
    "017700000001",
    "127.1",
    "0x7f.1",
    "0177.0.0.1",
    "localhost",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "0.0.0.0",
    "[::]",
]


@pytest.mark.parametrize("anywhere", [False, True])
@pytest.mark.parametrize("host", SPELLINGS)
async def test_no_spelling_of_this_machine_is_connected_to(host: str, anywhere: bool) -> None:
    async def answer(path: str, writer: asyncio.StreamWriter) -> None:
        await say(writer, "200 OK", b"secret")

    async with serving(answer) as server:
        async with guarded_client(Policy(hosts=("*",) if anywhere else (host.strip("[]"),))) as client:
            with pytest.raises(ForeignError, match=r"private network|not an address"):
                await whole(client, f"https://{host}:{server.port}/")
        assert server.connections == 0


PRIVATE = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.255",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.0.170",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:10::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "nonsense",
]


@pytest.mark.parametrize("address", PRIVATE)
async def test_a_name_that_leads_into_a_private_network_is_refused(address: str) -> None:
    assert not is_public(address)
    policy = Policy(hosts=("media.example.com",))
    async with guarded_client(policy, resolve=resolving("93.184.216.34", address)) as client:
        with pytest.raises(ForeignError, match="private network"):
            await whole(client, "https://media.example.com/a.png")


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_an_address_of_the_open_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://media.example.com/a.png",
        "ftp://media.example.com/a.png",
        "file:///etc/passwd",
        "//media.example.com/a.png",
        "https://evil.example.net/a.png",
        "https://media.example.com.evil.net/a.png",
        "https://notmedia.example.com/a.png",
        "https://user:password@media.example.com/a.png",
        "https://media.example.com@evil.net/a.png",
        "https://cdn.example.org.evil.net/a.png",
        "https://example.org/a.png",
        "",
    ],
)
async def test_what_is_not_https_or_not_listed_is_refused_before_its_name_is_asked_for(url: str) -> None:
    asked = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["93.184.216.34"]

    policy = Policy(hosts=("media.example.com", "*.example.org"))
    async with guarded_client(policy, resolve=resolve) as client:
        with pytest.raises(ForeignError):
            await whole(client, url)
    assert asked == []


@pytest.mark.parametrize("host", ["media.example.com", "MEDIA.example.COM", "media.example.com.", "a.b.example.org"])
def test_a_listed_name_is_allowed_however_it_is_written(host: str) -> None:
    Policy(hosts=("media.example.com", "*.example.org")).check(httpx.URL(f"https://{host}/a.png"))


def test_every_name_is_allowed_where_an_operator_says_so_but_https_alone() -> None:
    anywhere = Policy(hosts=("*",))
    anywhere.check(httpx.URL("https://media.example.com/a.png"))
    for url in ("http://media.example.com/a.png", "https://user:word@media.example.com/a.png"):
        with pytest.raises(ForeignError):
            anywhere.check(httpx.URL(url))
    with pytest.raises(ForeignError, match="not among the hosts"):
        Policy().check(httpx.URL("https://media.example.com/a.png"))


async def test_every_redirect_is_checked_and_no_key_follows_it() -> None:
    async def answer(path: str, writer: asyncio.StreamWriter) -> None:
        if path == "/start":
            await say(writer, "302 Found", b"", "Location: /next")
        elif path == "/next":
            await say(writer, "307 Temporary Redirect", b"", "Location: /end")
        elif path == "/out":
            await say(writer, "301 Moved", b"", "Location: http://169.254.169.254/latest/meta-data")
        elif path == "/loop":
            await say(writer, "302 Found", b"", "Location: /loop")
        else:
            await say(writer, "200 OK", b"here")

    async with serving(answer) as server, guarded_client(trusting(server)) as client:
        assert await whole(client, f"{server.origin}/start", headers={"x-api-key": "secret"}) == b"here"
        assert ["secret" in request for request in server.requests] == [True, False, False]
        with pytest.raises(ForeignError, match="only https"):
            await whole(client, f"{server.origin}/out")
        with pytest.raises(ForeignError, match="more than 3 redirects"):
            await whole(client, f"{server.origin}/loop")


async def test_a_body_is_cut_off_at_its_cap_whether_it_is_announced_or_not() -> None:
    async def answer(path: str, writer: asyncio.StreamWriter) -> None:
        if path == "/announced":
            await say(writer, "200 OK", b"", length=10_000_000)
            return
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1000\r\n" + bytes(4096) + b"\r\n")
            await writer.drain()

    async with serving(answer) as server, guarded_client(trusting(server)) as client:
        with pytest.raises(ForeignError, match="10000000 bytes are announced"):
            await whole(client, f"{server.origin}/announced")
        read: list[bytes] = []
        with pytest.raises(ForeignError, match="cut off"):
            await collect(read, download(client, f"{server.origin}/endless", LIMITS))
        assert sum(map(len, read)) <= LIMITS.max_bytes


async def test_a_drip_is_ended_by_the_clock() -> None:
    async def answer(path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with serving(answer) as server, guarded_client(trusting(server)) as client:
        with pytest.raises(ForeignError, match="too long") as caught:
            await whole(client, f"{server.origin}/", Limits(max_bytes=10_000, seconds=0.3))
    assert caught.value.transient


async def test_a_packed_answer_is_refused_unopened() -> None:
    async def answer(path: str, writer: asyncio.StreamWriter) -> None:
        await say(writer, "200 OK", b"\x1f\x8b", "Content-Encoding: gzip")

    async with serving(answer) as server, guarded_client(trusting(server)) as client:
        with pytest.raises(ForeignError, match="compressed"):
            await whole(client, f"{server.origin}/")
        assert "accept-encoding: identity" in server.requests[0].lower()


@pytest.mark.parametrize(
    ("status", "transient"),
    [
        ("404 Gone", False),
        ("403 No", False),
        ("410 Gone", False),
        ("500 Oh", True),
        ("503 Later", True),
        ("429 Slow", True),
    ],
)
async def test_an_answer_without_the_bytes_says_whether_it_may_come_another_time(status: str, transient: bool) -> None:
    async def answer(path: str, writer: asyncio.StreamWriter) -> None:
        await say(writer, status, b"<html>")

    async with serving(answer) as server, guarded_client(trusting(server)) as client:
        with pytest.raises(ForeignError) as caught:
            await whole(client, f"{server.origin}/")
    assert (caught.value.transient, caught.value.status) == (transient, int(status[:3]))


async def test_a_body_that_breaks_off_is_never_taken_for_whole() -> None:
    async def answer(path: str, writer: asyncio.StreamWriter) -> None:
        await say(writer, "200 OK", b"half", length=1000)
        writer.close()

    async with serving(answer) as server, guarded_client(trusting(server)) as client:
        with pytest.raises(ForeignError, match="broke off") as caught:
            await whole(client, f"{server.origin}/")
    assert caught.value.transient


async def test_a_name_is_resolved_once_and_its_certificate_is_asked_for_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls, ca = certificate(tmp_path, "media.example.com")
    names: list[str | None] = []
    tls.sni_callback = lambda _, name, __: names.append(name)
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.9"]

    async def answer(path: str, writer: asyncio.StreamWriter) -> None:
        await say(writer, "200 OK", b"bytes")

    monkeypatch.setattr(foreign, "_tls", lambda: ssl.create_default_context(cafile=str(ca)))
    async with serving(answer, tls) as server:
        origin = f"https://media.example.com:{server.port}"
        async with guarded_client(Policy(trusted=frozenset({origin})), resolve=resolve) as client:
            assert await whole(client, f"{origin}/a.png") == b"bytes"
    assert (asked, names) == (["media.example.com"], ["media.example.com"])


def test_an_origin_is_named_with_its_port() -> None:
    assert origin_of("https://API.example.com/v1/") == "https://api.example.com:443"
    assert origin_of("http://[::1]:9000/x") == "http://[::1]:9000"


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS context with a certificate of its own for `name`, and the file to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "cert.pem"
    pem.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)
    return tls, pem
