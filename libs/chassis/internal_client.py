"""Questions to another service, on behalf of a tenant."""

from __future__ import annotations

from collections.abc import AsyncIterable, Mapping
from typing import Any

import httpx
from opentelemetry.trace import SpanKind
from pydantic import SecretStr

from chassis import tracing
from chassis.context import Context, context_headers
from chassis.errors import BacklotError, FieldError, TooLarge, Unavailable, from_problem
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
        content: bytes | None = None,
        media_type: str | None = None,
    ) -> Any:
        """The decoded JSON of a 2xx answer, None when it has no body.

        `content` is a body that is passed on as it came, said to be of `media_type`.

        Raises the `BacklotError` the service answered with, or `Unavailable` naming it when it gave no answer within
        2 s or one that is no answer. Nothing is retried: whoever asked decides.
        """
        with tracing.span(f"{method} {self.service}", kind=SpanKind.CLIENT):
            headers = {} if media_type is None else {"Content-Type": media_type}
            response = await self._send(method, path, context, headers, json=json, params=params, content=content)
        return self._answer(response)

    async def stream(
        self, path: str, chunks: AsyncIterable[bytes], *, context: Context, media_type: str | None, answer_s: float
    ) -> Any:
        """Posts `chunks` as they come; the answer, which may take `answer_s` seconds after the last one, as `request`.

        What `chunks` raises is raised, and the other side sees a body that was cut off.
        """
        headers = {} if media_type is None else {"Content-Type": media_type}
        timeout = httpx.Timeout(TIMEOUT_SECONDS, read=answer_s, write=answer_s)
        with tracing.span(f"POST {self.service}", kind=SpanKind.CLIENT):
            response = await self._send("POST", path, context, headers, content=chunks, timeout=timeout)
        return self._answer(response)

    async def read(self, path: str, *, context: Context, max_bytes: int) -> bytes:
        """The bytes of a 2xx answer; raises as `request`, and `TooLarge` where there are more than `max_bytes`.

        2 s may pass between any two parts of it.
        """
        headers, read = self._headers(context), bytearray()
        try:
            async with self._client.stream("GET", path, headers=headers) as response:
                if not response.is_success:
                    await response.aread()
                    raise _problem(self.service, response)
                async for chunk in response.aiter_bytes():
                    read += chunk
                    if len(read) > max_bytes:
                        raise TooLarge(f"more than {max_bytes} bytes")
        except httpx.HTTPError as error:
            raise Unavailable(self.service) from error
        return bytes(read)

    async def start(self) -> None:
        """Nothing to do: connections are made when they are needed."""

    async def stop(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def _send(
        self, method: str, path: str, context: Context, headers: Mapping[str, str] | None = None, **rest: Any
    ) -> httpx.Response:
        sent = {**self._headers(context), **(headers or {})}
        try:
            return await self._client.request(method, path, headers=sent, **rest)
        except httpx.HTTPError as error:
            raise Unavailable(self.service) from error

    def _headers(self, context: Context) -> dict[str, str]:
        headers = context_headers(self._secret, context)
        traceparent = tracing.current_traceparent()
        if traceparent is not None:
            headers["traceparent"] = traceparent
        return headers

    def _answer(self, response: httpx.Response) -> Any:
        if response.is_success:
            return response.json() if response.content else None
        raise _problem(self.service, response)


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
