"""Whether checked media is what was asked for: what is refused, and what is told as a flag. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from media import Facts, FittedImage
from provider_worker.engine.ports import Refused
from schemas.parts import Fit, Kind, PreparedItem

MOST_CROP = 0.10
MOST_SCALE = 1.25
SLACK_S = 0.25
SLACK_SHARE = 0.05

_MIMES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "exr": "image/x-exr",
    "hdr": "image/vnd.radiance",
    "mp4": "video/mp4",
    "webm": "video/webm",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
    "glb": "model/gltf-binary",
}
_MAPS: Mapping[str, str] = {
    "base_color": "base colour",
    "metallic_roughness": "metalness and roughness",
    "normal": "normals",
}


def see_format(facts: Facts, item: PreparedItem) -> None:
    """Raises `Refused` where the bytes are in another format than the item asks for: nothing is converted here."""
    if facts.mime != _MIMES.get(item.format):
        raise Refused(f"{facts.mime}, but {item.format} was asked for")


def fit_of(facts: Facts) -> Fit | None:
    """What was handed over as it came; None where the kind has no pixels."""
    if facts.width is None or facts.height is None:
        return None
    return Fit(native_width=facts.width, native_height=facts.height, method="none")


def flags_of_picture(found: FittedImage) -> Iterator[str]:
    """What a user should know of a picture that was made to fit (providers.md, section 13)."""
    if found.crop_share > MOST_CROP:
        yield "cropped"
    if found.scale > MOST_SCALE:
        yield "upscaled"


def flags_of(facts: Facts, item: PreparedItem) -> Iterator[str]:
    """What a user should know of a result that is handed over as it came; raises `Refused` for what it may not be.

    Length: what is more than 0.25 s and more than 5 % away from the asked one is another length. A longer result is
    flagged `longer_than_asked`. A shorter one is refused, for nothing can be added to it; but music is flagged
    `shorter_than_asked`, for some of its providers can be asked for no length, and what they make is paid for.
    Size of a video: another one is flagged `other_size`, and refused where the item takes only the exact one.
    A 3D model is refused without the maps of R53, and flagged `over_polycount` above its triangles (R55).
    """
    if item.kind is Kind.VIDEO:
        yield from _flags_of_size(facts, item)
    elif item.kind is Kind.MODEL_3D:
        yield from _flags_of_model(facts, item)
    elif item.kind is Kind.ENVIRONMENT_MAP and facts.width != 2 * (facts.height or 0):
        raise Refused(f"{facts.width}x{facts.height} pixels, but an environment map is twice as wide as high")
    if item.duration_seconds is not None and facts.duration_s is not None:
        yield from _flags_of_length(facts.duration_s, item.duration_seconds, item.kind)


def _flags_of_length(found: float, asked: float, kind: Kind) -> Iterator[str]:
    if abs(found - asked) <= max(SLACK_S, SLACK_SHARE * asked):
        return
    if found > asked:
        yield "longer_than_asked"
    elif kind is Kind.MUSIC:
        yield "shorter_than_asked"
    else:
        raise Refused(f"{found:.2f} s, but {asked:g} s were asked for")


def _flags_of_size(facts: Facts, item: PreparedItem) -> Iterator[str]:
    if (facts.width, facts.height) == (item.width, item.height):
        return
    if item.fit == "exact_only":
        asked = f"{item.width}x{item.height}"
        raise Refused(f"{facts.width}x{facts.height} pixels, but exactly {asked} were asked for")
    yield "other_size"


def _flags_of_model(facts: Facts, item: PreparedItem) -> Iterator[str]:
    missing = [words for name, words in _MAPS.items() if name not in facts.maps]
    if missing:
        raise Refused(f"a 3D model without its maps of {', '.join(missing)}")
    if item.max_triangles is not None and (facts.triangles or 0) > item.max_triangles:
        yield "over_polycount"
