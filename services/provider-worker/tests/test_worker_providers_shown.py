"""What others may know of the providers: who makes what, at what price, how many at once, and why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from chassis.errors import StartError
from chassis.http import Context, context_headers, make_app
from chassis.settings import read
from provider_worker.adapters.config import Price
from provider_worker.adapters.interface import Capability, MediaKind, Op, Span
from provider_worker.app import build
from provider_worker.http import ProviderFacts, internal_routes
from provider_worker.settings import Settings
from tests.worker_builders import TENANT, USER

SECRET = "a secret of at least sixteen characters"
ROUTES = """
version: 1
price_version: "2026-11-20"
currency: USD
providers:
  sandbox: {adapter: sandbox, model: sandbox-1}
  openai:
    adapter: openai_images
    model: gpt-image-2
    base_url: "https://openai.test"
    api_key_env: ELEVEN_KEY
    options: {quality: medium}
  eleven:
    {adapter: elevenlabs, base_url: "https://eleven.test", api_key_env: ELEVEN_KEY, limits: {concurrency: 4}}
  gemini: {adapter: gemini_image, model: gemini-2.5-flash-image, base_url: "https://gemini.test", api_key_env: NO_KEY}
  spare: {adapter: elevenlabs, base_url: "https://eleven.test", api_key_env: ELEVEN_KEY}
routes:
  - {kind: image, use: [gemini], otherwise: [sandbox], per_tenant: 5, timeout_s: 60}
  - {kind: texture, use: [openai], per_tenant: 1, timeout_s: 60}
  - {kind: music, use: [eleven], per_tenant: 2, timeout_s: 60}
prices:
  - {provider: sandbox, unit: image, usd: "0.04"}
  - {provider: gemini, unit: image, usd: "0.039"}
  - {provider: openai, unit: image, quality: low, usd: "0.006"}
  - {provider: openai, unit: image, quality: medium, usd: "0.053"}
  - {provider: openai, unit: image, quality: medium, model: gpt-image-3, usd: "0.1"}
  - {provider: openai, unit: image, quality: medium, size: 1024x1024, usd: "0.05"}
  - {provider: eleven, unit: minute, kind: music, usd: "0.3"}
