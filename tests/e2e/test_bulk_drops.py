"""Label Studio's bulk import drops predictions that do not go with its label config, and says nothing: found, asked for
once more, and told with tasks and reason."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.conftest import Backend, Studio, wait_until
from tests.support.span_texts import invented_texts, labels_config

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

TEXTS, GONE = 40, "organisation"


@pytest.fixture(scope="module")
def project(label_studio: Studio, backend: Backend) -> int:
    """Texts with names that the names of the labels tell."""
    number = label_studio.create_project("drops", labels_config())
    backend.configs[number] = labels_config()
    label_studio.import_texts(number, [document.text for document in invented_texts(TEXTS)])
    backend.understudy("connect", "--project", str(number), "--no-sampling")
    wait_until(lambda: is_reconciled(backend, number), "reconciled, and nothing of it to come")
    return number


def is_reconciled(backend: Backend, project: int) -> bool:
    """A reconciliation reads the label config: none may come while the backend shall have an old one. A new project may
    get two, one that the scheduler finds due and one that is asked for: the first being over says nothing."""
    state = backend.admin("GET", f"/projects/{project}")
    at_rest = not state["dirty"] and bool((state["last_sync"] or {}).get("ok_at"))
    lines = backend.session().get(f"{backend.url}/metrics", timeout=60).text.splitlines()
    jobs = [f'understudy_jobs_{which}{{queue="sync"}} 0.0' for which in ("waiting", "running")]
    return at_rest and all(line in lines for line in jobs)


def labels_of(prediction: dict[str, Any]) -> set[str]:
    return {label for item in prediction["result"] for label in item["value"].get("labels", ())}


def stored(studio: Studio, project: int) -> dict[int, list[dict[str, Any]]]:
    """Task -> its predictions by a version."""
    return {
        int(task["id"]): [it for it in task["predictions"] if str(it["model_version"]).startswith("v")]
        for task in studio.tasks(project)
    }


def tell(backend: Backend, project: int, config: str) -> None:
    """What the label config is, as far as the backend knows."""
    backend.post("/setup", {"project": f"{project}.1", "schema": config})


def test_what_the_import_drops_is_found_and_told_and_written_once_it_fits(
    label_studio: Studio, backend: Backend, project: int
) -> None:
    old = labels_config()
    new = old.replace(f'<Label value="{GONE}"/>', "")
    assert new != old
    for hook in label_studio.call("GET", f"/api/webhooks/?project={project}"):
        label_studio.call("DELETE", f"/api/webhooks/{hook['id']}/")
    label_studio.set_config(project, new)
    tell(backend, project, old)
    told = backend.understudy("predict", str(project), expect=None)
    record = backend.admin("GET", f"/projects/{project}/predict")
    there = stored(label_studio, project)
    assert record["dropped"] > 0 and record["written"] == sum(map(len, there.values())) > 0
    assert record["written"] + record["dropped"] + record["declined"] == record["seen"] == TEXTS
    [refused] = record["refused"]
    assert refused["count"] == record["dropped"] and f"no label '{GONE}'" in refused["words"]
    missing = {task for task, own in there.items() if not own}
    assert set(refused["tasks"]) <= missing and f"no label '{GONE}'" in told and "refused by Label Studio" in told
    assert str(min(refused["tasks"])) in told
    assert not any(GONE in labels_of(one) for own in there.values() for one in own)

    tell(backend, project, new)
    backend.understudy("predict", str(project))
    record = backend.admin("GET", f"/projects/{project}/predict")
    assert record["dropped"] == 0 and not record.get("refused") and record["written"] >= len(missing)
    again = stored(label_studio, project)
    assert all(again.values()), "those that were dropped, too"
    assert not any(GONE in labels_of(one) for task in missing for one in again[task])
