"""One shard from its file to its part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from backend.errors import BadRequest
from backend.files.answers import RowAnswerer
from backend.files.batch import to_line
from backend.files.locations import Location, size_of
from backend.files.output import Output
from backend.files.shard import Shard
from backend.files.table import open_table
from model.failpoints import failpoint


@dataclass(frozen=True)
class Written:
    """Rows of a part, and those of the shard that have no answer for what they hold."""

    rows: int
    errors: int


def write_part(
    answerer: RowAnswerer,
    shard: Shard,
    file: Location,
    output: Output,
    number: int,
    prefix: str,
    alive: Callable[[], None],
) -> Written:
    """Answers a shard and puts its part where it belongs; one that is there stays. `alive` is called between batches
    and raises to give up. Raises OSError, and BadRequest when the file is not the one that was cut."""
    if size_of(file) != shard.size:
        raise BadRequest(f"{file.url} has changed since the run was planned", passing=False)
    rows = errors = 0
    with output.workshop() as folder:
        part, side = folder / f"part{output.suffix}", folder / "errors.jsonl"
        with side.open("w", encoding="utf-8") as told, open_table(shard, file, part, prefix) as table:
            for batch in table.batches():
                alive()
                answers = answerer.answer(batch.rows)
                table.write(batch, answers, answerer.version)
                found = {**batch.unreadable}
                found |= {at: own.problem for at, own in zip(batch.numbers, answers, strict=True) if own.problem}
                for at, reason in sorted(found.items()):
                    told.write(
                        to_line(
                            {"file": shard.file, "row": at, "reason": reason, "written": at not in batch.unreadable}
                        )
                    )
                rows += len(answers)
                errors += len(found)
        alive()
        failpoint("files.written", number)
        if not output.has(output.part(number)):
            if errors:  # first: a part that is there is whole, with what is told of it
                output.put(side, output.errors(number))
            output.put(part, output.part(number))
    return Written(rows, errors)
