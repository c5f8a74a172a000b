"""Stands between an adapter and a simulator: keeps what was answered, and answers the same again, or something odd."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

ODD = (
    *("null", "true", "-1", "1e400", f"1{'0' * 40}", "[]", "[null]", "{}"),
    *('"x"', '"\\u0000"', '"\\ud800"'),
)
"""What may stand in JSON where something else is expected."""
ODDER = ("", "odd", "[" * 100_000, '"\\"', "\udcff")
"""Bodies that are no JSON."""

BOOKKEEPING = re.compile(
    r"usage|cost|price|usd|amount|credit|token|billed|progress|metric|created|started|finished|expires|count|seed"
    r"|duration|logs?$|width|height",
    re.IGNORECASE,
)
"""Names of members that say nothing of what was made, nor of whether it was."""

IN_FRONT = "in front"
_OF_THE_CONNECTION = {"connection", "content-length", "content-encoding", "date", "server", "transfer-encoding"}
_HERE = "odd value stands here"

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer, as it is given."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Oddity:
    """Replies of which one is odd: `raw` stands at `place` of it, or in place of all of it."""

    replies: Sequence[Reply]
    place: Place
    raw: str

    @property
    def is_beside_the_point(self) -> bool:
        """Whether it is about money, times or numbers, or one more in a list, and not what was made."""
        names = [step for step in self.place if isinstance(step, str)]
        return IN_FRONT in names or any(BOOKKEEPING.search(name) for name in names)


class Between:
    """Passes on what is asked at `url` and keeps in `heard` what was answered, or answers from what it is given."""

    def __init__(self, simulator_url: str) -> None:
        self._behind = simulator_url
        self._client = httpx.Client(trust_env=False, timeout=30)
        self._given: list[Reply] = []
        self.heard: list[Reply] = []
        between = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1
            disable_nagle_algorithm = True

            def handle_one_request(self) -> None:
                # Whatever the method: `do_GET` and its like have one name each.
                self.raw_requestline = self.rfile.readline(65537)
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                reply = between._answered(self.command, self.path, self.headers, self._body())
                self.send_response_only(reply.status)
                for name, value in {**reply.headers, "content-length": str(len(reply.body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(reply.body)
                self.wfile.flush()

            def _body(self) -> bytes:
                if self.headers.get("transfer-encoding", "").lower() != "chunked":
                    return self.rfile.read(int(self.headers.get("content-length") or 0))
                read = bytearray()
                while size := int(self.rfile.readline().partition(b";")[0], 16):
                    read += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return bytes(read)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, replies: Sequence[Reply]) -> None:
        """From now on, one after the other; the last one stays."""
        self._given = list(replies)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._client.close()

    def _answered(self, method: str, path: str, headers: Message, body: bytes) -> Reply:
        if self._given:
            return self._given.pop(0) if len(self._given) > 1 else self._given[0]
        passed = {name: value for name, value in headers.items() if name.lower() not in {*_OF_THE_CONNECTION, "host"}}
        answer = self._client.request(method, self._behind + path, headers=passed, content=body)
        # The simulator names addresses of its own, where the adapter would go without being heard.
        said = answer.content.replace(self._behind.encode(), self.url.encode())
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in _OF_THE_CONNECTION}
        self.heard.append(Reply(answer.status_code, kept, said))
        return self.heard[-1]


def odd_callbacks() -> Iterator[bytes]:
    """Bodies of callbacks: odd as a whole, or in what is usually looked at."""
    of_members = (f'{{"data": {odd}, "id": {odd}, "type": {odd}, "created_at": {odd}}}' for odd in ODD)
    for raw in (*ODD, *ODDER, *of_members):
        yield raw.encode(errors="surrogateescape")


@contextmanager
def between(simulator_url: str) -> Iterator[Between]:
    """One in front of the simulator at this address."""
    made = Between(simulator_url)
    try:
        yield made
    finally:
        made.close()


def oddities(replies: Sequence[Reply]) -> Iterator[Oddity]:
    """Each reply with each odd value in place of each of its parts, one at a time."""
    for number, reply in enumerate(replies):
        for place, raw, body in _odd(reply.body):
            yield Oddity([*replies[:number], replace(reply, body=body), *replies[number + 1 :]], place, raw)


def _odd(body: bytes) -> Iterator[tuple[Place, str, bytes]]:
    for raw in (*ODD, *ODDER):
        yield (), raw, raw.encode(errors="surrogateescape")
    try:
        said = json.loads(body)
    except ValueError:
        return
    for place, value in _places(said):
        for raw, text in _written(_with(said, place, _HERE), ODD):
            yield place, raw, text
        if isinstance(value, list):
            for raw, text in _written(_with(said, place, [_HERE, *value]), ODD[:1]):
                yield (*place, IN_FRONT), raw, text


def _written(said: Any, values: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    before, after = json.dumps(said).split(f'"{_HERE}"')
    for raw in values:
        yield raw, f"{before}{raw}{after}".encode()


def _places(said: Any, above: Place = ()) -> Iterator[tuple[Place, Any]]:
    inner: Any = said.items() if isinstance(said, dict) else enumerate(said) if isinstance(said, list) else ()
    for step, value in inner:
        yield (*above, step), value
        yield from _places(value, (*above, step))


def _with(said: Any, place: Place, value: Any) -> Any:
    if not place:
        return value
    copy = said.copy()
    copy[place[0]] = _with(said[place[0]], place[1:], value)
    return copy
