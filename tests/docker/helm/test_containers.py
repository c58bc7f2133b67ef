"""The pods of the chart run as processes of this machine, in what a node would put around them (containers.py)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import Any

import pytest
import yaml

from tests.docker.helm.cases import RUN
from tests.docker.helm.conftest import ROOT, Rendered
from tests.docker.helm.pods import container_of, pods

ALONE = ["unshare", "--net", "--mount", "--propagation", "private"]
PROGRAMS = ("unshare", "setpriv", "chroot", "ip", "redis-server")


def why_not() -> str:
    """Why this machine cannot; "" when it can."""
    if os.geteuid() != 0:
        return "only root can make namespaces that look like a container"
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        return f"there is no {', '.join(missing)}"
    done = subprocess.run([*ALONE, "true"], capture_output=True, check=False)
    return "" if done.returncode == 0 else "no namespaces are allowed here"


@pytest.fixture(scope="module", params=["run-bucket"])
def report(request: pytest.FixtureRequest, rendered: Rendered, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the run of a case saw."""
    if why := why_not():
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("node")
    folder.chmod(0o755)
    path = folder / "manifests.yaml"
    path.write_text(yaml.safe_dump_all(rendered.cases[request.param]), encoding="utf-8")
    command = [*ALONE, sys.executable, "-m", "tests.docker.helm.containers", path, folder / "pods"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-6000:]
    seen = json.loads(done.stdout)
    assert "failed" not in seen, seen["failed"]
    return seen


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_pod_works_in_what_the_chart_gives_it(report: Any) -> None:
    assert report["version"] and report["answered"].startswith("v")
    assert report["fine_tune"] in ("done", "rejected")
    assert {name: said for name, said in report["probes"].items() if said} == {}
    assert report["ended"] == []


@pytest.mark.slow
def test_the_doctor_of_helm_test_passes(report: Any) -> None:
    assert report["doctor"]["status"] == 0, report["doctor"]["said"]
    assert "fail" not in report["doctor"]["said"].split()


@pytest.mark.slow
def test_a_pod_may_do_nothing_else(report: Any) -> None:
    assert set(report["forbidden"]) == {"web", "learner", "trainer", "sync", "scheduler", "predictor"}
    for name, refused in report["forbidden"].items():
        assert all(refused.values()), (name, refused)


@pytest.mark.slow
def test_every_pod_stops_in_time_and_keeps_within_its_memory(report: Any, rendered: Rendered) -> None:
    found = pods(rendered.cases["run-bucket"])
    for name, seen in report["pods"].items():
        if name == "doctor":
            continue
        assert (seen["status"], seen.get("killed", 0)) == (0, 0), (name, seen)
        assert seen["stopped_s"] <= found[name]["spec"]["terminationGracePeriodSeconds"]
        assert seen["limit"] == container_of(found[name])["resources"]["limits"]["memory"]


def test_what_is_run_is_what_is_rendered() -> None:
    assert {"run-shared", "run-bucket"} == set(RUN)
