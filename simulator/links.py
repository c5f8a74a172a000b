"""Result links: signed, and dead when their time is over."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping

from simulator.generation import Generation
from simulator.signing import Signing

_ENDINGS = {"image/webp": ".webp", "model/gltf-binary": ".glb", "image/x-exr": ".exr", "audio/mpeg": ".mp3"}


def link(signing: Signing, generation: Generation, index: int, *, expires_at: float) -> str:
    """The address of one output until `expires_at`, in simulated seconds since 1970."""
    mime = generation.outputs[index].mime
    ending = _ENDINGS.get(mime) or mimetypes.guess_extension(mime) or ".bin"
    path = f"/files/{generation.provider}/{generation.id}/{index}{ending}"
    expires = f"{expires_at:.3f}"
    return f"{generation.base_url}{path}?expires={expires}&signature={signing.link(path + expires)}"


def is_ours(signing: Signing, path: str, query: Mapping[str, str]) -> bool:
    return signing.link_is_ours(path + query.get("expires", ""), query.get("signature", ""))


def has_expired(query: Mapping[str, str], now: float) -> bool:
    return now >= float(query["expires"])
