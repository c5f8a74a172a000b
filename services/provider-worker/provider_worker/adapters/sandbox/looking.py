"""Media of others, decoded: runs in a child process with limits, and nowhere else (architecture rule 9)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageChops, ImageOps

from media import CorruptOutput, probe
from media.images import decode_whole, in_rgb
from provider_worker.adapters.interface import MediaKind
from provider_worker.adapters.sandbox.drawing.canvas import Picture
from provider_worker.adapters.sandbox.drawing.colours import Rgb
from provider_worker.adapters.sandbox.drawing.sampled import sampled
from provider_worker.adapters.sandbox.modelling.given import Bare, bared

Size = tuple[int, int]

_GROUNDS = ("reference", "first_frame")
_SKIN_EDGE = 512
_UNDRAWN = 8
"""A mask that is lighter than this nowhere leaves nothing to draw."""


class UnusableInput(Exception):
    """It cannot be built on; the message may be shown."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """A decoded picture on its way from one process to another."""

    mode: str
    size: Size
    data: bytes

    @classmethod
    def of(cls, picture: Picture) -> Pixels:
        return cls(picture.mode, picture.size, picture.tobytes())

    def picture(self) -> Picture:
        return Image.frombytes(self.mode, self.size, self.data)


@dataclass(frozen=True, slots=True)
class Looked:
    """What inputs show, in the size that is to be made.

    `ground` is the reference, or the first frame; of several references each has its column. `mask` is white where
    something is to be drawn. `style` are the colours of the style, `own` those of the ground. `model` is one that gets
    new looks.
    """

    ground: Pixels | None = None
    mask: Pixels | None = None
    last: Pixels | None = None
    style: tuple[Rgb, ...] = ()
    own: tuple[Rgb, ...] = ()
    model: Bare | None = None


NOTHING = Looked()
"""What is seen where there are no inputs."""


def looked(plan: Mapping[str, Any], files: Sequence[bytes]) -> Looked:
    """What the inputs of a plan show, by their files in order; raises `UnusableInput`."""
    size = (_SKIN_EDGE, _SKIN_EDGE) if plan["kind"] == MediaKind.MODEL_3D else (plan["width"], plan["height"])
    found, model = dict[str, list[Picture]](), None
    for number, (told, file) in enumerate(zip(plan["inputs"], files, strict=True), start=1):
        with _named(f"input {number} ({told['role']})"):
            if told["role"] == "model":
                model = bared(file)
                continue
            role = "ground" if told["role"] in _GROUNDS else told["role"]
            found.setdefault(role, []).append(_opened(file))
    ground, last = _joined(found.get("ground", []), size), _joined(found.get("last_frame", []), size)
    mask = _mask(found["mask"][0], found["ground"][0].size, size) if "mask" in found else None
    return Looked(
        ground=Pixels.of(ground) if ground else None,
        mask=Pixels.of(mask) if mask else None,
        last=Pixels.of(last) if last else None,
        style=sampled(_plain(found["style"][0])) if "style" in found else (),
        own=sampled(ground) if ground else (),
        model=model,
    )


@contextmanager
def _named(name: str) -> Iterator[None]:
    try:
        yield
    except CorruptOutput as error:
        raise UnusableInput(f"{name}: {error.message}") from None


def _opened(file: bytes) -> Picture:
    return ImageOps.exif_transpose(in_rgb(decode_whole(file, probe(file))))


def _joined(pictures: Sequence[Picture], size: Size) -> Picture | None:
    """Side by side, each filling its column from its middle."""
    if not pictures:
        return None
    joined = Image.new("RGB", size)
    for number, picture in enumerate(pictures):
        left, right = (round(size[0] * end / len(pictures)) for end in (number, number + 1))
        if right > left:
            joined.paste(_filling(_plain(picture), (right - left, size[1])), (left, 0))
    return joined


def _filling(picture: Picture, size: Size) -> Picture:
    return picture if picture.size == size else ImageOps.fit(picture, size, Image.Resampling.LANCZOS)


def _plain(picture: Picture) -> Picture:
    """What is transparent is white."""
    if picture.mode == "RGB":
        return picture
    plain = Image.new("RGB", picture.size, (255, 255, 255))
    plain.paste(picture, mask=picture.getchannel("A"))
    return plain


def _mask(given: Picture, reference: Size, size: Size) -> Picture:
    """White where something is to be drawn: where it is transparent, or where it is white if it is so nowhere."""
    if given.size != reference:
        told, wanted = (f"{one[0]}x{one[1]}" for one in (given.size, reference))
        raise UnusableInput(f"the mask is {told}, but has to have the size of its reference, {wanted}")
    solid = given.getchannel("A") if given.mode == "RGBA" else None
    through = solid is not None and solid.getextrema()[0] < 255  # type: ignore[operator]
    drawn = ImageChops.invert(solid) if solid is not None and through else given.convert("L")
    fitted = _filling(drawn, size)
    if fitted.getextrema()[1] < _UNDRAWN:  # type: ignore[operator]
        raise UnusableInput("the mask is transparent nowhere and white nowhere, and leaves nothing to draw")
    return fitted
