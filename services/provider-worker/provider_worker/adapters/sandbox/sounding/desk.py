"""Where the voices of an effect are mixed."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from provider_worker.adapters.sandbox.sounding.waves import RATE, Chance, Wave, roomed

_ROOM_S = 0.5


@dataclass(frozen=True, slots=True)
class Desk:
    """A mix of `frames` samples that voices are added to. In a loop what sounds past the end goes on at the start."""

    frames: int
    loop: bool
    chance: Chance
    mix: Wave = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "mix", np.zeros((self.frames, 2), dtype=np.float32))

    @property
    def seconds(self) -> float:
        return self.frames / RATE

    def add(self, voice: Wave, at_s: float = 0.0, level: float = 1.0, pan: float = 0.0) -> None:
        """A voice from `at_s` on; `pan` from -1, left, to 1, right."""
        turn = (pan + 1) * np.pi / 4
        sides = np.array([np.cos(turn), np.sin(turn)], dtype=np.float32) * np.float32(level * np.sqrt(2))
        start, left = round(at_s * RATE), voice
        while len(left) and (self.loop or start < self.frames):
            start %= self.frames
            part, left = left[: self.frames - start], left[self.frames - start :]
            self.mix[start : start + len(part)] += part[:, None] * sides
            start = self.frames

    def around(self, low: float, high: float) -> float:
        """Any number between the two."""
        return float(self.chance.uniform(low, high))

    def in_a_room(self, level: float) -> Wave:
        """The mix with a room's answer of this level."""
        wet = roomed(self.mix, _ROOM_S, wrap=self.loop)
        return self.mix + np.float32(level) * wet
