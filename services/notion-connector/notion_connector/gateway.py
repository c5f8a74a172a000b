"""Backlot as any client sees it: its public HTTP API, with an API key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
from pydantic import SecretStr

from chassis.foreign import ForeignError, guarded_client
from notion_connector.notion import policy_for

TIMEOUT_SECONDS = 10.0
LABEL = "notion_page_id"
_PASSING = frozenset({408, 425, 429})
_BUSY = "CONFLICT"


@dataclass(frozen=True, slots=True)
class Accepted:
    """There is a job of it: a new one, or the one that the same key made before."""

    job_id: UUID


@dataclass(frozen=True, slots=True)
class Busy:
    """Another manifest of the same channel and project runs; in the gateway's words."""

    detail: str


@dataclass(frozen=True, slots=True)
class Declined:
    """There is no job of it and never will be; in the gateway's words."""

    detail: str


Answer = Accepted | Busy | Declined


class GatewayAway(Exception):
    """No answer, or one that passes: the same request with the same key is right."""


class Gateway:
    """A client of the public API. As a resource of a service it is closed with it."""

    def __init__(self, base_url: str, api_key: SecretStr, *, timeout: float = TIMEOUT_SECONDS) -> None:
        self._client = guarded_client(policy_for(base_url), timeout=timeout)
        self._client.base_url = httpx.URL(base_url)
        self._key = api_key

    async def start(self) -> None:
        """Nothing to do: connections are made when they are needed."""

    async def stop(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def submit(self, body: str, idempotency_key: str) -> Answer:
        """Asks for a manifest. Raises `GatewayAway`."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": idempotency_key}
        response = await self._send("POST", "/api/v1/manifests", headers, body)
        problem = _json(response)
        if response.status_code == httpx.codes.ACCEPTED:
            try:
                return Accepted(UUID(str(problem["id"])))
            except (KeyError, ValueError) as error:
                raise GatewayAway("the gateway's answer cannot be read") from error
        if response.status_code == httpx.codes.CONFLICT and problem.get("code") == _BUSY:
            return Busy(_in_words(problem))
        return Declined(_in_words(problem))

    async def knows(self, job_id: UUID) -> bool:
        """Whether the job is one that our key may read: our own tenant's. Raises `GatewayAway`."""
        response = await self._send("GET", f"/api/v1/jobs/{job_id}", {})
        if response.status_code in {httpx.codes.OK, httpx.codes.NOT_FOUND}:
            return response.status_code == httpx.codes.OK
        raise GatewayAway(f"the gateway answered {response.status_code}")

    async def _send(self, method: str, path: str, headers: dict[str, str], body: str | None = None) -> httpx.Response:
        sent = {**headers, "Authorization": f"Bearer {self._key.get_secret_value()}"}
        try:
            response = await self._client.request(method, path, content=body, headers=sent)
        except (httpx.HTTPError, ForeignError) as error:
            raise GatewayAway(f"the gateway cannot be reached: {type(error).__name__}") from error
        status = response.status_code
        if status in _PASSING or not httpx.codes.OK <= status < httpx.codes.INTERNAL_SERVER_ERROR:
            raise GatewayAway(f"the gateway answered {status}")
        return response


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        body = None
    return body if isinstance(body, dict) else {"code": str(response.status_code)}


def _in_words(problem: dict[str, Any]) -> str:
    """The problem as its page tells it: code, sentence, and each field at fault."""
    said = ": ".join(str(problem[name]) for name in ("code", "detail") if problem.get(name))
    errors = problem.get("errors")
    fields = [one for one in errors if isinstance(one, dict)] if isinstance(errors, list) else []
    more = [f"{one.get('pointer', '')} {one.get('detail', '')}".strip() for one in fields]
    return "\n".join([said, *(line for line in more if line not in said)])
