"""Uploads: bytes that a user brings become an asset of his own, or leave nothing behind.

They are staged, looked at to their last byte in a child process, and handed to the promotion loop like any output: what
it makes of them is an asset without a job. A crash leaves a row and staged bytes, which are swept.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import UUID

from chassis.errors import BacklotError, FieldError, Invalid, StorageError, TooLarge, Unavailable
from chassis.ids import uuid7
from chassis.telemetry import get_logger
from media import Checker, ChildrenFailed, CorruptOutput, Facts, Probe, probe
from objects import ObjectStore, ObjectTooLarge, Stored, staged_key
from objects import StorageError as ObjectError
from schemas.parts import AssetContext, Kind, Output
from schemas.topics import STORAGE_SERVICE
from storage_service.arrivals import UPLOAD_ITEM, Arrival, Handover, OutputKey
from storage_service.assets import Asset
from storage_service.content_types import OCTETS, content_type
from storage_service.metrics import UPLOADS, UPLOADS_SWEPT

log = get_logger()

RUN = "uploads"
"""The folder of uploads among the logical names of a tenant."""
SHORTEST_MUSIC_S = 30.0
"""A shorter sound is an effect (R49, R50)."""
PATIENCE_S = 30.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.01, 0.25
_NUMBER, _THUMBNAIL_NUMBER = 0, 1
_MOST_THUMBNAIL_BYTES = 1 << 20


class CorruptUpload(BacklotError):
    """What came is no media that is known, or is damaged (R72)."""

    code, status, title = "CORRUPT_OUTPUT", 422, "These bytes are no whole media"


@dataclass(frozen=True, slots=True)
class Upload:
    """Bytes on their way in, and whose they are."""

    id: UUID
    tenant_id: UUID
    user_id: UUID

    @property
    def staged(self) -> str:
        """Where its bytes are until they are promoted."""
        return staged_key(str(self.tenant_id), str(self.id), _NUMBER)

    @property
    def thumbnail(self) -> str:
        """Where its thumbnail is until then."""
        return staged_key(str(self.tenant_id), str(self.id), _THUMBNAIL_NUMBER)


class Desk(Protocol):
    """What is written down of uploads."""

    async def begin(self, upload: Upload) -> None:
        """An upload begins; from now on what it leaves behind is swept."""
        ...

    async def known(self, upload: Upload, sha256: str) -> Asset | None:
        """The asset that its user has made of the same bytes before."""
        ...

    async def hand_over(self, upload: Upload, sha256: str, outputs: Sequence[Arrival]) -> bool:
        """Its outputs wait for promotion; False while the same user is uploading the same bytes beside it."""
        ...

    async def refusal(self, upload: Upload) -> str | None:
        """Why what was handed over could not be kept, if it could not."""
        ...

    async def is_over(self, upload: Upload) -> bool:
        """Whether nobody needs its staged bytes any more."""
        ...

    async def left_behind(self, age_s: float) -> list[Upload]:
        """Some that began more than `age_s` seconds ago and are over."""
        ...

    async def forget(self, uploads: Sequence[Upload]) -> None:
        """Their staged bytes are gone."""
        ...


class Uploader:
    """Takes bytes in; `wake` is called when there is something to promote. At most `most_bytes` for one upload."""

    def __init__(
        self, desk: Desk, store: ObjectStore, checker: Checker, wake: Callable[[], None], *, most_bytes: int
    ) -> None:
        self._desk = desk
        self._store = store
        self._checker = checker
        self._wake = wake
        self._most_bytes = most_bytes

    async def take_in(
        self, tenant_id: UUID, user_id: UUID, chunks: AsyncIterator[bytes], claimed: str | None
    ) -> tuple[Asset, bool]:
        """The asset that these bytes are, and whether it is new: a user's same bytes are one asset.

        `claimed` is the media type they are said to be. Raises `CorruptUpload`, `Invalid` for a wrong claim,
        `TooLarge`, `StorageError`, `Unavailable`, and what `chunks` raises; nothing is kept then.
        """
        upload = Upload(uuid7(), tenant_id, user_id)
        await self._desk.begin(upload)
        try:
            asset = await self._taken_in(upload, chunks, claimed)
        except BacklotError as error:
            UPLOADS.labels(error.code).inc()
            raise
        finally:
            await self._tidy(upload)
        UPLOADS.labels("stored" if asset.job_id == upload.id else "known").inc()
        return asset, asset.job_id == upload.id

    async def sweep(self, age_s: float) -> bool:
        """Removes what interrupted uploads left more than `age_s` seconds ago; False when there was nothing."""
        left = await self._desk.left_behind(age_s)
        if not left:
            return False
        await self._remove(left)
        UPLOADS_SWEPT.inc(len(left))
        log.info("uploads_swept", uploads=len(left))
        return True

    async def _taken_in(self, upload: Upload, chunks: AsyncIterator[bytes], claimed: str | None) -> Asset:
        stored = await self._staged(upload, chunks)
        known = await self._desk.known(upload, stored.sha256)
        if known is not None:
            see_claim(claimed, known.mime)
            return known
        facts = await self._facts(upload)
        see_claim(claimed, facts.mime)
        outputs = [_arrival(upload, stored, facts)]
        if (small := await self._thumbnail(upload)) is not None:
            outputs.append(_small_arrival(upload, *small, outputs[0]))
        if await self._desk.hand_over(upload, stored.sha256, outputs):
            self._wake()
        return await self._kept(upload, stored.sha256)

    async def _staged(self, upload: Upload, chunks: AsyncIterator[bytes]) -> Stored:
        try:
            return await self._store.put(upload.staged, chunks, max_bytes=self._most_bytes)
        except ObjectTooLarge as error:
            raise TooLarge(f"an upload has at most {self._most_bytes} bytes") from error
        except ObjectError as error:
            raise StorageError(f"the upload could not be stored: {error.reason}") from error

    async def _facts(self, upload: Upload) -> Facts:
        try:
            return await self._checker.check(await self._source(upload))
        except CorruptOutput as error:
            detail = f"these bytes are {error.message}" if error.reason == "not_media" else error.message
            raise CorruptUpload(detail, errors=[FieldError("/file", error.reason.value)]) from error
        except ChildrenFailed as error:
            raise Unavailable(STORAGE_SERVICE, "uploads cannot be looked at for now; try again") from error
        except (OSError, ObjectError) as error:
            raise StorageError("the upload could not be read back") from error

    async def _thumbnail(self, upload: Upload) -> tuple[Stored, Probe] | None:
        """Staged; nothing is refused for want of one."""
        try:
            data = await self._checker.preview(await self._source(upload))
            if data is None:
                return None
            return await self._store.put(upload.thumbnail, data, max_bytes=_MOST_THUMBNAIL_BYTES), probe(data)
        except (CorruptOutput, ChildrenFailed, OSError, ObjectError) as error:
            log.warning("upload_without_thumbnail", upload=str(upload.id), reason=str(error))
            return None

    async def _source(self, upload: Upload) -> bytes | Path:
        path = self._store.local_path(upload.staged)
        return path if path is not None else b"".join([chunk async for chunk in self._store.open(upload.staged)])

    async def _kept(self, upload: Upload, sha256: str) -> Asset:
        """The asset, once the promotion loop has made it, of this upload or of an equal one beside it."""
        pause = _FIRST_PAUSE_S
        try:
            async with asyncio.timeout(PATIENCE_S):
                while (asset := await self._desk.known(upload, sha256)) is None:
                    if await self._desk.refusal(upload) is not None:
                        raise StorageError("the upload could not be stored")
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE_S)
        except TimeoutError as error:
            raise StorageError("the upload is not stored yet; send it again to see whether it is") from error
        return asset

    async def _tidy(self, upload: Upload) -> None:
        """What cannot be removed now is swept later; the answer stands in either case."""
        try:
            if await self._desk.is_over(upload):
                await self._remove([upload])
        except Exception as error:
            log.warning("upload_not_tidied", upload=str(upload.id), exc_info=error)

    async def _remove(self, uploads: Sequence[Upload]) -> None:
        await self._store.delete_many([key for upload in uploads for key in (upload.staged, upload.thumbnail)])
        await self._desk.forget(uploads)


def see_claim(claimed: str | None, found: str) -> None:
    """Raises `Invalid` where bytes are said to be of another media type than they are. No claim is no lie."""
    plain = (claimed or OCTETS).partition(";")[0].strip().lower()
    if plain in {"", OCTETS} or content_type(plain).mime == content_type(found).mime:
        return
    detail = f"says {plain[:80]}, but the bytes are {found}"
    raise Invalid(f"Content-Type {detail}", errors=[FieldError("/header/Content-Type", detail)])


def kind_of(facts: Facts) -> Kind:
    """What media is, by its content."""
    if facts.mime in {"image/x-exr", "image/vnd.radiance"}:
        return Kind.ENVIRONMENT_MAP
    match facts.mime.partition("/")[0]:
        case "image":
            return Kind.IMAGE
        case "video":
            return Kind.VIDEO
        case "audio":
            return Kind.SFX if (facts.duration_s or 0) < SHORTEST_MUSIC_S else Kind.MUSIC
        case _:
            return Kind.MODEL_3D


def _arrival(upload: Upload, stored: Stored, facts: Facts) -> Arrival:
    output = Output(
        number=_NUMBER,
        staged_key=upload.staged,
        sha256=stored.sha256,
        content_sha256=stored.sha256,
        size=stored.size,
        mime=facts.mime,
        width=facts.width,
        height=facts.height,
        duration_seconds=facts.duration_s,
    )
    context = AssetContext(user_id=upload.user_id, kind=kind_of(facts), run=RUN)
    handover = Handover(output=output, logical_name=str(upload.id), context=context)
    return Arrival(OutputKey(upload.id, UPLOAD_ITEM, 0, _NUMBER), upload.tenant_id, uuid7(), handover)


def _small_arrival(upload: Upload, stored: Stored, seen: Probe, of: Arrival) -> Arrival:
    output = Output(
        number=_THUMBNAIL_NUMBER,
        role="thumbnail",
        staged_key=upload.thumbnail,
        sha256=stored.sha256,
        content_sha256=stored.sha256,
        size=stored.size,
        mime=seen.mime,
        width=seen.width,
        height=seen.height,
    )
    key = OutputKey(upload.id, UPLOAD_ITEM, 0, _THUMBNAIL_NUMBER)
    return Arrival(key, upload.tenant_id, uuid7(), of.handover.model_copy(update={"output": output}))
