"""Content credentials: read back by C2PA's own reader, bound to every byte, with nothing in them that is nobody's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import c2pa
import psutil
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from media import Checker, Generator, Signer, SigningMaterial, Statement, check_media, is_marked, marked
from media.credentials import ASSERTION, SIGNABLE, sign
from media.signing_keys import read_signing_material
from media.tests.media_files import exr, glb, hdr, sound, video
from media.tests.signing_files import Key, pair
from media.tests.test_media_marks import FILES, WORD, content

AT = datetime(2030, 1, 31, 12, 0, tzinfo=UTC)
STATEMENT = Statement(
    generator=Generator("Backlot", "1.2.3"),
    provider="sandbox",
    model="draw-1",
    at=AT,
    content_sha256="33" * 32,
    job_id="01981d2e-7b8c-7f00-8a00-0000000000a1",
    item=1,
    attempt=2,
    output=0,
    template="thumbnail",
    template_version="v1.0",
    template_sha256="11" * 32,
    prompt_sha256="22" * 32,
    seed=7,
)
SIGNED = {name: (mime, marked(data, mime)) for name, (mime, data) in FILES.items() if mime in SIGNABLE}
every_signable_file = pytest.mark.parametrize(("mime", "data"), SIGNED.values(), ids=SIGNED)


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> SigningMaterial:
    made = pair(tmp_path_factory.mktemp("keys"))
    return read_signing_material(made.certificate, made.key)


@pytest.fixture
async def signer(material: SigningMaterial) -> AsyncIterator[Signer]:
    opened = Signer(material)
    yield opened
    await opened.close()


def store_of(data: bytes, mime: str) -> dict[str, Any]:
    with c2pa.Reader(mime, BytesIO(data)) as reader:
        found: dict[str, Any] = json.loads(reader.json())
    return found


def manifest_of(data: bytes, mime: str) -> dict[str, Any]:
    store = store_of(data, mime)
    found: dict[str, Any] = store["manifests"][store["active_manifest"]]
    return found


def assertions_of(data: bytes, mime: str) -> dict[str, Any]:
    return {found["label"]: found["data"] for found in manifest_of(data, mime)["assertions"]}


@every_signable_file
def test_what_is_signed_is_valid_for_a_reader_of_c2pa_and_its_signer_is_trusted_by_nobody(
    mime: str, data: bytes, material: SigningMaterial
) -> None:
    store = store_of(sign(data, mime, STATEMENT, material), mime)
    assert store["validation_state"] == "Valid"
    faults = [status["code"] for status in store["validation_results"]["activeManifest"]["failure"]]
    assert faults == ["signingCredential.untrusted"]
    assert len(store["manifests"]) == 1


@every_signable_file
def test_a_signed_file_shows_and_sounds_the_same_and_is_marked_as_before(
    mime: str, data: bytes, material: SigningMaterial
) -> None:
    made = sign(data, mime, STATEMENT, material)
    assert content(made, mime) == content(data, mime)
    assert is_marked(made, mime)
    assert check_media(made).mime == mime
    assert len(made) - len(data) < 16_000


@every_signable_file
def test_a_file_that_was_changed_afterwards_is_seen_through(mime: str, data: bytes, material: SigningMaterial) -> None:
    made = bytearray(sign(data, mime, STATEMENT, material))
    at = last_of_content(bytes(made), mime)
    made[at] ^= 0x01
    with c2pa.Reader(mime, BytesIO(bytes(made))) as reader:
        assert reader.get_validation_state() == "Invalid"
        assert "hash" in json.dumps(reader.get_validation_results()["activeManifest"]["failure"]).lower()


def last_of_content(data: bytes, mime: str) -> int:
    """The place of a byte of pixels or samples."""
    match mime:
        case "image/png":
            return data.rindex(b"IDAT") + 20
        case "image/jpeg":
            return len(data) - 40
        case "image/webp":
            return max(data.find(b"VP8 "), data.find(b"VP8L")) + 60
        case "video/mp4":
            return data.index(b"mdat") + 200
        case "audio/wav":
            return data.index(b"data") + 200
        case _:
            return len(data) - 200


@every_signable_file
def test_the_manifest_says_which_model_made_it_by_our_hand_and_when(
    mime: str, data: bytes, material: SigningMaterial
) -> None:
    made = sign(data, mime, STATEMENT, material)
    manifest, said = manifest_of(made, mime), assertions_of(made, mime)
    [generator] = manifest["claim_generator_info"]
    assert (generator["name"], generator["version"]) == ("Backlot", "1.2.3")
    [action] = said["c2pa.actions.v2"]["actions"]
    assert (action["action"], action["digitalSourceType"]) == ("c2pa.created", WORD)
    assert (action["softwareAgent"]["name"], action["when"]) == ("sandbox/draw-1", "2030-01-31T12:00:00Z")
    assert manifest["signature_info"]["issuer"] == "tests"


def test_our_own_words_in_a_manifest_are_those_of_the_claim_without_a_prompt(material: SigningMaterial) -> None:
    mime, data = SIGNED["png"]
    assert assertions_of(sign(data, mime, STATEMENT, material), mime)[ASSERTION] == {
        "provider": "sandbox",
        "model": "draw-1",
        "at": "2030-01-31T12:00:00Z",
        "content_sha256": "33" * 32,
        "job_id": STATEMENT.job_id,
        "item": 1,
        "attempt": 2,
        "output": 0,
        "template": "thumbnail",
        "template_version": "v1.0",
        "template_sha256": "11" * 32,
        "prompt_sha256": "22" * 32,
        "seed": 7,
    }
    assert "seed" not in assertions_of(sign(data, mime, replace(STATEMENT, seed=None), material), mime)[ASSERTION]


@every_signable_file
def test_signing_twice_makes_two_files_of_one_length_that_say_the_same(
    mime: str, data: bytes, material: SigningMaterial
) -> None:
    once, again = (sign(data, mime, STATEMENT, material) for _ in range(2))
    assert len(once) == len(again)
    assert assertions_of(once, mime)[ASSERTION] == assertions_of(again, mime)[ASSERTION]
    assert store_of(once, mime)["active_manifest"] != store_of(again, mime)["active_manifest"]


@every_signable_file
def test_what_is_signed_again_has_the_new_credentials_alone(mime: str, data: bytes, material: SigningMaterial) -> None:
    made = sign(sign(data, mime, STATEMENT, material), mime, replace(STATEMENT, model="draw-2"), material)
    store = store_of(made, mime)
    assert (store["validation_state"], len(store["manifests"])) == ("Valid", 1)
    assert assertions_of(made, mime)[ASSERTION]["model"] == "draw-2"


@pytest.mark.parametrize("name", ["png", "jpeg", "webp", "mp4", "wav", "mp3"])
def test_credentials_of_others_go_when_a_file_is_marked_for_its_bytes_are_others_now(
    name: str, material: SigningMaterial
) -> None:
    mime, data = FILES[name]
    made = marked(sign(data, mime, STATEMENT, material), mime)
    with pytest.raises(c2pa.C2paError, match="ManifestNotFound"):
        store_of(made, mime)
    assert content(made, mime) == content(data, mime)


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate(),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=["P-384", "Ed25519", "RSA"],
)
def test_keys_of_other_kinds_sign_as_well(key: Key, tmp_path: Path) -> None:
    made = pair(tmp_path, key)
    mime, data = SIGNED["jpeg"]
    signed = sign(data, mime, STATEMENT, read_signing_material(made.certificate, made.key))
    assert store_of(signed, mime)["validation_state"] == "Valid"


UNSIGNABLE = [
    ("model/gltf-binary", glb()),
    ("image/x-exr", exr()),
    ("image/vnd.radiance", hdr()),
    ("audio/ogg", sound(1.0, "OGG")),
    ("audio/flac", sound(1.0, "FLAC")),
    ("video/webm", video(form="webm", codec="libvpx")),
]


@pytest.mark.parametrize(("mime", "data"), UNSIGNABLE, ids=[mime for mime, _ in UNSIGNABLE])
async def test_where_the_format_has_no_place_a_file_stays_as_it_is_and_it_is_said(
    signer: Signer, mime: str, data: bytes
) -> None:
    found = await signer.sign(data, mime, STATEMENT)
    assert (found.data, found.why_not) == (data, f"C2PA has no place in {mime}")


async def test_a_file_is_signed_in_a_process_that_decodes_nothing_of_others(signer: Signer) -> None:
    mime, data = SIGNED["png"]
    checker = Checker()
    await checker.check(data)
    decoding = psutil.Process().children()
    found = await signer.sign(data, mime, STATEMENT)
    signing = [child for child in psutil.Process().children() if child not in decoding]
    assert found.why_not is None
    assert store_of(found.data, mime)["validation_state"] == "Valid"
    assert found.sha256 == hashlib.sha256(found.data).hexdigest()
    assert [has_c2pa(child) for child in signing].count(True) == 1
    assert not any(has_c2pa(child) for child in decoding)
    await checker.close()


def has_c2pa(process: psutil.Process) -> bool:
    return any("libc2pa" in found.path for found in process.memory_maps())


async def test_what_no_longer_can_be_signed_is_handed_over_unsigned_and_it_is_said(material: SigningMaterial) -> None:
    ended = replace(material, ends=datetime.now(UTC) - timedelta(seconds=1))
    signer = Signer(ended)
    mime, data = SIGNED["png"]
    found = await signer.sign(data, mime, STATEMENT)
    await signer.close()
    assert found.data == data
    assert found.why_not is not None
    assert found.why_not.startswith("the certificate expired on ")


async def test_what_c2pa_refuses_is_handed_over_unsigned_and_it_is_said(signer: Signer) -> None:
    found = await signer.sign(b"no picture at all", "image/png", STATEMENT)
    assert found.data == b"no picture at all"
    assert found.why_not is not None
    assert found.why_not.startswith("C2PA refuses it: ")


def test_a_key_is_not_shown_with_what_it_belongs_to(material: SigningMaterial) -> None:
    assert "PRIVATE" in material.key
    assert "PRIVATE" not in repr(material)
