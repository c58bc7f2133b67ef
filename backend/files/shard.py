"""A shard: some rows of one file, which one job answers and writes as one part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from backend.errors import BadRequest
from backend.files.locations import Location
from model.spec import Json

FORMATS = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet"}
"""End of a file's name -> its format. A part is called as the file was."""


@dataclass(frozen=True)
class Shard:
    """`start` and `stop`: bytes of a text file, rows of a parquet file; `row`: the number of its first row, from 1;
    `size`: of the whole file in bytes, when it was cut."""

    file: str
    size: int
    start: int
    stop: int
    row: int
    rows: int

    @classmethod
    def from_json(cls, value: Mapping[str, Json]) -> Shard:
        return cls(str(value["file"]), *(int(str(value[name])) for name in ("size", "start", "stop", "row", "rows")))

    def to_json(self) -> dict[str, Json]:
        return asdict(self)


def suffix_of(location: Location) -> str:
    """The end of a file's name, a key of FORMATS. Raises BadRequest."""
    name = location.path.rpartition("/")[2].lower()
    found = next((suffix for suffix in FORMATS if name.endswith(suffix)), None)
    if found is None:
        raise BadRequest(f"{location.url}: only {', '.join(FORMATS)} are read", field="source")
    return found
