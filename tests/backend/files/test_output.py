"""The folder of a run, written by several workers at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from backend.files.locations import read_location
from backend.files.output import TEMPORARY, Output


def test_workers_do_not_take_the_folder_for_halves_from_one_another(tmp_path: Path) -> None:
    output = Output(read_location(str(tmp_path / "out"), "OUT"), ".jsonl")

    def work(worker: int) -> None:
        for number in range(300):
            with output.workshop() as folder:
                (folder / "part").write_text(f"{number}\n", encoding="utf-8")
                output.put(folder / "part", output.part(1000 * worker + number))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert len(output.parts()) == 4 * 300
    assert not (tmp_path / "out" / TEMPORARY).exists(), "nothing half is left"
