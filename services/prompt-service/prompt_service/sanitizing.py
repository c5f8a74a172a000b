"""User text as data: what a person typed can be depicted, never obeyed (R103)."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

OPENING, CLOSING = "«", "»"
_BLANK_LINE = re.compile(r"\n\s*\n")
_QUOTED = re.compile(r"[\"“”„]([^\"“”„]{2,80})[\"“”„]")
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
# Unicode calls these letters, marks or symbols, and nobody sees them: fillers, variation selectors, an empty Braille
# cell. Whole messages have been hidden in variation selectors.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
# What joins the parts of one emoji, or of one letter of India, and the kinds of characters that it may stand behind.
_JOINERS = {"\u200d": frozenset({"So", "Sk", "Mn", "Mc"}), "\ufe0f": frozenset({"So"})}


def clean(text: str, *, limit: int, paragraphs: bool = False) -> str:
    """`text` in NFKC, one line, without control, bidirectional and other invisible characters, at most `limit` long.

    With `paragraphs` its blank lines stay, one between two paragraphs. Joiners of emoji stay, since they are part of
    what is seen. Cleaning what is clean changes nothing.
    """
    if not paragraphs:
        return _one_line(text)[:limit].rstrip()
    lines = (_one_line(part) for part in _BLANK_LINE.split(text.replace("\r\n", "\n")))
    return "\n\n".join(filter(None, lines))[:limit].rstrip()


def _one_line(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    line = " ".join(text.split())
    # Nearly every text ends here; the rest looks at each character.
    if line.isprintable() and (line.isascii() or not _UNSEEN.search(line)):
        return line
    return " ".join(_visible(text).split())


def _visible(text: str) -> str:
    """`text` in NFKC without what nobody sees. What stood on both sides of it may have become one character."""
    while (kept := unicodedata.normalize("NFKC", _without_unseen(text))) != text:
        text = kept
    return text


def _without_unseen(text: str) -> str:
    kept: list[str] = []
    before = ""
    for char in text:
        if _is_seen(char) or (before and unicodedata.category(before) in _JOINERS.get(char, ())):
            kept.append(char)
            before = char
    return "".join(kept)


@lru_cache(4096)
def _is_seen(char: str) -> bool:
    return char.isspace() or not (unicodedata.category(char) in _INVISIBLE or _UNSEEN.match(char))


def is_visible(text: str) -> bool:
    """Whether everything in `text` can be seen, or is white space."""
    return all(_is_seen(char) or char in _JOINERS for char in text)


def unfenced(text: str) -> str:
    """`text` without the marks of a fence, so that it can neither open nor close one."""
    return text.replace(OPENING, "<").replace(CLOSING, ">")


def fence(text: str) -> str:
    """`text` between quotation marks that it cannot close."""
    return f"{OPENING}{unfenced(text)}{CLOSING}"


def headline_of(text: str) -> str | None:
    """The words to be set in type: the first phrase that the user put in double quotes."""
    found = _QUOTED.search(text)
    return " ".join(found.group(1).split()) or None if found else None
