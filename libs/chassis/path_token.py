"""Tokens in addresses that are given to strangers: who was told one address can guess no other.

Whoever shares the secret makes and knows them; nothing is kept. A token never expires: it is worth no more than what
its address does.
"""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64encode

from pydantic import SecretStr

_PURPOSE = b"backlot/path-token/v1:"


def path_token(secret: SecretStr | str, *parts: str) -> str:
    """The token of an address; `parts` are all that it stands for. 43 characters that need no escaping in a path."""
    key = secret.get_secret_value() if isinstance(secret, SecretStr) else secret
    # As JSON, so that no two lists of parts look the same.
    digest = hmac.digest(key.encode(), _PURPOSE + json.dumps(parts).encode(), "sha256")
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def is_path_token(secret: SecretStr | str, token: str, *parts: str) -> bool:
    """Whether `token` is the one of these parts; takes as long for a wrong one as for the right one."""
    return hmac.compare_digest(path_token(secret, *parts).encode(), token.encode("utf-8", "replace"))
