"""What is behind logical names."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from chassis.http import Context, require_context
from storage_service.http.internal import viewer_of
from storage_service.presence import Presence

MOST_NAMES = 100


class Names(BaseModel):
    """Logical names without the tenant; the extension of each says its type."""

    model_config = ConfigDict(extra="forbid", strict=True)

    paths: list[str] = Field(min_length=1, max_length=MOST_NAMES)


class PresentName(BaseModel):
    """A name as it was asked for, and the asset behind it with what it was made as, as far as that is known."""

    path: str
    asset_id: UUID
    sha256: str
    version: int
    width: int | None
    height: int | None
    prompt_sha256: str | None


class PresentNames(BaseModel):
    """Those of the names that have whole bytes behind them; the others have none that the viewer may see."""

    present: list[PresentName]


def name_routes(presence: Presence, secret: SecretStr) -> APIRouter:
    """`/v1/names`."""
    router = APIRouter(prefix="/v1/names", tags=["names"])
    asked = Depends(require_context(secret))

    @router.post("/presence")
    async def post_presence(body: Names, context: Context = asked) -> PresentNames:
        """Which of these names have whole bytes behind them: of the viewer's own assets and those that are public, or
        with `tenant:read` of all the tenant's.
        """
        found = await presence.of(viewer_of(context), body.paths)
        return PresentNames(
            present=[
                PresentName(
                    path=one.name,
                    asset_id=one.asset.id,
                    sha256=one.asset.sha256,
                    version=one.asset.version,
                    width=one.asset.width,
                    height=one.asset.height,
                    prompt_sha256=one.asset.prompt_sha256,
                )
                for one in found
            ]
        )

    return router
