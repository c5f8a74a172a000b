"""Keys of the simulator, made once for its folder: for result links and for the providers' callbacks."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


class Signing:
    """All keys come from one secret, so that a restarted simulator signs as before."""

    def __init__(self, secret: str) -> None:
        self._secret = bytes.fromhex(secret)
        self._ed25519 = Ed25519PrivateKey.from_private_bytes(self._key("ed25519"))

    def link(self, text: str) -> str:
        return hmac.new(self._key("links"), text.encode(), hashlib.sha256).hexdigest()[:32]

    def link_is_ours(self, text: str, signature: str) -> bool:
        return hmac.compare_digest(self.link(text), signature)

    def ed25519(self, message: bytes) -> bytes:
        return self._ed25519.sign(message)

    def jwks(self) -> dict[str, Any]:
        """The public Ed25519 key, as fal publishes its own."""
        public = self._ed25519.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        x = base64.urlsafe_b64encode(public).rstrip(b"=").decode()
        return {"keys": [{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": x[:8], "x": x}]}

    def webhook_secret(self, provider: str) -> str:
        """`whsec_...` of a provider that signs by Standard Webhooks."""
        return "whsec_" + base64.b64encode(self._key(f"webhooks/{provider}")).decode()

    def standard_webhook(self, provider: str, *, delivery: str, timestamp: int, body: bytes) -> dict[str, str]:
        """The three headers of Standard Webhooks (OpenAI, Replicate, Gemini)."""
        signed = f"{delivery}.{timestamp}.".encode() + body
        digest = hmac.new(self._key(f"webhooks/{provider}"), signed, hashlib.sha256).digest()
        return {
            "webhook-id": delivery,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": "v1," + base64.b64encode(digest).decode(),
        }

    def _key(self, purpose: str) -> bytes:
        return hmac.new(self._secret, purpose.encode(), hashlib.sha256).digest()


def new_secret() -> str:
    return os.urandom(32).hex()
