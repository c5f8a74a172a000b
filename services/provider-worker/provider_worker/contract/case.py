"""What a provider is tested with: its adapter, where a simulator speaks its wire, what differs between providers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Protocol

from PIL import Image
from pydantic import SecretStr

from provider_worker.adapters.config import Price, Prices, ProviderConfig
from provider_worker.adapters.interface import InputMedia, MediaKind, Op, ProviderAdapter
from schemas.parts import InputRole

KEY = "sim-"
IMAGE = {"kind": MediaKind.IMAGE, "op": Op.TEXT_TO_IMAGE, "width": 1280, "height": 720, "format": "png"}
SFX = {"kind": MediaKind.SFX, "op": Op.TEXT_TO_SFX, "format": "mp3", "duration_s": 1.5}
MUSIC = {"kind": MediaKind.MUSIC, "op": Op.TEXT_TO_MUSIC, "format": "mp3", "duration_s": 12.0}
MODEL = {"kind": MediaKind.MODEL_3D, "op": Op.TEXT_TO_3D, "format": "glb"}
VIDEO = {
    "kind": MediaKind.VIDEO,
    "op": Op.TEXT_TO_VIDEO,
    "width": 1280,
    "height": 720,
    "format": "mp4",
    "duration_s": 3.5,
}
SONG = {**MUSIC, "duration_s": 60.0}


def picture(role: InputRole, size: tuple[int, int] = (64, 64)) -> InputMedia:
    """A real one, to make something of."""
    file = BytesIO()
    Image.new("RGBA", size, (200, 80, 20, 255)).save(file, "png")
    return InputMedia(role, "image/png", file.getvalue())


EDIT = {**IMAGE, "op": Op.EDIT_IMAGE, "inputs": (picture("reference"), picture("style"))}
INPAINT = {**IMAGE, "op": Op.INPAINT, "inputs": (picture("reference"), picture("mask"))}
OF_A_FRAME = {**VIDEO, "op": Op.IMAGE_TO_VIDEO, "inputs": (picture("first_frame"),)}
OF_A_PICTURE = {**MODEL, "op": Op.IMAGE_TO_3D, "inputs": (picture("reference"),)}


class Place(Protocol):
    """Where a provider, or what stands in for it, is reached."""

    @property
    def url(self) -> str: ...


class StandIn(Place, Protocol):
    """What the suite asks of a simulator: the fixture `simulator` gives one that is empty, with work of no time."""

    def post(self, what: str, **body: Any) -> Any: ...

    def bill(self) -> Any: ...

    def calls(self) -> list[Any]: ...


@dataclass(frozen=True)
class Case:
    """An adapter, where the simulator speaks its wire, and what differs between providers."""

    name: str
    make: Callable[[ProviderConfig], ProviderAdapter]
    path: str
    model: str
    prices: tuple[Price, ...]
    asked: Mapping[str, Any] = field(default_factory=lambda: IMAGE)
    sync: bool = False
    finds: bool = False
    shows_links: bool = True
    options: dict[str, Any] = field(default_factory=dict)

    def config(self, simulator: Place, key: str | None = None) -> ProviderConfig:
        return ProviderConfig(
            name=self.name,
            model=self.model,
            base_url=f"{simulator.url}{self.path}",
            api_key=SecretStr(key or f"{KEY}{self.path.split('/')[1]}"),
            prices=Prices(self.name, self.prices, "2026-11-20"),
            options={"download_max_mb": 5, "download_timeout_s": 20, **self.options},
        )
