"""What a process may have loaded once it works: checked in processes of their own, from what they really hold."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from backend.settings.settings import Settings

NEVER_SERVING = (
    *("sklearn", "pandas", "scipy.optimize", "scipy.stats", "transformers", "matplotlib"),
    *("label_studio_sdk", "py3langid"),
)
HEAVY = ("torch", "tokenizers", "scipy", *NEVER_SERVING, "httpx2", "rich", "PIL", "cv2")

SERVE = """
from pathlib import Path
from backend.routes.app import create_app
from backend.application.services import build_services
from backend.settings.settings import Settings
services = build_services(Settings(data_dir=Path({data!r}), redis_url={redis!r}, _env_file=None))
choices = '<Choices name="c" toName="t"><Choice value="a"/><Choice value="b"/></Choices>'
config = f'<View><Text name="t" value="$t"/>{{choices}}</View>'
body = {{"tasks": [{{"id": 1, "data": {{"t": "some words"}}}}], "project": "1.1", "label_config": config}}
reply = create_app(services).test_client().post("/predict", json=body)
assert reply.status_code == 200 and reply.json["results"], reply.data
services.stop()
import torch
"""

LEARN = """
from model.encoder.encoder import Encoder
from model.pretrained.base_model import find_base_model
from model.head.warm_up import warm_up_learning
warm_up_learning(Encoder(find_base_model("")))
import torch
"""

CALL = """
from backend.labelstudio.rest.transport import Transport
assert Transport("http://127.0.0.1:1", "a" * 40)._connected()
"""


def loaded_after(code: str) -> set[str]:
    """The modules of a fresh process that has run `code`."""
    script = f"import json, sys\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    ("entry", "forbidden"),
    [
        ("backend.cli.main", (*HEAVY, "numpy", "redis", "rq", "flask", "gunicorn", "requests", "prometheus_client")),
        ("backend.supervision.supervisor", (*HEAVY, "numpy", "redis", "pydantic", "requests", "click")),
        ("backend.processes.console", (*HEAVY, "numpy", "redis", "rq", "flask")),
        ("backend.processes.web, backend.routes.app, gunicorn.workers.gthread", HEAVY),
        ("backend.processes.web, backend.processes.worker", (*HEAVY, "numpy")),
        (
            "backend.processes.worker, backend.jobs.train.train, backend.jobs.sync.reconcile",
            (*HEAVY, "flask", "gunicorn"),
        ),
        ("backend.jobs.learn.refit", ("torch", "sklearn", "pandas", "transformers", "flask", "py3langid")),
        ("backend.processes.scheduler", (*HEAVY, "flask", "gunicorn")),
    ],
)
def test_importing_a_process_s_code_loads_nothing_heavy(entry: str, forbidden: tuple[str, ...]) -> None:
    loaded = loaded_after(f"import {entry}")
    assert set(entry.split(", ")) <= loaded
    assert loaded & set(forbidden) == set()


def test_a_process_that_serves_loads_no_library_of_learning(settings: Settings, tmp_path: Path) -> None:
    loaded = loaded_after(SERVE.format(data=str(tmp_path), redis=settings.redis_url))
    assert "torch" in loaded
    assert loaded & set(NEVER_SERVING) == set()


def test_a_process_that_learns_loads_no_scikit_learn() -> None:
    loaded = loaded_after(LEARN)
    assert "scipy.optimize" in loaded  # a refit has really been made
    assert loaded & {"sklearn", "pandas", "transformers", "matplotlib", "label_studio_sdk"} == set()


def test_calling_label_studio_loads_an_http_client_and_none_of_its_sdk() -> None:
    loaded = loaded_after(CALL)
    assert "httpx2" in loaded
    assert loaded & {"pandas", "numpy", "cv2", "PIL", "nltk", "jwt", "httpx", "requests", "label_studio_sdk"} == set()
