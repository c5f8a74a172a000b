"""With what content credentials are signed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime


class UnusableMaterial(Exception):
    """Nothing can be signed with this; `problems` are sentences for whoever set it up."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class SigningMaterial:
    """`certificates` and `key` are PEM, the certificate of the key first; `algorithm` is C2PA's name for it.

    Good until `ends`, the first moment at which one of the certificates is no longer valid.
    """

    certificates: str
    key: str = field(repr=False)
    algorithm: str
    subject: str
    ends: datetime
