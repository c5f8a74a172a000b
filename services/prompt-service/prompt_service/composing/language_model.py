"""A language model behind an OpenAI-compatible endpoint: one question, one answer, within bytes and seconds.

https://platform.openai.com/docs/api-reference/chat/create; Ollama, vLLM, llama.cpp and LM Studio speak the same.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from chassis.foreign import ForeignError, Policy, guarded_client, origin_of
from prompt_service.composing.conversation import SCHEMA, Message

LARGEST_ANSWER = 512 * 1024
CONNECT_S = 5.0
_LONGEST_PAUSE = 3600.0

_BY_SCHEMA = {"type": "json_schema", "json_schema": {"name": "manifest", "strict": True, "schema": SCHEMA}}
_ANY_JSON = {"type": "json_object"}


class NoAnswer(Exception):
    """There is no answer. `reason` is one word for logs and counts; `transient`: it may be asked again in a while.

    `retry_after` is in seconds, where the endpoint said so.
    """

    def __init__(self, reason: str, *, transient: bool = False, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.transient = transient
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model is: the base URL that `/chat/completions` is put behind, its name, its key if it needs one.

    An operator has named it, so it may be plain and inside the own network.
    """

    url: str
    model: str
    key: str | None = field(repr=False)


class LanguageModel:
    """The connections to one endpoint. As a resource of a service it is closed with it."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        policy = Policy(trusted=frozenset({origin_of(endpoint.url)}))
        # How long an answer may take is each question's own; a read without an end waits for no longer than that.
        self._client = guarded_client(policy, timeout=httpx.Timeout(None, connect=CONNECT_S))
        self._format: Mapping[str, Any] = _BY_SCHEMA

    async def ask(self, messages: Sequence[Message], *, seconds: float) -> str:
        """What the model says. Raises `NoAnswer`, after `seconds` at the latest."""
        try:
            async with asyncio.timeout(seconds):
                return _content(await self._completion(messages))
        except TimeoutError as error:
            raise NoAnswer("timeout") from error

    async def start(self) -> None:
        """Nothing to do: connections are made when they are needed."""

    async def stop(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def _completion(self, messages: Sequence[Message]) -> bytes:
        status, headers, body = await self._post(messages)
        if status in {400, 422} and self._format is _BY_SCHEMA:
            # A server that knows no schemas; it is not asked for one again.
            self._format = _ANY_JSON
            status, headers, body = await self._post(messages)
        if status != httpx.codes.OK:
            transient = status in {408, 409, 425, 429} or status >= httpx.codes.INTERNAL_SERVER_ERROR
            raise NoAnswer(f"status_{status}", transient=transient, retry_after=_seconds(headers))
        return body

    async def _post(self, messages: Sequence[Message]) -> tuple[int, httpx.Headers, bytes]:
        endpoint = self._endpoint
        asked = {"model": endpoint.model, "messages": list(messages), "response_format": self._format}
        # What is packed can grow a thousandfold, and is not asked for.
        headers = {"Accept-Encoding": "identity"}
        if endpoint.key:
            headers["Authorization"] = f"Bearer {endpoint.key}"
        url = f"{endpoint.url.rstrip('/')}/chat/completions"
        try:
            async with self._client.stream("POST", url, json=asked, headers=headers) as response:
                return response.status_code, response.headers, await _read(response)
        except ForeignError as error:
            raise NoAnswer("address_refused") from error
        except httpx.HTTPError as error:
            raise NoAnswer("unreachable", transient=True) from error


class NoModel:
    """Stands for a model where none is configured any more, and stories still wait for one."""

    async def ask(self, messages: Sequence[Message], *, seconds: float) -> str:
        """Raises `NoAnswer`."""
        raise NoAnswer("not_configured")


async def _read(response: httpx.Response) -> bytes:
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise NoAnswer("compressed")
    read = bytearray()
    async for chunk in response.aiter_raw():
        read += chunk
        if len(read) > LARGEST_ANSWER:
            raise NoAnswer("too_large")
    return bytes(read)


def _content(body: bytes) -> str:
    """The words in a chat completion; empty where the model said none, which is a wrong answer and no missing one."""
    try:
        content = json.loads(body)["choices"][0]["message"]["content"]
    except (ValueError, RecursionError, LookupError, TypeError) as error:
        raise NoAnswer("not_a_completion") from error
    return content if isinstance(content, str) else ""


def _seconds(headers: httpx.Headers) -> float:
    text = headers.get("retry-after", "")
    return min(float(text), _LONGEST_PAUSE) if text.isascii() and text.isdigit() else 0.0
