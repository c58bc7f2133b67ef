"""What a machine does not grant, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PREPARE = (
    "import sys, tempfile; from pathlib import Path; "
    "from backend.supervision.process_limits import clients_at_once, prepare_process; "
)
SHOW = "prepare_process(Path(sys.argv[1])); print(clients_at_once(), tempfile.gettempdir())"


def run(before: str, data_dir: Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["sh", "-c", f'{before} exec "$@"', "sh", sys.executable, "-c", PREPARE + SHOW, str(data_dir)]
    root = str(Path(__file__).parents[3])
    given = {**os.environ, "PYTHONPATH": root, **environment}
    return subprocess.run(command, cwd=cwd, env=given, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("files", "clients"), [(256, "192"), (96, "32"), (4096, "1000")])
def test_few_open_files_are_enough_for_fewer_clients(tmp_path: Path, files: int, clients: str) -> None:
    assert run(f"ulimit -n {files};", tmp_path, tmp_path).stdout.split()[0] == clients


def test_a_low_limit_is_raised_as_far_as_the_machine_lets(tmp_path: Path) -> None:
    assert run("ulimit -S -n 90;", tmp_path, tmp_path).stdout.split()[0] == "1000"


def test_too_few_open_files_are_one_line(tmp_path: Path) -> None:
    assert "only 64 files may be open at a time" in run("ulimit -n 64;", tmp_path, tmp_path).stderr.splitlines()[-1]


def without_temporary_files(data_dir: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """tempfile's own list of folders cannot be had read-only in a test: it is told that there are none."""
    none = "import tempfile; tempfile._candidate_tempdir_list = lambda: ['/nowhere']; "
    command = [sys.executable, "-c", none + PREPARE + SHOW, str(data_dir)]
    given = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    return subprocess.run(command, cwd=cwd, env=given, capture_output=True, text=True, check=False)


def test_without_a_place_for_temporary_files_there_is_one_in_the_data_directory(tmp_path: Path) -> None:
    shown = without_temporary_files(tmp_path / "data", tmp_path)
    assert shown.stdout.split()[1] == str(tmp_path / "data" / "tmp"), shown.stderr
    assert (tmp_path / "data" / "tmp").stat().st_mode & 0o777 == 0o700


def test_without_any_place_it_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    last = without_temporary_files(tmp_path / "file", tmp_path).stderr.splitlines()[-1]
    assert "there is no place for temporary files" in last


def test_a_current_directory_that_is_gone_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    shown = run('rmdir "$PWD";', tmp_path, tmp_path / "gone")
    assert "the current directory is gone" in shown.stderr.splitlines()[-1]
