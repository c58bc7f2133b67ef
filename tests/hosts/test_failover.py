"""A replicated Redis fails over while people label: what that loses is told, and a reconciliation brings it back."""

from __future__ import annotations

import itertools
import tempfile
import time
from pathlib import Path

import pytest

from backend.jobs.context import context
from backend.jobs.sync.reconcile import resync
from backend.processes.scheduler import Scheduler
from backend.settings.settings import current_settings
from tests.hosts.conftest import REPORT
from tests.hosts.failover import LAG_SECONDS, Servers, Writer
from tests.hosts.network import why_not
from tests.hosts.report import Failover, Report
from tests.support.label_studio_stub import TOKEN, LabelStudioStub, ReferenceModel

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(300)]

PROJECT, WRITERS = 7, 4
CUT_SECONDS = 6.0


@pytest.mark.parametrize("replicas", [0, 1], ids=["any", "one-replica"])
@pytest.mark.parametrize("fault", ["killed", "cut off"])
def test_what_a_failover_loses_a_reconciliation_brings_back(
    fault: str, replicas: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    if reason := why_not():
        pytest.skip(reason)
    truth = ReferenceModel.of_choices([PROJECT], ["a", "e"])
    numbers = itertools.count()
    with tempfile.TemporaryDirectory(prefix="us-hosts-") as root, Servers(Path(root), replicas) as servers:
        writers = [Writer(servers.url, truth, PROJECT, lambda: (f"text {next(numbers)}", "a")) for _ in range(WRITERS)]
        with LabelStudioStub(truth) as studio:
            _set(monkeypatch, tmp_path, servers.url, f"http://127.0.0.1:{studio.port}")
            stores, scheduler = context().stores, Scheduler(context())
            scheduler._watch._seconds = 0.0
            scheduler.tick()
            stores.projects.save_config(PROJECT, truth.kinds[PROJECT].config)
            for writer in writers:
                writer.start()
            time.sleep(2)
            began = time.time()
            took = servers.kill_primary() if fault == "killed" else servers.cut_primary(CUT_SECONDS)
            servers.rejoin()
            time.sleep(2)
            for writer in writers:
                writer.stop()
            acknowledged = {number: at for writer in writers for number, at in writer.acknowledged.items()}
            lost = set(acknowledged) - stores.examples.ids(PROJECT)
            assert scheduler.tick() and stores.projects.dirty(PROJECT), "a failover is noticed"
            assert resync(PROJECT) == "done"
            mended = set(acknowledged) - stores.examples.ids(PROJECT)
    assert not mended, "a reconciliation has brought back everything"
    late = [acknowledged[number] - began for number in lost]
    if replicas and fault == "cut off":
        assert max(late, default=0.0) < LAG_SECONDS + 2, "without a replica nothing is acknowledged for long"
    pause = max(after - before for before, after in itertools.pairwise(sorted(acknowledged.values())))
    refused = sum(len(writer.refused) for writer in writers)
    report = pytestconfig.stash.setdefault(REPORT, Report())
    report.failovers.append(Failover(fault, replicas, took, pause, len(acknowledged), refused, len(lost)))


def _set(monkeypatch: pytest.MonkeyPatch, folder: Path, redis_url: str, studio: str) -> None:
    """For the job and the scheduler, which run in this process."""
    given = {"REDIS_URL": redis_url, "DATA_DIR": str(folder), "LABEL_STUDIO_URL": studio, "LABEL_STUDIO_API_KEY": TOKEN}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    current_settings.cache_clear()
    context.cache_clear()
