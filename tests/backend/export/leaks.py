"""What no export may hold: looked for in every file, byte by byte."""

from __future__ import annotations

import json
import pickletools
import zipfile
from pathlib import Path
from typing import Any

SECRET = b"secret"
"""In every task of the tests' project, and in nothing else."""

DATA, TEXT = (".safetensors", ".onnx"), (".json", ".md", ".py", ".txt", ".yaml", "")


def require_clean(context: Any, directory: Path, *places: Path) -> None:
    """No pickle, no archive, no link, no path of this machine, no secret, no text of a task, in any file."""
    own = context.settings
    forbidden = [SECRET, own.admin_token.get_secret_value().encode() + b'"', *map(_bytes, (own.data_dir, *places))]
    forbidden += [_bytes(Path.home()) + b"/", str(own.base_model).encode()]
    files = [path for path in directory.rglob("*") if not path.is_dir()]
    assert files
    for path in files:
        assert path.is_file() and not path.is_symlink(), path
        assert path.suffix in (*DATA, *TEXT), f"{path.name}: a kind of file that nobody looked at"
        data = path.read_bytes()
        assert not zipfile.is_zipfile(path) and not _is_pickle(data), path
        for one in forbidden:
            assert one not in data, f"{path.name} holds {one!r}"
        if path.suffix == ".json":
            json.loads(data)
        elif path.suffix not in DATA:
            data.decode("utf-8")


def _bytes(path: Path) -> bytes:
    return str(path).encode()


def _is_pickle(data: bytes) -> bool:
    """Whether it is read as one from its first byte on."""
    try:
        last = ""
        for operation, _, _ in pickletools.genops(data):
            last = operation.name
        return last == "STOP"
    except Exception:  # it raises half a dozen kinds
        return False
