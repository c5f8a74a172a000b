"""A certificate, those above it, and its private key, read from files and checked against each other."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from media.signing_material import SigningMaterial, UnusableMaterial

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
_SHORTEST_RSA = 2048
_FOR_CREDENTIALS = {
    ExtendedKeyUsageOID.EMAIL_PROTECTION,
    x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36"),
    x509.ObjectIdentifier("1.3.6.1.4.1.62558.2.1"),
}
"""Of these a certificate for C2PA has one: e-mail protection, signing of documents, signing of claims."""


def read_signing_material(certificates: Path, key: Path, *, now: datetime | None = None) -> SigningMaterial:
    """Read and check both files; raises `UnusableMaterial` with all that is wrong with them."""
    problems = list[str]()
    chain = _certificates(certificates, problems)
    private = _key(key, problems)
    if chain and private is not None:
        problems += _mismatches(chain, private, now or datetime.now(UTC))
    if problems or private is None:
        raise UnusableMaterial(problems)
    return SigningMaterial(
        certificates="".join(one.public_bytes(Encoding.PEM).decode() for one in chain),
        key=key.read_text(),
        algorithm=_algorithm(private),
        subject=chain[0].subject.rfc4514_string(),
        ends=min(one.not_valid_after_utc for one in chain),
    )


def _certificates(path: Path, problems: list[str]) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        problems.append(f"the certificate {path} cannot be read: {error.strerror or error}")
    except ValueError:
        problems.append(f"{path} holds no certificate in PEM")
    return []


def _key(path: Path, problems: list[str]) -> PrivateKey | None:
    try:
        found = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        problems.append(f"the key {path} cannot be read: {error.strerror or error}")
    except TypeError:
        problems.append(f"the key {path} is locked by a password: give it without one, readable by this user alone")
    except (ValueError, UnsupportedAlgorithm):
        problems.append(f"{path} holds no private key in PEM")
    else:
        if isinstance(found, PrivateKey) and _algorithm(found):
            return found
        problems.append(f"the key {path} is of a kind that C2PA does not take: P-256, P-384, P-521, Ed25519 or RSA is")
    return None


def _algorithm(key: PrivateKey) -> str:
    """Empty where C2PA has none for it."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return _CURVES.get(key.curve.name, "")
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256" if key.key_size >= _SHORTEST_RSA else ""
    return "ed25519"


def _mismatches(chain: Sequence[x509.Certificate], key: PrivateKey, now: datetime) -> list[str]:
    leaf, problems = chain[0], list[str]()
    if _raw(leaf.public_key()) != _raw(key.public_key()):
        problems.append(f"the key is not the one of the certificate of {leaf.subject.rfc4514_string()}")
    for one in chain:
        name = one.subject.rfc4514_string()
        if one.not_valid_after_utc <= now:
            problems.append(f"the certificate of {name} expired on {one.not_valid_after_utc:%Y-%m-%d}")
        if one.not_valid_before_utc > now:
            problems.append(f"the certificate of {name} is valid from {one.not_valid_before_utc:%Y-%m-%d} only")
    for below, above in pairwise(chain):
        try:
            below.verify_directly_issued_by(above)
        except (ValueError, TypeError, InvalidSignature):
            problems.append(f"{above.subject.rfc4514_string()} did not issue {below.subject.rfc4514_string()}")
    if len(chain) == 1 and leaf.issuer == leaf.subject:
        problems.append("a certificate that has signed itself is not taken by C2PA: it takes one that a CA has issued")
    if not _FOR_CREDENTIALS & set(_usages(leaf)):
        problems.append("the certificate is not for C2PA: its extended key usage lacks e-mail protection")
    return problems


def _raw(key: object) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined,no-any-return]


def _usages(certificate: x509.Certificate) -> list[x509.ObjectIdentifier]:
    try:
        return list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except (x509.ExtensionNotFound, ValueError):
        return []
