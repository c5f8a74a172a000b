"""A finisher for tests that are not about bytes."""

from __future__ import annotations

from collections.abc import Sequence

from objects import ObjectStore
from provider_worker.engine.ports import Refused
from provider_worker.provenance import StatementOf
from provider_worker.tasks import Finished, Made, Piece
from schemas.parts import Fit, PreparedItem


class Believing:
    """Passes everything but the bytes that it is told are bad."""

    def __init__(self) -> None:
        self.bad: set[bytes] = set()
        self.objects: ObjectStore | None = None

    async def finish(self, pieces: Sequence[Piece], wanted: PreparedItem, statement: StatementOf) -> Finished:
        if self.objects is not None and self.bad:
            data = b"".join([chunk async for chunk in self.objects.open(pieces[0].key)])
            if data in self.bad:
                raise Refused("cannot be decoded")
        fit = Fit(native_width=wanted.width, native_height=wanted.height, method="none")
        made = (Made(piece, "image/png", piece.sha256, wanted.width, wanted.height) for piece in pieces)
        return Finished(tuple(made), fit)
