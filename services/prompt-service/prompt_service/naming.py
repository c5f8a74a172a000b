"""Names that every file system takes: what a person typed becomes one plain segment of a path (R95, R96, R149, R150).

Stricter than storage-service, which leaves these names as they are: letters, digits, `_` and `-` of ASCII alone, never
a device of Windows, never two that differ by capitals only.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

LONGEST_FILE = 255
CUT_TO = 200
# What comes behind a name: the number of one of a hundred equal ones, and the longest ending of a picture.
_LONGEST = LONGEST_FILE - len("_100") - len(".webp")

_SPACES = re.compile(r"\s+")
_SPECIALS = re.compile(r"[^A-Za-z0-9_\s-]", re.ASCII)
_ENDING = re.compile(r"(?<=.)\.(?:png|jpe?g|webp)\s*\Z", re.IGNORECASE)
_DEVICES = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)\Z", re.IGNORECASE)
# Letters that Unicode takes for letters of their own, and people for two or another one.
_SPELLED = str.maketrans(
    {
        "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L",
        "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "ı": "i",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SafeName:
    """One segment of a path. `cut`: what it was made of is too long, and a hash stands for its end (R95)."""

    text: str
    cut: bool = False


def safe_name(typed: str) -> SafeName:
    """`typed` as a segment: spaces become `_`, accents and specials go.

    A name that had letters or digits which ASCII has no word for carries a hash of all that it was, so that two of them
    stay apart; so does one of which nothing is left.
    """
    letters = spelled(_ENDING.sub("", typed))
    kept = _SPACES.sub("_", _SPECIALS.sub("", _SPACES.sub(" ", letters)).strip()).lstrip("-")
    if not kept.strip("_-"):
        return SafeName(f"unnamed_{_hash(typed)}")
    if any(char > "\x7f" and char.isalnum() for char in letters):
        kept = f"{kept[:_LONGEST]}_{_hash(typed)}"
    if len(kept) > _LONGEST:
        return SafeName(f"{kept[:CUT_TO]}_{_hash(typed)}", cut=True)
    return SafeName(f"_{kept}" if _DEVICES.match(kept) else kept)


def spelled(text: str) -> str:
    """`text` with its letters taken apart into those of ASCII, as far as they can be, and their accents."""
    return unicodedata.normalize("NFKD", text.translate(_SPELLED))


def distinct(names: Sequence[str]) -> list[str]:
    """`names` in their order, no two alike to a file system without capitals: all but one are numbered from `_2`.

    A name that only one of them has is never given to another. Names that differ in capitals are numbered by their
    spelling, so that in another order they are called the same and what is there is found again; equal ones by their
    order.
    """
    reserved = {name.casefold() for name in names}
    taken: set[str] = set()
    found = list(names)
    for place in sorted(range(len(names)), key=lambda place: (names[place], place)):
        chosen, number = names[place], 1
        while chosen.casefold() in taken or (number > 1 and chosen.casefold() in reserved):
            number += 1
            chosen = f"{names[place]}_{number}"
        taken.add(chosen.casefold())
        found[place] = chosen
    return found


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
