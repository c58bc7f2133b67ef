"""A Label Studio with its default settings refuses private addresses: `connect` says which two variables to set."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from backend.labelstudio.local.server import LabelStudioServer
from backend.labelstudio.rest.client import LabelStudioClient
from tests.support.rig import ROOT, Rig, choices_config

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(600),
]

CACHE = Path(os.environ.get("UNDERSTUDY_LS_CACHE", str(ROOT / ".label-studio"))).expanduser()


@pytest.mark.parametrize(
    ("unset", "told"),
    [
        (("ML_BLOCK_LOCAL_IP", "SSRF_PROTECTION_ENABLED"), "Label Studio refuses"),
        (("SSRF_PROTECTION_ENABLED",), "no annotation would\never arrive"),
    ],
)
def test_connect_names_the_variables_to_set(unset: tuple[str, ...], told: str) -> None:
    """With one of them set Label Studio makes half a connection, which is worse than none."""
    with (
        LabelStudioServer(CACHE, environment=dict.fromkeys(unset, ""), legacy_tokens=False) as studio,
        Rig(LABEL_STUDIO_URL=studio.url, LABEL_STUDIO_API_KEY=studio.access_token) as rig,
    ):
        with LabelStudioClient(studio.url, studio.access_token) as client:
            project = client.create_project("refused", choices_config(["a", "b"]))["id"]
        done = subprocess.run(
            [sys.executable, "-m", "backend", "connect", "--project", str(project)],
            cwd=ROOT,
            env={**os.environ, **rig._environment, "PORT": str(rig.port), "DATA_DIR": str(rig.data_dir)},
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert done.returncode == 1 and told in done.stderr
    assert "ML_BLOCK_LOCAL_IP=false\n    SSRF_PROTECTION_ENABLED=false" in done.stderr
