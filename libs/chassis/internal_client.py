"""Questions to another service, on behalf of a tenant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
from opentelemetry.trace import SpanKind
from pydantic import SecretStr

from chassis import tracing
from chassis.context import Context, context_headers
from chassis.errors import BacklotError, FieldError, Unavailable, from_problem
from chassis.problems import MEDIA_TYPE

TIMEOUT_SECONDS = 2.0


class InternalClient:
    """Speaks to one service at `base_url`. As a resource of a service it is closed with it."""

    def __init__(
        self,
        service: str,
        base_url: str,
        secret: SecretStr | str,
        *,
        timeout: float = TIMEOUT_SECONDS,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.service = service
        self._secret = secret
        self._client = httpx.AsyncClient(
            base_url=base_url,
            timeout=timeout,
            transport=transport,
            trust_env=False,
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=16),
        )

    async def request(
        self,
        method: str,
        path: str,
        *,
        context: Context,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
    ) -> Any:
        """The decoded JSON of a 2xx answer, None when it has no body.

        Raises the `BacklotError` the service answered with, or `Unavailable` naming it when it gave no answer within
        2 s or one that is no answer. Nothing is retried: whoever asked decides.
        """
        with tracing.span(f"{method} {self.service}", kind=SpanKind.CLIENT):
            response = await self._send(method, path, context, json, params)
        if response.is_success:
            return response.json() if response.content else None
        raise _problem(self.service, response)

    async def start(self) -> None:
        """Nothing to do: connections are made when they are needed."""

    async def stop(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def _send(
        self, method: str, path: str, context: Context, json: Any, params: Mapping[str, Any] | None
    ) -> httpx.Response:
        headers = context_headers(self._secret, context)
        traceparent = tracing.current_traceparent()
        if traceparent is not None:
            headers["traceparent"] = traceparent
        try:
            return await self._client.request(method, path, json=json, params=params, headers=headers)
        except httpx.HTTPError as error:
            raise Unavailable(self.service) from error


def _problem(service: str, response: httpx.Response) -> BacklotError:
    if not response.headers.get("content-type", "").startswith(MEDIA_TYPE):
        return Unavailable(service, f"{service} answered {response.status_code}")
    try:
        body = response.json()
        errors = [FieldError(item["pointer"], item["detail"]) for item in body.get("errors", ())]
        code, detail = str(body["code"]), str(body["detail"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return Unavailable(service, f"{service} answered {response.status_code}")
    if response.status_code >= 500 and code in ("INTERNAL", "UNAVAILABLE"):
        return Unavailable(service, detail if code == "UNAVAILABLE" else f"{service} failed")
    return from_problem(code, response.status_code, detail, errors=errors, retry_after=_seconds(response))


def _seconds(response: httpx.Response) -> float | None:
    text = response.headers.get("retry-after", "")
    return float(text) if text.isdigit() else None
