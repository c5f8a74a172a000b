"""The five pictures of a brand kit, made before one's eyes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from backlot.client import TERMINAL, Client, Job
from backlot.errors import BacklotClientError
from backlot.showing import Watch

KIT = {
    "name": "Neon Drift",
    "primary_colors": ["#7C3AED", "#22D3EE"],
    "accent_colors": ["#F97316"],
    "headline_font": "Space Grotesk",
    "body_font": "Inter",
    "tone": "bold and playful",
}
SIZES = {
    "thumbnail": (1280, 720),
    "overlay": (1920, 1080),
    "banner": (1200, 480),
    "story_graphic": (1080, 1920),
    "clip_cover": (1080, 1080),
}
PROMPTS = {
    "thumbnail": 'A dragon over a neon city at night, "Final Boss Tonight"',
    "overlay": 'Glowing frame with room for the game, "Live Now"',
    "banner": 'Skyline of light trails at dusk, "Neon Drift"',
    "story_graphic": 'A portal opening above the street, "New Season Friday"',
    "clip_cover": 'The moment of the winning shot, "Clutch of the Year"',
}
_PAUSE = 0.15


class DemoFailed(BacklotClientError):
    """Not every picture came as it was asked for."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One finished picture; `cost` is a decimal string in `currency`."""

    id: str
    asset_type: str
    status: str
    file: str
    width: int
    height: int
    sha256: str
    cost: str


def make_pictures(client: Client, folder: Path, watch: Watch, *, timeout: float = 120.0) -> list[Picture]:
    """Makes a kit and its five pictures in `folder`. Raises `DemoFailed` unless all five are there in their sizes."""
    kit = client.create_brand_kit(KIT)
    jobs = {
        asset_type: client.generate(asset_type, kit["id"], custom_prompt=PROMPTS[asset_type]) for asset_type in SIZES
    }
    ended = follow(client, jobs, watch, timeout)
    if failed := [reason(asset_type, job) for asset_type, job in ended.items() if job["status"] != "completed"]:
        raise DemoFailed("\n".join(failed))
    return [_fetch(client, asset_type, job, folder) for asset_type, job in ended.items()]


def as_object(pictures: Sequence[Picture], seconds: float) -> dict[str, Any]:
    """What `demo --json` prints."""
    return {"jobs": [asdict(picture) for picture in pictures], "seconds": round(seconds, 2)}


def follow(client: Client, jobs: dict[str, Job], watch: Watch, timeout: float) -> dict[str, Job]:
    """Every job when it has ended, its cost included: bytes and bill are separate services and come in any order."""
    deadline = time.monotonic() + timeout
    open_jobs = dict(jobs)
    ended: dict[str, Job] = {}
    while open_jobs:
        for asset_type, job in list(open_jobs.items()):
            now = client.get_job(job["id"])
            watch.show(asset_type, now)
            if now["status"] in TERMINAL and now["cost"]["settled"]:
                ended[asset_type] = now
                del open_jobs[asset_type]
        if open_jobs and time.monotonic() > deadline:
            raise DemoFailed(f"after {timeout:g} s not finished: {', '.join(open_jobs)}; see `backlot logs`")
        time.sleep(_PAUSE)
    return {asset_type: ended[asset_type] for asset_type in jobs}


def reason(name: str, job: Job) -> str:
    """Why a job did not complete, as a line."""
    error = job["error"] or {}
    return f"{name} is {job['status']}: {error.get('code', '')} {error.get('message', '')}".rstrip()


def _fetch(client: Client, asset_type: str, job: Job, folder: Path) -> Picture:
    [output] = job["items"][0]["outputs"]
    path = folder / f"{asset_type}.png"
    sha256 = client.download(output["url"], path, sha256=output["sha256"])
    with Image.open(path) as picture:
        picture.load()
        size = picture.size
    if size != SIZES[asset_type]:
        raise DemoFailed(f"{path} is {size[0]}x{size[1]}, not {SIZES[asset_type][0]}x{SIZES[asset_type][1]}")
    return Picture(job["id"], asset_type, job["status"], str(path), *size, sha256, job["cost"]["actual"])
