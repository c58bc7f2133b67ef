"""Six kinds of projects at once through the product's HTTP API: no label, 60 labels, a refit, a fine-tune.

One story told in order. What happens is in the fixtures, what is true afterwards in the tests. No Label Studio: its
requests are made as it makes them, and its own SDK judges the replies.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conftest import QUIET
from tests.support.labelling import Labelling
from tests.support.rig import Rig
from tests.support.six_projects import LABELLED, Made, six_projects

PATIENCE = 600.0
"""Seconds that anything may take on a busy machine."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(6 * PATIENCE)]

PROJECTS = {made.name: made for made in six_projects()}
every_project = pytest.mark.parametrize("name", PROJECTS)

TRAINED = ("multi-label", "taxonomy", "pair", "two controls")
"""Fine-tuned as well, a minute each. Stars are among the two controls; long texts take the road of a pair's windows."""

BETTER_BY_NAMES = {
    ("multi-label", "topics"): 0.08,
    ("taxonomy", "where"): 0.04,
    ("rating", "stars"): 0.04,
    ("two controls", "topic"): 0.3,
}
"""(project, control) whose label names tell something: how far its first answers are better than the best answer that
is the same for all tasks. About half of what was measured."""

BETTER_BY_LABELS = {
    ("multi-label", "topics"): 0.2,
    ("taxonomy", "where"): 0.2,
    ("rating", "stars"): 0.08,
    ("pair", "relation"): 0.05,
    ("two controls", "topic"): 0.3,
    ("two controls", "stars"): 0.05,
    ("long text", "topic"): 0.1,
}
"""The same with 60 labels."""


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    nobodys = {name: "" for name in QUIET if name != "DATA_DIR"}  # whatever whoever runs the tests has set
    with Rig(FINETUNE_STEPS="3", OMP_NUM_THREADS="1", **nobodys) as running:
        yield running


@pytest.fixture(scope="module")
def projects(rig: Rig) -> dict[str, Labelling]:
    """Set up, but without a label."""
    found = {name: Labelling(rig, made) for name, made in PROJECTS.items()}
    for project in found.values():
        assert project.setup() == "v0"
    return found


@pytest.fixture(scope="module")
def cold(projects: dict[str, Labelling]) -> dict[str, list[Any]]:
    """The answers before the first label."""
    return {name: project.ask(PATIENCE) for name, project in projects.items()}


