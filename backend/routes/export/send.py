"""An archive as a reply: in pieces, a few at a time."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator

from flask import Response, current_app, request

from backend.errors import RateLimited
from backend.export.archive.shelf import Archive, Readable

PIECE_BYTES = 1 << 18
"""Of an archive that are in memory at a time."""

DOWNLOADS_AT_ONCE = 2
"""In this process: each holds a thread for as long as its client takes, and the others are for labels and answers."""

BUSY_SECONDS = 10
"""After which a client that found them all busy may come again."""


class Downloads:
    """The places of this process."""

    def __init__(self) -> None:
        self._places = threading.BoundedSemaphore(DOWNLOADS_AT_ONCE)

    def enter(self) -> None:
        """Raises RateLimited."""
        if not self._places.acquire(blocking=False):
            raise RateLimited(
                f"{DOWNLOADS_AT_ONCE} archives are on their way already; come again in {BUSY_SECONDS} s",
                retry_after=BUSY_SECONDS,
            )

    def leave(self) -> None:
        self._places.release()


def send_archive(archive: Archive, file: Readable) -> Response:
    """The file, with its length and its sha256 as a strong ETag; 304 for a caller that has it. Closes it. Raises
    RateLimited, ArtifactsUnavailable, DamagedArtifact. What fails amid the file ends the connection."""
    if request.if_none_match.contains(archive.sha256):
        file.close()
        return _named(Response(status=304), archive)
    places: Downloads = current_app.extensions.setdefault("understudy_downloads", Downloads())
    try:
        places.enter()
    except RateLimited:
        file.close()
        raise
    try:
        first = file.read(PIECE_BYTES)
    except BaseException:
        file.close()
        places.leave()
        raise
    answer = Response(_pieces(first, file), mimetype="application/zip")
    answer.call_on_close(file.close)
    answer.call_on_close(places.leave)
    answer.content_length = archive.bytes
    answer.headers.set("Content-Disposition", "attachment", filename=archive.name)
    digest = base64.b64encode(bytes.fromhex(archive.sha256)).decode()
    answer.headers["Repr-Digest"] = f"sha-256=:{digest}:"
    return _named(answer, archive)


def _named(answer: Response, archive: Archive) -> Response:
    answer.set_etag(archive.sha256)
    return answer


def _pieces(first: bytes, file: Readable) -> Iterator[bytes]:
    piece = first
    while piece:
        yield piece
        piece = file.read(PIECE_BYTES)
