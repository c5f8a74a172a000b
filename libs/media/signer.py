"""Signing in a child process of its own: the private key is in no process that decodes what others have made."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass

from media.children import Children
from media.credentials import NotSigned, Statement, sign, why_unsignable
from media.errors import ChildrenFailed
from media.signing_material import SigningMaterial

_TIMEOUT_S = 60.0
_WORKERS = 1


@dataclass(frozen=True, slots=True)
class Signed:
    """A file as it is handed over. `why_not`: it has no credentials; None where it has."""

    data: bytes
    sha256: str
    why_not: str | None = None


class Signer:
    """Signs what was checked and marked. Its child starts when it is first needed; belongs to one event loop.

    The child has no limits: what it reads was decoded whole before, and C2PA's library reads along in threads.
    """

    def __init__(self, material: SigningMaterial, *, timeout_s: float = _TIMEOUT_S) -> None:
        self._material = material
        self._timeout_s = timeout_s
        self._children = Children(workers=_WORKERS)

    async def sign(self, data: bytes, mime: str, statement: Statement) -> Signed:
        """The file with credentials, or as it is where there can be none.

        Raises `ChildrenFailed` where no child can work, which says nothing about the file.
        """
        why_not = why_unsignable(mime)
        if why_not is None:
            try:
                return _signed(await self._made(data, mime, statement))
            except NotSigned as error:
                why_not = str(error)
        return _signed(data, why_not)

    async def _made(self, data: bytes, mime: str, statement: Statement) -> bytes:
        """Twice, each time in a child that has shown that it works, so that only the file itself can be to blame."""
        for _ in range(2):
            await self._children.run(self._timeout_s, _nothing)
            with suppress(ChildrenFailed):
                return await self._children.run(self._timeout_s, sign, data, mime, statement, self._material)
        raise NotSigned("C2PA's library failed on it")

    async def close(self) -> None:
        await self._children.close()


def _nothing() -> None:
    """A child that answers this is alive."""


def _signed(data: bytes, why_not: str | None = None) -> Signed:
    return Signed(data, hashlib.sha256(data).hexdigest(), why_not)
