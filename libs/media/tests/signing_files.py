"""Certificates and keys as somebody might set them up, rightly and wrongly."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
NOW = datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Pair:
    """Paths of a certificate with its CA's, and of the key."""

    certificate: Path
    key: Path


def p256() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def pair(
    folder: Path,
    key: Key | None = None,
    *,
    begins: timedelta = timedelta(hours=-1),
    ends: timedelta = timedelta(days=30),
    usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.EMAIL_PROTECTION,
    password: bytes | None = None,
) -> Pair:
    """A certificate that a CA of its own has issued, and the key to it."""
    key, above = key or p256(), p256()
    ca = _ca(above)
    leaf = (
        _begun("signer", "ca", key, begins, ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(above.public_key()), critical=False)
        .sign(above, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    made = Pair(folder / "certificate.pem", folder / "key.pem")
    made.certificate.write_bytes(leaf.public_bytes(Encoding.PEM) + ca.public_bytes(Encoding.PEM))
    locked: KeySerializationEncryption = BestAvailableEncryption(password) if password else NoEncryption()
    made.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))
    return made


def _ca(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    begun = _begun("ca", "ca", key, timedelta(days=-900), timedelta(days=900))
    return begun.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True).sign(key, hashes.SHA256())


def _begun(subject: str, issuer: str, key: Key, begins: timedelta, ends: timedelta) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + begins)
        .not_valid_after(NOW + ends)
    )


def _name(common: str) -> x509.Name:
    organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "tests")
    return x509.Name([organization, x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _usage() -> x509.KeyUsage:
    no = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign"),
        False,
    )
    return x509.KeyUsage(digital_signature=True, **no, encipher_only=False, decipher_only=False)
