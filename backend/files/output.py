"""The folder that a run writes: `part-00000.parquet` and on, each there whole or not at all, in the order of the rows.
`_errors/part-00000.jsonl` tells of rows without an answer, `_run.json` what the run is, `_SUCCESS` that it is over:
programs that read folders of parts pass over what begins with `_`."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from backend.files.locations import Location, open_store
from model.spec import JsonObject
from model.versions.disk import bring_to_disk

RUN, SUCCESS, ERRORS, TEMPORARY = "_run.json", "_SUCCESS", "_errors", "_temporary"

ATTEMPTS = 100
"""At a folder that others put away meanwhile."""

PART = re.compile(r"part-(\d+)\.[a-z]+")


class Output:
    """`suffix`: of the parts. All methods raise OSError."""

    def __init__(self, folder: Location, suffix: str = "") -> None:
        self.folder, self.suffix = folder, suffix

    def part(self, number: int) -> Location:
        """Five digits and more: the order of names is that of parts up to 100,000, and readers sort by length else."""
        return self.folder.inside(f"part-{number:05d}{self.suffix}")

    def errors(self, number: int) -> Location:
        return self.folder.inside(f"{ERRORS}/part-{number:05d}.jsonl")

    def has(self, location: Location) -> bool:
        return open_store(location).exists(location.path)

    def parts(self) -> set[int]:
        """Numbers of those that are there."""
        store = open_store(self.folder)
        with suppress(FileNotFoundError):
            names = [path.rstrip("/").rpartition("/")[2] for path in store.ls(self.folder.path, False)]
            return {int(found[1]) for name in names if (found := PART.fullmatch(name))}
        return set()

    def read(self, location: Location) -> bytes:
        """What stands there; nothing where there is no such file."""
        try:
            return open_store(location).cat_file(location.path)
        except FileNotFoundError:
            return b""

    def write(self, name: str, value: JsonObject) -> None:
        """A small file of this folder, there whole or not at all."""
        with self.workshop() as folder:
            (folder / "value").write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
            self.put(folder / "value", self.folder.inside(name))

    @contextmanager
    def workshop(self) -> Iterator[Path]:
        """A folder of this machine for what is not whole yet: on the disk of the output where that is here, so that a
        rename is enough."""
        if not self.folder.is_local:
            with TemporaryDirectory(prefix="understudy-part-") as place:
                yield Path(place)
            return
        above = Path(self.folder.path) / TEMPORARY
        own = _make(above / secrets.token_hex(8))
        try:
            yield own
        finally:
            for file in own.iterdir():
                file.unlink()
            own.rmdir()
            with suppress(OSError):  # others are at work there
                above.rmdir()

    def put(self, file: Path, location: Location) -> None:
        """Makes a finished file of the workshop the one that lies at `location`: a rename, or one PUT."""
        if not location.is_local:
            open_store(location).put_file(str(file), location.path)
            return
        bring_to_disk(file)
        target = Path(location.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(file, target)


def _make(place: Path) -> Path:
    """Again where another worker has just put away the folder above, as the last one that was at work there."""
    for _ in range(ATTEMPTS):
        with suppress(FileNotFoundError, FileExistsError):  # the latter of the folder above, gone at the next look
            place.mkdir(parents=True)
            return place
    place.mkdir(parents=True)
    return place
