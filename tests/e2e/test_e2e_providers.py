"""What clients are told of providers, and what becomes of a kind that none of those asked for makes."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from schemas.parts import Kind
from tests.running import ended, submit

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


async def test_the_providers_there_are_say_what_they_make_and_why_not(owner: httpx.AsyncClient) -> None:
    listed = (await owner.get("/api/v1/providers")).json()

    known = {provider["name"]: provider for provider in listed["items"]}
    assert listed["total"] == len(known) > 5
    sandbox = known.pop("sandbox")
    assert (sandbox["enabled"], sandbox["health"], sandbox["why_not"]) == (True, "ok", None)
    assert "image" in {able["kind"] for able in sandbox["makes"]} == set(sandbox["kinds"])
    assert {"unit": "image", "usd": "0.04", "facts": {}} in sandbox["prices"]
    assert {(provider["health"], provider["why_not"]) for provider in known.values()} == {
        ("disabled", "PROVIDER_WORKER_PROVIDERS leaves it out")
    }


BODIES: dict[Kind, dict[str, Any]] = {
    Kind.TEXTURE: {"prompt": "cobblestones"},
    Kind.ENVIRONMENT_MAP: {"prompt": "an evening by the sea", "format": "hdr"},
    Kind.VIDEO: {"prompt": "waves", "duration_seconds": 5, "loop": True},
    Kind.SFX: {"effect": "win"},
    Kind.MUSIC: {"genre": "jazz", "instrumental": False},
    Kind.MODEL_3D: {"prompt": "a wheel", "max_triangles": 20_000},
}


@pytest.mark.parametrize("kind", BODIES)
async def test_a_kind_that_nobody_asked_for_makes_ends_with_the_reason_and_without_a_bill(
    owner: httpx.AsyncClient, kind: Kind
) -> None:
    body = {"kind": kind, **BODIES[kind], "route": {"providers": ["nobody"]}}
    job = await ended(owner, (await submit(owner, body))["id"])

    assert (job["kind"], job["status"], job["error"]["code"]) == (kind, "failed", "INVALID_REQUEST")
    assert re.fullmatch(rf"{kind} is made by \w+(, \w+)*, not by nobody", job["error"]["message"])
    assert (job["cost"]["actual"], job["cost"]["settled"]) == ("0.00", True)
    assert [item["prompt_version"] for item in job["items"]] == [f"{kind}@v1.0"]
