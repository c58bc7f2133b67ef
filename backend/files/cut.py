"""Cuts files into shards of about as many rows. Text is read through once for it; of parquet only what says how many
rows it has."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from backend.errors import BadRequest, MissingPackage
from backend.files.locations import Location, find_files, open_to_read, size_of
from backend.files.shard import FORMATS, Shard, suffix_of
from backend.files.text_records import Lines, read_csv, read_header, read_json_lines

SHARD_ROWS = 10_000
"""Of short texts a core's work for some ten seconds: little is lost with a worker, and parts stay few."""

Progress = Callable[[], None]


def cut_files(source: Location, rows: int, alive: Progress, own: tuple[str, ...]) -> tuple[str, list[Shard]]:
    """(end of the files' names, their shards in order). `alive` is called now and then; `own`: columns for answers.
    Raises BadRequest, OSError."""
    files = find_files(source, tuple(FORMATS))
    if not files:
        raise BadRequest(f"{source.url}: there is no such file", field="source")
    suffixes = {suffix_of(file) for file in files}
    if len({FORMATS[suffix] for suffix in suffixes}) > 1:
        raise BadRequest(
            f"{source.url}: files of one format at a time, not {', '.join(sorted(suffixes))}", field="source"
        )
    shards: list[Shard] = []
    for file in files:
        alive()
        suffix = suffix_of(file)
        cut = _cut_parquet if FORMATS[suffix] == "parquet" else _cut_text
        shards += cut(file, suffix, rows, alive, own)
    return suffix_of(files[0]), shards


def _cut_text(file: Location, suffix: str, rows: int, alive: Progress, own: tuple[str, ...]) -> Iterator[Shard]:
    size = size_of(file)
    with open_to_read(file) as opened:
        lines = Lines(opened)
        if FORMATS[suffix] == "csv":
            columns, separator = _header(lines, file, suffix)
            require_free(columns, own, file)
            records = read_csv(lines, separator)
        else:
            records = read_json_lines(lines)
        start, first, count = lines.at, 1, 0
        for _ in records:
            count += 1
            if count == rows:
                yield Shard(file.url, size, start, lines.at, first, count)
                start, first, count = lines.at, first + count, 0
                alive()
        if count:
            yield Shard(file.url, size, start, lines.at, first, count)


def _header(lines: Lines, file: Location, suffix: str) -> tuple[list[str], str]:
    try:
        return read_header(lines, suffix)
    except UnicodeDecodeError:
        raise BadRequest(f"{file.url} is not UTF-8: convert it (`iconv -t utf-8`)", field="source") from None
    except ValueError as error:
        raise BadRequest(f"{file.url}: {error}", field="source") from None


def _cut_parquet(file: Location, suffix: str, rows: int, alive: Progress, own: tuple[str, ...]) -> Iterator[Shard]:
    try:
        from pyarrow import ArrowInvalid
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise MissingPackage("parquet needs a package: `pip install pyarrow`") from None
    size = size_of(file)
    try:
        with open_to_read(file) as opened, ParquetFile(opened) as parquet:
            require_free(parquet.schema_arrow.names, own, file)
            whole = int(parquet.metadata.num_rows)
    except ArrowInvalid as error:
        raise BadRequest(f"{file.url} is no parquet file: {error}", field="source") from None
    for start in range(0, whole, rows):
        stop = min(whole, start + rows)
        yield Shard(file.url, size, start, stop, start + 1, stop - start)


def require_free(columns: list[str], own: tuple[str, ...], file: Location) -> None:
    """Raises BadRequest where a file has a column that answers get."""
    if taken := [name for name in own if name in columns]:
        raise BadRequest(
            f"{file.url} has a column {taken[0]!r} already: give another name with --prefix", field="prefix"
        )
