"""How long one thing of each kind takes from its request to its bill, and its CPU; nothing else is done meanwhile."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Any

from backlot.client import TERMINAL, Client
from bench.processes import usage
from stack.state import StackInfo

ROUNDS = 3
LONGEST_S = 300.0
PLAN: Mapping[str, Mapping[str, Any]] = {
    "image 1280x720": {"kind": "image", "width": 1280, "height": 720},
    "image 1920x1080": {"kind": "image", "width": 1920, "height": 1080},
    "texture 1024": {"kind": "texture", "width": 1024, "height": 1024},
    "texture 4096": {"kind": "texture", "width": 4096, "height": 4096},
    "environment map 2048x1024, exr": {"kind": "environment_map", "width": 2048, "height": 1024},
    "environment map 2048x1024, hdr": {"kind": "environment_map", "width": 2048, "height": 1024, "format": "hdr"},
    "video 1280x720, 8 s": {"kind": "video", "width": 1280, "height": 720, "duration_seconds": 8},
    "video 1920x1080, 15 s": {"kind": "video", "width": 1920, "height": 1080, "duration_seconds": 15},
    "sound effect 2 s, wav": {"kind": "sfx", "duration_seconds": 2, "format": "wav"},
    "music 30 s, mp3": {"kind": "music", "duration_seconds": 30},
    "music 120 s, mp3": {"kind": "music", "duration_seconds": 120},
    "3D model, 50,000 triangles": {"kind": "model_3d"},
}


def each_kind(info: StackInfo) -> dict[str, Any]:
    """By name: seconds of waiting and of CPU over all processes, medians, and the size of the file in bytes."""
    found = {}
    with Client(info.gateway, info.api_key) as client:
        for name, wanted in PLAN.items():
            _made(client, {**wanted, "prompt": "warm up"})
            waits, busy, size = [], [], 0
            for number in range(ROUNDS):
                before, began = _cpu(info), time.perf_counter()
                size = _made(client, {**wanted, "prompt": f"violet crystals at dusk, number {number}"})
                waits.append(time.perf_counter() - began)
                busy.append(_cpu(info) - before)
            found[name] = {
                "seconds": round(statistics.median(waits), 2),
                "cpu_s": round(statistics.median(busy), 2),
                "bytes": size,
            }
    return found


def _made(client: Client, job: Mapping[str, Any]) -> int:
    """The size of the one output of a job that completes."""
    made = client.create_job(job)
    while made["status"] not in TERMINAL:
        made = client.wait(made["id"], timeout=LONGEST_S)
    if made["status"] != "completed":
        raise RuntimeError(f"{job}: {made['error']}")
    return int(made["items"][0]["outputs"][0]["file_size"])


def _cpu(info: StackInfo) -> float:
    return sum(used.cpu for used in usage(info.processes).values())
