"""The errors a service raises, one small tree with codes; foreign errors are translated into it where they enter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field of a request. `pointer` is a JSON pointer (RFC 6901) such as `/items/0/width`."""

    pointer: str
    detail: str


class BacklotError(Exception):
    """Something a caller can be told: a stable code, an HTTP status, a sentence, and the fields at fault.

    `retry_after` is in seconds: when the same request may succeed. Codes are those of R71 where one fits.
    """

    code: str = "INTERNAL"
    status: int = 500
    title: ClassVar[str] = "Something went wrong"

    def __init__(
        self, detail: str = "", *, errors: Sequence[FieldError] = (), retry_after: float | None = None
    ) -> None:
        self.detail = detail or self.title
        self.errors = tuple(errors)
        self.retry_after = retry_after
        super().__init__(self.detail)


class NotFound(BacklotError):
    """Missing, or another tenant's: the two are never told apart."""

    code, status, title = "NOT_FOUND", 404, "Not found"


class Conflict(BacklotError):
    code, status, title = "CONFLICT", 409, "Conflicts with the present state"


class IdempotencyMismatch(BacklotError):
    """The same idempotency key came with another body (R23)."""

    code, status, title = "IDEMPOTENCY_MISMATCH", 409, "The idempotency key was used with another body"


class Invalid(BacklotError):
    code, status, title = "VALIDATION", 422, "The request is not valid"


class MalformedRequest(BacklotError):
    code, status, title = "INVALID_REQUEST", 400, "The request cannot be read"


class TooLarge(BacklotError):
    code, status, title = "INVALID_REQUEST", 413, "The request is too large"


class Unauthenticated(BacklotError):
    code, status, title = "UNAUTHENTICATED", 401, "Authentication is required"


class Forbidden(BacklotError):
    code, status, title = "FORBIDDEN", 403, "Not allowed"


class TooManyRequests(BacklotError):
    code, status, title = "TOO_MANY_REQUESTS", 429, "Too many requests"


class BudgetExceeded(BacklotError):
    code, status, title = "BUDGET_EXCEEDED", 402, "The budget does not allow it"


class StorageError(BacklotError):
    code, status, title = "STORAGE_ERROR", 503, "The object store failed"


class Unavailable(BacklotError):
    """A service that is needed for the answer is away; names it."""

    code, status, title = "UNAVAILABLE", 503, "Unavailable for now"

    def __init__(
        self,
        service: str,
        detail: str = "",
        *,
        errors: Sequence[FieldError] = (),
        retry_after: float | None = 1.0,
    ) -> None:
        self.service = service
        super().__init__(detail or f"{service} is unavailable", errors=errors, retry_after=retry_after)


class RemoteProblem(BacklotError):
    """A problem another service answered with; keeps its code, status, sentence and fields."""

    def __init__(
        self,
        code: str,
        status: int,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail, errors=errors, retry_after=retry_after)
        self.code = code
        self.status = status


class Transient(Exception):
    """The same thing may work later: a handler or an engine that raises it is called again; it never dead-letters."""


class StartError(Exception):
    """The process cannot start; every reason is a sentence for the person who starts it."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problems))


_BY_CODE: dict[tuple[str, int], type[BacklotError]] = {
    (kind.code, kind.status): kind
    for kind in (
        NotFound,
        Conflict,
        IdempotencyMismatch,
        Invalid,
        MalformedRequest,
        TooLarge,
        Unauthenticated,
        Forbidden,
        TooManyRequests,
        BudgetExceeded,
        StorageError,
    )
}


def from_problem(
    code: str, status: int, detail: str, *, errors: Sequence[FieldError] = (), retry_after: float | None = None
) -> BacklotError:
    """The error that answers with this problem: its own class where there is one."""
    kind = _BY_CODE.get((code, status))
    if kind is None:
        return RemoteProblem(code, status, detail, errors=errors, retry_after=retry_after)
    return kind(detail, errors=errors, retry_after=retry_after)