"""


async def asked(app: Any) -> dict[str, dict[str, Any]]:
    headers = context_headers(SECRET, Context(TENANT, USER))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://worker", headers=headers
    ) as client:
        answer = await client.get("/v1/providers")
    assert answer.status_code == 200, answer.text
    return {each["name"]: each for each in answer.json()["items"]}


def environment(folder: Path, **more: str) -> Mapping[str, str]:
    (folder / "routes.yaml").write_text(ROUTES)
    return {
        "PROVIDER_WORKER_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
        "PROVIDER_WORKER_SANDBOX_DIR": str(folder / "sandbox"),
        "STORAGE_SERVICE_URL": "http://127.0.0.1:9",
        "PROVIDER_WORKER_ROUTES_FILE": str(folder / "routes.yaml"),
        "PROVIDER_WORKER_INTERNAL_PORT": "1",
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "BACKLOT_SECRET": SECRET,
        "BACKLOT_OBJECTS_DIR": str(folder / "objects"),
        **more,
    }


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    monkeypatch.setenv("ELEVEN_KEY", "a key")
    monkeypatch.delenv("NO_KEY", raising=False)
    return environment(tmp_path, PROVIDER_WORKER_IMAGES_PER_TENANT="3")


async def test_every_provider_is_shown_with_what_it_makes_and_costs_and_why_not(environ: Mapping[str, str]) -> None:
    known = await asked(build(read(Settings, environ)).internal)

    assert list(known) == ["sandbox", "openai", "eleven", "gemini", "spare"]
    music = known["eleven"]
    [ability] = music.pop("makes")
    assert music == {
        "name": "eleven",
        "adapter": "elevenlabs",
        "model": None,
        "kinds": ["music"],
        "enabled": True,
        "health": "ok",
        "why_not": None,
        "limits": {"per_tenant": {"music": 2}, "account": 4},
        "prices": [{"unit": "minute", "usd": "0.30", "facts": {"kind": "music"}}],
    }
    assert ability == {
        "kind": "music",
        "op": "text_to_music",
        "formats": ["mp3", "wav"],
        "seconds": {"shortest": 3.0, "longest": 600.0, "only": None},
        "supports": ["instrumental"],
        "cancel": "none",
        "webhook": False,
        "idempotency": "none",
    }
    assert (known["sandbox"]["kinds"], known["sandbox"]["limits"]) == (
        ["image"],
        {"per_tenant": {"image": 3}, "account": None},
    )


async def test_a_provider_is_shown_with_the_prices_that_it_can_cost_as_it_is_configured(
    environ: Mapping[str, str],
) -> None:
    known = await asked(build(read(Settings, environ)).internal)

    assert known["openai"]["prices"] == [
        {"unit": "image", "usd": "0.053", "facts": {"quality": "medium"}},
        {"unit": "image", "usd": "0.05", "facts": {"quality": "medium", "size": "1024x1024"}},
    ]


async def test_a_provider_that_cannot_be_used_says_why(environ: Mapping[str, str]) -> None:
    known = await asked(build(read(Settings, environ)).internal)

    told = {name: (each["enabled"], each["health"], each["why_not"]) for name, each in known.items()}
    assert told["gemini"] == (False, "disabled", "NO_KEY is not set")
    assert told["spare"] == (False, "disabled", "no route uses it")
    assert known["gemini"]["model"] == "gemini-2.5-flash-image"
    assert "a key" not in str(known)


def test_a_route_that_uses_who_does_not_make_it_is_refused_at_start(environ: Mapping[str, str]) -> None:
    path = Path(environ["PROVIDER_WORKER_ROUTES_FILE"])
    path.write_text(ROUTES.replace("kind: texture, use: [openai]", "kind: texture, use: [openai, eleven]"))
    with pytest.raises(StartError) as caught:
        build(read(Settings, environ))
    assert list(caught.value.problems) == ["routes: the route for texture uses eleven, which makes music, sfx"]


def test_a_sandbox_without_a_price_for_what_is_asked_of_it_is_refused_at_start(environ: Mapping[str, str]) -> None:
    path = Path(environ["PROVIDER_WORKER_ROUTES_FILE"])
    path.write_text(ROUTES.replace("kind: music, use: [eleven]", "kind: music, use: [eleven, sandbox]"))
    with pytest.raises(StartError) as caught:
        build(read(Settings, environ))
    assert list(caught.value.problems) == [
        "routes: the provider sandbox: sandbox has no price for one minute (kind music)"
    ]


async def test_a_provider_that_is_closed_for_now_says_why_as_long_as_it_is() -> None:
    reasons: list[str | None] = [None, "the account has no money", None]
    facts = ProviderFacts("acme", "acme", "", {"video": 2}, why_closed=lambda: reasons.pop(0))
    app = make_app(title="worker", public=False)
    app.include_router(
        internal_routes({"acme": facts, "off": replace(facts, name="off", why_not="no key")}, SecretStr(SECRET))
    )

    told = [await asked(app) for _ in range(3)]

    assert [(each["acme"]["enabled"], each["acme"]["health"], each["acme"]["why_not"]) for each in told] == [
        (True, "ok", None),
        (True, "closed", "the account has no money"),
        (True, "ok", None),
    ]
    assert {each["off"]["why_not"] for each in told} == {"no key"}


async def test_lengths_and_prices_are_plain_numbers_and_decimal_strings() -> None:
    def can(kind: MediaKind, durations: Any) -> Capability:
        return Capability(kind, Op.TEXT_TO_VIDEO, "async", None, durations=durations, cancel="best_effort")

    facts = ProviderFacts(
        "acme",
        "acme",
        "reel-1",
        {"video": 2, "texture": 1},
        capabilities=[can(MediaKind.VIDEO, (8, 4, 6)), can(MediaKind.TEXTURE, None), can(MediaKind.MUSIC, Span(1, 2))],
        prices=[Price("second", 100_000), Price("second", 1, {"resolution": "4k"}), Price("credit", 12_000_000)],
    )
    app = make_app(title="worker", public=False)
    app.include_router(internal_routes({"acme": facts}, SecretStr(SECRET)))

    shown = (await asked(app))["acme"]

    assert [(each["kind"], each["seconds"], each["cancel"]) for each in shown["makes"]] == [
        ("video", {"shortest": 4.0, "longest": 8.0, "only": [4.0, 6.0, 8.0]}, "best_effort"),
        ("texture", None, "best_effort"),
    ]
    assert [price["usd"] for price in shown["prices"]] == ["0.10", "0.000001", "12.00"]
