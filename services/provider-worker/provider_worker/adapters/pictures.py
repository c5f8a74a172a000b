"""Pictures that a picture is made of, as several providers take them. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from provider_worker.adapters.interface import ErrorCode, GenerationRequest, InputMedia, Op, Outcome, ProviderError

MOST_TOKENS = 10_000
"""More than one picture is counted as anywhere: for upper bounds."""

_ORDER = {"reference": 0, "style": 1}
_STYLE = "Of the last picture take the style alone."


def pictures_of(req: GenerationRequest) -> Sequence[InputMedia]:
    """References, then the style; raises INVALID_REQUEST where what is to be made of pictures has none, or the other
    way round."""
    found = sorted((given for given in req.inputs if given.role in _ORDER), key=lambda given: _ORDER[given.role])
    if bool(found) is (req.op is Op.TEXT_TO_IMAGE):
        raise _invalid(f"{req.op} with {len(found)} pictures")
    return found


def mask_of(req: GenerationRequest) -> InputMedia | None:
    """What of the first picture may change; raises INVALID_REQUEST where it is missing, or not wanted."""
    found = [given for given in req.inputs if given.role == "mask"]
    if len(found) != (req.op is Op.INPAINT):
        raise _invalid(f"{req.op} with {len(found)} masks")
    return found[0] if found else None


def words_of(req: GenerationRequest) -> str:
    """The prompt, which says what a style is there for: nothing else would tell it from a reference."""
    return f"{req.prompt} {_STYLE}" if any(given.role == "style" for given in req.inputs) else req.prompt


def told_by_hash(given: InputMedia) -> str:
    """What was sent can be told from anything else by it."""
    return hashlib.sha256(given.data or b"").hexdigest()


def _invalid(message: str) -> ProviderError:
    return ProviderError(ErrorCode.INVALID_REQUEST, message, outcome=Outcome.NOT_SENT)
