from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from model.versions.disk import bring_to_disk

WRITING = """
import sys
from pathlib import Path
from model.versions.disk import bring_to_disk
path = Path(sys.argv[1])
path.write_bytes(b"x" * 2_500_000)
bring_to_disk(path)
"""


@pytest.mark.parametrize("size", [0, 1, 5, 8, 9])
def test_a_file_is_as_it_was_once_it_is_on_disk(size: int, tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(os.urandom(size))
    before = path.read_bytes()
    bring_to_disk(path, portion=4)
    assert path.read_bytes() == before


def test_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        bring_to_disk(tmp_path / "none")


@pytest.mark.skipif(not shutil.which("strace"), reason="no strace to look with")
def test_a_large_file_is_written_a_portion_at_a_time(tmp_path: Path) -> None:
    seen = tmp_path / "calls"
    command = ["strace", "-f", "-e", "trace=sync_file_range,fsync", "-o", str(seen), sys.executable, "-c", WRITING]
    subprocess.run([*command, str(tmp_path / "weights")], check=True, capture_output=True, timeout=120)
    calls = [line.split(None, 1)[1] for line in seen.read_text().splitlines() if "sync" in line]
    assert [call.split("(")[0] for call in calls] == ["sync_file_range"] * 3 + ["fsync"]
