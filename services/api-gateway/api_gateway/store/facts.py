"""The facts of jobs: read whole, filled slot by slot. Whoever does either holds the locks of the jobs."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from pydantic_core import from_json, to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from api_gateway.facts import Fact, FactKind
from api_gateway.history import History, read

# One row for each job, because taking thousands of small rows apart would cost more than reading one document.
_READ = text(
    "SELECT job_id, '[' || string_agg(concat('[', item, ',', attempt, ',', kind, ',', output, ',', "
    "coalesce(to_json(asset_id)::text, 'null'), ',', body, ']'), ',') || ']' "
    "FROM fact WHERE job_id = ANY(CAST(:ids AS uuid[])) GROUP BY job_id"
)

# Under its job's lock nobody else fills a slot, and who fills one knows all that are filled: a second fact in one is an
# error and no repetition.
_FILL = text(
    "INSERT INTO fact (job_id, item, attempt, kind, output, asset_id, body) "
    "SELECT * FROM unnest(CAST(:jobs AS uuid[]), CAST(:items AS int[]), CAST(:attempts AS int[]), "
    "CAST(:kinds AS smallint[]), CAST(:outputs AS int[]), CAST(:assets AS uuid[]), CAST(:bodies AS text[]))"
)


async def read_histories(conn: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, History]:
    """What is known of each of `ids` about which there are facts."""
    if not ids:
        return {}
    found = await conn.execute(_READ, {"ids": ids})
    return {job_id: read(_facts(document)) for job_id, document in found.all()}


def _facts(document: str) -> list[Fact]:
    return [
        Fact(item, attempt, _KINDS[kind], output, body, UUID(asset_id) if asset_id else None)
        for item, attempt, kind, output, asset_id, body in from_json(document)
    ]


_KINDS = {int(kind): kind for kind in FactKind}


async def fill(conn: AsyncConnection, fresh: Sequence[tuple[UUID, Fact]]) -> None:
    """Writes facts, each with its job, into slots that are empty."""
    if not fresh:
        return
    ids = [job_id for job_id, _ in fresh]
    items, attempts, kinds, outputs, bodies, assets = zip(*[fact for _, fact in fresh], strict=True)
    values = {"jobs": ids, "items": items, "attempts": attempts, "kinds": kinds, "outputs": outputs, "assets": assets}
    await conn.execute(_FILL, {**values, "bodies": [to_json(body).decode() for body in bodies]})
