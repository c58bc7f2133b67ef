"""Which servers the tests find, and that no test which hangs on the server is passed over by `make test-redis`."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.support import every_redis
from tests.support.every_redis import marked_files, workers_of
from tests.support.redis_servers import find_servers

ROOT = Path(__file__).parents[3]


def test_each_kind_and_version_is_found_once_and_the_carried_one_always(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "valkey-server"
    script.write_text("#!/bin/sh\necho 'Valkey server v=7.7.7 sha=0'\n")
    script.chmod(0o755)
    copy = tmp_path / "other" / "redis-server"
    copy.parent.mkdir()
    copy.symlink_to(script)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    found = find_servers([copy])
    assert found["Valkey 7.7.7"] == copy
    assert next(iter(found)).startswith("Redis 6.2")


def test_all_marked_tests_are_run_whether_the_file_or_the_test_is_marked() -> None:
    found = marked_files()
    assert {"tests/faults/test_redis.py", "tests/backend/redis_access/test_learn_queue.py"} <= set(found)
    named = [
        path for path in sorted((ROOT / "tests").rglob("test_*.py")) if re.search(r"mark\.redis\b", path.read_text())
    ]
    assert [ROOT / name for name in found] == named
    assert "tests/backend/test_outcomes.py" not in found


def test_servers_share_the_cores_and_one_more_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert [workers_of(servers) for servers in (1, 2, 3, 4)] == [3, 2, 1, 1]
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    assert workers_of(3) == 6


def test_a_server_with_which_tests_fail_fails_the_run(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No test has this name, of which pytest says 5."""
    monkeypatch.setattr(every_redis, "find_servers", lambda more: dict(list(find_servers(more).items())[:1]))
    monkeypatch.setattr(every_redis, "marked_files", lambda: ["tests/backend/embedded_redis/test_data_format.py"])
    assert every_redis.main(["-k", "no_such_test", "-n", "0"]) == 1
    assert re.search(r"Redis 6\.2.*: FAILED \(pytest: 5\)", capfd.readouterr().out)
    assert every_redis.main(["--but", "Redis"]) == 1, "none at all is no success"
