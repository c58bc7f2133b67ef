from __future__ import annotations

import time
from pathlib import Path

from backend.doctor.machine import check_restarts
from backend.settings.settings import Settings
from backend.supervision.restarts import find_restarts


def write_log(data_dir: Path, seconds_ago: list[float], name: str = "learner") -> None:
    (data_dir / "logs").mkdir(exist_ok=True)
    stamps = [time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() - ago)) for ago in seconds_ago]
    lines = [f"{stamp},123 WARN exited: {name} (exit status 1; not expected)" for stamp in stamps]
    (data_dir / "logs" / "supervisord.log").write_text("\n".join(["x", *lines, ""]))
    (data_dir / "logs" / f"{name}.log").write_text("Traceback\nValueError: no\n")


def test_a_process_that_ends_again_and_again_is_told_with_its_last_words(tmp_path: Path) -> None:
    write_log(tmp_path, [300, 200, 100, 5])
    (found,) = find_restarts(tmp_path)
    assert str(found) == "learner ended 4 times in 10 minutes (exit status 1). Last words: ValueError: no"
    verdict = check_restarts(Settings(data_dir=tmp_path, redis_url="", _env_file=None))
    assert verdict.state == "fail"
    assert "learner ended 4 times" in verdict.evidence


def test_one_that_ended_once_or_long_ago_is_not(tmp_path: Path) -> None:
    assert find_restarts(tmp_path) == []
    write_log(tmp_path, [4000, 3000, 2000, 5, 4])
    assert find_restarts(tmp_path) == []
    assert check_restarts(Settings(data_dir=tmp_path, redis_url="", _env_file=None)).state == "ok"
