"""HTTP to one provider: one request, one answer, and an honest word on what is known when there is none.

Whether a provider took a job decides what may follow (spec of SUBMIT_UNKNOWN): a connection that was never made took
nothing; anything that broke after the request went out may have.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from chassis.foreign import ForeignError, Limits, Policy, download, guarded_client, origin_of
from provider_worker.adapters.interface import Artifact, ErrorCode, Outcome, ProviderError, Scope

CONNECT_S = 5.0
WRITE_S = 60.0
LONGEST_MESSAGE = 300
DOWNLOAD = Limits(max_bytes=512 * 1024 * 1024, seconds=60)
LARGEST_ANSWER = 96 * 1024 * 1024
"""Base64 of the largest media there is inline, and its envelope."""

_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol)


@dataclass(frozen=True, slots=True)
class Account:
    """How a provider is reached: `headers` carry the key and go to `base_url` alone.

    `download_hosts` are where its results lie, as names or `*.name`. `read_s` is the longest silence; None leaves it to
    the attempt's deadline, as for a provider that answers with the result itself.
    """

    base_url: str
    headers: Mapping[str, str]
    download_hosts: tuple[str, ...] = ()
    read_s: float | None = 30.0
    download: Limits = DOWNLOAD


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever its status."""

    provider: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    submitting: bool

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The body; raises `ProviderError` where it is no JSON, with an unknown outcome for a submit."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise ProviderError(
                ErrorCode.PROVIDER_ERROR,
                f"{self.provider} answered {self.status} with something that is no JSON",
                outcome=Outcome.UNKNOWN if self.submitting else Outcome.REJECTED,
                http_status=self.status,
            ) from error

    def json_or_none(self) -> Any:
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


class Wire:
    """The connections to one provider."""

    def __init__(self, provider: str, account: Account) -> None:
        self.provider = provider
        self._account = account
        policy = Policy(hosts=account.download_hosts, trusted=frozenset({origin_of(account.base_url)}))
        self._client = guarded_client(
            policy, timeout=httpx.Timeout(account.read_s, connect=CONNECT_S, write=WRITE_S, pool=None)
        )

    async def submit(self, method: str, path: str, **request: Any) -> Answer:
        """Sends something that may be paid for, once. Raises with `Outcome.UNKNOWN` where the answer was lost."""
        return await self._send(method, path, submitting=True, **request)

    async def ask(self, method: str, path: str, **request: Any) -> Answer:
        """Sends something that may be sent again: a poll, a list, a cancel."""
        return await self._send(method, path, submitting=False, **request)

    async def fetch(self, artifact: Artifact) -> AsyncIterator[bytes]:
        """An artifact's bytes, inline or from its address, within the account's limits."""
        if artifact.data is not None:
            yield artifact.data
            return
        headers = self._account.headers if artifact.needs_key else {}
        try:
            async for chunk in download(self._client, artifact.url or "", self._account.download, headers=headers):
                yield chunk
        except ForeignError as error:
            raise download_failed(self.provider, error) from error

    async def close(self) -> None:
        await self._client.aclose()

    async def _send(self, method: str, path: str, *, submitting: bool, **request: Any) -> Answer:
        headers = {**self._account.headers, **request.pop("headers", {})}
        try:
            async with self._client.stream(method, self._url(path), headers=headers, **request) as response:
                body = await _body(self.provider, response, submitting=submitting)
        except ForeignError as error:
            raise ProviderError(ErrorCode.INVALID_REQUEST, error.reason, outcome=Outcome.NOT_SENT) from error
        except _NEVER_SENT as error:
            raise self._broken(error, Outcome.NOT_SENT) from error
        except UnicodeError as error:
            message = f"{self.provider} named an address that is none"
            raise ProviderError(ErrorCode.PROVIDER_ERROR, message, outcome=Outcome.NOT_SENT) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._broken(error, Outcome.UNKNOWN if submitting else Outcome.REJECTED) from error
        return Answer(self.provider, response.status_code, response.headers, body, submitting)

    def _url(self, path: str) -> str:
        """`path` below the base URL; an address the provider gave is asked as it stands, if it leads to the same place:
        the key goes nowhere else.
        """
        if not path.startswith(("http://", "https://")):
            return self._account.base_url.rstrip("/") + "/" + path.lstrip("/")
        if origin_of(path) != origin_of(self._account.base_url):
            raise ProviderError(ErrorCode.PROVIDER_ERROR, f"{self.provider} named an address that is not its own")
        return path

    def _broken(self, error: Exception, outcome: Outcome) -> ProviderError:
        words = "could not be reached" if outcome is Outcome.NOT_SENT else "gave no answer"
        return ProviderError(ErrorCode.TEMPORARY, f"{self.provider} {words} ({type(error).__name__})", outcome=outcome)


