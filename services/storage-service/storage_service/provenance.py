"""Where an asset comes from: the record that Article 50 of the EU AI Act asks for, of each single file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from storage_service.assets import Asset

_NOT_KNOWN = "it was stored before this was noted"


def record_of(asset: Asset) -> dict[str, Any]:
    """What, when, by which system, and how the file itself says so; of an upload nothing is claimed."""
    made: Mapping[str, Any] = asset.lineage or {}
    context = asset.context
    is_upload = asset.made_by is None
    return {
        "asset_id": asset.id,
        "origin": "upload" if is_upload else "job",
        "job_id": asset.made_by,
        "item": None if is_upload else asset.item,
        "kind": asset.kind,
        "role": asset.role,
        "mime": asset.mime,
        "file_size": asset.size,
        "sha256": asset.sha256,
        "content_sha256": asset.content_sha256,
        "brand_kit": context.get("brand_kit"),
        "style_capsule": context.get("style_capsule"),
        "template": made.get("template"),
        "template_version": made.get("template_version"),
        "template_sha256": made.get("template_sha256"),
        "prompt_sha256": made.get("prompt_sha256"),
        "provider": made.get("provider"),
        "model": made.get("model"),
        "seed": made.get("seed"),
        "generated_at": made.get("generated_at"),
        "stored_at": asset.created_at,
        "ai_generated": None if is_upload else True,
        **_marking(asset, is_upload=is_upload),
    }


def _marking(asset: Asset, *, is_upload: bool) -> dict[str, Any]:
    if is_upload:
        return {"digital_source_type": None, "mark": None, "c2pa": None}
    found = asset.marking
    if found is None:
        return {"digital_source_type": None, "mark": None, "c2pa": {"signed": False, "why_not": _NOT_KNOWN}}
    credentials = {"signed": found["signed"], "why_not": found["why_not"]}
    return {"digital_source_type": found["digital_source_type"], "mark": found["place"], "c2pa": credentials}
