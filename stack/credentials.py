"""A certificate to try content credentials with, of a CA that nobody trusts; made once per state folder."""

from __future__ import annotations

import os
import shutil
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

FOLDER = "provenance"
LIFETIME = timedelta(days=730)
_RENEWED_BEFORE = timedelta(days=30)
_CLOCKS_APART = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Credentials:
    """``certificate``: the one to sign with, then its CA's; ``key``: readable by its owner alone."""

    certificate: Path
    key: Path


def keep_credentials(home: Path, now: datetime | None = None) -> Credentials:
    """The test certificate of this state folder, made at the first call and again before it expires."""
    folder, moment = home / FOLDER, now or datetime.now(UTC)
    if not _is_good(folder, moment):
        _replace(folder, moment)
    return _in(folder)


def _in(folder: Path) -> Credentials:
    return Credentials(folder / "certificate.pem", folder / "key.pem")


def _is_good(folder: Path, now: datetime) -> bool:
    found = _in(folder)
    try:
        [leaf, *_] = x509.load_pem_x509_certificates(found.certificate.read_bytes())
    except (OSError, ValueError):
        return False
    return found.key.exists() and leaf.not_valid_after_utc - _RENEWED_BEFORE > now


def _replace(folder: Path, now: datetime) -> None:
    """Both files appear together, so that no crash leaves a certificate beside another one's key."""
    beside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    beside.mkdir(mode=0o700)
    made, key = _in(beside), ec.generate_private_key(ec.SECP256R1())
    made.certificate.write_bytes(_chain(key, now))
    descriptor = os.open(made.key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    shutil.rmtree(folder, ignore_errors=True)
    beside.rename(folder)


def _chain(key: ec.EllipticCurvePrivateKey, now: datetime) -> bytes:
    """The certificate of ``key`` and that of its CA, whose own key is forgotten: it issues nothing else."""
    above = ec.generate_private_key(ec.SECP256R1())
    issuer = _name("Backlot test CA")
    ca = (
        _begun(issuer, issuer, above, now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(above.public_key()), critical=False)
        .sign(above, hashes.SHA256())
    )
    leaf = (
        _begun(_name("Backlot test signer"), issuer, key, now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(above.public_key()), critical=False)
        .sign(above, hashes.SHA256())
    )
    return leaf.public_bytes(Encoding.PEM) + ca.public_bytes(Encoding.PEM)


def _name(common: str) -> x509.Name:
    organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Backlot test, not to be trusted")
    return x509.Name([organization, x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_APART)
        .not_valid_after(now + LIFETIME)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
