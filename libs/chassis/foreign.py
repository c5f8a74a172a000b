"""The one way to addresses that others have written: result links, reference pictures, webhooks.

https only, names from an allow-list, every resolved address public, the connection made to the very address that was
checked, every redirect checked like a first request, no proxy from the environment, bytes and time capped while they
stream. Origins an operator has named himself - a provider inside the own network, the simulator - are trusted as they
stand.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpcore
import httpx

from chassis.answer_heads import HeadLimitedStream

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a name; raises `OSError` where it has none."""

_PORTS = {"https": 443, "http": 80}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052
# Global by the registry, but nobody's server: protocol assignments, tunnels that end wherever their maker likes, the
# site-local addresses of old, and the one that a cloud gives its machines' host.
_SPECIAL = tuple(
    map(
        ipaddress.ip_network,
        ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "2001::/23", "2002::/16", "fec0::/10"),
    )
)
_DNS_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
_CHUNK = 64 * 1024
# For each request the pool compares every idle connection with all others: thousands of them would hold up the process.
_MOST_IDLE = 100
# A thread stays with a silent name for longer than anybody waits for it; one tenant has at most sixteen at once.
_MOST_NAMES = 64


class ForeignError(Exception):
    """A foreign address was not, or not wholly, read. `reason` is safe to show; `status` is the answer's, if any.

    `transient`: the same address may answer another time. Otherwise it is refused for good, or says so itself.
    """

    def __init__(self, reason: str, *, transient: bool = False, status: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.transient = transient
        self.status = status


@dataclass(frozen=True, slots=True)
class Limits:
    """What a download may take: bytes, seconds from its first request to its last byte, redirects."""

    max_bytes: int
    seconds: float = 60.0
    hops: int = 3


@dataclass(frozen=True, slots=True)
class Policy:
    """Where a client may go: `hosts` are names, `*.name` for everything below a name, or `*` for every name there is;
    `trusted` are whole origins (`http://127.0.0.1:9000`) that may be plain and private.
    """

    hosts: tuple[str, ...] = ()
    trusted: frozenset[str] = frozenset()

    def check(self, url: httpx.URL) -> None:
        """Raises `ForeignError` for an address this client may not ask."""
        if _origin(url) in self.trusted:
            return
        if url.scheme != "https":
            raise ForeignError(f"{url.scheme or 'no'} address refused: only https is fetched")
        if url.userinfo:
            raise ForeignError("address refused: it carries a password")
        host = _host(url)
        if not any(_fits(host, entry) for entry in self.hosts):
            raise ForeignError(f"address refused: {host[:100]} is not among the hosts that may be asked")
        if not _DNS_NAME.fullmatch(host) or not 0 < _port(url) < 2**16:
            raise ForeignError(f"not an address: {host[:100]} and its port lead nowhere")

    def trusts(self, host: str, port: int) -> bool:
        """Whether an operator has named this place, so that its address may be private."""
        return any(_place(origin) == (_name(host), port) for origin in self.trusted)

    def check_resolved(self, host: str, port: int, addresses: Sequence[str]) -> None:
        """Raises `ForeignError` where a name leads to an address that this client may not connect to."""
        if not self.trusts(host, port) and not all(map(is_public, addresses)):
            raise ForeignError(f"address refused: {host[:100]} leads into a private network")


class Reply(NamedTuple):
    """The head of an answer."""

    status: int
    headers: httpx.Headers


def guarded_client(
    policy: Policy, *, timeout: httpx.Timeout | float = 30.0, resolve: Resolve | None = None, most: int | None = None
) -> httpx.AsyncClient:
    """An HTTP client that goes where `policy` allows and nowhere else, with at most `most` connections where it is
    given: else a request never waits for one.

    It follows no redirect by itself. Requests raise `ForeignError` where they are refused, httpx's errors otherwise.
    """
    return httpx.AsyncClient(
        transport=_GuardedTransport(policy, resolve or _system_resolve, most),
        # A stranger's cookies are not kept: they would fill the memory, and come back with another's request.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        timeout=timeout,
        follow_redirects=False,
        trust_env=False,
    )


async def check_address(policy: Policy, url: str, *, resolve: Resolve | None = None, seconds: float = 5.0) -> None:
    """Raises `ForeignError` where a client of `policy` would not go to `url` now, or its name leads nowhere."""
    address = _parsed(url)
    policy.check(address)
    host, port = _host(address), _port(address)
    try:
        async with asyncio.timeout(seconds):
            found = await (resolve or _system_resolve)(host, port)
    except (TimeoutError, OSError) as error:
        raise ForeignError(f"the name {host[:100]} cannot be resolved", transient=True) from error
    policy.check_resolved(host, port, found)


async def post(
    client: httpx.AsyncClient, url: str, body: bytes, limits: Limits, *, headers: Mapping[str, str]
) -> Reply:
    """Sends `body` to `url` and follows nothing. Of the answer at most `limits.max_bytes` are read, and thrown away.

    Raises `ForeignError` where no head of an answer came within the limits.
    """
    deadline = asyncio.get_running_loop().time() + limits.seconds
    request = client.build_request(
        "POST", _parsed(url), content=body, headers={**headers, "Accept-Encoding": "identity"}
    )
    response = await _timely(client.send(request, stream=True), deadline, "the request")
    try:
        # Its status is here, which is all that was asked for; what is read keeps the connection for the next.
        with suppress(ForeignError):
            await _timely(_throw_away(response, limits.max_bytes), deadline, "the request")
    finally:
        await response.aclose()
    return Reply(response.status_code, response.headers)


async def _throw_away(response: httpx.Response, most: int) -> None:
    read = 0
    async for chunk in response.aiter_raw():
        read += len(chunk)
        if read > most:
            return


async def download(
    client: httpx.AsyncClient, url: str, limits: Limits, *, headers: Mapping[str, str] | None = None
) -> AsyncIterator[bytes]:
    """Streams the body at `url`, within `limits`. `headers` (a key, perhaps) go to the first address alone.

    Raises `ForeignError`.
    """
    deadline = asyncio.get_running_loop().time() + limits.seconds
    response = await _timely(_answered(client, url, headers or {}, limits.hops), deadline)
    try:
        _check_head(response, limits)
        read, chunks = 0, response.aiter_raw(_CHUNK)
        while (chunk := await _timely(_next(chunks), deadline)) is not None:
            read += len(chunk)
            if read > limits.max_bytes:
                raise ForeignError(f"more than {limits.max_bytes} bytes came: cut off")
            yield chunk
    finally:
        await response.aclose()


async def _answered(client: httpx.AsyncClient, url: str, headers: Mapping[str, str], hops: int) -> httpx.Response:
    """The first answer that is no redirect."""
    address = _parsed(url)
    sent = {**headers, "Accept-Encoding": "identity"}
    for _ in range(hops + 1):
        response = await client.send(client.build_request("GET", address, headers=sent), stream=True)
        if response.status_code not in _REDIRECTS:
            return response
        await response.aclose()
        address = _parsed(response.headers.get("location", ""), address)
        sent = {"Accept-Encoding": "identity"}
    raise ForeignError(f"more than {hops} redirects")


def _parsed(url: str, base: httpx.URL | None = None) -> httpx.URL:
    try:
        return httpx.URL(url) if base is None else base.join(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise ForeignError(f"not an address: {str(error)[:200]}") from error


def _check_head(response: httpx.Response, limits: Limits) -> None:
    status = response.status_code
    if status != httpx.codes.OK:
        transient = status in {408, 425, 429} or status >= httpx.codes.INTERNAL_SERVER_ERROR
        raise ForeignError(f"the address answered {status}", transient=transient, status=status)
    # What is packed can grow a thousandfold in one chunk, and media is packed already.
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise ForeignError("the answer is compressed, which was not asked for")
    length = response.headers.get("content-length", "")
    if length.isdigit() and int(length) > limits.max_bytes:
        raise ForeignError(f"{length} bytes are announced, {limits.max_bytes} are allowed")


async def _next(chunks: AsyncIterator[bytes]) -> bytes | None:
    return await anext(chunks, None)


async def _timely(step: Awaitable[Any], deadline: float, what: str = "the download") -> Any:
    """`step` in what time is left, its errors in our words."""
    try:
        async with asyncio.timeout_at(deadline):
            return await step
    except (TimeoutError, httpx.TimeoutException) as error:
        raise ForeignError(f"{what} took too long", transient=True) from error
    except (httpx.UnsupportedProtocol, httpx.InvalidURL, ValueError) as error:
        raise ForeignError("not an http address") from error
    except httpx.HTTPError as error:
        raise ForeignError(f"{what} broke off: {type(error).__name__}", transient=True) from error


class _GuardedTransport(httpx.AsyncHTTPTransport):
    """Checks every request's address and connects through `_CheckedBackend`."""

    def __init__(self, policy: Policy, resolve: Resolve, most: int | None) -> None:
        super().__init__(verify=_tls(), trust_env=False)
        self._policy = policy
        # httpx has no parameter for it: the pool is where names become connections.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=_tls(),
            max_connections=most,
            max_keepalive_connections=_MOST_IDLE,
            keepalive_expiry=15.0,
            network_backend=_CheckedBackend(policy, resolve),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._policy.check(request.url)
        return await super().handle_async_request(request)


class _CheckedBackend(httpcore.AsyncNetworkBackend):
    """Resolves a name once, checks every answer, and connects to what was checked: no second question in between."""

    def __init__(self, policy: Policy, resolve: Resolve) -> None:
        self._policy = policy
        self._resolve = resolve
        self._plain = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._resolve(host, port)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout("the name was not resolved in time") from error
        except OSError as error:
            raise httpcore.ConnectError("the name cannot be resolved") from error
        self._policy.check_resolved(host, port, addresses)
        for address in addresses[:-1]:
            try:
                return await self._connected(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._connected(addresses[-1], port, timeout, local_address, socket_options)

    async def _connected(self, address: str, *how: Any) -> httpcore.AsyncNetworkStream:
        return HeadLimitedStream(await self._plain.connect_tcp(address, *how))

    async def sleep(self, seconds: float) -> None:
        await self._plain.sleep(seconds)


def is_public(address: str) -> bool:
    """Whether an address lies in the open Internet; one that wraps another is judged by what is inside."""
    try:
        found = _unwrapped(ipaddress.ip_address(address.split("%", 1)[0]))
    except ValueError:
        return False
    if found.is_multicast or found.is_reserved or not found.is_global:
        return False
    return not any(found.version == network.version and found in network for network in _SPECIAL)


def _unwrapped(address: _Address) -> _Address:
    if not isinstance(address, ipaddress.IPv6Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address


@lru_cache(maxsize=1)
def _resolvers() -> ThreadPoolExecutor:
    """Threads of their own: a name whose server keeps silent holds one for long, and the loop's own few are for all."""
    return ThreadPoolExecutor(_MOST_NAMES, thread_name_prefix="foreign-names")


async def _system_resolve(host: str, port: int) -> Sequence[str]:
    try:
        found = await asyncio.get_running_loop().run_in_executor(
            _resolvers(), partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        )
    except ValueError as error:
        raise OSError("not a name") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


def _fits(host: str, entry: str) -> bool:
    if entry == "*":
        return True
    return host.endswith(entry[1:]) if entry.startswith("*.") else host == entry


def _name(host: str) -> str:
    return host.lower().rstrip(".")


def _host(url: httpx.URL) -> str:
    """As it is asked for: httpx would decode `xn--`, and raise where nothing is encoded in it."""
    return _name(url.raw_host.decode("ascii"))


def _port(url: httpx.URL) -> int:
    return _PORTS.get(url.scheme, 0) if url.port is None else url.port


def _origin(url: httpx.URL) -> str:
    host = _host(url)
    return f"{url.scheme}://{f'[{host}]' if ':' in host else host}:{_port(url)}"


def _place(origin: str) -> tuple[str, int]:
    parts = urlsplit(origin)
    return _name(parts.hostname or ""), parts.port or _PORTS.get(parts.scheme, 0)


def origin_of(url: str) -> str:
    """The origin of an operator's own address, in the form `Policy.trusted` has it."""
    return _origin(_parsed(url))
