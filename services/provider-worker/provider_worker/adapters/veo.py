"""Veo: videos as long-running operations (spec/providers.md, section 2a).

There is no list, no cancelling and no reference of ours: a lost answer stays unknown. A video that policy has filtered
is an operation that is done without one. The file wants the key, and the redirect it answers with does not get it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from provider_worker.adapters.config import HttpOptions, ProviderConfig
from provider_worker.adapters.google_errors import google_error
from provider_worker.adapters.google_videos import (
    FORMATS,
    KINDS,
    LONGEST_PROMPT,
    OPS,
    TWO_DAYS_S,
    Shape,
    failed,
    file_of,
    frame,
    refused,
    seconds_of,
    shape_of,
    sizes_of,
)
from provider_worker.adapters.http_adapter import HttpAdapter, decoded
from provider_worker.adapters.interface import (
    Artifact,
    Capability,
    Cost,
    GenerationRequest,
    InputMedia,
    JobRef,
    MediaKind,
    Op,
    ProviderError,
    Status,
)
from provider_worker.adapters.reading import member, members, text, word
from provider_worker.adapters.wire import shown

LENGTHS = (4, 6, 8)
_PLACES = {"image": ("first_frame", "reference"), "lastFrame": ("last_frame",)}
"""What a picture is called on the wire, and in which roles it comes."""


Options = HttpOptions


class Veo(HttpAdapter):
    """`POST /v1beta/models/{model}:predictLongRunning`, then `GET /v1beta/{operation}`."""

    def __init__(self, config: ProviderConfig) -> None:
        super().__init__(config, config.account("x-goog-api-key"))
        self._sizes = sizes_of(("720p", "1080p") if "lite" in config.model else ("720p", "1080p", "4k"))

    def capabilities(self) -> Sequence[Capability]:
        return [
            Capability(
                kind=MediaKind.VIDEO,
                op=op,
                mode="async",
                sizes=list(self._sizes),
                durations=LENGTHS,
                formats=FORMATS,
                supports=frozenset({"negative_prompt"}),
                result_ttl_s=TWO_DAYS_S,
            )
            for op in OPS
        ]

    def estimate(self, req: GenerationRequest) -> Cost:
        shape, seconds = self._shot(req)
        return self._price(shape.resolution, seconds, "estimated")

    def plan(self, req: GenerationRequest) -> Mapping[str, Any]:
        """Pictures stand in it by their hash: what is sent of them is in the request."""
        self._check_text(req, req.op if req.op in OPS else Op.TEXT_TO_VIDEO, KINDS, LONGEST_PROMPT, FORMATS)
        shape, seconds = self._shot(req)
        parameters = {"aspectRatio": shape.ratio, "durationSeconds": seconds, "resolution": shape.resolution}
        if negative := req.options.get("negative_prompt"):
            parameters["negativePrompt"] = str(negative)
        pictures = {place: hashlib.sha256(found.data or b"").hexdigest() for place, found in self._pictures(req)}
        return {"instances": [{"prompt": req.prompt, **pictures}], "parameters": parameters}

    async def submit(self, req: GenerationRequest, plan: Mapping[str, Any]) -> JobRef | Status:
        pictures = {place: _inline(found) for place, found in self._pictures(req)}
        body = {**plan, "instances": [{**plan["instances"][0], **pictures}]}
        path = f"/v1beta/models/{self._config.model}:predictLongRunning"
        answer = await self._wire.submit("POST", path, json=body)
        if not answer.ok:
            raise google_error(answer)
        sent = plan["parameters"]
        data = {"seconds": sent["durationSeconds"], "resolution": sent["resolution"], "asked_s": req.duration_s}
        return JobRef(self.name, self._taken(answer.json(), "name"), data)

    async def poll(self, ref: JobRef) -> Status:
        answer = await self._wire.ask("GET", f"/v1beta/{ref.external_id}")
        if not answer.ok:
            raise google_error(answer)
        body = answer.json()
        done = body.get("done", False) if isinstance(body, dict) else body
        if not isinstance(done, bool):
            raise self._unknown_state(word(body, "done"))
        if not done:
            return Status("running", ref.external_id, raw_state="running")
        if error := member(body, "error"):
            message = shown(error.get("message")) or "the operation failed"
            return self._lost(ref, failed(message, text(error, "code")))
        return self._ended(ref, member(member(body, "response"), "generateVideoResponse"))

    def _ended(self, ref: JobRef, response: Mapping[str, Any]) -> Status:
        samples = members(response, "generatedSamples")
        if not samples:
            reasons = response.get("raiMediaFilteredReasons")
            words = shown("; ".join(map(shown, reasons))) if isinstance(reasons, list) else ""
            return self._lost(ref, refused(words or f"{self.name} made no video of it", "raiMediaFiltered"))
        cost = self._paid(lambda: self._cost(ref))
        try:
            artifact = self._artifact(member(samples[0], "video"))
        except ProviderError as error:
            return Status("failed", ref.external_id, error=error, cost=cost, raw_state="done")
        return Status("succeeded", ref.external_id, progress=100, artifacts=(artifact,), cost=cost, raw_state="done")

    def _artifact(self, video: Mapping[str, Any]) -> Artifact:
        if inline := video.get("encodedVideo"):
            return Artifact(text(video, "encoding") or "video/mp4", data=decoded(inline, self.name))
        if not text(video, "uri"):
            raise self._no_media("is done without a video")
        return file_of(text(video, "uri"), "video/mp4", self._config.base_url)

    def _lost(self, ref: JobRef, error: ProviderError) -> Status:
        return Status("failed", ref.external_id, error=error, raw_state="done")

    def _shot(self, req: GenerationRequest) -> tuple[Shape, int]:
        """The shape and its seconds: what is larger than the usual is made at one length alone."""
        shape = shape_of(req, self._sizes)
        return shape, seconds_of(req, LENGTHS if shape.resolution == "720p" else LENGTHS[-1:])

    def _pictures(self, req: GenerationRequest) -> list[tuple[str, InputMedia]]:
        found = [(place, media) for place, roles in _PLACES.items() if (media := frame(req, *roles)) is not None]
        if bool(found) is (req.op is Op.TEXT_TO_VIDEO):
            raise self._invalid(f"{req.op} with {len(found)} pictures")
        return found

    def _cost(self, ref: JobRef) -> Cost | None:
        """None of a job that a stranger's hand brought back: what it was asked for is not known here."""
        if "seconds" not in ref.data:
            return None
        return self._price(str(ref.data["resolution"]), int(ref.data["seconds"]), "priced_from_usage")

    def _price(self, resolution: str, seconds: int, basis: Any) -> Cost:
        micros = self._config.prices.of("second", model=self._config.model, resolution=resolution)
        return self._usd(seconds * micros, basis, second=seconds)


def _inline(media: InputMedia) -> Mapping[str, str]:
    return {"bytesBase64Encoded": base64.b64encode(media.data or b"").decode(), "mimeType": media.mime}


def make(config: ProviderConfig) -> Veo:
    """An adapter for one key and one model."""
    return Veo(config)
