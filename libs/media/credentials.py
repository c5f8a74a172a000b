"""Content credentials (C2PA): who says what made a file, signed, and bound to the file's bytes.

What is signed was made or decoded by us before: the private key is in this process.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

from media.signing_material import SigningMaterial
from media.xmp import DIGITAL_SOURCE_TYPE

ASSERTION = "dev.backlot.generation"
"""The label of our own words in a manifest."""

SIGNABLE = frozenset({"image/png", "image/jpeg", "image/webp", "video/mp4", "audio/wav", "audio/mpeg"})

# A picture of the picture would be most of what is added, and the file would have to be decoded for it. Nothing is
# asked of the network.
_SETTINGS = {
    "version": 1,
    "builder": {"thumbnail": {"enabled": False}},
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
}


@dataclass(frozen=True, slots=True)
class Generator:
    """The program that states it; `version` is that of the installed distribution."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Statement:
    """What is stated of a generated file; never the prompt itself, which may say more than its user shows.

    `at` is when its provider was asked, `content_sha256` of the file before the mark and the signature; ids are texts.
    """

    generator: Generator
    provider: str
    model: str
    at: datetime
    content_sha256: str
    job_id: str | None = None
    item: int | None = None
    attempt: int | None = None
    output: int | None = None
    template: str | None = None
    template_version: str | None = None
    template_sha256: str | None = None
    prompt_sha256: str | None = None
    seed: int | None = None


class NotSigned(Exception):
    """This file has no credentials; the message says why, and may be shown."""


def why_unsignable(mime: str) -> str | None:
    """Why files of a type are never signed; None where they can be."""
    return None if mime in SIGNABLE else f"C2PA has no place in {mime}"


def sign(data: bytes, mime: str, statement: Statement, material: SigningMaterial) -> bytes:
    """The file with a manifest that says `statement`; of credentials that it had only the new ones are left.

    Raises `NotSigned`. Other bytes each time, of the same length: C2PA's library salts what it hashes, and names the
    manifest by chance.
    """
    if (why_not := why_unsignable(mime)) is not None:
        raise NotSigned(why_not)
    if datetime.now(UTC) >= material.ends:
        raise NotSigned(f"the certificate expired on {material.ends:%Y-%m-%d}")
    from c2pa import Builder, C2paError, C2paSignerInfo, Context, Signer  # noqa: PLC0415 - 23 MB, for who signs alone

    info = C2paSignerInfo(material.algorithm, material.certificates.encode(), material.key.encode(), None)
    made = BytesIO()
    try:
        with (
            Context.from_dict(_SETTINGS) as context,
            Signer.from_info(info) as signer,
            Builder(json.dumps(manifest_of(mime, statement)), context) as builder,
        ):
            builder.sign(signer, mime, BytesIO(data), made)
    except C2paError as error:
        raise NotSigned(f"C2PA refuses it: {str(error)[:200]}") from None
    return made.getvalue()


def manifest_of(mime: str, statement: Statement) -> dict[str, Any]:
    """The manifest before it is bound to a file and signed."""
    said = _said(statement)
    action = {
        "action": "c2pa.created",
        "when": said["at"],
        "digitalSourceType": DIGITAL_SOURCE_TYPE,
        "softwareAgent": {"name": f"{statement.provider}/{statement.model}"},
    }
    return {
        "claim_version": 2,
        "claim_generator_info": [asdict(statement.generator)],
        "format": mime,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [action]}, "created": True},
            {"label": ASSERTION, "data": said, "created": True},
        ],
    }


def _said(statement: Statement) -> Mapping[str, Any]:
    values = asdict(statement)
    del values["generator"]
    values["at"] = statement.at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return {name: value for name, value in values.items() if value is not None}
