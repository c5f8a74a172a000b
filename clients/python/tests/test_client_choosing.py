"""`backlot providers`, and `backlot generate` for every kind and with providers wished for: over real HTTP."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.played_gateway import Answer, Asked, serving, typing_in

SOUND = b"not really a sound"
SHA = hashlib.sha256(SOUND).hexdigest()


def provider(name: str, *kinds: str, why_not: str | None = None, health: str = "ok", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "adapter": name,
        "model": None,
        "kinds": list(kinds),
        "enabled": health != "disabled",
        "health": health,
        "why_not": why_not,
        "makes": [],
        "limits": {"per_tenant": dict.fromkeys(kinds, 2), "account": None},
        "prices": [],
        **more,
    }


PROVIDERS = [
    provider("sandbox", "image", prices=[{"unit": "image", "usd": "0.04", "facts": {}}], model="sandbox-1"),
    provider(
        "gemini_omni",
        "video",
        model="omni-1",
        prices=[{"unit": "second", "usd": "0.10", "facts": {"model": "omni-1", "resolution": "720p"}}],
    ),
    provider("elevenlabs", "sfx", "music", health="closed", why_not="the account has no money"),
    provider("veo", "video", health="disabled", why_not="GEMINI_API_KEY is not set"),
]


@dataclass
class Played:
    """A gateway that makes every job at once: outputs of `mimes` in their order, with `flags`."""

    url: str = ""
    mimes: tuple[str, ...] = ("image/png",)
    flags: tuple[str, ...] = ()
    providers: Any = field(default_factory=lambda: (200, {"items": PROVIDERS, "total": len(PROVIDERS)}))
    jobs: list[dict[str, Any]] = field(default_factory=list)

    def answer(self, asked: Asked) -> Answer:
        if asked.method == "POST":
            self.jobs.append(asked.json())
            return 202, self.job()
        if asked.path == "/api/v1/providers":
            status, body = self.providers
            return status, body
        if asked.path == "/bytes":
            return 200, SOUND
        return 200, self.job()

    def job(self) -> dict[str, Any]:
        outputs = [
            {"role": "primary" if not place else "variant", "mime": mime, "sha256": SHA, "url": f"{self.url}/bytes"}
            for place, mime in enumerate(self.mimes)
        ]
        return {
            "id": "0000-12345678",
            "status": "completed",
            "stage": None,
            "progress": 100,
            "kind": self.jobs[-1].get("kind", "image"),
            "asset_type": self.jobs[-1].get("asset_type"),
            "items": [{"number": 1, "outputs": outputs, "flags": list(self.flags)}],
        }


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    played = Played()
    with serving(monkeypatch, played.answer) as played.url:
        yield played


@dataclass(frozen=True, slots=True)
class Done:
    status: int
    out: str
    err: str


@pytest.fixture
def types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Types a command in an empty folder."""
    typed = typing_in(tmp_path, monkeypatch, capfd)
    return lambda *arguments: Done(*typed(*arguments))


Types = Callable[..., Done]


def test_providers_are_listed_with_what_they_make_and_why_they_cannot_be_used(types: Types, gateway: Played) -> None:
    done = types("providers")

    assert (done.status, done.err) == (0, "")
    assert [line.split("\t") for line in done.out.splitlines()] == [
        ["provider", "state", "makes (at once)", "model", "price in USD"],
        ["sandbox", "ok", "image (2)", "sandbox-1", "0.04/image"],
        ["gemini_omni", "ok", "video (2)", "omni-1", "0.10/second (720p)"],
        ["elevenlabs", "closed: the account has no money", "sfx (2), music (2)", "", ""],
        ["veo", "disabled: GEMINI_API_KEY is not set", "video (2)", "", ""],
    ]
    assert json.loads(types("providers", "--json").out)["items"] == PROVIDERS


def test_everything_that_is_typed_is_asked_for(types: Types, gateway: Played) -> None:
    gateway.mimes = ("video/mp4",)
    video = types(
        *("generate", "waves", "--kind", "video", "--duration", "5", "--size", "1280x720", "--loop"),
        *("--provider", "gemini_omni", "--no-fallback"),
    )
    gateway.mimes = ("audio/mpeg",)
    types("generate", "--kind", "sfx", "--effect", "win", "--format", "mp3")
    types("generate", "a slow evening", "--kind", "music", "--genre", "jazz", "--vocals", "--seed", "7")
    types("generate", "a wheel", "--kind", "model_3d", "--max-triangles", "20000", "--no-fallback")
    types("generate", "finals", "--asset-type", "thumbnail", "--kit", "k1")

    assert video.status == 0, video.err
    assert gateway.jobs == [
        {
            "kind": "video",
            "prompt": "waves",
            "duration_seconds": 5.0,
            "width": 1280,
            "height": 720,
            "loop": True,
            "count": 1,
            "route": {"providers": ["gemini_omni"], "fallback": False},
        },
        {"kind": "sfx", "effect": "win", "format": "mp3", "count": 1},
        {"kind": "music", "prompt": "a slow evening", "genre": "jazz", "instrumental": False, "seed": 7, "count": 1},
        {
            "kind": "model_3d",
            "prompt": "a wheel",
            "max_triangles": 20000,
            "count": 1,
            "route": {"providers": [], "fallback": False},
        },
        {"asset_type": "thumbnail", "prompt": "finals", "brand_kit_id": "k1", "count": 1},
    ]


