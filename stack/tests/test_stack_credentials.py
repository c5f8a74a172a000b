"""The certificate that the first start makes to try content credentials with."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from media.signing_keys import read_signing_material
from stack.credentials import LIFETIME, keep_credentials


def chain_of(path: Path) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(path.read_bytes())


def test_what_is_made_can_be_signed_with(tmp_path: Path) -> None:
    made = keep_credentials(tmp_path)
    material = read_signing_material(made.certificate, made.key)
    assert material.algorithm == "es256"
    assert "not to be trusted" in material.subject


def test_it_is_for_signing_alone_and_its_ca_is_for_nothing_else(tmp_path: Path) -> None:
    made = keep_credentials(tmp_path)
    leaf, ca = chain_of(made.certificate)
    leaf.verify_directly_issued_by(ca)
    usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.EMAIL_PROTECTION]
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert ca.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
    key = load_pem_private_key(made.key.read_bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert leaf.public_key() == key.public_key() != ca.public_key()


def test_nobody_else_may_read_the_key(tmp_path: Path) -> None:
    made = keep_credentials(tmp_path)
    assert stat.S_IMODE(made.key.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.key.parent.stat().st_mode) == 0o700


def test_it_is_made_once_and_anew_before_it_expires(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    first = keep_credentials(tmp_path, now).certificate.read_bytes()
    assert keep_credentials(tmp_path, now + LIFETIME - timedelta(days=40)).certificate.read_bytes() == first
    later = keep_credentials(tmp_path, now + LIFETIME - timedelta(days=20))
    assert later.certificate.read_bytes() != first
    assert read_signing_material(later.certificate, later.key, now=now + LIFETIME)


def test_what_a_crash_or_a_hand_left_half_is_made_anew(tmp_path: Path) -> None:
    for name in ("certificate", "key"):
        path: Path = getattr(keep_credentials(tmp_path), name)
        path.unlink()
        made = keep_credentials(tmp_path)
        assert read_signing_material(made.certificate, made.key)
    assert [path.name for path in tmp_path.iterdir()] == ["provenance"]
