"""What must not be seen: every secret that this process has read, however a library spells it in an error's text.

A secret is learned where it is read, before anything is checked, and is hidden wherever text leaves the process: logs,
errors, replies, what is stored of a failure. This file knows no other of the project.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterator
from functools import lru_cache
from threading import Lock
from typing import TypeVar, cast
from urllib.parse import quote, quote_plus, unquote

Record = TypeVar("Record")

HIDDEN = "***"

SHORTEST_CHARACTERS = 4
"""Characters. A shorter one cannot be told from ordinary text."""

WORD = re.compile(r"[a-z]{4,7}")
"""A secret that is a short plain word is hidden only where it stands alone."""

OUR_WORDS = frozenset(
    (
        *("admin", "basic", "bearer", "default", "header", "label", "labels", "learner", "none", "null"),
        *("project", "redis", "root", "secret", "secrets", "studio", "sync", "test", "token"),
        *("trainer", "true", "false", "user", "webhook"),
    )
)
"""Short words of our own messages: hidden, they would make nonsense of the text, and tell the secret."""

CREDENTIAL_FORMS = (
    ("://", re.compile(r"(://)(?!\[)[^\s'\"<>/?#]*@"), rf"\1{HIDDEN}@"),
    ("token ", re.compile(r"\b(Token) (?=[\w.~+/=-]*\d)[\w.~+/=-]{16,}", re.IGNORECASE), rf"\1 {HIDDEN}"),
    ("bearer ", re.compile(r"\b(Bearer) (?=[\w.~+/=-]*\d)[\w.~+/=-]{16,}", re.IGNORECASE), rf"\1 {HIDDEN}"),
    ("basic ", re.compile(r"(['\"]Basic) [^'\"]+"), rf"\1 {HIDDEN}"),
    ("eyj", re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?"), HIDDEN),
)
"""Credentials by their form, for those that nobody has told us: of a proxy, of an address in a message, a short-lived
token of Label Studio. Before each what every such text holds, in small letters."""


class Redactor:
    """The secrets of one process. Safe from several threads."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()
        self._forms: frozenset[str] = frozenset()
        self._pattern: re.Pattern[str] | None = None
        self._lock = Lock()

    def learn(self, *secrets: str) -> None:
        """From now on these are hidden."""
        new = {form for secret in secrets for form in (secret, secret.strip("\ufeff \t\r\n")) if _can_be_told(form)}
        with self._lock:
            if not new <= self._secrets:
                self._secrets |= new
                forms = {form for secret in self._secrets for form in forms_of(secret)}
                self._forms = frozenset(form.lower() for form in forms)
                self._pattern = _pattern_of(forms)

    def learn_login(self, user: str, password: str) -> None:
        """A password, and the header that carries both."""
        self.learn(password)
        if password:
            pair = f"{user}:{password}"
            self.learn(*(base64.b64encode(raw).decode() for raw in _bytes_of(pair)))

    def learn_address(self, url: str) -> None:
        """Whatever could be a password in `url`, also one that is not escaped."""
        before, separator, rest = url.partition("://")
        rest = rest if separator else before
        login = rest.rpartition("@")[0]
        user, colon, password = login.partition(":")
        for secret in (login, password if colon else user):
            self.learn(secret, unquote(secret))
        self.learn(*(unquote(found) for found in re.findall(r"password=([^&\s]+)", rest)))

    def hide(self, text: str) -> str:
        """`text` as it may be seen."""
        small = text.lower()
        # A regular expression of this size is slow, and nearly no text holds a secret.
        if self._pattern is not None and any(form in small for form in self._forms):
            text = self._pattern.sub(HIDDEN, text)
        for mark, pattern, shown in CREDENTIAL_FORMS:
            if mark in small:
                text = pattern.sub(shown, text)
        return text


@lru_cache(maxsize=1)
def process_redactor() -> Redactor:
    """The one of this process."""
    return Redactor()


def hide_secrets(text: str) -> str:
    """`text` without any secret that this process has read, and without credentials that show by their form. Before
    a text is cut: half a secret is not found."""
    return process_redactor().hide(text)


def hide_all(value: object) -> object:
    """The same for every text in lists and objects; what is neither text, number nor nothing becomes text."""
    if isinstance(value, str):
        return hide_secrets(value)
    if isinstance(value, dict):
        return {key: hide_all(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [hide_all(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float) else hide_secrets(repr(value))


def hide_in(record: Record) -> Record:
    """The same for a record of JSON types, which keeps its shape."""
    return cast(Record, hide_all(record))


def spellings(secret: str) -> Iterator[str]:
    """`secret` as texts show it: as it is, in a URL, in a Python or JSON string, in HTML, in Base64, misread."""
    misread = secret.encode("utf-8", "surrogatepass").decode("latin-1")
    for text in {secret, misread}:
        yield text
        yield from (quote(text, safe=safe, errors="replace") for safe in ("", "/", "/:@"))
        yield quote_plus(text, errors="replace")
        for once in (repr(text)[1:-1], ascii(text)[1:-1], text.encode("unicode_escape").decode()):
            yield from (once, json.dumps(once)[1:-1], repr(once)[1:-1])
        yield from (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], html.escape(text))
    for raw in _bytes_of(secret):
        yield repr(raw)[2:-1]
        yield json.dumps(repr(raw)[2:-1])[1:-1]
        for coded in (base64.b64encode(raw), base64.urlsafe_b64encode(raw)):
            yield coded.decode().rstrip("=")


def _bytes_of(text: str) -> list[bytes]:
    return list(dict.fromkeys([text.encode("utf-8", "surrogatepass"), text.encode("latin-1", "replace")]))


def _can_be_told(secret: str) -> bool:
    return len(secret) >= SHORTEST_CHARACTERS and secret.lower() not in OUR_WORDS


def forms_of(secret: str) -> Iterator[str]:
    """Its spellings that are long enough to be told."""
    if WORD.fullmatch(secret):
        yield secret
    else:
        yield from (form for form in spellings(secret) if len(form) >= SHORTEST_CHARACTERS)


def _pattern_of(forms: set[str]) -> re.Pattern[str] | None:
    # The longest first: one may begin with another.
    found = [
        rf"(?<![A-Za-z0-9]){form}(?![A-Za-z0-9])" if WORD.fullmatch(form) else re.escape(form)
        for form in sorted(forms, key=len, reverse=True)
    ]
    return re.compile("|".join(found), re.IGNORECASE) if found else None
