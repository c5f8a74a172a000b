"""What the tests with others' tools look at: a job of each kind, format, shape and length, made over HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from backlot import Client

VIDEO_SHAPES: Mapping[str, Mapping[str, Any]] = {
    "wide": {"width": 320, "height": 180, "duration_seconds": 4},
    "tall": {"width": 144, "height": 256, "duration_seconds": 5.5},
    "square loop": {"width": 200, "height": 200, "duration_seconds": 4, "loop": True},
}
SFX_LENGTHS: Mapping[str, Mapping[str, Any]] = {
    "odd": {"effect": "win", "duration_seconds": 1.37},
    "loop": {"effect": "countdown", "duration_seconds": 2, "loop": True},
}
SKY = {"prompt": "A clear evening over low hills", "width": 512, "height": 256}
SEED = 7
"""What is made is the same in every run: the bounds of the tests are of what can be seen in it."""
WAIT_S = 180


def orders() -> dict[str, dict[str, Any]]:
    """Name → what is asked for. The formats are all that the system makes of a kind."""
    from api_gateway.kinds import RULES
    from schemas.parts import Kind

    def each(kind: Kind, variants: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        return {
            " ".join(part for part in (kind.value, format_, name) if part): {
                "kind": kind.value,
                "format": format_,
                "seed": SEED,
                **body,
            }
            for format_ in RULES[kind].formats
            for name, body in variants.items()
        }

    return {
        **each(Kind.VIDEO, {name: {"prompt": "Waves of light", **body} for name, body in VIDEO_SHAPES.items()}),
        **each(Kind.SFX, SFX_LENGTHS),
        **each(Kind.MUSIC, {"": {"prompt": "Warm and hopeful", "genre": "jazz", "duration_seconds": 30}}),
        **each(Kind.IMAGE, {"": {"prompt": "A lighthouse at dusk", "width": 640, "height": 400}}),
        **each(Kind.TEXTURE, {"": {"prompt": "Mossy stone", "width": 512, "height": 512, "visibility": "public"}}),
        **each(Kind.ENVIRONMENT_MAP, {"": SKY}),
        **each(Kind.MODEL_3D, {"": {"prompt": "A faceted crystal", "max_triangles": 20_000}}),
    }


@dataclass(slots=True)
class Made:
    """Jobs that were asked for; each is waited for when a test wants to see it."""

    client: Client
    folder: Path
    ids: Mapping[str, str]
    _files: dict[str, Path] = field(default_factory=dict)

    def output(self, name: str) -> dict[str, Any]:
        """The first output of a job, as the API shows it now. An AssertionError says why there is none."""
        job = self.client.wait(self.ids[name], timeout=WAIT_S)
        assert job["status"] == "completed", f"{name} is {job['status']}: {job['error']}"
        [item] = job["items"]
        found: dict[str, Any] = {**item["outputs"][0], "flags": item["flags"]}
        return found

    def file(self, name: str) -> Path:
        """Its bytes."""
        if name not in self._files:
            output = self.output(name)
            path = self.folder / f"{name.replace(' ', '-')}.{orders()[name]['format']}"
            self.client.download(output["url"], path, sha256=output["sha256"])
            self._files[name] = path
        return self._files[name]


@pytest.fixture(scope="session")
def made(live: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """All orders, on the running system."""
    from backlot import Client

    with Client(live.info.gateway, live.info.api_key) as client:
        ids = {name: client.create_job(body)["id"] for name, body in orders().items()}
        yield Made(client, tmp_path_factory.mktemp("made"), ids)