@pytest.mark.parametrize(
    ("mime", "suffix"),
    [
        ("image/jpeg", "jpg"),
        ("image/webp", "webp"),
        ("video/mp4", "mp4"),
        ("audio/mpeg", "mp3"),
        ("audio/wav", "wav"),
        ("audio/ogg", "ogg"),
        ("model/gltf-binary", "glb"),
        ("image/x-exr", "exr"),
        ("image/vnd.radiance", "hdr"),
        ("application/x-unheard-of", "bin"),
    ],
)
def test_a_file_is_named_after_what_it_is(
    types: Types, gateway: Played, tmp_path: Path, mime: str, suffix: str
) -> None:
    gateway.mimes = (mime,)
    done = types("generate", "x", "--kind", "music")

    assert done.out == f"music-12345678-1.{suffix}\n"
    assert (tmp_path / f"music-12345678-1.{suffix}").read_bytes() == SOUND


def test_further_outputs_of_an_item_do_not_overwrite_the_first(types: Types, gateway: Played) -> None:
    gateway.mimes = ("audio/mpeg", "audio/mpeg")

    assert types("generate", "x", "--kind", "music").out.split() == [
        "music-12345678-1.mp3",
        "music-12345678-1-variant-1.mp3",
    ]


def test_what_should_be_looked_at_is_said_beside_the_files(types: Types, gateway: Played) -> None:
    gateway.flags = ("cropped", "length_adjusted")
    done = types("generate", "waves", "--kind", "video")

    assert done.out == "video-12345678-1.png\n"
    assert done.err.splitlines()[-1] == "look at item 1: cropped, length_adjusted"


WRONG: list[tuple[list[str], str]] = [
    (["nobody"], "nobody: there is no such provider\nProviders that make video: gemini_omni\n"),
    (["sandbox"], "sandbox: makes image, not video\nProviders that make video: gemini_omni\n"),
    (["veo"], "veo: GEMINI_API_KEY is not set\nProviders that make video: gemini_omni\n"),
    (["gemini_omni", "nobody"], "nobody: there is no such provider\nProviders that make video: gemini_omni\n"),
    (
        ["sandbox", "veo"],
        "sandbox: makes image, not video\nveo: GEMINI_API_KEY is not set\nProviders that make video: gemini_omni\n",
    ),
]


@pytest.mark.parametrize(("names", "told"), WRONG, ids=[" ".join(names) for names, _ in WRONG])
def test_a_wish_that_nobody_can_fulfil_is_told_before_anything_is_asked_for(
    types: Types, gateway: Played, names: list[str], told: str
) -> None:
    wishes = [part for name in names for part in ("--provider", name)]
    done = types("generate", "waves", "--kind", "video", *wishes)

    assert (done.status, done.out, done.err) == (1, "", told)
    assert gateway.jobs == []


def test_where_nobody_makes_a_kind_it_is_said(types: Types, gateway: Played) -> None:
    done = types("generate", "a wheel", "--kind", "model_3d", "--provider", "sandbox")

    assert done.err.endswith("Providers that make model_3d: none; `backlot providers` says why\n")


def test_one_usable_provider_among_those_wished_for_is_enough(types: Types, gateway: Played) -> None:
    done = types("generate", "waves", "--kind", "video", "--provider", "veo", "--provider", "gemini_omni")

    assert done.status == 0, done.err
    assert gateway.jobs[0]["route"] == {"providers": ["veo", "gemini_omni"], "fallback": True}


def test_a_provider_that_is_closed_for_now_may_be_wished_for(types: Types, gateway: Played) -> None:
    assert types("generate", "a coin", "--kind", "sfx", "--provider", "elevenlabs").status == 0


def test_a_worker_that_is_away_keeps_nobody_from_asking(types: Types, gateway: Played) -> None:
    gateway.providers = (503, {"code": "UNAVAILABLE", "detail": "provider-worker is away"})

    assert types("generate", "waves", "--kind", "video", "--provider", "nobody").status == 0


def test_a_kind_that_is_none_is_refused_by_the_gateway_alone(types: Types, gateway: Played) -> None:
    types("generate", "waves", "--kind", "film", "--provider", "sandbox")

    assert [job["kind"] for job in gateway.jobs] == ["film"]


def test_the_help_names_the_kinds(types: Types) -> None:
    said = " ".join(types("generate", "--help").out.replace("│", " ").split())

    assert "image, texture, environment_map, video, sfx, music, model_3d" in said
