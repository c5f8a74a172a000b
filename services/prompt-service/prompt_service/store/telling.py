"""What is said of jobs, with what it uses: in the transaction that makes it true."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.outbox import Draft, Outbox
from prompt_service.store.templates import NamedTemplates
from prompt_service.store.uses import add_uses


async def tell(conn: AsyncConnection, outbox: Outbox, drafts: Sequence[Draft], named: NamedTemplates) -> None:
    """Says prompts, and writes down which kits, capsules and templates of tenants are in them."""
    await add_uses(conn, drafts)
    await named.add_uses(conn, drafts)
    await outbox.add(conn, drafts)
