"""The brand kits and style capsules that jobs were accepted with, found for many jobs at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from prompt_service.capsules import StyleCapsule
from prompt_service.kits import BrandKit
from prompt_service.preparing import Looks
from prompt_service.store.looks import BRAND_KITS, STYLE_CAPSULES, Key
from schemas.jobs import JobRequested
from schemas.parts import VersionRef


@dataclass(frozen=True, slots=True)
class Pinned:
    """Those versions of what jobs were accepted with that are here."""

    kits: Mapping[Key, BrandKit]
    capsules: Mapping[Key, StyleCapsule]

    def looks(self, tenant_id: UUID, requested: JobRequested) -> Looks:
        """What the job's prompts are to look like, as far as it is here."""
        kit, capsule = requested.brand_kit, requested.style_capsule
        return Looks(
            kit=self.kits.get(_key(tenant_id, kit)) if kit else None,
            capsule=self.capsules.get(_key(tenant_id, capsule)) if capsule else None,
        )

    def missing(self, tenant_id: UUID, requested: JobRequested) -> str | None:
        """What the job was accepted with and is not here yet, in words; None where all of it is."""
        looks = self.looks(tenant_id, requested)
        wanted = (
            (BRAND_KITS.word, requested.brand_kit, looks.kit),
            (STYLE_CAPSULES.word, requested.style_capsule, looks.capsule),
        )
        return next((f"{word} {ref.id} version {ref.version}" for word, ref, here in wanted if ref and not here), None)


async def read_pinned(conn: AsyncConnection, jobs: Iterable[tuple[UUID, JobRequested]]) -> Pinned:
    """What is here of the kits and capsules that `jobs`, each with its tenant, were accepted with."""
    wanted = list(jobs)
    return Pinned(
        kits=await BRAND_KITS.pinned(conn, [_key(tenant, job.brand_kit) for tenant, job in wanted if job.brand_kit]),
        capsules=await STYLE_CAPSULES.pinned(
            conn, [_key(tenant, job.style_capsule) for tenant, job in wanted if job.style_capsule]
        ),
    )


def _key(tenant_id: UUID, ref: VersionRef) -> Key:
    return tenant_id, ref.id, ref.version
