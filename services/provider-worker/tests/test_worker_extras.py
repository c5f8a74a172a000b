"""What comes beside the output that was asked for is kept where it can be had, and costs nothing where it cannot."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from objects import StorageError
from provider_worker.adapters.interface import Artifact, ProviderError
from provider_worker.adapters.interface import ErrorCode as ProviderCode
from schemas.events import GenerationCompleted
from tests.worker_builders import PRICE, Home, home_at
from tests.worker_studio import Studio, look, sent

pytestmark = pytest.mark.integration

PICTURE = Artifact("image/png", data=b"picture")
THUMBNAIL = Artifact("image/png", url="https://studio.example/thumbnail.png", role="thumbnail")
VARIANT = Artifact("image/png", url="https://studio.example/variant.png", role="variant")


@dataclass
class Framer(Studio):
    """Serves what comes beside its pictures from addresses."""

    trouble: dict[str | None, Exception] = field(default_factory=dict)

    async def fetch(self, art: Artifact) -> AsyncIterator[bytes]:
        if art.url in self.trouble:
            raise self.trouble[art.url]
        yield b"beside it"


@pytest.fixture
async def home(database_url: str, tmp_path: Path) -> AsyncIterator[Home]:
    async with home_at(database_url, tmp_path) as home:
        yield home


@pytest.mark.parametrize(
    "error",
    [
        ProviderError(ProviderCode.PROVIDER_ERROR, "410 Gone"),
        StorageError("a key", "away"),
        UnicodeError("label empty or too long"),
        KeyError("url"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_further_output_that_cannot_be_had_is_no_reason_to_lose_the_others(
    home: Home, error: Exception
) -> None:
    studio = Framer(trouble={THUMBNAIL.url: error})
    here, _ = await sent(home, studio)
    studio.done(artifacts=[THUMBNAIL, PICTURE, VARIANT])
    await look(home, here)
    [made] = await home.said(GenerationCompleted)
    assert [output.role for output in made.outputs] == ["primary", "variant"]
    assert (made.billing.amount_micros, len(studio.submits)) == (PRICE, 1)
