"""What is made of a user's own pictures, offline: uploaded, built on, paid once, and seen in what comes back."""

from __future__ import annotations

import asyncio
from io import BytesIO
from typing import Any

import av
import httpx
import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.running import Live, ended, make, submit

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

SIZE = (320, 180)


def scene() -> Image.Image:
    """A red disc in the left of a light blue ground."""
    drawn = Image.new("RGB", SIZE, (170, 205, 235))
    ImageDraw.Draw(drawn).ellipse((30, 40, 150, 160), fill=(190, 30, 40))
    return drawn


def hole() -> Image.Image:
    """A mask that is open in the right third."""
    mask = Image.new("RGBA", SIZE, (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), (220, 0, 320, 180))
    return mask


async def uploaded(owner: httpx.AsyncClient, picture: Image.Image) -> str:
    file = BytesIO()
    picture.save(file, "png")
    answer = await owner.post("/api/v1/uploads", content=file.getvalue())
    assert answer.status_code in {200, 201}, answer.text
    return str(answer.json()["id"])


def sized(kind: str, inputs: list[dict[str, str]], **more: Any) -> dict[str, Any]:
    return {"kind": kind, "prompt": "a fox", "width": SIZE[0], "height": SIZE[1], "inputs": inputs, "seed": 5, **more}


async def output_of(owner: httpx.AsyncClient, job: dict[str, Any]) -> bytes:
    assert job["status"] == "completed", job
    answer = await owner.get(job["items"][0]["outputs"][0]["url"])
    assert answer.status_code == 200, answer.text
    return answer.content


def opened(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data)).convert("RGB")


def apart(one: Image.Image, other: Image.Image) -> float:
    """In levels of 255."""
    return float(np.abs(np.asarray(one, dtype=np.float64) - np.asarray(other, dtype=np.float64)).mean())


async def test_pictures_films_and_models_are_made_of_an_upload_and_what_was_made_is_built_on_again(
    live: Live, owner: httpx.AsyncClient
) -> None:
    ground, mask = await asyncio.gather(uploaded(owner, scene()), uploaded(owner, hole()))
    reference = {"role": "reference", "asset_id": ground}
    wanted = {
        "inpaint": sized("image", [reference, {"role": "mask", "asset_id": mask}]),
        "film": sized("video", [{"role": "first_frame", "asset_id": ground}], duration_seconds=4),
        "model": {"kind": "model_3d", "prompt": "a vase", "inputs": [reference], "max_triangles": 2000},
    }
    accepted = [await submit(owner, body) for body in wanted.values()]
    jobs = dict(zip(wanted, [await ended(owner, job["id"]) for job in accepted], strict=True))

    painted = opened(await output_of(owner, jobs["inpaint"]))
    kept, drawn = (0, 0, 220, 180), (220, 0, 320, 180)
    assert apart(painted.crop(kept), scene().crop(kept)) == 0
    assert apart(painted.crop(drawn), scene().crop(drawn)) > 10
    with av.open(BytesIO(await output_of(owner, jobs["film"])), "r") as film:
        first = next(film.decode(video=0)).to_ndarray(format="rgb24")
    assert apart(Image.fromarray(first), scene()) < 6
    assert (await output_of(owner, jobs["model"]))[:4] == b"glTF"

    asset_id = jobs["inpaint"]["items"][0]["outputs"][0]["asset_id"]
    edit = await make(owner, sized("image", [{"role": "reference", "asset_id": asset_id}]))
    edited = opened(await output_of(owner, edit)).convert("L")
    assert np.corrcoef(np.asarray(edited).ravel(), np.asarray(painted.convert("L")).ravel())[0, 1] > 0.7
    ids = [job["id"] for job in (*jobs.values(), edit)]
    assert await live.paid(*ids) == await live.captured(*ids) > 0


async def test_what_the_sandbox_makes_nothing_of_costs_nothing(owner: httpx.AsyncClient) -> None:
    ground, other = await asyncio.gather(uploaded(owner, scene()), uploaded(owner, scene().rotate(180)))
    inputs = [{"role": "first_frame", "asset_id": ground}, {"role": "last_frame", "asset_id": other}]
    job = await make(owner, sized("video", inputs, loop=True, duration_seconds=4))

    assert (job["status"], job["error"]["code"]) == ("failed", "INVALID_REQUEST")
    assert "loops ends as it begins" in job["error"]["message"]
    assert (job["cost"]["actual"], job["cost"]["settled"]) == ("0.00", True)