async def _body(provider: str, response: httpx.Response, *, submitting: bool) -> bytes:
    read = bytearray()
    async for chunk in response.aiter_bytes():
        read += chunk
        if len(read) > LARGEST_ANSWER:
            raise ProviderError(
                ErrorCode.PROVIDER_ERROR,
                f"{provider} answered with more than {LARGEST_ANSWER} bytes",
                outcome=Outcome.UNKNOWN if submitting else Outcome.REJECTED,
                http_status=response.status_code,
            )
    return bytes(read)


def status_error(
    answer: Answer,
    message: str = "",
    *,
    provider_code: str | None = None,
    request_id: str | None = None,
    own: bool = True,
) -> ProviderError:
    """What an HTTP status means where the provider's body says nothing more exact (spec/providers.md, section 12).

    `own`: the body is the provider's; a 5xx of a stranger in between leaves it open whether the submit arrived.
    """
    status = answer.status
    code, scope = _BY_STATUS.get(
        status, (ErrorCode.TEMPORARY if status >= 500 else ErrorCode.INVALID_REQUEST, "request")
    )
    lost = answer.submitting and (status == 504 or (status >= 500 and not own))
    return ProviderError(
        code,
        shown(message) or f"{answer.provider} answered {status}",
        retry_after=retry_after(answer.headers),
        outcome=Outcome.UNKNOWN if lost else Outcome.REJECTED,
        scope="model" if status == 404 and answer.submitting else scope,
        http_status=status,
        provider_code=provider_code,
        provider_request_id=request_id,
    )


_BY_STATUS: dict[int, tuple[ErrorCode, Scope]] = {
    401: (ErrorCode.AUTH_ERROR, "account"),
    402: (ErrorCode.QUOTA_EXCEEDED, "account"),
    403: (ErrorCode.AUTH_ERROR, "account"),
    408: (ErrorCode.TEMPORARY, "request"),
    429: (ErrorCode.RATE_LIMIT, "account"),
    455: (ErrorCode.TEMPORARY, "account"),
}


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds to wait as a header says it: milliseconds, seconds or a date (RFC 9110, 10.2.3); None without one."""
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    text = headers.get("retry-after")
    if (seconds := _number(text)) is not None:
        return seconds
    try:
        moment = parsedate_to_datetime(text or "")
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())


def _number(text: str | None) -> float | None:
    try:
        found = float(text or "")
    except ValueError:
        return None
    return found if 0 <= found < 1e9 else None


def shown(message: Any) -> str:
    """A provider's message, short and on one line: it may repeat a prompt. What is no text says nothing."""
    text = "" if isinstance(message, dict | list) else " ".join(str(message or "").split())
    return text if len(text) <= LONGEST_MESSAGE else text[:LONGEST_MESSAGE] + "…"


def download_failed(provider: str, error: ForeignError) -> ProviderError:
    """A download says nothing about the job: it is paid for and may be fetched again."""
    gone = error.status in {401, 403, 404, 410}
    code = ErrorCode.TEMPORARY if error.transient or gone else ErrorCode.CORRUPT_OUTPUT
    return ProviderError(
        code, f"{provider}'s result: {error.reason}", outcome=Outcome.ACCEPTED, http_status=error.status
    )
