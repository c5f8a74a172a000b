"""Notion's wire as its documentation has it, version 2025-09-03, over pages in memory, with faults and its own pace.

https://developers.notion.com/reference: databases with data sources, queries with filter and paging, pages, errors,
three requests a second on the average, some more in a burst.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from chassis.servers import HttpServer, listen

TOKEN = "ntn_a_secret_of_the_tests"
VERSION = "2025-09-03"
STATUSES = ("Draft", "Generate Assets", "Generating Assets", "Assets Ready", "Asset Error")
COLUMNS = {
    "Name": "title",
    "Status": "status",
    "Topic": "rich_text",
    "Story Direction": "rich_text",
    "Channel": "select",
    "Project": "rich_text",
    "Error Log": "rich_text",
    "Job ID": "rich_text",
    "Total Cost": "number",
    "Assets Generated": "number",
    "Assets Skipped": "number",
    "Assets Failed": "number",
}
_LIMIT = 2000


class Broken(Exception):
    """An error that Notion answers with."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers or {}


class _CutOff(Response):
    """An answer that ends in the middle."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"100")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"object"', "more_body": False})


@dataclass
class Page:
    """A page: its values by column, as texts and numbers, and everything that its status ever was."""

    id: str
    source: str
    values: dict[str, Any]
    edited: str = "2026-07-01T12:00:00.000Z"
    in_trash: bool = False
    statuses: list[str] = field(default_factory=list)

    @property
    def status(self) -> str:
        return str(self.values["Status"])


@dataclass
class NotionStub:
    """One workspace with one database. `per_second`: its pace; `burst`: how many it takes at once."""

    per_second: float = 3.0
    burst: int = 6
    database_id: str = field(default_factory=lambda: str(uuid4()))
    columns: dict[str, dict[str, str]] = field(default_factory=dict)
    pages: dict[str, Page] = field(default_factory=dict)
    # Of each request: when, method, path, status. What is in `faults` befalls the next ones that change a page.
    seen: list[tuple[float, str, str, int]] = field(default_factory=list)
    faults: deque[str] = field(default_factory=deque)
    faults_of_reading: deque[str] = field(default_factory=deque)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    page_size: int = 100
    url: str = ""
    _tokens: float = 0.0
    _filled_at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._tokens = self.burst
        if not self.columns:
            self.add_source(COLUMNS)

    def add_source(self, columns: dict[str, str]) -> str:
        source = str(uuid4())
        self.columns[source] = dict(columns)
        return source

    def add(self, *, source: str | None = None, **values: Any) -> Page:
        """A page that asks, with what a page has unless `values` (Topic=...) say otherwise."""
        where = source or next(iter(self.columns))
        given = {
            "Name": "A film",
            "Status": "Generate Assets",
            "Topic": "The last lighthouse keeper",
            "Story Direction": "Quiet and hopeful",
            "Channel": "films",
            "Project": "lighthouse",
            **{name.replace("_", " "): value for name, value in values.items()},
        }
        page = Page(str(uuid4()), where, {name: given.get(name) for name in self.columns[where]})
        self.pages[page.id] = page
        return page

    def set(self, page: Page, status: str, *, edited: str | None = None) -> None:
        """A user sets the status by hand."""
        page.values["Status"] = status
        page.edited = edited or page.edited

    def changes(self) -> list[tuple[float, int]]:
        """When pages were to be changed, and what was answered."""
        return [(at, status) for at, method, _, status in self.seen if method == "PATCH"]

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.api_route("/v1/{path:path}", methods=["GET", "POST", "PATCH"])
        async def any_request(path: str, request: Request) -> Response:
            answer = await self._answer(path, request)
            self.seen.append((time.monotonic(), request.method, path, answer.status_code))
            return answer

        return app

    async def _answer(self, path: str, request: Request) -> Response:
        try:
            self._check(request)
            body = await request.json() if request.method in {"POST", "PATCH"} else {}
            reading = request.method != "PATCH"
            return await self._befallen(self.faults_of_reading if reading else self.faults, request, path, body)
        except Broken as error:
            said = {"object": "error", "status": error.status, "code": error.code, "message": str(error)}
            return JSONResponse({**said, "request_id": str(uuid4())}, error.status, error.headers)

    def _check(self, request: Request) -> None:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            raise Broken(401, "unauthorized", "API token is invalid.")
        version = request.headers.get("notion-version")
        if version is None:
            raise Broken(400, "missing_version", "Notion-Version header failed validation: it should be defined.")
        if version != VERSION:
            raise Broken(400, "validation_error", f"Notion-Version {version} is not known here.")
        now = time.monotonic()
        self._tokens = min(self.burst, self._tokens + (now - self._filled_at) * self.per_second)
        self._filled_at = now
        if self._tokens < 1:
            raise Broken(429, "rate_limited", "You have been rate limited.", {"Retry-After": "1"})
        self._tokens -= 1

    async def _befallen(self, faults: deque[str], request: Request, path: str, body: dict[str, Any]) -> Response:
        fault = faults.popleft() if faults else None
        match fault:
            case "429":
                raise Broken(429, "rate_limited", "You have been rate limited.", {"Retry-After": "2"})
            case "409":
                raise Broken(409, "conflict_error", "Conflict occurred while saving. Please try again.")
            case "500" | "502" | "503" | "504":
                raise Broken(int(fault), "service_unavailable", "Notion is unavailable, please try again later.")
            case "hang" | "late":
                await self.released.wait()
                if fault == "hang":
                    raise Broken(504, "gateway_timeout", "Notion timed out.")
            case "drop":
                return _CutOff()
        answer = JSONResponse(self._work(request.method, path.split("/"), body))
        return _CutOff() if fault == "drop_after" else answer

    def _work(self, method: str, path: list[str], body: dict[str, Any]) -> dict[str, Any]:
        match method, path:
            case "GET", ["databases", name] if _same(name, self.database_id):
                sources = [{"id": source, "name": "Films"} for source in self.columns]
                return {"object": "database", "id": self.database_id, "data_sources": sources}
            case "GET", ["data_sources", name] if name in self.columns:
                properties = {column: _schema(column, kind) for column, kind in self.columns[name].items()}
                return {"object": "data_source", "id": name, "properties": properties}
            case "POST", ["data_sources", name, "query"] if name in self.columns:
                return self._query(name, body)
            case "GET", ["pages", name] if found := self._page(name):
                return self._shown(found)
            case "PATCH", ["pages", name] if found := self._page(name):
                self._change(found, body.get("properties", {}))
                return self._shown(found)
        raise Broken(404, "object_not_found", f"Could not find {path[0]} with ID: {path[1]}. Make sure it is shared.")

    def _page(self, name: str) -> Page | None:
        return next((page for page in self.pages.values() if _same(name, page.id)), None)

    def _query(self, source: str, body: dict[str, Any]) -> dict[str, Any]:
        wanted = body.get("filter") or {}
        column = wanted.get("property")
        if column is not None:
            kind = self.columns[source].get(column)
            if kind is None or kind not in wanted:
                raise Broken(400, "validation_error", f"Could not find property with name or id: {column}")
        mine = [page for page in self.pages.values() if page.source == source and not page.in_trash]
        fit = [page for page in mine if column is None or page.values[column] == wanted[kind]["equals"]]
        size = min(self.page_size, body.get("page_size", 100))
        begin = next((n for n, page in enumerate(fit) if page.id == body.get("start_cursor")), 0)
        rest = fit[begin + size :]
        return {
            "object": "list",
            "results": [self._shown(page) for page in fit[begin : begin + size]],
            "next_cursor": rest[0].id if rest else None,
            "has_more": bool(rest),
            "type": "page_or_data_source",
            "page_or_data_source": {},
        }

    def _shown(self, page: Page) -> dict[str, Any]:
        columns = self.columns[page.source]
        return {
            "object": "page",
            "id": page.id,
            "last_edited_time": page.edited,
            "in_trash": page.in_trash,
            "archived": page.in_trash,
            "parent": {"type": "data_source_id", "data_source_id": page.source, "database_id": self.database_id},
            "properties": {name: _value(name, kind, page.values[name]) for name, kind in columns.items()},
        }

    def _change(self, page: Page, properties: dict[str, Any]) -> None:
        columns = self.columns[page.source]
        changed = {name: _read(columns.get(name), name, about) for name, about in properties.items()}
        page.values |= changed
        if "Status" in changed:
            page.statuses.append(str(changed["Status"]))


def _same(name: str, other: str) -> bool:
    try:
        return UUID(name) == UUID(other)
    except ValueError:
        return False


def _schema(name: str, kind: str) -> dict[str, Any]:
    options = {"options": [{"name": status} for status in STATUSES]} if kind == "status" else {}
    return {"id": name[:4], "name": name, "type": kind, kind: options}


def _value(name: str, kind: str, value: Any) -> dict[str, Any]:
    match kind:
        case "title" | "rich_text":
            # Notion cuts texts into pieces as it likes, at every change of style for one.
            text = str(value or "")
            parts = [part for part in (text[:5], text[5:]) if part]
            shown: Any = [{"type": "text", "text": {"content": part}, "plain_text": part} for part in parts]
        case "status" | "select":
            shown = {"id": "1", "name": value, "color": "default"} if value else None
        case _:
            shown = value
    return {"id": name[:4], "type": kind, kind: shown}


def _read(kind: str | None, name: str, about: dict[str, Any]) -> Any:
    if kind is None:
        raise Broken(400, "validation_error", f"{name} is not a property that exists.")
    if kind not in about:
        raise Broken(400, "validation_error", f"{name} is expected to be {kind}.")
    value = about[kind]
    match kind:
        case "title" | "rich_text":
            texts = [str(part["text"]["content"]) for part in value]
            if any(len(text.encode("utf-16-le")) // 2 > _LIMIT for text in texts) or len(texts) > 100:
                message = f"body.properties.{name}.rich_text[0].text.content.length should be ≤ `{_LIMIT}`"
                raise Broken(400, "validation_error", message)
            return "".join(texts)
        case "status" | "select":
            if kind == "status" and value["name"] not in STATUSES:
                message = f'Invalid status option. Status option "{value["name"]}" does not exist.'
                raise Broken(400, "validation_error", message)
            return value["name"]
        case _:
            if value is not None and not isinstance(value, int | float):
                raise Broken(400, "validation_error", f"{name} should be a number or `null`")
            return value


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[str]:
    """The address where `app` answers."""
    listener = listen("127.0.0.1", 0, "a port")
    server = HttpServer(app, listener, drain_seconds=1)
    await server.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        await server.stop()


@asynccontextmanager
async def notion_stub(**about: Any) -> AsyncIterator[NotionStub]:
    """A stub that answers."""
    stub = NotionStub(**about)
    async with serving(stub.app()) as url:
        stub.url = url
        try:
            yield stub
        finally:
            stub.released.set()
