"""What is there already under its logical name, as storage-service has it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from uuid import UUID

from pydantic import BaseModel

from chassis.context import Context
from chassis.errors import BacklotError, Invalid, MalformedRequest, TooLarge
from chassis.internal_client import InternalClient
from provider_worker.planning import Planning, PresentAsset, names_of

PATH = "/v1/names/presence"


class PresenceUnknown(Exception):
    """There was no answer; there may be one later."""


class NamesRefused(Exception):
    """There is an answer, and no other one will come: nobody can have these names."""


Present = Callable[[Planning], Awaitable[Mapping[str, PresentAsset]]]
"""The asset behind each logical name of a job that has whole bytes; raises `PresenceUnknown` and `NamesRefused`."""


class _PresentName(BaseModel):
    path: str
    asset_id: UUID
    width: int | None = None
    height: int | None = None
    prompt_sha256: str | None = None

    def asset(self) -> PresentAsset:
        return PresentAsset(self.asset_id, self.width, self.height, self.prompt_sha256)


class _PresentNames(BaseModel):
    present: list[_PresentName]


def present_in(storage: InternalClient) -> Present:
    """As storage-service has it: what the job's user made, and what is public. A job carries no scopes of its own."""

    async def present(planning: Planning) -> Mapping[str, PresentAsset]:
        context = Context(planning.tenant_id, planning.prepared.asset_context.user_id)
        names = names_of(planning.prepared)
        try:
            answer = await storage.request("POST", PATH, context=context, json={"paths": names})
            found = _PresentNames.model_validate(answer)
        except (Invalid, MalformedRequest, TooLarge) as error:
            raise NamesRefused(error.detail) from error
        except BacklotError as error:
            raise PresenceUnknown(f"{storage.service}: {error.detail}") from error
        except ValueError as error:
            raise PresenceUnknown(f"{storage.service} gave an answer that is none") from error
        return {one.path: one.asset() for one in found.present}

    return present
