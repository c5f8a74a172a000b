"""What time alone brings: sweeps, repeated questions, an object store that is away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from objects import ObjectMissing
from schemas.events import (
    GenerationCompleted,
    GenerationQuoted,
)
from tests.worker_builders import (
    Home,
    Painter,
    envelope,
    home_at,
    prepared,
)

pytestmark = pytest.mark.integration


@pytest.fixture
async def home(database_url: str, tmp_path: Path) -> AsyncIterator[Home]:
    async with home_at(database_url, tmp_path) as home:
        yield home


async def test_nothing_is_claimed_while_the_object_store_is_away(home: Home, tmp_path: Path) -> None:
    painter = Painter()
    here = home.worker(painter)
    await here.hear(envelope(prepared()))
    await here.reserve()
    staging = tmp_path / "objects" / "staging"
    staging.write_text("in the way")
    assert not await here.claimer.step(here.tools)
    assert not painter.calls
    staging.unlink()
    await here.finish()
    assert len(await home.said(GenerationCompleted)) == 1


async def test_staged_bytes_are_swept_long_after_their_attempt_and_only_then(home: Home) -> None:
    here = home.worker()
    await here.hear(envelope(prepared(2)))
    await here.finish()
    assert not await here.upkeep.sweep()
    await home.rows("UPDATE attempts SET closed_at = now() - interval '8 days' WHERE item = 1")
    assert await here.upkeep.sweep()
    old, young = sorted(await home.said(GenerationCompleted), key=lambda event: event.item)
    with pytest.raises(ObjectMissing):
        await home.objects.stat(old.outputs[0].staged_key)
    assert (await home.objects.stat(young.outputs[0].staged_key)).size == 7
    assert not await here.upkeep.sweep()


async def test_a_quote_that_nobody_answers_is_said_again_and_changes_nothing_else(home: Home) -> None:
    here = home.worker()
    await here.hear(envelope(prepared(2)))
    assert not await here.upkeep.ask_again()
    await home.rows("UPDATE tasks SET quoted_at = now() - interval '61 s'")
    assert await here.upkeep.ask_again()
    first, again = await home.said(GenerationQuoted)
    assert first == again
    await here.finish()
    assert len(await home.said(GenerationCompleted)) == 2


async def test_a_turn_that_was_forgotten_is_given_back(home: Home) -> None:
    here = home.worker()
    await here.hear(envelope(prepared()))
    await here.reserve()
    await home.rows("UPDATE turns SET waiting = false")
    await here.work()
    assert not await home.said(GenerationCompleted)
    await here.upkeep.announce_forgotten()
    await here.work()
    assert len(await home.said(GenerationCompleted)) == 1