@pytest.fixture(scope="module")
def learned(rig: Rig, projects: dict[str, Labelling], cold: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """The answers after 60 labels each, half of them one by one and in turns, as people give them."""
    for step in range(LABELLED // 2):
        for project in projects.values():
            project.annotate([step])
    for project in projects.values():
        project.annotate(range(LABELLED // 2, LABELLED))
    for project in projects.values():
        wait_until(project.has_learned, f"{project.made.name} has learned", PATIENCE)
    return {name: project.ask(PATIENCE) for name, project in projects.items()}


@pytest.fixture(scope="module")
def trainings(rig: Rig, projects: dict[str, Labelling], learned: dict[str, list[Any]]) -> dict[str, dict[str, Any]]:
    """The records of the trainings that an admin asked for, when they are over."""
    asked = {name: rig.admin("POST", f"/projects/{projects[name].number}/retrain") for name in TRAINED}
    return {name: rig.wait_job(reply["job"], PATIENCE) for name, reply in asked.items()}


@pytest.fixture(scope="module")
def after(projects: dict[str, Labelling], trainings: dict[str, dict[str, Any]]) -> dict[str, list[Any]]:
    """The answers after the trainings, whatever became of them."""
    for name in trainings:
        wait_until(projects[name].has_learned, f"{name} has learned", PATIENCE)
    return {name: projects[name].ask(PATIENCE) for name in trainings}


@pytest.fixture(scope="module")
def tuned(rig: Rig, projects: dict[str, Labelling], after: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """The answers of the fine-tuned versions: three steps win over no head, so an admin makes them live."""
    found = {}
    for name in after:
        project = projects[name]
        version = tuned_version(rig, project)["version"]
        rig.admin("POST", f"/projects/{project.number}/rollback", {"version": version})
        wait_until(lambda wanted=version, one=project: one.setup() == wanted, f"{name} serves {version}", PATIENCE)
        found[name] = project.ask(PATIENCE)
        rig.admin("POST", f"/projects/{project.number}/unpin")
    return found


@every_project
def test_before_any_label_every_task_has_a_humble_answer(cold: dict[str, list[Any]], name: str) -> None:
    check_items(PROJECTS[name], cold[name], at_most=0.95)
    assert {item["model_version"] for item in cold[name]} == {"v0"}


@pytest.mark.parametrize(("name", "control"), BETTER_BY_NAMES)
def test_label_names_alone_tell_something(cold: dict[str, list[Any]], name: str, control: str) -> None:
    check_quality(PROJECTS[name], control, cold[name], BETTER_BY_NAMES[name, control])


@every_project
def test_sixty_labels_are_stored_and_learned(
    rig: Rig, projects: dict[str, Labelling], learned: dict[str, list[Any]], name: str
) -> None:
    project = projects[name]
    status = rig.admin("GET", f"/projects/{project.number}")
    assert status["examples"] == LABELLED and status["pending"] == 0 and not status["quarantined"]
    assert status["live"] == status["served"] == project.setup() != "v0"
    versions = rig.admin("GET", f"/projects/{project.number}/versions")["versions"]
    live = next(version for version in versions if version["version"] == status["live"])
    # A question that was left blank counts: "none of these" is an answer.
    assert live["labels_seen"] == dict.fromkeys(project.made.types, LABELLED)
    check_items(project.made, learned[name])


@pytest.mark.parametrize(("name", "control"), BETTER_BY_LABELS)
def test_sixty_labels_make_sensible_answers(learned: dict[str, list[Any]], name: str, control: str) -> None:
    check_quality(PROJECTS[name], control, learned[name], BETTER_BY_LABELS[name, control])


@every_project
def test_an_admin_sees_curve_suspects_and_explanations(
    rig: Rig, projects: dict[str, Labelling], learned: dict[str, list[Any]], name: str
) -> None:
    project, made = projects[name], projects[name].made
    path = f"/projects/{project.number}"
    curve = rig.admin("GET", f"{path}/curve")
    assert set(curve["curve"]) == set(curve["recent"]) == set(made.types)
    assert all(0 <= point["accuracy"] <= 1 for points in curve["curve"].values() for point in points)

    suspects = wait_until(lambda: searched(rig, path), "label errors have been looked for", PATIENCE)
    assert set(suspects["searched"]) == set(made.types)
    assert all(suspect["control"] in made.types for suspect in suspects["suspects"])

    for control in made.types:
        for task in (project.task_id(0), project.held_out_id(0)):
            why = rig.admin("GET", f"{path}/explain?task={task}&control={control}")
            assert why["control"] == control and 0 <= why["score"] <= 1 and why["texts"]
            assert all(word["text"] == cut(why, word) for word in why["words"])


@pytest.mark.e2e
@pytest.mark.long
@pytest.mark.parametrize("name", TRAINED)
def test_a_fine_tune_ends_with_a_verdict(
    rig: Rig, projects: dict[str, Labelling], trainings: dict[str, dict[str, Any]], name: str
) -> None:
    assert trainings[name]["status"] in ("done", "rejected"), trainings[name]
    version = tuned_version(rig, projects[name])
    assert version["version"] == trainings[name]["version"] and version["reason"]
    assert version["status"] == ("published" if trainings[name]["status"] == "done" else "challenger")
    assert set(version["metrics"]) == set(PROJECTS[name].types), "each control has been judged"


@pytest.mark.e2e
@pytest.mark.long
@pytest.mark.parametrize(("name", "control"), [of for of in BETTER_BY_LABELS if of[0] in TRAINED])
def test_after_the_training_answers_are_as_good(after: dict[str, list[Any]], name: str, control: str) -> None:
    check_items(PROJECTS[name], after[name])
    check_quality(PROJECTS[name], control, after[name], BETTER_BY_LABELS[name, control])


@pytest.mark.e2e
@pytest.mark.long
@pytest.mark.parametrize(("name", "control"), [of for of in BETTER_BY_LABELS if of[0] in TRAINED])
def test_the_fine_tuned_version_can_be_served(
    trainings: dict[str, dict[str, Any]], tuned: dict[str, list[Any]], name: str, control: str
) -> None:
    check_items(PROJECTS[name], tuned[name])
    assert {item["model_version"] for item in tuned[name]} == {trainings[name]["version"]}
    check_quality(PROJECTS[name], control, tuned[name], -0.1)  # a refused one may be worse, but not senseless


def check_items(made: Made, items: list[Any], at_most: float = 1.0) -> None:
    """Every task is answered by every control, in a way that Label Studio's own SDK takes for valid. Where people left
    a question blank, a few tasks may be answered so."""
    from label_studio_sdk.label_interface import LabelInterface

    interface = LabelInterface(made.config)
    assert len(items) == len(made.held_out)
    left_blank = {name for name in made.types if any(name not in row.answers for row in made.labelled)}
    blank = [name for item in items for name in made.types if name not in made.answers_of(item)]
    assert made.name == "multi-label" or (set(blank) <= left_blank and len(blank) <= len(items) / 4)
    for item in items:
        assert interface.validate_prediction(item, return_errors=True) == []
        results = item["result"]
        names = [result["from_name"] for result in results]
        assert names == [name for name in made.types if name in names]
        assert all(0 <= scored["score"] <= at_most for scored in (item, *results))
        least = min([result["score"] for result in results] or [item["score"]])
        assert item["score"] == least or (len(results) < len(made.types) and item["score"] < least)
    assert len({item["model_version"] for item in items}) == 1


def check_quality(made: Made, control: str, items: list[Any], better: float) -> None:
    found = made.quality(control, [made.answers_of(item) for item in items])
    assert found >= made.constant(control) + better, f"{made.name}: {control} has {found:.3f}"


def tuned_version(rig: Rig, project: Labelling) -> dict[str, Any]:
    """The project's one fine-tuned version, published or not."""
    versions = rig.admin("GET", f"/projects/{project.number}/versions")["versions"]
    [found] = [version for version in versions if version["kind"] == "finetune"]
    return dict(found)


def searched(rig: Rig, path: str) -> dict[str, Any] | None:
    found = rig.admin("GET", f"{path}/suspects")
    return found if found["searched"] else None


def cut(why: dict[str, Any], word: dict[str, Any]) -> str:
    return str(why["texts"][word["input"]][word["start"] : word["end"]])


def wait_until(condition: Callable[[], Any], what: str, timeout: float) -> Any:
    """The first truthy value of `condition()`."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.2)
    pytest.fail(f"after {timeout:.0f} s still not: {what}")
