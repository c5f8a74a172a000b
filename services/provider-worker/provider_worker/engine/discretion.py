"""What a provider says may repeat what it was told: no key, and no piece of a prompt, is passed on with its words."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

KEY, PROMPT = "***", "[prompt]"
LONGEST_OF_A_KEY = 12
LONGEST_OF_A_PROMPT = 24
"""Characters in a row that may be the prompt's by chance; more of them are a piece of it."""
SHORTEST = 8
"""What is shorter than this as a whole is a word like any other."""


@dataclass(frozen=True, slots=True)
class Discretion:
    """Knows the keys of all providers."""

    keys: Collection[str] = ()

    def told(self, words: str, prompt: str) -> str:
        """`words` without keys and without what they repeat of `prompt`, also where they break off in its midst."""
        for key in self.keys:
            words = _without(words, key, LONGEST_OF_A_KEY, KEY)
        spaced = " ".join(prompt.split())
        for known in dict.fromkeys((spaced, prompt.strip())):
            words = _without(words, known, LONGEST_OF_A_PROMPT, PROMPT)
        return words


def _without(words: str, hidden: str, most: int, mark: str) -> str:
    width = min(most, len(hidden))
    if width < SHORTEST:
        return words
    kept: list[str] = []
    clear = at = 0
    while at + width <= len(words):
        if words[at : at + width] not in hidden:
            at += 1
            continue
        end = at + width
        while end < len(words) and words[end - width + 1 : end + 1] in hidden:
            end += 1
        kept += [words[clear:at], mark]
        clear = at = end
    return "".join(kept) + words[clear:]
