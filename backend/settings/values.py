"""Makes of a setting's text, as people write it, the value that is meant, or says what is wrong with it: never with a
part of a secret."""

from __future__ import annotations

import base64
import re
import shlex
import unicodedata
from pathlib import Path

from pydantic import SecretStr, ValidationError

from backend.addresses.object_store import check_store_url
from backend.addresses.url import (
    TO_LABEL_STUDIO,
    TO_TEACHER,
    TO_US,
    check_hook_url,
    check_http_url,
    check_redis_url,
)
from backend.errors import SettingsError
from backend.redaction import hide_secrets, process_redactor
from backend.settings.home_path import expand_path
from backend.settings.sources import Given

TOKENS = frozenset(
    {"label_studio_api_key", "admin_token", "webhook_secret", "hf_token", "notify_secret", "teacher_key"}
)
"""Travel in a header as they are."""

SECRETS = TOKENS | {"basic_auth_pass", "redis_url", "notify_url"}

ADDRESSES = {"public_url": TO_US, "label_studio_url": TO_LABEL_STUDIO, "teacher_url": TO_TEACHER}

IN_HEADERS = re.compile(r"[ -~\u00a1-\u00ac\u00ae-\u00ff]*")
"""What HTTP clients, Label Studio's among them, put into a header: Latin-1 that can be seen."""

OF_LABEL_STUDIO = re.compile(r"[A-Za-z0-9._~+/=-]*")
"""Its tokens: hexadecimal digits, or a JWT."""

IN_FRONT = re.compile(r"(?:authorization\s*:\s*)?(bearer|token|basic)\s", re.IGNORECASE)

ENDS = "\ufeff\r\n"
"""What an editor or `echo` adds: a byte order mark, a line end."""


def clean(name: str, value: object) -> object:
    """The value of setting `name` (a field's name) as it is meant. Raises SettingsError that says where it stands."""
    if not isinstance(value, str | Path | SecretStr):
        return value
    text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    place = value.place if isinstance(value, Given) else ""
    if name in SECRETS:
        _learn(name, text)
    try:
        return Given(_clean(name, text), place)
    except ValueError as error:
        where = f" ({place})" if place else ""
        raise SettingsError(f"{name.upper()}{where} cannot be used: {error}", setting=name.upper()) from None


MEANT = {
    "bool_parsing": "true or false is needed",
    "int_parsing": "a whole number is needed",
    "int_parsing_size": "a whole number is needed",
    "float_parsing": "a number is needed",
    "greater_than": "a number above {gt} is needed",
    "greater_than_equal": "a number of {ge} or more is needed",
    "less_than": "a number below {lt} is needed",
    "less_than_equal": "a number of {le} or less is needed",
}
"""By pydantic's name of a fault, where its own words do not say what is allowed; with its bounds filled in."""


def explain(error: ValidationError) -> SettingsError:
    """The first thing that is wrong with the settings. A secret's value is not shown, whatever pydantic says."""
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0]) if first["loc"] else "settings"
    value = first.get("input")
    where = f" ({value.place})" if isinstance(value, Given) and value.place else ""
    shown = (
        f"={hide_secrets(str(value))[:100]!r}" if name not in SECRETS and isinstance(value, str | int | float) else ""
    )
    told = first["type"] == "value_error"  # one of ours, which never repeats a secret
    meant = MEANT.get(first["type"])
    bounds = {key: f"{bound:,.12g}" for key, bound in first.get("ctx", {}).items() if isinstance(bound, int | float)}
    message = meant.format(**bounds) if meant else first["msg"].removeprefix("Value error, ")
    message = message if told or name not in SECRETS else "text is needed"
    return SettingsError(f"{name.upper()}{shown}{where} cannot be used: {message}", setting=name.upper())


LAUNCHERS = ("accelerate launch", "torchrun")
"""What FINETUNE_LAUNCH may start; the program that they start is always our own."""

HOOK_SECRET = "whsec_"
"""In front of a secret of Standard Webhooks."""

MAKE_HOOK_SECRET = "`echo whsec_$(openssl rand -base64 32)`"


def read_hook_secrets(text: str) -> list[bytes]:
    """The keys in NOTIFY_SECRET. Raises ValueError that repeats none of them."""
    found = []
    for secret in text.split():
        try:
            key = base64.b64decode(secret.removeprefix(HOOK_SECRET), validate=True)
        except ValueError:
            key = b""
        if not secret.startswith(HOOK_SECRET) or not 24 <= len(key) <= 64:
            raise ValueError(f"it is no {HOOK_SECRET} and base64 of 24 to 64 bytes. One is made by {MAKE_HOOK_SECRET}")
        found.append(key)
    return found


def check_hook_secrets(text: str, needed: bool) -> None:
    """Raises ValueError, also when there is none and one is `needed`."""
    if not read_hook_secrets(text) and needed:
        raise ValueError(f"NOTIFY_URL is set, and what is sent there must be signed. One is made by {MAKE_HOOK_SECRET}")


def check_teacher_model(text: str, needed: bool) -> None:
    """Raises ValueError when there is none and one is `needed`."""
    if not text and needed:
        raise ValueError("TEACHER_URL is set: name the model that it is to be asked for, such as llama3.2")


