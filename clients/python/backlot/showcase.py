"""One of every kind of media, made before one's eyes, and a page that shows and plays them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backlot.client import Client
from backlot.demo import DemoFailed, follow, reason
from backlot.showing import Watch

EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "image": {"prompt": 'A lighthouse above a violet sea at dusk, "Backlot"', "width": 1280, "height": 720},
    "texture": {"prompt": "Mossy hexagonal stone, teal and amber", "width": 1024, "height": 1024, "tileable": True},
    "environment_map": {"prompt": "A clear evening over low hills", "width": 1024, "height": 512, "format": "hdr"},
    "video": {
        "prompt": 'Waves of light in turquoise and orange, "On Air"',
        "duration_seconds": 4,
        "width": 1280,
        "height": 720,
        "loop": True,
    },
    "sfx": {"effect": "win", "duration_seconds": 2, "format": "wav"},
    "music": {"prompt": "Warm and hopeful", "genre": "electronic", "duration_seconds": 30, "format": "mp3"},
    "model_3d": {"prompt": "A faceted crystal in violet", "max_triangles": 20_000},
}
"""A job for each kind, small enough to be made while one waits."""


@dataclass(frozen=True, slots=True)
class Example:
    """One finished example. `about` says its size or length in words; `cost` is a decimal string in USD."""

    id: str
    kind: str
    prompt: str
    file: str
    thumbnail: str | None
    mime: str
    about: str
    flags: Sequence[str]
    sha256: str
    cost: str


def make_examples(client: Client, folder: Path, watch: Watch, *, timeout: float = 300.0) -> list[Example]:
    """Makes one of each kind in `folder` with its thumbnail and `index.html`. Raises `DemoFailed` unless all came."""
    jobs = {kind: client.create_job({"kind": kind, **wanted}) for kind, wanted in EXAMPLES.items()}
    ended = follow(client, jobs, watch, timeout)
    if failed := [reason(kind, job) for kind, job in ended.items() if job["status"] != "completed"]:
        raise DemoFailed("\n".join(failed))
    return [_fetched(client, kind, job, folder) for kind, job in ended.items()]


def _fetched(client: Client, kind: str, job: Mapping[str, Any], folder: Path) -> Example:
    [item] = job["items"]
    output = item["outputs"][0]
    wanted = EXAMPLES[kind]
    path = folder / f"{kind}{_EXTENSIONS[output['mime']]}"
    sha256 = client.download(output["url"], path, sha256=output["sha256"])
    thumbnail = None
    if output["thumbnail_url"] and output["thumbnail_url"] != output["url"]:
        thumbnail = folder / f"{kind}_thumbnail.webp"
        client.download(output["thumbnail_url"], thumbnail)
    return Example(
        id=job["id"],
        kind=kind,
        prompt=str(wanted.get("prompt") or wanted.get("effect") or ""),
        file=str(path),
        thumbnail=str(thumbnail) if thumbnail else None,
        mime=output["mime"],
        about=_about(output),
        flags=item["flags"],
        sha256=sha256,
        cost=job["cost"]["actual"],
    )


def _about(output: Mapping[str, Any]) -> str:
    size = f"{output['width']}x{output['height']}" if output["width"] else ""
    length = f"{output['duration_seconds']:g} s" if output["duration_seconds"] else ""
    return ", ".join(part for part in (size, length, f"{output['file_size'] / 1000:,.0f} kB") if part)


_EXTENSIONS = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "image/x-exr": ".exr",
    "image/vnd.radiance": ".hdr",
    "video/mp4": ".mp4",
    "video/webm": ".webm",
    "audio/wav": ".wav",
    "audio/mpeg": ".mp3",
    "audio/ogg": ".ogg",
    "audio/flac": ".flac",
    "model/gltf-binary": ".glb",
}
