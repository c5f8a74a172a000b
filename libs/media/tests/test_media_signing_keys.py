"""Which certificates and keys are taken to sign with, and what is said of the others."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from media import UnusableMaterial
from media.signing_keys import read_signing_material
from media.tests.signing_files import NOW, Key, Pair, p256, pair


def problems_of(made: Pair) -> str:
    with pytest.raises(UnusableMaterial) as caught:
        read_signing_material(made.certificate, made.key)
    return "\n".join(caught.value.problems)


def test_a_certificate_with_its_key_is_taken(tmp_path: Path) -> None:
    made = pair(tmp_path, ends=timedelta(days=30))
    found = read_signing_material(made.certificate, made.key)
    assert (found.algorithm, found.subject) == ("es256", "CN=signer,O=tests")
    assert found.certificates.count("BEGIN CERTIFICATE") == 2
    assert timedelta(days=29) < found.ends - NOW <= timedelta(days=30)


def remove(made: Pair) -> None:
    made.certificate.unlink()
    made.key.unlink()


def fill_with_words(made: Pair) -> None:
    made.certificate.write_text("a certificate")
    made.key.write_text("a key")


def exchange(made: Pair) -> None:
    made.certificate.write_bytes(made.key.read_bytes())


def leave_the_ca_alone(made: Pair) -> None:
    _, _, ca = made.certificate.read_text().partition("-----END CERTIFICATE-----\n")
    made.certificate.write_text(ca)


def take_another_ca(made: Pair) -> None:
    other = pair(made.certificate.parent / "other")
    _, _, ca = other.certificate.read_text().partition("-----END CERTIFICATE-----\n")
    leaf, end, _ = made.certificate.read_text().partition("-----END CERTIFICATE-----\n")
    made.certificate.write_text(leaf + end + ca)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (remove, ["certificate.pem cannot be read: No such file", "key.pem cannot be read: No such file"]),
        (fill_with_words, ["certificate.pem holds no certificate in PEM", "key.pem holds no private key in PEM"]),
        (exchange, ["certificate.pem holds no certificate in PEM"]),
        (leave_the_ca_alone, ["the key is not the one of the certificate of CN=ca", "has signed itself"]),
        (take_another_ca, ["CN=ca,O=tests did not issue CN=signer,O=tests"]),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_files_that_are_not_there_or_hold_something_else_are_told_apart(
    spoil: Callable[[Pair], None], words: list[str], tmp_path: Path
) -> None:
    made = pair(tmp_path)
    spoil(made)
    said = problems_of(made)
    assert all(word in said for word in words), said


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP256K1()), rsa.generate_private_key(65537, 1024)])
def test_a_key_that_c2pa_does_not_take_is_refused(key: Key, tmp_path: Path) -> None:
    assert "of a kind that C2PA does not take" in problems_of(pair(tmp_path, key))


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    made, other = pair(tmp_path / "one"), pair(tmp_path / "other")
    said = problems_of(Pair(made.certificate, other.key))
    assert said == "the key is not the one of the certificate of CN=signer,O=tests"


def test_a_key_behind_a_password_is_refused(tmp_path: Path) -> None:
    assert "is locked by a password" in problems_of(pair(tmp_path, password=b"secret"))


def test_a_certificate_is_taken_between_its_first_and_its_last_day_alone(tmp_path: Path) -> None:
    expired = pair(tmp_path / "old", begins=timedelta(days=-9), ends=timedelta(days=-1))
    assert problems_of(expired).startswith("the certificate of CN=signer,O=tests expired on 2")
    early = pair(tmp_path / "new", begins=timedelta(days=1))
    assert "is valid from 2" in problems_of(early)
    good = pair(tmp_path / "good", ends=timedelta(days=1))
    with pytest.raises(UnusableMaterial, match="expired"):
        read_signing_material(good.certificate, good.key, now=NOW + timedelta(days=2))


def test_a_certificate_for_something_else_is_refused(tmp_path: Path) -> None:
    said = problems_of(pair(tmp_path, p256(), usage=ExtendedKeyUsageOID.SERVER_AUTH))
    assert said == "the certificate is not for C2PA: its extended key usage lacks e-mail protection"