OTHER_PROGRAMS = frozenset({"-m", "--module", "--no-python", "--no_python"})


def check_launcher(text: str) -> str:
    """FINETUNE_LAUNCH as it is. Raises ValueError for what is no launcher, or names a program of its own."""
    words = shlex.split(text)  # ValueError: no closing quotation
    known = any(words[: len(own.split())] == own.split() for own in LAUNCHERS)
    if words and not known:
        raise ValueError(f"it begins with {' or '.join(LAUNCHERS)}, both looked for beside this Python and in PATH")
    if wrong := [word for word in words if word in OTHER_PROGRAMS or word.endswith(".py")]:
        raise ValueError(f"{wrong[0]!r} names another program: it starts the training and nothing else")
    return text


def is_path(name: str) -> bool:
    """Whether the setting names a file or directory (BASE_MODEL may)."""
    return name in ("data_dir", "base_model", "redis_binary") or name.endswith("_file")


def _clean(name: str, text: str) -> str:
    """Raises ValueError, whose text never repeats a secret."""
    if any(unicodedata.category(char) == "Cs" for char in text) and not is_path(name):
        raise ValueError("it holds bytes that are not UTF-8")
    if name in TOKENS:
        return _clean_token(name, text)
    if name in ("basic_auth_pass", "basic_auth_user"):
        return _clean_login(name, text)
    if is_path(name):
        return expand_path(_unquoted(text.strip(ENDS)))
    text = text.strip("\ufeff \t\r\n\v\f")
    if name == "redis_url":
        return check_redis_url(_unquoted(text)) if text else text
    if name == "artifacts_url":
        return check_store_url(_unquoted(text)) if text else text
    text = text if name == "finetune_launch" else _unquoted(text)
    if name == "notify_url":
        return ",".join(check_hook_url(url) for url in re.split(r"[,\s]+", text) if url)
    if name in ADDRESSES and text:
        _require(re.compile(r"[^\x00-\x1f\x7f\u200b-\u200f\u2018-\u201f\u2028-\u202f\u2060\ufeff]*"), text, "a URL")
        return check_http_url(text, ADDRESSES[name])
    return text


def _clean_token(name: str, text: str) -> str:
    stripped = text.strip("\ufeff \t\r\n")
    _require_something(text, stripped)
    if IN_FRONT.match(stripped):
        raise ValueError(f"{IN_FRONT.match(stripped)[1]!r} stands in front of it: write the token alone")  # type: ignore[index]
    if name == "label_studio_api_key":
        _require(OF_LABEL_STUDIO, stripped, "a token of Label Studio")
    _require(IN_HEADERS, stripped, "a header")
    return stripped


def _clean_login(name: str, text: str) -> str:
    """A blank at an end may belong to a password."""
    stripped = text.strip(ENDS)
    if name == "basic_auth_user":
        stripped = stripped.strip()
        if ":" in stripped:
            raise ValueError("it holds a colon, which ends the user's name in basic auth")
    _require_something(text, stripped.strip() and stripped)
    _require(IN_HEADERS, stripped, "basic auth of Label Studio")
    return stripped


def _require_something(text: str, stripped: str) -> None:
    if text and not stripped:
        raise ValueError("it holds nothing but blanks or line ends: write the value, or leave the setting out")
    if len(stripped) > 1 and stripped[0] == stripped[-1] and stripped[0] in "\"'`":
        raise ValueError(
            f"it stands in quotes ({stripped[0]}), which belong to the value in files of docker --env-file, in secret "
            "files and in the environment: write it without"
        )


def _require(allowed: re.Pattern[str], text: str, carrier: str) -> None:
    end = allowed.match(text)
    position = end.end() if end else 0
    if position < len(text):
        raise ValueError(
            f"character {position + 1} of {len(text)} is {describe_character(text[position])}, which {carrier} cannot "
            "carry: was it copied from a text? Type it anew"
        )


def describe_character(char: str) -> str:
    """What kind of character it is; its name only where it is no letter, digit or sign of a secret's own."""
    named = {"\n": "a line end", "\r": "a line end", "\t": "a tab", " ": "a blank", "\xa0": "a no-break space"}
    if char in named:
        return named[char]
    category = unicodedata.category(char)
    if category == "Cc":
        return f"a control character (U+{ord(char):04X})"
    if category in ("Cf", "Zs", "Zl", "Zp", "Pd", "Pi", "Pf") or char in "\u2018\u2019\u201a\u201c\u201d\u201e":
        return f"{unicodedata.name(char, 'an unseen character').lower()} (U+{ord(char):04X})"
    return "a letter or sign beyond ASCII" if ord(char) > 126 else "a sign"


def _unquoted(text: str) -> str:
    """docker --env-file keeps the quotes that other readers of such files take off."""
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if quoted else text


def _learn(name: str, text: str) -> None:
    if name == "redis_url":
        process_redactor().learn_address(text)
    elif name in ("notify_url", "notify_secret"):
        process_redactor().learn(*re.split(r"[,\s]+", text))
    else:
        process_redactor().learn(text)
