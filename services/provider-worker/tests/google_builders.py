"""Requests to Google's video and music, and adapters that send them."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr

from provider_worker.adapters import gemini_interactions, veo
from provider_worker.adapters.config import Price, Prices, ProviderConfig
from provider_worker.adapters.interface import (
    GenerationRequest,
    InputMedia,
    JobRef,
    MediaKind,
    Op,
    ProviderAdapter,
    Status,
)

VIDEO = GenerationRequest(
    "a1", "acme", MediaKind.VIDEO, Op.TEXT_TO_VIDEO, "A fox runs", 1280, 720, "mp4", duration_s=3.5
)
SONG = GenerationRequest("a1", "acme", MediaKind.MUSIC, Op.TEXT_TO_MUSIC, "A waltz", 0, 0, "mp3", duration_s=20.0)
PICTURE = InputMedia("first_frame", "image/png", data=b"a picture")
PRICES = (Price("second", 100_000), Price("generation", 80_000))
OMNI, VEO, LYRIA, CLIP = "gemini-omni-1.1-flash", "veo-3.1-generate-preview", "lyria-3.5", "lyria-3-clip-preview"


def adapter(url: str, model: str, **changes: Any) -> ProviderAdapter:
    given: dict[str, Any] = {
        "name": "google",
        "model": model,
        "base_url": f"{url}/gemini",
        "api_key": SecretStr("sim-gemini"),
        "prices": Prices("google", PRICES),
    }
    config = ProviderConfig(**{**given, **changes})
    return veo.make(config) if model.startswith("veo") else gemini_interactions.make(config)


async def sent(made: ProviderAdapter, wish: GenerationRequest) -> JobRef:
    found = await made.submit(wish, made.plan(wish))
    assert isinstance(found, JobRef)
    return found


async def ended(made: ProviderAdapter, wish: GenerationRequest) -> Status:
    return await made.poll(await sent(made, wish))
