"""What a result has to become, whether it has, and what is told as a flag. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from media import MIMES, Facts, FinishedMedia, Wanted
from provider_worker.engine.ports import Refused
from schemas.parts import Fit, Kind, PreparedItem

MOST_CROP = 0.10
MOST_SCALE = 1.25
MUSIC_LUFS = -14.0
"""What streaming services play music at, so that nobody has to reach for the volume."""
MIDDLE = (0.5, 0.5)
EXACT_S = 0.05
"""No length is further away from the asked one: a frame lasts as long, and so does the padding of a lossy codec."""

_FORMATS = {"jpg": "jpeg"}
_MAPS: Mapping[str, str] = {
    "base_color": "base colour",
    "metallic_roughness": "metalness and roughness",
    "normal": "normals",
}


def wanted_of(item: PreparedItem) -> Wanted:
    """What the primary output of an item has to become, with a thumbnail."""
    return Wanted(
        format=_FORMATS.get(item.format, item.format),
        width=item.width,
        height=item.height,
        fit=item.fit,
        focus=item.focus or MIDDLE,
        duration_s=item.duration_seconds,
        loop=item.loop,
        tileable=item.tileable,
        loudness_lufs=MUSIC_LUFS if item.kind is Kind.MUSIC else None,
        thumbnail=True,
    )


def see_asked(facts: Facts, item: PreparedItem) -> None:
    """Raises `Refused` where finished media is not of the format, size and length that the item asks for.

    A 3D model is refused without the maps of R53.
    """
    wanted = wanted_of(item)
    if facts.mime != MIMES.get(wanted.format):
        raise Refused(f"{facts.mime}, but {item.format} was asked for")
    asked, found = (item.width, item.height), (facts.width, facts.height)
    if all(asked) and found != asked:
        raise Refused(f"{facts.width}x{facts.height} pixels, but {item.width}x{item.height} were asked for")
    if wanted.duration_s is not None and abs((facts.duration_s or 0.0) - wanted.duration_s) > EXACT_S:
        raise Refused(f"{facts.duration_s or 0.0:.2f} s, but {wanted.duration_s:g} s were asked for")
    if item.kind is Kind.MODEL_3D and (missing := [words for name, words in _MAPS.items() if name not in facts.maps]):
        raise Refused(f"a 3D model without its maps of {', '.join(missing)}")


def fit_of(found: FinishedMedia) -> Fit | None:
    """How native pixels became the asked ones; None where the kind has no pixels."""
    if found.native.width is None or found.native.height is None:
        return None
    return Fit(
        native_width=found.native.width,
        native_height=found.native.height,
        method=found.method,
        scale=found.scale,
        crop_share=found.crop_share,
    )


def flags_of(found: FinishedMedia, item: PreparedItem) -> Iterator[str]:
    """What a user should know of a result that is not quite what its provider made, or not quite what was asked for.

    Providers.md, section 13: `cropped` where more than a tenth was cut away, `upscaled` where it was enlarged by more
    than a quarter, `length_adjusted` where time was cut off or added, `from_ldr` where a picture
    without light beyond white became an environment map; `over_polycount` above its triangles (R55).
    """
    if found.crop_share > MOST_CROP:
        yield "cropped"
    if found.scale > MOST_SCALE:
        yield "upscaled"
    if found.length_adjusted:
        yield "length_adjusted"
    if found.from_ldr:
        yield "from_ldr"
    if item.max_triangles is not None and (found.facts.triangles or 0) > item.max_triangles:
        yield "over_polycount"
