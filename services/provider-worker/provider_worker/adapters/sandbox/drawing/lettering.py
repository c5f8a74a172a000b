"""The headline: fitted into its box, set in the bundled typeface, readable on whatever lies below."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from provider_worker.adapters.sandbox.drawing.canvas import Box, Canvas, Picture, pasted, smooth
from provider_worker.adapters.sandbox.drawing.colours import Array, Rgb, contrast, luminance

Align = Literal["left", "center"]
Anchor = Literal["top", "middle", "bottom"]
Side = Literal["left", "top", "bottom"]

_UNIT = 100
_LEADING = 1.08
_WEIGHT = 0.02
_TRACKING = 0.018
_SMALLEST = 7
_FEWER_LINES = 0.88
_READABLE = 5.0
_SEEN = 2.5
_FADE = 0.36
_SHORT_FADE = 0.3
_MOST_WORDS = 24


@dataclass(frozen=True, slots=True)
class Block:
    """Lines of a headline at a type size in pixels, and where they stand in their box.

    `veil_from` is the side of the picture from which the ground may be calmed.
    """

    lines: tuple[str, ...]
    size: int
    box: Box
    align: Align
    anchor: Anchor
    veil_from: Side


@dataclass(frozen=True, slots=True)
class Place:
    """Where a headline may stand: its box, the largest type in pixels, and the sides it keeps to."""

    box: Box
    most_lines: int
    largest: float
    align: Align
    anchor: Anchor
    veil_from: Side


def spoken(headline: str) -> str:
    """The headline in characters that the typeface has: accents stay where they can, the rest is left out."""
    kept = []
    for character in " ".join(headline.split()):
        plain = unicodedata.normalize("NFKD", character)
        kept.append(character if _has(character) else "".join(one for one in plain if _has(one)))
    return " ".join("".join(kept).split()[:_MOST_WORDS])


@lru_cache(maxsize=2048)
def _has(character: str) -> bool:
    if character == " ":
        return True
    font = _font(_UNIT)
    return bytes(font.getmask(character)) != bytes(font.getmask("\uffff")) and font.getlength(character) > 0


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise TypeError("Pillow was built without FreeType")
    return font


def fitted(text: str, place: Place) -> Block | None:
    """The best setting of `text` in its place: large, in few lines; None where it would be too small to read."""
    words = text.split()
    left, top, right, bottom = place.box
    best, best_score = None, 0.0
    for count in range(1, min(place.most_lines, len(words)) + 1):
        lines = _balanced(words, count)
        longest = max(_width(line, _UNIT) for line in lines) / _UNIT + 2 * _WEIGHT
        size = min((right - left) / longest, (bottom - top) / (_LEADING * len(lines)), place.largest)
        if size >= _SMALLEST and size * _FEWER_LINES ** len(lines) > best_score:
            best_score = size * _FEWER_LINES ** len(lines)
            best = Block(lines, int(size), place.box, place.align, place.anchor, place.veil_from)
    return best


def _balanced(words: Sequence[str], count: int) -> tuple[str, ...]:
    """`count` lines of nearly equal length, in order."""
    widths = [_width(word + " ", _UNIT) for word in words]
    low, high = max(widths), sum(widths)
    while high - low > 1:
        middle = (low + high) / 2
        low, high = (low, middle) if len(_broken(words, widths, middle)) <= count else (middle, high)
    return tuple(_broken(words, widths, high))


def _broken(words: Sequence[str], widths: Sequence[float], limit: float) -> list[str]:
    lines: list[list[str]] = []
    left = 0.0
    for word, width in zip(words, widths, strict=True):
        if lines and width <= left + 1e-6:
            lines[-1].append(word)
            left -= width
        else:
            lines.append([word])
            left = limit - width
    return [" ".join(line) for line in lines]


def _width(line: str, size: int) -> float:
    return _font(size).getlength(line) + len(line) * size * _TRACKING


def _set(line: str, size: int) -> list[tuple[float, str]]:
    """Each character with its place in the line: kerned, then spaced out by as much as the stroke makes it bolder."""
    font = _font(size)
    return [
        (font.getlength(line[: at + 1]) - font.getlength(one) + at * size * _TRACKING, one)
        for at, one in enumerate(line)
    ]


def extent(block: Block) -> Box:
    """The box that the lines really fill."""
    left, top, right, bottom = block.box
    height = block.size * _LEADING * len(block.lines)
    width = min(right - left, max(_width(line, block.size) for line in block.lines))
    start = {"top": top, "middle": (top + bottom - height) / 2, "bottom": bottom - height}[block.anchor]
    inset = 0.0 if block.align == "left" else (right - left - width) / 2
    return left + inset, start, left + inset + width, start + height


def lettered(canvas: Canvas, picture: Picture, block: Block) -> Picture:
    """Set the block with a small rule above it, on a veil where the ground is too lively."""
    filled = extent(block)
    ink = _prepared(canvas, picture, filled, block.veil_from)
    pen = ImageDraw.Draw(picture)
    font, weight = _font(block.size), max(0, round(block.size * _WEIGHT))
    for number, line in enumerate(block.lines):
        offset = 0.0 if block.align == "left" else (filled[2] - filled[0] - _width(line, block.size)) / 2
        base = filled[1] + (number + 0.78) * block.size * _LEADING
        for x, character in _set(line, block.size):
            at = (filled[0] + offset + x, base)
            pen.text(at, character, fill=ink, font=font, anchor="ls", stroke_width=weight, stroke_fill=ink)
    _rule(canvas, picture, filled, block, ink)
    return picture


def _rule(canvas: Canvas, picture: Picture, box: Box, block: Block, ink: Rgb) -> None:
    """A short bar above the words, in the first of the brand's colours that stands out there."""
    thick = max(1, round(block.size * 0.09))
    length = block.size * 1.1
    left = box[0] if block.align == "left" else (box[0] + box[2] - length) / 2
    bottom = box[1] - block.size * 0.2
    if bottom - thick < 0:
        return
    area: Box = (left, bottom - thick, left + length, bottom)
    ground = float(np.median(_ground(picture, area)))
    seen = [voice for voice in canvas.palette.voices if contrast(float(luminance(voice)), ground) >= _SEEN]
    mask = Image.new("L", (max(2, round(length * 2)), thick * 2))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, mask.width - 1, mask.height - 1), radius=thick, fill=255)
    picture.paste(seen[0] if seen else ink, (round(left), round(bottom - thick)), mask.reduce(2))


