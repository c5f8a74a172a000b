"""Every adapter of ours passes the suite that yours would (provider_worker/contract/suite.py)."""

from __future__ import annotations

import pytest

from provider_worker.adapters import elevenlabs, fal, gemini_image, meshy, nanobanana, openai_images, replicate, sunoapi
from provider_worker.adapters.config import Price
from provider_worker.contract.case import MODEL, MUSIC, SFX, SONG, Case
from provider_worker.contract.suite import *  # noqa: F403 - its tests are the tests of this file

PER_IMAGE = (Price("image", 400_000),)
OF_SOUND = (Price("generation", 120_000, {"kind": "sfx"}), Price("minute", 300_000, {"kind": "music"}))
CASES = [
    Case("nanobanana", nanobanana.make, "/nanobanana", "default", PER_IMAGE, finds=True),
    Case("gemini", gemini_image.make, "/gemini", "gemini-2.5-flash-image", PER_IMAGE, sync=True, shows_links=False),
    Case("openai", openai_images.make, "/openai/v1", "gpt-image-2", PER_IMAGE, sync=True, shows_links=False),
    Case("fal", fal.make, "/fal", "fal-ai/flux/dev", PER_IMAGE),
    Case("elevenlabs-sfx", elevenlabs.make, "/elevenlabs", "", OF_SOUND, SFX, sync=True, shows_links=False),
    Case("elevenlabs-music", elevenlabs.make, "/elevenlabs", "", OF_SOUND, MUSIC, sync=True, shows_links=False),
    Case("replicate", replicate.make, "/replicate", "black-forest-labs/flux-1.1-pro", PER_IMAGE, finds=True),
    Case("replicate-version", replicate.make, "/replicate", "5" * 64, PER_IMAGE, finds=True),
    Case("suno", sunoapi.make, "/sunoapi", "V4_5ALL", (Price("generation", 60_000),), SONG),
    Case("meshy", meshy.make, "/meshy", "latest", (Price("credit", 20_000),), MODEL, finds=True),
]


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found
