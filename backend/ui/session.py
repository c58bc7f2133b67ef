"""The login of a browser: a signed cookie that holds no secret, and the tokens that its forms carry.

Signed with a key that is derived from the admin token: another token ends every session. Nothing is stored of a
session but that it was ended (backend/store/admin/logins.py), so that every web process of an installation knows it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass

from itsdangerous import BadData, URLSafeTimedSerializer

SESSION_SALT, FORM_SALT = "understudy session", "understudy login form"

FORM_SECONDS = 3600
"""How long the login form may stay open."""


@dataclass(frozen=True)
class Session:
    """One login. `id`: 128 random bits; `ends_at`: epoch seconds."""

    id: str
    ends_at: float


class Sessions:
    """Makes and reads session cookies. `seconds`: how long a login lasts."""

    def __init__(self, admin_token: str, seconds: int) -> None:
        self.seconds = seconds
        self._key = hmac.digest(admin_token.encode(), b"understudy model page", "sha256")
        self._signer = URLSafeTimedSerializer(
            self._key, salt=SESSION_SALT, signer_kwargs={"digest_method": hashlib.sha256}
        )
        self._forms = URLSafeTimedSerializer(self._key, salt=FORM_SALT, signer_kwargs={"digest_method": hashlib.sha256})

    def begin(self) -> tuple[Session, str]:
        """A new session and its cookie."""
        session = Session(secrets.token_urlsafe(16), time.time() + self.seconds)
        return session, str(self._signer.dumps(session.id))

    def read(self, cookie: str) -> Session | None:
        """The session of a cookie; None for one that is too old, or not of this key."""
        try:
            name, made = self._signer.loads(cookie, max_age=self.seconds, return_timestamp=True)
        except BadData:
            return None
        return Session(str(name), made.timestamp() + self.seconds) if isinstance(name, str) else None

    def csrf_token(self, session: Session) -> str:
        """What every form of the session carries; tells nothing of the cookie."""
        return hmac.new(self._key, f"csrf {session.id}".encode(), "sha256").hexdigest()

    def is_csrf_token(self, session: Session, token: str) -> bool:
        """In constant time."""
        return hmac.compare_digest(self.csrf_token(session).encode(), token.encode("utf-8", "backslashreplace"))

    def form_token(self) -> tuple[str, str]:
        """(cookie, field) of a login form: there is no session yet, so that the two must agree."""
        nonce = secrets.token_urlsafe(16)
        return nonce, str(self._forms.dumps(nonce))

    def is_form_token(self, cookie: str, field: str) -> bool:
        """Whether the field was made for the cookie, and not too long ago."""
        try:
            nonce = self._forms.loads(field, max_age=FORM_SECONDS)
        except BadData:
            return False
        return hmac.compare_digest(str(nonce).encode(), cookie.encode("utf-8", "backslashreplace"))
