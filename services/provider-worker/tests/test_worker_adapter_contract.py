"""Every adapter of ours passes the suite that yours would (provider_worker/contract/suite.py)."""

from __future__ import annotations

import pytest

from provider_worker.adapters import (
    elevenlabs,
    fal,
    gemini_image,
    gemini_interactions,
    meshy,
    nanobanana,
    openai_images,
    replicate,
    sunoapi,
    veo,
)
from provider_worker.adapters.config import Price
from provider_worker.contract.case import (
    EDIT,
    INPAINT,
    MODEL,
    MUSIC,
    OF_A_FRAME,
    OF_A_PICTURE,
    SFX,
    SONG,
    VIDEO,
    Case,
)
from provider_worker.contract.suite import *  # noqa: F403 - its tests are the tests of this file

PER_IMAGE = (Price("image", 400_000),)
OF_SOUND = (Price("generation", 120_000, {"kind": "sfx"}), Price("minute", 300_000, {"kind": "music"}))
GEMINI, GPT = "gemini-2.5-flash-image", "gpt-image-2"
PER_SECOND = (Price("second", 400_000),)
PER_CLIP = (Price("generation", 80_000),)
CASES = [
    Case("nanobanana", nanobanana.make, "/nanobanana", "default", PER_IMAGE, finds=True),
    Case("gemini", gemini_image.make, "/gemini", GEMINI, PER_IMAGE, sync=True, shows_links=False),
    Case("openai", openai_images.make, "/openai/v1", GPT, PER_IMAGE, sync=True, shows_links=False),
    Case("gemini-edit", gemini_image.make, "/gemini", GEMINI, PER_IMAGE, EDIT, sync=True, shows_links=False),
    Case("openai-edit", openai_images.make, "/openai/v1", GPT, PER_IMAGE, EDIT, sync=True, shows_links=False),
    Case("openai-inpaint", openai_images.make, "/openai/v1", GPT, PER_IMAGE, INPAINT, sync=True, shows_links=False),
    Case("fal", fal.make, "/fal", "fal-ai/flux/dev", PER_IMAGE),
    Case("elevenlabs-sfx", elevenlabs.make, "/elevenlabs", "", OF_SOUND, SFX, sync=True, shows_links=False),
    Case("elevenlabs-music", elevenlabs.make, "/elevenlabs", "", OF_SOUND, MUSIC, sync=True, shows_links=False),
    Case("replicate", replicate.make, "/replicate", "black-forest-labs/flux-1.1-pro", PER_IMAGE, finds=True),
    Case("replicate-version", replicate.make, "/replicate", "5" * 64, PER_IMAGE, finds=True),
    Case("suno", sunoapi.make, "/sunoapi", "V4_5ALL", (Price("generation", 100_000),), SONG),
    Case("meshy", meshy.make, "/meshy", "latest", (Price("credit", 20_000),), MODEL, finds=True),
    Case("gemini_omni", gemini_interactions.make, "/gemini", "gemini-omni-1.1-flash", PER_SECOND, VIDEO),
    Case("gemini_omni-frame", gemini_interactions.make, "/gemini", "gemini-omni-1.1-flash", PER_SECOND, OF_A_FRAME),
    Case("veo", veo.make, "/gemini", "veo-3.1-generate-preview", PER_SECOND, VIDEO),
    Case("veo-frame", veo.make, "/gemini", "veo-3.1-generate-preview", PER_SECOND, OF_A_FRAME),
    Case("meshy-picture", meshy.make, "/meshy", "latest", (Price("credit", 20_000),), OF_A_PICTURE),
    Case("lyria", gemini_interactions.make, "/gemini", "lyria-3-clip-preview", PER_CLIP, MUSIC, shows_links=False),
    Case("lyria-song", gemini_interactions.make, "/gemini", "lyria-3.5", PER_CLIP, MUSIC, shows_links=False),
]


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found
