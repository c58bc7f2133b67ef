"""Half a minute of the chaos bench: it runs, and no promise is broken."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.mark.long
@pytest.mark.parametrize("redis", ["embedded", "tcp"])
def test_half_a_minute_of_chaos_breaks_no_promise(tmp_path: Path, redis: str) -> None:
    command = [
        sys.executable,
        "-m",
        "bench.chaos",
        "--minutes",
        "0.5",
        "--redis",
        redis,
        "--history",
        str(tmp_path),
    ]
    done = subprocess.run([*command, "--json"], cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (violations,) = [row for line in done.stdout.splitlines() if "violations" in (row := json.loads(line))]
    assert violations["kills"] > 0
