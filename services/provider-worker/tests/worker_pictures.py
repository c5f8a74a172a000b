"""Pictures to build on, and what is asked of them, for tests of the sandbox."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from PIL import Image, ImageDraw

from provider_worker.adapters.interface import (
    GenerationRequest,
    InputMedia,
    MediaKind,
    Op,
    ProviderAdapter,
    ProviderError,
)
from provider_worker.adapters.sandbox import read_lines
from provider_worker.adapters.sandbox.drawing.colours import parse
from provider_worker.adapters.sandbox.drawing.picture import Brief, composed
from provider_worker.adapters.sandbox.drawing.scenes_sharp import papercut, rays
from schemas.parts import InputRole
from tests.worker_models import cube, places

WARM, COOL = ("#AA3322", "#FFCC66", "#331111"), ("#115577", "#66DDCC", "#0A1A2A")
SIZE = (160, 120)


def filed(picture: Image.Image, **saving: Any) -> bytes:
    file = BytesIO()
    picture.save(file, **{"format": "png", **saving})
    return file.getvalue()


def given(role: InputRole, data: bytes) -> InputMedia:
    return InputMedia(role, "image/png", data)


HILLS = composed(Brief(*SIZE, 3, tuple(parse(text) for text in WARM)), papercut)
SUN = composed(Brief(*SIZE, 5, tuple(parse(text) for text in COOL)), rays)
DISC = Image.new("L", SIZE, 0)
ImageDraw.Draw(DISC).ellipse((50, 30, 110, 90), fill=255)
HOLE = Image.new("RGBA", SIZE, (0, 0, 0, 255))
HOLE.putalpha(DISC.point(lambda value: 255 - value))

REFERENCE, STYLE, MASK = given("reference", filed(HILLS)), given("style", filed(SUN)), given("mask", filed(DISC))
FIRST, LAST = given("first_frame", filed(HILLS)), given("last_frame", filed(SUN))


def wish(kind: MediaKind, op: Op, *inputs: InputMedia, size: tuple[int, int] = SIZE, **more: Any) -> GenerationRequest:
    return GenerationRequest(uuid4().hex, "tenant", kind, op, "a fox", *size, inputs=inputs, **{"seed": 7, **more})


EDIT = wish(MediaKind.IMAGE, Op.EDIT_IMAGE, REFERENCE)
STYLED = wish(MediaKind.IMAGE, Op.EDIT_IMAGE, STYLE)
INPAINT = wish(MediaKind.IMAGE, Op.INPAINT, REFERENCE, MASK)
TEXTURE = wish(MediaKind.TEXTURE, Op.EDIT_IMAGE, REFERENCE)
FILM = wish(MediaKind.VIDEO, Op.IMAGE_TO_VIDEO, FIRST, format="mp4", duration_s=1.5)
MODEL = wish(MediaKind.MODEL_3D, Op.IMAGE_TO_3D, REFERENCE, size=(0, 0), format="glb", options={"max_triangles": 500})

GLB = InputMedia("model", "model/gltf-binary", places(cube(), np.tile(np.eye(2, dtype=np.float32), (4, 1))).file())
RETEXTURE = replace(MODEL, op=Op.RETEXTURE, inputs=(GLB,))


def anew(request: GenerationRequest, **changes: Any) -> GenerationRequest:
    """Under a reference of its own."""
    return replace(request, request_id=uuid4().hex, **changes)


async def refused(provider: ProviderAdapter, request: GenerationRequest) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await provider.submit(request, provider.plan(request))
    return caught.value


def paid(folder: Path, request: GenerationRequest) -> list[tuple[int, int]]:
    """What was paid for it, and how often it came again."""
    lines = [line for line in read_lines(folder) if line.reference == request.request_id]
    return [(line.amount_micros, line.duplicate_submits) for line in lines]
