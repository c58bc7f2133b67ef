"""One cluster for all tests of this folder, with people who label and clients who ask from beginning to end."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Studio
from tests.hosts.cluster import WEBS, Cluster, wait_for
from tests.hosts.network import why_not
from tests.hosts.report import Report
from tests.hosts.watch import Asker, Labeller, delays
from tests.support.rig import ROOT, choices_config, read_rows

TASKS = 800
"""More than are labelled in the longest story: one more label each LABEL_SECONDS."""
LABEL_SECONDS = 0.7
"""Between two labels, while nothing else is asked for."""

SETTINGS = {
    "FINETUNE_ENABLED": "false",  # by itself
    "FINETUNE_STEPS": "60",  # a checkpoint each 25
    "DOCTOR_MINUTES": "0",
    "RESYNC_MINUTES": "0.5",
    "QUEUE_BLIND_SHARE": "0",  # a blind task gets no answer
}

REPORT = pytest.StashKey[Report]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The measured times, whatever was asked to be quiet."""
    if report := config.stash.get(REPORT, None):
        terminalreporter.write_line(report.text())


class Site:
    """A cluster in which one project is labelled."""

    def __init__(self, cluster: Cluster, report: Report) -> None:
        self.cluster, self.report = cluster, report
        self.studio = Studio(cluster.studio)
        rows = read_rows()
        self.config = choices_config(sorted({label for _, label in rows}))
        self.project = self.studio.create_project("hosts", self.config)
        self.studio.import_texts(self.project, [text for text, _ in rows[:TASKS]])
        labels = dict(rows)
        tasks = [(int(task["id"]), labels[task["data"]["text"]]) for task in self.studio.tasks(self.project)]
        self._connect()
        texts = [text for text, _ in rows[TASKS:]]
        self.askers = {name: Asker(cluster.url(name), self.project, self.config, texts) for name in WEBS}
        self.labeller = Labeller(self.studio, tasks, LABEL_SECONDS)
        self.job, self.killed_at = "", 0.0
        """A fine-tune whose trainer was killed, and when."""

    def _connect(self) -> None:
        environment = {**os.environ, **self.cluster.environment, "DATA_DIR": str(self.cluster.network.root / "outside")}
        done = subprocess.run(
            [sys.executable, "-m", "backend", "connect", "--project", str(self.project)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def moves(self) -> list[tuple[str, float]]:
        """(version, when it was published), oldest first."""
        history = self.cluster.stores.versions.history(self.project)
        return [(move["version"], move["at"]) for move in reversed(history)]

    def stored(self) -> set[int]:
        return set(self.cluster.stores.examples.ids(self.project))

    def lost(self) -> set[int]:
        """What was acknowledged to Label Studio and is not in the store."""
        acknowledged = set(self.cluster.balancer.log.acknowledged) & set(self.labeller.known)
        return acknowledged - self.stored()

    def converge(self) -> float:
        """Seconds until all that was labelled so far is stored and learned, and both web hosts answer with that."""
        known, stores = set(self.labeller.known), self.cluster.stores
        began = time.monotonic()
        wait_for(lambda: known <= self.stored(), "everything that was labelled is stored")
        seq = stores.examples.seq(self.project)
        wait_for(lambda: stores.versions.fitted(self.project) >= seq, "it is learned")
        reached = len(self.moves())
        for name, asker in self.askers.items():
            newest = {version for version, _ in self.moves()[reached - 1 :]}
            wait_for(
                lambda asker=asker, reached=reached: (
                    asker.sight.latest  # type: ignore[misc]
                    in {version for version, _ in self.moves()[reached - 1 :]}
                ),
                f"{name} answers with {newest}, not {asker.sight.latest}; {asker.sight.failures[-3:]}",
            )
        return time.monotonic() - began

    def check(self) -> None:
        """What holds at any time."""
        failed = {name: asker.sight.failures[:] for name, asker in self.askers.items() if asker.sight.failures}
        for asker in self.askers.values():
            asker.sight.failures.clear()  # told once
        assert not failed, f"predictions failed on hosts that had a model: {failed}"
        self.check_stored()

    def check_stored(self) -> None:
        """Fails with the last reconciliations where something that was acknowledged is not in the store."""
        if lost := self.lost():
            lines = self.cluster.host("keeper").log.read_text(errors="replace").splitlines()
            resyncs = "\n".join([line[:400] for line in lines if '"resync' in line][-4:])
            pytest.fail(f"acknowledged labels are not in the store: {sorted(lost)}\n{resyncs}")

    def version_delays(self) -> dict[str, list[float]]:
        """Of each web host, seconds from each publish until it answered with it."""
        moves = self.moves()
        return {name: delays(moves, asker.sight) for name, asker in self.askers.items()}


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Site]:
    if reason := why_not():
        pytest.skip(reason)
    report = pytestconfig.stash[REPORT] = Report()
    cache = Path(os.path.expanduser(os.environ.get("UNDERSTUDY_LS_CACHE", str(ROOT / ".label-studio"))))
    with tempfile.TemporaryDirectory(prefix="us-hosts-") as root:
        began = time.monotonic()
        with Cluster(Path(root), cache, **SETTINGS) as cluster:
            site = Site(cluster, report)
            report.note("all hosts started", time.monotonic() - began)
            for asker in site.askers.values():
                asker.start()
            wait_for(lambda: all(asker.sight.asked for asker in site.askers.values()), "both web hosts answer")
            try:
                yield site
            finally:
                for worker in (*site.askers.values(), site.labeller):
                    worker.stop()
                report.close(site)
