"""Textures that are laid side by side: whether their edges meet, and edges made to meet.

An edge is mended as in L. Moisan, "Periodic plus Smooth Image Decomposition" (2011): the smooth picture that bears the
jumps at the edges is found and taken away. What is left has no jump, and differs the less the further from an edge.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from media.images import in_rgb

Plane = npt.NDArray[np.float32]
Waves = npt.NDArray[np.complexfloating[Any, Any]]
Pixels = npt.NDArray[np.uint8]

MOST_SEAM_RATIO = 1.25
"""Up to here the step over an edge is one like those within the picture."""
_STEP = 1.0
"""A step of one level in 255 is never seen, however smooth the picture is."""
_BAND = 12
"""So many pixels beside an edge take up what the smooth picture leaves of a jump: only that of very fine grain."""
_ROWS = 64


def seam_ratio(picture: Image.Image) -> float:
    """The mean step over an edge to the opposite one, as a multiple of the mean step between neighbours within.

    Of the two directions the worse one. About 1 where the edges meet.
    """
    return _worst(np.asarray(in_rgb(picture)))


def tile(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The picture scaled to `size`, with edges that meet; the same object where it is right already."""
    mended = picture if seam_ratio(picture) <= MOST_SEAM_RATIO else _mended(picture)
    if mended.size == size:
        return mended
    scaled = _scaled(mended, size)
    return scaled if seam_ratio(scaled) <= MOST_SEAM_RATIO else _mended(scaled)


def smooth_part(down: Plane, across: Plane) -> Plane:
    """The smooth picture that bears these jumps: `down` from the first row to the last in each column, `across` from
    the first column to the last in each row.

    The solution of a Poisson equation whose sources stand at the edges alone, so that their transform is written down
    from those of two lines.
    """
    height, width = len(across), len(down)
    rows = np.arange(height) * (np.pi / height)
    columns = np.arange(width // 2 + 1) * (np.pi / width)
    smooth: Waves = _from_edge_to_edge(rows)[:, None] * np.fft.rfft(down)[None, :]
    smooth += np.fft.fft(across)[:, None] * _from_edge_to_edge(columns)[None, :]
    # As sines: differences of cosines would lose the lowest frequencies, which carry most of it.
    curvature = np.float32(-4) * (np.sin(rows)[:, None] ** 2 + np.sin(columns)[None, :] ** 2).astype(np.float32)
    curvature[0, 0] = 1.0
    smooth /= curvature
    smooth[0, 0] = 0.0
    smooth = np.fft.ifft(smooth, axis=0)
    return np.fft.irfft(smooth, n=width, axis=1).astype(np.float32, copy=False)


def _from_edge_to_edge(halves: npt.NDArray[np.floating[Any]]) -> Waves:
    """The transform of 1 on the first and -1 on the last of a line, by half the angle of each frequency."""
    found: Waves = (2 * np.sin(halves) ** 2 - 1j * np.sin(2 * halves)).astype(np.complex64)
    return found


def close_edges(along: npt.NDArray[Any]) -> None:
    """In place, in the first direction: both edges become the same, and a narrow band beside each leads there."""
    band = min(_BAND, len(along) // 2)
    half = (along[-1].astype(np.float32) - along[0]) / 2
    for distance in range(band):
        share = half * (1 - distance / band)
        for at, made in ((distance, along[distance] + share), (-1 - distance, along[-1 - distance] - share)):
            along[at] = made if along.dtype == np.float32 else np.clip(np.rint(made), 0, 255)


def _mended(picture: Image.Image) -> Image.Image:
    """The picture with edges that meet; its middle stays as it is."""
    pixels = np.array(in_rgb(picture))
    for channel in range(pixels.shape[2]):
        plane = pixels[:, :, channel].astype(np.float32)
        plane -= smooth_part(plane[-1] - plane[0], plane[:, -1] - plane[:, 0])
        pixels[:, :, channel] = np.clip(np.rint(plane, out=plane), 0, 255, out=plane)
    # Closing the second direction may open the first one of a small picture; closed again, it leaves the second closed.
    for axis in (0, 1, 0):
        if _ratio(pixels, axis) > MOST_SEAM_RATIO:
            close_edges(np.moveaxis(pixels, axis, 0))
    return Image.fromarray(pixels)


def _scaled(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A filter looks over an edge at the opposite one, as it will lie there."""
    reduction = max(1.0, picture.width / size[0], picture.height / size[1])
    margin = min(round(3 * reduction) + 1, *picture.size)  # Lanczos looks at three pixels of what it makes
    pixels = np.pad(np.asarray(in_rgb(picture)), ((margin, margin), (margin, margin), (0, 0)), mode="wrap")
    box = (margin, margin, margin + picture.width, margin + picture.height)
    return Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS, box=box)


def _worst(pixels: Pixels) -> float:
    return max(_ratio(pixels, 0), _ratio(pixels, 1))


def _ratio(pixels: Pixels, axis: int) -> float:
    if pixels.shape[axis] < 2:
        return 0.0
    if axis == 0:
        edge, within = _mean_step(pixels[-1:], pixels[:1]), _mean_step(pixels[:-1], pixels[1:])
    else:
        edge, within = _mean_step(pixels[:, -1:], pixels[:, :1]), _mean_step(pixels[:, :-1], pixels[:, 1:])
    return edge / max(within, _STEP)


def _mean_step(pixels: Pixels, neighbours: Pixels) -> float:
    total = 0
    for at in range(0, len(pixels), _ROWS):
        one, other = pixels[at : at + _ROWS], neighbours[at : at + _ROWS]
        total += int((np.maximum(one, other) - np.minimum(one, other)).sum(dtype=np.int64))
    return total / pixels.size
