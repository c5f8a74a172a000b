"""Figures that are reckoned from what is kept, so that they hold over a restart and cannot drift."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from math import inf, nextafter

Span = tuple[float, float]


def peak(spans: Iterable[Span]) -> int:
    """The most spans that overlap at one moment; one that ends when another starts does not overlap it."""
    # Work that takes no time is there for a moment.
    lasting = ((start, max(end, nextafter(start, inf))) for start, end in spans)
    steps = sorted(step for start, end in lasting for step in ((start, 1), (end, -1)))
    most = current = 0
    for _, step in steps:
        current += step
        most = max(most, current)
    return most


def peaks(rows: Iterable[tuple[str, str, str | None, float, float]]) -> dict[str, dict[str, int]]:
    """Peak concurrency by provider, by `provider/account`, and by `provider/tenant`, of accepted work."""
    grouped: dict[str, dict[str, list[Span]]] = {
        "provider": defaultdict(list),
        "account": defaultdict(list),
        "tenant": defaultdict(list),
    }
    for provider, account, tenant, start, end in rows:
        grouped["provider"][provider].append((start, end))
        grouped["account"][f"{provider}/{account}"].append((start, end))
        if tenant is not None:
            grouped["tenant"][f"{provider}/{tenant}"].append((start, end))
    return {by: {name: peak(spans) for name, spans in sorted(named.items())} for by, named in grouped.items()}
