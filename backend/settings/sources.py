"""Reads what people have set: the environment, `.env`, and the files that `<NAME>_FILE` names, in whatever encoding an
editor left them. Each value says where it stands."""

from __future__ import annotations

import codecs
import io
import os
import re
import stat
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from backend.errors import SettingsError
from backend.redaction import process_redactor
from backend.settings.home_path import expand_path

if TYPE_CHECKING:
    from dotenv.parser import Original

FROM_FILES = (
    *("label_studio_api_key", "basic_auth_pass", "webhook_secret", "admin_token", "hf_token", "redis_url"),
    *("notify_url", "notify_secret", "teacher_key"),
)
"""Settings that may stand in a file of their own."""

OF_OBJECT_STORES = (
    *("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_KEY"),
    *("AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_SAS_TOKEN", "AZURE_CLIENT_SECRET"),
)
"""Secrets that are read by the packages that speak to an object store, and hidden by us."""

MOST_BYTES = 64 << 10
"""Of a secret's file."""

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Byte order marks, which Windows' editors and PowerShell put in front."""


class Given(str):
    """A setting's text, and where it stands."""

    place: str

    def __new__(cls, text: str, place: str) -> Given:
        """`place`: as in "environment", ".env, line 3"."""
        given = super().__new__(cls, text)
        given.place = place
        return given


def read_given(names: Collection[str], environ: Mapping[str, str], env_file: Path | None) -> dict[str, Given]:
    """Setting -> what is given for it; the environment goes before `env_file`. An empty text is no value, and keeps
    what `env_file` says from counting. Raises SettingsError for a file that cannot be read."""
    wanted = {*names, *(f"{name}_file" for name in FROM_FILES)}
    around = {name.lower(): Given(text, "environment") for name, text in environ.items() if name.lower() in wanted}
    for name, text in environ.items():
        if name.lower().endswith("_proxy"):
            process_redactor().learn_address(text)
        if name in OF_OBJECT_STORES:
            process_redactor().learn(text)
    layers = [_read_env_file(env_file, wanted) if env_file else {}, around]
    found: dict[str, Given] = {}
    for layer in layers:
        for name in FROM_FILES:
            named = layer.get(f"{name}_file")
            if named and not layer.get(name):
                layer[name] = _read_secret_file(name, named)
        found |= layer
    return {name: text for name, text in found.items() if text and name in names}


def decode(data: bytes) -> str:
    """Text of a file that says by its mark what it is in, else UTF-8. Raises UnicodeDecodeError."""
    for mark, encoding in BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding)
    return data.decode("utf-8")


def read_secret_text(path: Path) -> str:
    """The text of a secret's file without the blanks around it. Raises ValueError that says what is wrong."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError(f"{path} is a directory" if path.is_dir() else f"{path} is no file that can be read twice")
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or type(error).__name__}") from None
    if len(data) > MOST_BYTES:
        raise ValueError(f"{path} is longer than {MOST_BYTES >> 10} KiB: that is no secret")
    try:
        return decode(data).strip("\ufeff \t\r\n")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8: save it as UTF-8") from None


def _read_secret_file(name: str, named: Given) -> Given:
    setting = f"{name.upper()}_FILE"
    try:
        path = expand_path(named.strip("\ufeff\r\n"))
        text = read_secret_text(Path(path))
        if not text:
            raise ValueError(f"{path} is empty: write the secret into it, or leave {setting} out")
    except ValueError as error:
        raise SettingsError(f"{setting} ({named.place}) cannot be used: {error}", setting=setting) from None
    return Given(text, f"{path}, which {setting} names")


def _read_env_file(path: Path, wanted: Collection[str]) -> dict[str, Given]:
    text = _env_text(path)
    if not text:
        return {}
    from dotenv.main import resolve_variables
    from dotenv.parser import parse_stream

    bindings = list(parse_stream(io.StringIO(text, newline=None)))
    lines: dict[str, int] = {}
    for binding in bindings:
        if binding.error:
            _refuse_unread(path, binding.original.string, _line_of(binding.original), wanted)
        elif binding.key:
            lines[binding.key] = _line_of(binding.original)
    pairs = [(binding.key, binding.value) for binding in bindings if binding.key and not binding.error]
    given = {}
    for key, value in resolve_variables(pairs, override=True).items():
        if key.lower() in wanted and value is not None:
            given[key.lower()] = Given(value, f"{path}, line {lines[key]}")
    return given


def _line_of(original: Original) -> int:
    """The parser counts from the blank lines in front."""
    before = original.string[: len(original.string) - len(original.string.lstrip())]
    return original.line + before.count("\n")


def _env_text(path: Path) -> str:
    """Of `.env`; "" without one. Bytes that are no UTF-8 stay as surrogates: in a comment they harm nobody."""
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            # Docker makes one in the place of a file that is not there; a virtual environment may be called so, too.
            if next(path.iterdir(), None) is None:
                raise SettingsError(f"{path} is an empty directory, not a file: remove it, or write the settings there")
            return ""
        data = path.read_bytes() if stat.S_ISREG(mode) else b""
    except (FileNotFoundError, NotADirectoryError):
        if path.is_symlink():
            raise SettingsError(f"{path} is a link to a file that is not there") from None
        return ""
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror or type(error).__name__}") from None
    try:
        return decode(data)
    except UnicodeDecodeError:
        return data.decode("utf-8", "surrogateescape")


def _refuse_unread(path: Path, line: str, number: int, wanted: Collection[str]) -> None:
    """A line that sets something of ours must not be passed over."""
    name = re.match(r"\s*(?:export\s+)?['\"]?(\w+)", line)
    if name and name[1].lower() in wanted:
        raise SettingsError(
            f"{path}, line {number}: {name[1].upper()} cannot be read: write {name[1].upper()}=value, and close quotes",
            setting=name[1].upper(),
        )
