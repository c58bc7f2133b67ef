"""A file that is written: whole, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from backend.errors import BadRequest
from backend.screen import plain


@contextmanager
def replacing(output: Path) -> Iterator[IO[bytes]]:
    """A file beside `output` that takes its place once all is well. Raises BadRequest."""
    with scratch_beside(output) as scratch:
        with told(output):
            file = scratch.open("wb")
        with file:
            yield file


@contextmanager
def scratch_beside(output: Path) -> Iterator[Path]:
    """The same for what opens its files itself: a path to write to. Raises BadRequest."""
    scratch = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        yield scratch
        with told(output):
            os.replace(scratch, output)
    finally:
        with suppress(OSError):
            scratch.unlink(missing_ok=True)


@contextmanager
def told(output: Path) -> Iterator[None]:
    """What the system says, as an error of ours."""
    try:
        yield
    except OSError as error:
        raise BadRequest(f"{plain(output)} cannot be written: {error.strerror or error}", field="output") from error
