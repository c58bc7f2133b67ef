"""Tasks a second of `understudy predict PROJECT` on a real Label Studio, and where the time goes.

    python -m bench.predict_project [--tasks 2000] [--share 1.0] [--flag] [--json]

Starts a Label Studio 1.23.2 (installed under .label-studio at first) and `understudy up`, imports sample messages made
distinct, and runs the command twice: the second run finds every prediction there. `label_studio` is the share of its
listing and importing in the time worked. --share: PREDICT_SHARE. --flag: Label Studio counts only what is imported
(MEMORY_EFFICIENT_IMPORT in its environment).
"""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

from backend.labelstudio.local.server import LabelStudioServer
from backend.labelstudio.rest.client import LabelStudioClient
from backend.labelstudio.rest.predictions import MEMORY_EFFICIENT_IMPORT
from bench.support.report import command, show
from tests.support.rig import ROOT, Project, Rig, choices_config, endless_rows, read_rows

IMPORTED = 5000
"""Tasks that are imported by one call."""


def main() -> None:
    """Measure and print."""
    parser = command(__doc__)
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--flag", action="store_true")
    given = parser.parse_args()
    environment = {MEMORY_EFFICIENT_IMPORT: "true"} if given.flag else {}
    with LabelStudioServer(ROOT / ".label-studio", environment=environment) as server:
        rows = list(measure(server, given.tasks, given.share))
    show(f"understudy predict, {given.tasks} tasks", rows, given.json)


def measure(server: LabelStudioServer, tasks: int, share: float) -> list[dict[str, Any]]:
    """A row for the first run, and one for the run that finds all of it there."""
    rig = Rig(
        LABEL_STUDIO_URL=server.url,
        LABEL_STUDIO_API_KEY=server.access_token,
        PREDICT_SHARE=str(share),
        QUEUE_BLIND_SHARE="0",
    )
    texts = read_rows(Path(ROOT / "docs" / "examples" / "support_messages.csv"))
    config = choices_config(sorted({label for _, label in texts}))
    with rig, LabelStudioClient(server.url, server.access_token) as client:
        project = int(client.create_project("bench", config)["id"])
        chosen = [text for text, _ in itertools.islice(endless_rows(texts), tasks)]
        for start in range(0, tasks, IMPORTED):
            client.tasks.add(project, [{"data": {"text": text}} for text in chosen[start : start + IMPORTED]])
        settle(rig, Project(rig, project, [], config))
        return [run(rig, project, name) for name in ("first run", "all there")]


def settle(rig: Rig, project: Project) -> None:
    """Until the texts are known and the version that they bring about is live: else it moves during the first run, and
    the second one writes what was answered before."""
    project.setup()
    path = f"/projects/{project.number}"
    rig.admin("POST", f"{path}/resync", {})
    while "ok_at" not in rig.admin("GET", path)["last_sync"]:
        time.sleep(0.2)
    project.settle(quiet=5.0)


def run(rig: Rig, project: int, name: str) -> dict[str, Any]:
    """One run to its end. Raises RuntimeError when it does not go well."""
    path, began = f"/projects/{project}/predict", time.monotonic()
    rig.admin("POST", path, {})
    while (record := rig.admin("GET", path))["status"] in ("queued", "running"):
        time.sleep(0.2)
    if record["status"] != "done":
        raise RuntimeError(f"{record['status']}: {record['message']}")
    seconds, worked = time.monotonic() - began, record["seconds"]
    total = sum(worked.values()) or 1.0
    return {
        "run": name,
        "tasks": record["seen"],
        "written": record["written"],
        "seconds": round(seconds, 1),
        "tasks/s": round(record["seen"] / seconds, 1),
        **{f"{step} s": amount for step, amount in worked.items()},
        "label_studio": round((worked["listing"] + worked["writing"]) / total, 2),
    }


if __name__ == "__main__":
    main()
