"""Keys for tests: an attempt is spoken of by a word, and has the id that the word makes."""

from __future__ import annotations

from uuid import NAMESPACE_OID, uuid5

from objects import staged_key


def key_of(tenant: str, attempt: str, number: int) -> str:
    """The staged key of an output of the attempt called `attempt`."""
    return staged_key(tenant, str(uuid5(NAMESPACE_OID, attempt)), number)
