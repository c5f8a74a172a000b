"""Faults that a prompt asks for by a tag such as `[[sim:http500x2]]`, so that tests can see what follows them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from provider_worker.adapters.interface import ErrorCode, Outcome, ProviderError

_TAG = re.compile(r"\[\[sim:([a-z_]+)(?:(\d+)(?:x(\d+))?)?\]\]")


@dataclass(frozen=True, slots=True)
class Faults:
    """What shall go wrong with a request."""

    policy: bool = False
    fail: bool = False
    failing_submits: int = 0
    corrupt: bool = False
    drop_after_accept: bool = False


def faults_in(prompt: str, seed: int | None = None) -> Faults:
    """The faults a prompt asks for; tags it does not know mean nothing.

    `[[sim:fail8]]` fails the request with seed 8 alone: items of a job have one prompt, and seeds of their own.
    """
    found = {match[1]: match for match in _TAG.finditer(prompt)}
    http = found.get("http")
    return Faults(
        policy="policy" in found,
        fail="fail" in found and found["fail"][2] in {None, str(seed)},
        failing_submits=int(http[3] or 1) if http and http[2] == "500" else 0,
        corrupt="corrupt" in found,
        drop_after_accept="drop_after_accept" in found,
    )


def without_tags(prompt: str) -> str:
    return _TAG.sub("", prompt)


def corrupted(data: bytes) -> bytes:
    """Media whose beginning is lost and whose end is: a sound that is cut off alone would still be one."""
    return data[len(data) // 3 : len(data) * 2 // 3]


def refused_by_policy() -> ProviderError:
    return ProviderError(
        ErrorCode.CONTENT_POLICY, "the prompt was refused", http_status=400, provider_code="moderation_blocked"
    )


def failed() -> ProviderError:
    return ProviderError(ErrorCode.PROVIDER_ERROR, "the generation failed", provider_code="generation_failed")


def unavailable() -> ProviderError:
    return ProviderError(ErrorCode.TEMPORARY, "internal error, try again", http_status=500)


def answer_lost() -> ProviderError:
    return ProviderError(ErrorCode.TEMPORARY, "the connection was cut", outcome=Outcome.UNKNOWN)
