"""Signatures of callbacks over raw bytes: what was changed, is too old or was signed by another key is refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from provider_worker.adapters.interface import ErrorCode, ProviderError, WebhookRefused
from provider_worker.adapters.signatures import (
    Keys,
    check_elevenlabs,
    check_fal,
    check_kie,
    check_standard,
    json_object,
    keys_of,
    unsigned,
)

NOW = datetime.fromtimestamp(1_614_265_330, UTC)
STAMP = "1614265330"
BODY = b'{"test": 2432232314}'
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_" + base64.b64encode(b"another secret of 24 bytes").decode()
FAL = Ed25519PrivateKey.generate()
OTHER_FAL = Ed25519PrivateKey.generate()

Headers = Mapping[str, str]


def standard(body: bytes = BODY, secret: str = SECRET, stamp: str = STAMP, delivery: str = "msg_1") -> Headers:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{delivery}.{stamp}.".encode() + body, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(digest).decode()
    return {"webhook-id": delivery, "webhook-timestamp": stamp, "webhook-signature": signature}


def fal(body: bytes = BODY, key: Ed25519PrivateKey = FAL, stamp: str = STAMP) -> Headers:
    signed = "\n".join(["r-1", "user", stamp, hashlib.sha256(body).hexdigest()]).encode()
    names = {"request-id": "r-1", "user-id": "user", "timestamp": stamp, "signature": key.sign(signed).hex()}
    return {f"x-fal-webhook-{name}": value for name, value in names.items()}


def kie(task: bytes = BODY, key: str = "key", stamp: str = STAMP) -> Headers:
    digest = hmac.new(key.encode(), task + b"." + stamp.encode(), hashlib.sha256).digest()
    return {"x-webhook-timestamp": stamp, "x-webhook-signature": base64.b64encode(digest).decode()}


def elevenlabs(body: bytes = BODY, secret: str = "secret", stamp: str = STAMP) -> Headers:
    digest = hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {"elevenlabs-signature": f"t={stamp},v0={digest}"}


@dataclass(frozen=True)
class Form:
    """One provider's form: how it signs, how that is checked, what another key signs, how long it is good for."""

    name: str
    sign: Callable[..., Headers]
    check: Callable[[Headers, bytes, datetime], object]
    by_another: Callable[[], Headers]
    tolerance: timedelta = timedelta(seconds=300)


FORMS = [
    Form(
        "standard",
        standard,
        lambda headers, body, now: check_standard(headers, body, SECRET, now),
        lambda: standard(secret=OTHER_SECRET),
    ),
    Form(
        "fal",
        fal,
        lambda headers, body, now: check_fal(headers, body, [FAL.public_key()], now),
        lambda: fal(key=OTHER_FAL),
    ),
    # Its signature is over the task alone; what stands for the body here is the task's id.
    Form(
        "kie",
        kie,
        lambda headers, body, now: check_kie(headers, body.decode(), "key", now),
        lambda: kie(key="another"),
    ),
    Form(
        "elevenlabs",
        elevenlabs,
        lambda headers, body, now: check_elevenlabs(headers, body, "secret", now),
        lambda: elevenlabs(secret="another"),
        timedelta(minutes=30),
    ),
]


@pytest.fixture(params=FORMS, ids=lambda form: form.name)
def form(request: pytest.FixtureRequest) -> Form:
    found: Form = request.param
    return found


def refused(form: Form, headers: Headers, body: bytes = BODY, now: datetime = NOW) -> str:
    with pytest.raises(WebhookRefused) as caught:
        form.check(headers, body, now)
    return caught.value.reason


def test_what_was_signed_is_believed(form: Form) -> None:
    form.check(form.sign(), BODY, NOW)


def test_the_example_of_standard_webhooks_is_believed() -> None:
    """From the standard's own text, so that we do not only agree with ourselves."""
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": STAMP,
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    assert check_standard(headers, BODY, SECRET, NOW) == "msg_p5jXN8AQM9LWM0D4loKWxJek"


@pytest.mark.parametrize("body", [BODY + b" ", BODY[:-1], BODY.replace(b"2", b"3", 1), b""])
def test_a_changed_body_is_refused(form: Form, body: bytes) -> None:
    assert refused(form, form.sign(), body) == "bad_signature"


def test_another_key_is_refused(form: Form) -> None:
    assert refused(form, form.by_another()) == "bad_signature"


@pytest.mark.parametrize("side", [1, -1], ids=["old", "from the future"])
def test_an_age_is_measured_against_the_moment_it_came_in(form: Form, side: int) -> None:
    form.check(form.sign(), BODY, NOW + side * form.tolerance)
    assert refused(form, form.sign(), now=NOW + side * (form.tolerance + timedelta(seconds=1))) == "too_old"


def test_an_old_callback_with_a_new_timestamp_is_refused(form: Form) -> None:
    """A recorded one that is sent again: the timestamp is under the signature."""
    later = NOW + timedelta(days=1)
    stamp = str(int(later.timestamp()))
    replayed = {name: value.replace(STAMP, stamp) for name, value in form.sign().items()}
    assert refused(form, replayed, now=later) == "bad_signature"


