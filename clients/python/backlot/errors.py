"""What a client can meet."""

from __future__ import annotations

from typing import Any


class BacklotClientError(Exception):
    """Something a user can read and act on."""


class Unreachable(BacklotClientError):
    """The gateway does not answer. What was asked for may be asked again with the same idempotency key."""


class DownloadBroken(BacklotClientError):
    """The bytes that came are not those that were announced."""


class RequestRefused(BacklotClientError):
    """The gateway refused: RFC 9457 problem details.

    `errors` has one `{"pointer", "detail"}` for each field that is wrong.
    """

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        self.status = status
        self.code: str = problem.get("code", "UNKNOWN")
        self.detail: str = problem.get("detail") or problem.get("title") or f"HTTP {status}"
        self.errors: list[dict[str, str]] = problem.get("errors") or []
        fields = "".join(f"\n  {error.get('pointer', '')}: {error.get('detail', '')}" for error in self.errors)
        super().__init__(f"{self.code}: {self.detail}{fields}")
