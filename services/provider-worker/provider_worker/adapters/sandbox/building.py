"""What the sandbox builds on: which inputs each way of making takes, and how its wire body tells of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from provider_worker.adapters.interface import ErrorCode, GenerationRequest, MediaKind, Op, Outcome, ProviderError
from provider_worker.adapters.pictures import told_by_hash

_TAKEN: Mapping[tuple[MediaKind, Op], Mapping[str, int]] = {
    (MediaKind.IMAGE, Op.EDIT_IMAGE): {"reference": 4, "style": 1},
    (MediaKind.IMAGE, Op.INPAINT): {"reference": 1, "mask": 1, "style": 1},
    (MediaKind.TEXTURE, Op.EDIT_IMAGE): {"reference": 4, "style": 1},
    (MediaKind.VIDEO, Op.IMAGE_TO_VIDEO): {"first_frame": 1, "last_frame": 1, "reference": 1},
    (MediaKind.MODEL_3D, Op.IMAGE_TO_3D): {"reference": 1},
    (MediaKind.MODEL_3D, Op.RETEXTURE): {"model": 1, "style": 1},
}
"""How many there may be in each role."""

_NEEDED: Mapping[Op, tuple[tuple[str, ...], ...]] = {
    Op.EDIT_IMAGE: (("reference", "style"),),
    Op.INPAINT: (("reference",), ("mask",)),
    Op.IMAGE_TO_VIDEO: (("first_frame", "reference"),),
    Op.IMAGE_TO_3D: (("reference",),),
    Op.RETEXTURE: (("model",),),
}
"""Of each group one must be there at least."""


def inputs_planned(req: GenerationRequest) -> dict[str, Any]:
    """How a wire body tells of inputs: by role and hash; of none where there is none. Raises INVALID_REQUEST."""
    _check_roles(req)
    if not req.inputs:
        return {}
    for given in req.inputs:
        if given.data is None:
            raise _invalid(f"a {given.role} has to come with its bytes")
    return {"inputs": [{"role": given.role, "sha256": told_by_hash(given)} for given in req.inputs]}


def _check_roles(req: GenerationRequest) -> None:
    taken, counted = _TAKEN.get((req.kind, req.op), {}), Counter[str](given.role for given in req.inputs)
    for role, count in counted.items():
        if count > taken.get(role, 0):
            allowed = ", ".join(f"{most} {name}" for name, most in taken.items()) or "nothing"
            raise _invalid(f"{req.kind} by {req.op} takes {allowed}, not {count} {role}")
    for group in _NEEDED.get(req.op, ()):
        if not any(counted[role] for role in group):
            raise _invalid(f"{req.kind} by {req.op} needs a {' or a '.join(group)}")
    if counted["first_frame"] and counted["reference"]:
        raise _invalid("a film begins with its first_frame or with a reference, not with both")
    if counted["last_frame"] and req.options.get("loop"):
        raise _invalid("a film that loops ends as it begins, and takes no last_frame")


def _invalid(message: str) -> ProviderError:
    return ProviderError(ErrorCode.INVALID_REQUEST, message, outcome=Outcome.NOT_SENT, http_status=400)
