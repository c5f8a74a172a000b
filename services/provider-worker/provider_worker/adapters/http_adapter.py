"""What adapters that speak HTTP have in common: one wire, and the answers of a provider that cannot do more."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from datetime import datetime
from typing import Any

from provider_worker.adapters.config import CURRENCY, ProviderConfig
from provider_worker.adapters.interface import (
    Artifact,
    Cost,
    ErrorCode,
    GenerationRequest,
    JobRef,
    MediaKind,
    Op,
    Outcome,
    ProviderError,
    Status,
    WebhookEvent,
)
from provider_worker.adapters.reading import MOST, text
from provider_worker.adapters.signatures import unsigned
from provider_worker.adapters.sizes import Native, nearest_under
from provider_worker.adapters.wire import Account, Wire, shown


class HttpAdapter:
    """Base of adapters: a synchronous provider that forgets every request; what yours can do beyond, it overrides."""

    def __init__(self, config: ProviderConfig, account: Account) -> None:
        self._config = config
        self._wire = Wire(config.name, account)

    @property
    def name(self) -> str:
        return self._config.name

    async def poll(self, ref: JobRef) -> Status:
        raise ProviderError(ErrorCode.INVALID_REQUEST, f"{self.name} has no jobs that could be polled")

    async def find(self, req: GenerationRequest, plan: Mapping[str, Any], since: datetime) -> JobRef | None:
        """None: it keeps no list and knows no reference of ours."""
        return None

    async def cancel(self, ref: JobRef) -> bool:
        return False

    def fetch(self, art: Artifact) -> AsyncIterator[bytes]:
        return self._wire.fetch(art)

    async def parse_webhook(self, headers: Mapping[str, str], body: bytes, received_at: datetime) -> WebhookEvent:
        """A hint that names nothing: only the address it came to says which job it is about."""
        return unsigned(body)

    async def health(self) -> bool:
        return True

    async def close(self) -> None:
        await self._wire.close()

    def _callback(self, req: GenerationRequest) -> str | None:
        """Where this provider may call us: a public one reaches no plain address, and may refuse the request for it."""
        url = req.callback_url
        return url if url and (url.startswith("https://") or self._config.base_url.startswith("http://")) else None

    def _usd(self, micros: int, basis: Any, **units: int) -> Cost:
        return Cost(micros, CURRENCY, basis, units, self._config.prices.version)

    def _check_text(
        self,
        req: GenerationRequest,
        op: Op,
        kinds: Collection[MediaKind],
        longest_prompt: int,
        formats: Collection[str] = (),
        *,
        needs_prompt: bool = True,
    ) -> None:
        """What every provider refuses before it is asked; raises INVALID_REQUEST. Without `formats` any will do."""
        if req.op is not op or req.kind not in kinds:
            raise self._invalid(f"{self.name} does not make {req.kind} by {req.op}")
        if (needs_prompt and not req.prompt.strip()) or len(req.prompt) > longest_prompt:
            raise self._invalid(f"the prompt must have 1 to {longest_prompt} characters")
        if formats and req.format not in formats:
            raise self._invalid(f"format is {req.format!r}, but must be one of {', '.join(formats)}")

    def _invalid(self, message: str) -> ProviderError:
        return ProviderError(ErrorCode.INVALID_REQUEST, message, outcome=Outcome.NOT_SENT)

    def _taken(self, body: Any, name: str) -> str:
        """The provider's name for the job it took; an answer without one leaves open whether it took any."""
        found = text(body, name)
        if not found:
            raise ProviderError(
                ErrorCode.PROVIDER_ERROR, f"{self.name} answered without a {name}", outcome=Outcome.UNKNOWN
            )
        return found

    def _paid(self, *ways: Callable[[], Cost | None]) -> Cost | None:
        """What a result cost, by the first of `ways` that can tell: not knowing it takes no result away.

        None where none can: then what was quoted is billed.
        """
        for way in ways:
            try:
                cost = way()
            except ProviderError:
                continue
            if cost is not None and 0 <= cost.amount_micros <= MOST:
                return cost
        return None

    def _unknown_state(self, word: str) -> ProviderError:
        """A state that is not in the provider's documents is kept and is no end."""
        return ProviderError(ErrorCode.PROVIDER_ERROR, f"{self.name} says {shown(word)!r} of a job", provider_code=word)

    def _nearest(self, req: GenerationRequest, rule: Mapping[str, int]) -> Native:
        """The size under `rule` that comes nearest; raises INVALID_REQUEST where there is none of this shape."""
        found = nearest_under(frozenset(rule.items()), req.width, req.height)
        if found is None:
            raise self._invalid(f"{self.name} makes nothing of the shape {req.width}x{req.height}")
        return found

    def _no_media(self, message: str = "answered without a result") -> ProviderError:
        """A success without a result: the provider took the job and made nothing of it."""
        return ProviderError(ErrorCode.PROVIDER_ERROR, f"{self.name} {message}")


def decoded(text: Any, provider: str) -> bytes:
    """Bytes of base64 text; raises CORRUPT_OUTPUT where it is none."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise ProviderError(ErrorCode.CORRUPT_OUTPUT, f"{provider} sent a result that is no base64") from error


def pseudonym(tenant_id: str) -> str:
    """A name for a tenant that a provider may see: it can tell abusers apart without knowing who they are."""
    return hashlib.sha256(f"backlot tenant {tenant_id}".encode()).hexdigest()[:32]
