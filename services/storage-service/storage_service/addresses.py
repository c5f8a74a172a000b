"""Where an asset is seen: public addresses carry its revision, private ones a signature."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from uuid import UUID

from objects.signing import DEFAULT_TTL_S, SigningKey, Verdict, sign, verify
from storage_service.assets import Asset, Served


@dataclass(frozen=True, slots=True)
class Addresses:
    """Addresses below `origin`, this service's own public origin (`https://assets.example`)."""

    origin: str

    def of(self, asset_id: UUID, *, revision: int, is_public: bool) -> str:
        """The lasting address. A public one changes with the revision, so that caches may keep it for ever (R113);
        a private one is of no use before it is signed.
        """
        address = f"{self.origin.rstrip('/')}/asset/{asset_id}"
        return f"{address}?v={revision}" if is_public else address

    def signed(self, asset: Asset, key: SigningKey, ttl_s: int = DEFAULT_TTL_S) -> tuple[str, datetime]:
        """An address of a private asset that needs no authentication, and when it ends."""
        signed = sign(key, asset.grant, now=asset.now, ttl_s=ttl_s)
        address = self.of(asset.id, revision=asset.revision, is_public=False)
        return f"{address}?{signed.query}", datetime.fromtimestamp(signed.expires, UTC)


class Admission(Enum):
    """What a visitor may do."""

    VERSIONED = "versioned"
    """See a public asset at its present address, which never shows anything else."""
    PUBLIC = "public"
    """See a public asset at an address that may be closed to him tomorrow."""
    SIGNED = "signed"
    """See a private asset for a while."""
    EXPIRED = "expired"
    """Nothing any more: the address was good until its expiry."""
    FORGED = "forged"
    """Nothing: the signature is not ours."""
    UNKNOWN = "unknown"
    """Nothing: there is no such asset, it is private, or its address was withdrawn. Which one is not told."""


@dataclass(frozen=True, slots=True)
class Visit:
    """What the query of a request says."""

    version: str | None = None
    expires: str | None = None
    signature: str | None = None


def admit(asset: Served | None, visit: Visit, key: SigningKey) -> Admission:
    """Whether `visit` may see `asset`. A signature that is not ours is refused alike, be there an asset or not."""
    if asset is not None and asset.is_public and not asset.deleted:
        return _admit_public(asset, visit)
    if visit.expires is None and visit.signature is None:
        return Admission.UNKNOWN
    if asset is None:
        return Admission.FORGED
    expires, signature = visit.expires or "", visit.signature or ""
    verdict = verify([key], asset.grant, expires=expires, signature=signature, now=asset.now)
    if verdict is Verdict.FORGED:
        return Admission.FORGED
    if asset.deleted:
        return Admission.UNKNOWN
    return Admission.SIGNED if verdict is Verdict.VALID else Admission.EXPIRED


def _admit_public(asset: Served, visit: Visit) -> Admission:
    if visit.version is None:
        return Admission.PUBLIC
    return Admission.VERSIONED if visit.version == str(asset.revision) else Admission.UNKNOWN