def test_a_missing_header_is_no_signature(form: Form) -> None:
    for name in form.sign():
        assert refused(form, {key: value for key, value in form.sign().items() if key != name}) == "no_signature"


@pytest.mark.parametrize("stamp", ["now", "-1614265330", "1614265330.0", "9" * 400, "١٦١٤٢٦٥٣٣٠"])
def test_a_timestamp_that_is_no_number_of_seconds_is_refused(form: Form, stamp: str) -> None:
    assert refused(form, form.sign(stamp=stamp)) in {"malformed", "too_old"}


@pytest.mark.parametrize("text", ["", "v1,", "v1a,AAAA", "garbage", "v1," + "A" * 5000, "zz", "ü"])
def test_a_signature_that_is_none_is_refused(form: Form, text: str) -> None:
    signed = dict(form.sign())
    name = next(name for name in signed if name.endswith("signature"))
    signed[name] = f"t={STAMP},v0={text}" if form.name == "elevenlabs" else text
    assert refused(form, signed) in {"bad_signature", "no_signature"}


def test_one_of_several_signatures_is_enough_while_a_secret_is_changed() -> None:
    both = dict(standard())
    both["webhook-signature"] = f"{standard(secret=OTHER_SECRET)['webhook-signature']} {both['webhook-signature']}"
    assert check_standard(both, BODY, SECRET, NOW) == "msg_1"


def test_a_signature_of_another_version_is_passed_over() -> None:
    headers = dict(standard())
    headers["webhook-signature"] = headers["webhook-signature"].replace("v1,", "v1a,")
    with pytest.raises(WebhookRefused):
        check_standard(headers, BODY, SECRET, NOW)


def test_the_delivery_id_is_under_the_signature() -> None:
    with pytest.raises(WebhookRefused):
        check_standard({**standard(), "webhook-id": "msg_2"}, BODY, SECRET, NOW)
    with pytest.raises(WebhookRefused):
        check_fal({**fal(), "x-fal-webhook-request-id": "r-2"}, BODY, [FAL.public_key()], NOW)


def test_keys_are_read_from_a_published_set() -> None:
    x = base64.urlsafe_b64encode(FAL.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).rstrip(b"=").decode()
    entries = [{"kty": "RSA", "n": "x"}, {"kty": "OKP", "crv": "Ed25519", "x": x}]
    assert check_fal(fal(), BODY, keys_of({"keys": entries}), NOW) == "r-1"


@pytest.mark.parametrize(
    "jwks", [None, [], {}, {"keys": None}, {"keys": ["x"]}, {"keys": [{"crv": "Ed25519", "x": "!"}]}]
)
def test_a_set_without_a_key_is_said_to_be_none(jwks: object) -> None:
    with pytest.raises(ValueError):
        keys_of(jwks)


@pytest.mark.parametrize("body", [b"", b"no", b"[]", b"1", b"\xff"])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(WebhookRefused) as caught:
        json_object(body)
    assert caught.value.reason == "malformed"


def test_unsigned_callbacks_are_told_apart_by_their_bodies() -> None:
    assert unsigned(b"a").delivery_id == unsigned(b"a").delivery_id != unsigned(b"b").delivery_id
    assert not unsigned(b"a").verified


class Publisher:
    """Publishes keys that change. `asked` counts how often somebody wanted them."""

    def __init__(self, *secrets: str) -> None:
        self.secrets = list(secrets)
        self.asked = 0
        self.away = False
        self.time = 0.0

    async def fetch(self) -> str:
        self.asked += 1
        if self.away:
            raise ProviderError(ErrorCode.TEMPORARY, "away")
        return self.secrets[0] if len(self.secrets) == 1 else self.secrets.pop(0)

    def keys(self) -> Keys[str]:
        return Keys(self.fetch, now=lambda: self.time)


def by_standard(headers: Headers) -> Callable[[str], str]:
    return lambda secret: check_standard(headers, BODY, secret, NOW)


async def test_keys_are_asked_for_once_a_day() -> None:
    publisher = Publisher(SECRET)
    keys = publisher.keys()
    for publisher.time in (0, 100, 24 * 3600 - 1):
        await keys.checked(by_standard(standard()))
    assert publisher.asked == 1
    publisher.time = 24 * 3600
    await keys.checked(by_standard(standard()))
    assert publisher.asked == 2


async def test_a_signature_that_does_not_fit_is_checked_with_new_keys_but_not_each_time() -> None:
    publisher = Publisher(OTHER_SECRET, SECRET)
    keys = publisher.keys()
    with pytest.raises(WebhookRefused):
        await keys.checked(by_standard(standard()))
    assert publisher.asked == 1
    publisher.time = 61
    assert await keys.checked(by_standard(standard())) == "msg_1"
    assert publisher.asked == 2


async def test_a_missing_signature_asks_for_no_keys_again() -> None:
    publisher = Publisher(SECRET)
    keys = publisher.keys()
    for publisher.time in (0, 100, 200):
        with pytest.raises(WebhookRefused):
            await keys.checked(by_standard({}))
    assert publisher.asked == 1


async def test_keys_that_cannot_be_had_are_no_verdict() -> None:
    publisher = Publisher(SECRET)
    publisher.away = True
    with pytest.raises(ProviderError):
        await publisher.keys().checked(by_standard(standard()))