def _prepared(canvas: Canvas, picture: Picture, box: Box, side: Side) -> Rgb:
    """Choose light or dark ink for the ground under the box, and calm the ground until the ink can be read.

    Light ink is preferred: a dark veil keeps the colours around it, a light one washes them out.
    """
    ground = _ground(picture, box)
    dark, light = canvas.palette.deep, canvas.palette.paper
    choices = []
    for ink, veil, hardest, bias in ((light, dark, 97, 0.0), (dark, light, 3, 0.3)):
        strength = veil_needed(float(luminance(ink)), float(luminance(veil)), float(np.percentile(ground, hardest)))
        choices.append((strength + (bias if strength else 0.0), strength, ink, veil))
    _, strength, ink, veil = min(choices)
    if strength > 0:
        pasted(picture, veil, canvas.soft_mask(veil_shape(canvas, box, side) * strength))
    return ink


def _ground(picture: Picture, box: Box) -> Array:
    width, height = picture.size
    left, top = min(max(0, int(box[0])), width - 1), min(max(0, int(box[1])), height - 1)
    area = picture.crop((left, top, max(left + 1, min(width, int(box[2]))), max(top + 1, min(height, int(box[3])))))
    small = area.resize((min(48, area.width), min(48, area.height)), Image.Resampling.BOX)
    return luminance(np.asarray(small)).ravel()


def veil_needed(ink: float, veil: float, hardest: float) -> float:
    """How much veil (0 to 0.94) brings the hardest spot to a readable contrast."""
    for step in range(0, 93, 4):
        share = step / 100
        veiled = (hardest ** (1 / 2.2) * (1 - share) + veil ** (1 / 2.2) * share) ** 2.2
        if contrast(ink, veiled) >= _READABLE:
            return share
    return 0.94


def veil_shape(canvas: Canvas, box: Box, side: Side) -> Array:
    """1 from the side of the picture to the end of the words, then fading out."""
    x, y = canvas.grid()
    _, top, right, bottom = (value / canvas.short for value in box)
    if side == "left":
        return smooth((right + _FADE + 0.06 - x) / _FADE)
    if side == "top":
        return smooth((bottom + _SHORT_FADE + 0.03 - y) / _SHORT_FADE)
    return smooth((y - top + 0.1 + _SHORT_FADE) / _SHORT_FADE)
