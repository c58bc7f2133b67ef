from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from backend.cpu import SHAPE_CACHES, cores, cpu_share

WASTE = """
import sys, time, psutil
from backend.cpu import keep_heap_trimmed, trim_heap
def rss():
    return psutil.Process().memory_info().rss / 1e6
blocks = [bytearray(100_000) for _ in range(600)]  # below malloc's threshold for pages of their own
last, full = blocks[-1], rss()
del blocks
kept = rss()
if sys.argv[1] == "now":
    assert trim_heap()
else:
    keep_heap_trimmed(0.05)
    deadline = time.monotonic() + 120
    while rss() > full - 40 and time.monotonic() < deadline:
        time.sleep(0.05)
print(full - kept, full - rss())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc_trim")
@pytest.mark.parametrize("when", ["now", "now and then"])
def test_freed_memory_goes_back_to_the_system(when: str) -> None:
    done = subprocess.run([sys.executable, "-c", WASTE, when], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    by_itself, trimmed = map(float, done.stdout.split())
    assert by_itself < 20, "freeing alone does it here: nothing is tested"
    assert trimmed > 40


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no such call here")
def test_a_process_counts_the_cores_that_it_may_use() -> None:
    pinned = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"
    code = f"{pinned}; from backend.cpu import cores; print(cores())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"


@pytest.mark.parametrize(
    ("files", "share"),
    [
        ({}, None),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "nonsense"}, None),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
    ],
)
def test_a_container_s_share_of_cpu_time_counts(files: dict[str, str], share: float | None, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cpu_share(tmp_path) == share
    seen = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    assert cores(tmp_path) == (seen if share is None else min(seen, 2 if share > 1 else 1))


SHAPES = """
import click, psutil
from backend.cli.main import child

@click.command()
@child
def compute(settings):
    import torch
    torch.set_num_threads(1)
    def products(texts):
        sizes = [(12 * count, length, 32) for length in range(6, 40) for count in texts]
        tokens = [torch.randn(*size, dtype=torch.bfloat16) for size in sizes]
        return [torch.bmm(one, one.transpose(1, 2)) for one in tokens]
    products(range(1, 2))
    before = psutil.Process().memory_info().rss
    for most in range(2, 17):
        products(range(most, most + 1))
    print((psutil.Process().memory_info().rss - before) / 1e6)

compute()
"""


def test_what_is_kept_by_shape_is_bounded_where_nobody_says_otherwise(tmp_path: Path) -> None:
    def grown(**given: str) -> float:
        environment = {**os.environ, "DATA_DIR": str(tmp_path), "OMP_NUM_THREADS": "1", **given}
        done = subprocess.run(
            [sys.executable, "-c", SHAPES], capture_output=True, text=True, env=environment, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return float(done.stdout)

    as_they_come = grown(**dict.fromkeys(SHAPE_CACHES, "1024"))
    if as_they_come < 60:
        pytest.skip("this processor's products keep nothing by shape")
    assert grown() < as_they_come / 2


LOADED = """
import gc
from backend.cpu import loading
kept = []
with loading():
    assert not gc.isenabled()
    kept.append([[] for _ in range(1000)])
assert gc.isenabled() and gc.get_freeze_count() > 1000
assert not any(found is kept[0] for found in gc.get_objects()), "what was loaded is looked at"
later = [[]]
later.append(later)
assert any(found is later for found in gc.get_objects()), "what comes later is not"
print("as it should be")
"""


def test_garbage_is_not_looked_for_among_what_is_loaded_once() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, timeout=120)
    assert done.stdout == "as it should be\n", done.stderr
