"""Signatures by the Standard Webhooks specification (https://www.standardwebhooks.com): HMAC-SHA256 over id, time and
body."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping

from backend.settings.values import read_hook_secrets


def sign(secrets: str, id: str, timestamp: int, body: str) -> Mapping[str, str]:
    """The headers of one attempt. `secrets`: NOTIFY_SECRET; with several each one signs, so that a receiver may change
    from one to the other. `timestamp`: epoch seconds of the attempt."""
    signed = f"{id}.{timestamp}.{body}".encode()
    digests = (hmac.new(key, signed, hashlib.sha256).digest() for key in read_hook_secrets(secrets))
    return {
        "webhook-id": id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests),
    }
