"""User text as data: what a person typed can be depicted, never obeyed (R103)."""

from __future__ import annotations

import re
import unicodedata

OPENING, CLOSING = "«", "»"
_JOINERS = "\u200d\ufe0f"
_SPACES = re.compile(r"\s+")
_QUOTED = re.compile(r"[\"“”„]([^\"“”„]{2,80})[\"“”„]")


def clean(text: str, *, limit: int) -> str:
    """`text` in NFKC, one line, without control, bidirectional and other invisible characters, at most `limit` long.

    Joiners of emoji stay, since they are part of what is seen.
    """
    normal = unicodedata.normalize("NFKC", text)
    visible = "".join(char for char in normal if char in _JOINERS or _is_visible(char))
    return _SPACES.sub(" ", visible).strip()[:limit].rstrip()


def _is_visible(char: str) -> bool:
    return char.isspace() or unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Co", "Cn"}


def fence(text: str) -> str:
    """`text` between quotation marks that it cannot close."""
    return f"{OPENING}{text.replace(OPENING, '<').replace(CLOSING, '>')}{CLOSING}"


def headline_of(text: str) -> str | None:
    """The words to be set in type: the first phrase that the user put in double quotes."""
    found = _QUOTED.search(text)
    return found.group(1).strip() or None if found else None
