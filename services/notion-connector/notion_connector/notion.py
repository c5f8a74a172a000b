"""Notion's wire: REST with a version of 2025-09-03, in which a database is a set of data sources.

https://developers.notion.com/guides/get-started/upgrade-guide-2025-09-03,
https://developers.notion.com/reference/status-codes, https://developers.notion.com/reference/request-limits
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import httpx
from pydantic import SecretStr

from chassis.foreign import ForeignError, Policy, guarded_client, origin_of
from notion_connector import metrics

VERSION = "2025-09-03"
TIMEOUT_SECONDS = 10.0
PAGE_SIZE = 100
_SLOW_DOWN = frozenset({429, 529})
# Not worked off; the same request is right another time.
_CONFLICT = 409


class Throttled(Exception):
    """Notion asks to slow down. `seconds`: what it said."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"Notion asks to wait for {seconds:g} s")
        self.seconds = seconds


class Away(Exception):
    """No answer, or one that passes. `doubtful`: the request may have been worked off, or may yet be."""

    def __init__(self, reason: str, *, doubtful: bool) -> None:
        super().__init__(reason)
        self.doubtful = doubtful


class Refused(Exception):
    """Notion refuses, and will as long as nobody changes anything. `code` is its own word."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class Notion:
    """A client of Notion. As a resource of a service it is closed with it. It neither waits nor tries again."""

    def __init__(self, base_url: str, token: SecretStr, *, timeout: float = TIMEOUT_SECONDS) -> None:
        self._client = guarded_client(policy_for(base_url), timeout=timeout)
        self._client.base_url = httpx.URL(base_url)
        self._token = token

    async def start(self) -> None:
        """Nothing to do: connections are made when they are needed."""

    async def stop(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def data_sources(self, database_id: UUID) -> list[str]:
        """The ids of a database's data sources."""
        database = await self._ask("GET", f"/v1/databases/{database_id}")
        return [str(source["id"]) for source in database.get("data_sources", ())]

    async def data_source(self, data_source_id: str) -> dict[str, Any]:
        """A data source with its properties."""
        return await self._ask("GET", f"/v1/data_sources/{data_source_id}")

    async def query(
        self, data_source_id: str, where: Mapping[str, Any], cursor: str | None = None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Up to 100 pages that fit the filter, and where the next ones begin."""
        body = {"filter": dict(where), "page_size": PAGE_SIZE, **({"start_cursor": cursor} if cursor else {})}
        found = await self._ask("POST", f"/v1/data_sources/{data_source_id}/query", body)
        more = found.get("next_cursor") if found.get("has_more") else None
        return [page for page in found.get("results", ()) if page.get("object") == "page"], more

    async def page(self, page_id: UUID) -> dict[str, Any]:
        """A page with its properties."""
        return await self._ask("GET", f"/v1/pages/{page_id}")

    async def update(self, page_id: UUID, properties: Mapping[str, Any]) -> None:
        """Writes properties of a page."""
        await self._ask("PATCH", f"/v1/pages/{page_id}", {"properties": dict(properties)})

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The object that Notion answers with. Raises `Throttled`, `Away` or `Refused`."""
        answer = "away"
        try:
            found = _answered(await self._send(method, path, body))
            answer = "ok"
        except Throttled:
            answer = "throttled"
            raise
        except Refused:
            answer = "refused"
            raise
        finally:
            metrics.REQUESTS.labels(answer).inc()
        return found

    async def _send(self, method: str, path: str, body: Mapping[str, Any] | None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._token.get_secret_value()}", "Notion-Version": VERSION}
        try:
            return await self._client.request(method, path, json=body, headers=headers)
        except ForeignError as error:
            raise Away(error.reason, doubtful=False) from error
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise Away(f"Notion cannot be reached: {type(error).__name__}", doubtful=False) from error
        except httpx.HTTPError as error:
            raise Away(f"Notion did not answer: {type(error).__name__}", doubtful=True) from error


def policy_for(base_url: str) -> Policy:
    """Where a client of `base_url` may go: its host by https, or the very origin where an operator has named a plain
    one."""
    url = httpx.URL(base_url)
    return Policy(hosts=(url.host,)) if url.scheme == "https" else Policy(trusted=frozenset({origin_of(base_url)}))


def _answered(response: httpx.Response) -> dict[str, Any]:
    status = response.status_code
    if status in _SLOW_DOWN:
        raise Throttled(_seconds(response))
    try:
        body = response.json()
    except ValueError:
        body = None
    if response.is_success:
        if isinstance(body, dict):
            return body
        raise Away("Notion's answer cannot be read", doubtful=True)
    code = str(body.get("code", status)) if isinstance(body, dict) else str(status)
    if status == _CONFLICT or status >= httpx.codes.INTERNAL_SERVER_ERROR or status == httpx.codes.REQUEST_TIMEOUT:
        raise Away(f"Notion answered {status} {code}", doubtful=status != _CONFLICT)
    raise Refused(code, str(body.get("message", "")) if isinstance(body, dict) else "")


def _seconds(response: httpx.Response) -> float:
    text = response.headers.get("retry-after", "")
    return float(min(int(text), 3600)) if text.isdecimal() else 1.0
