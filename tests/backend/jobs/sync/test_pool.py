"""The known pool: all unlabelled tasks of a small project, an even sample of a large one. Over real HTTP and Redis."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from backend.jobs.sync.pool import fill_pool
from backend.labelstudio.rest.client import LabelStudioClient
from backend.labelstudio.rest.tasks import NEIGHBOUR_TASKS
from backend.labelstudio.task_spec import parse_label_config
from tests.conftest import serving
from tests.support.rig import choices_config
from tests.support.studio import TOKEN, Studio
from tests.support.tiny import PROJECT, settings, tiny_base  # noqa: F401

LIMIT = 200
SPEC = parse_label_config(choices_config(["a", "e"]))


@pytest.fixture
def studio(context: Any) -> Iterator[Studio]:
    """An import sorted by class: the first half a, the second e; ids as Label Studio gives them."""
    context.settings = context.settings.model_copy(update={"pool_size": LIMIT})
    with serving(Studio({})) as running:
        running.tasks = sorted_tasks(1200)
        yield running


def sorted_tasks(count: int, start: int = 5000) -> dict[int, str]:
    return {start + row: f"{'a' if row < count / 2 else 'e'} {row}" for row in range(count)}


def fill(context: Any, studio: Studio) -> int:
    with LabelStudioClient(studio.url, TOKEN) as client:
        return fill_pool(context.settings, context.stores, client, PROJECT, SPEC)


def pool(context: Any) -> set[int]:
    return set(context.stores.projects.pool(PROJECT))


def test_a_small_project_is_known_whatever_was_known_before(context: Any, studio: Studio) -> None:
    studio.tasks = sorted_tasks(LIMIT)
    context.stores.projects.add_pool(PROJECT, {task: {"text": "known"} for task in list(studio.tasks)[:150]}, LIMIT)
    studio.labelled = {5199}
    assert fill(context, studio) == 49
    assert pool(context) == set(studio.tasks) - {5199}
    assert fill(context, studio) == 0


def test_of_a_large_sorted_project_an_even_sample_is_known(context: Any, studio: Studio) -> None:
    assert NEIGHBOUR_TASKS <= fill(context, studio) <= LIMIT
    ids = sorted(pool(context))
    assert {studio.tasks[task][0] for task in ids} == {"a", "e"}
    places = LIMIT // NEIGHBOUR_TASKS
    gaps = [after - before for before, after in pairwise([5000, *ids, 6199])]
    assert max(gaps) <= 2 * 1200 / places, "one place in each quarter of the ids"


def test_what_came_first_gives_way_to_a_sample_and_stays_when_the_project_is_the_same(
    context: Any, studio: Studio
) -> None:
    first = list(studio.tasks)[:LIMIT]
    context.stores.projects.add_pool(PROJECT, {task: {"text": studio.tasks[task]} for task in first}, LIMIT)
    assert fill(context, studio) > 0
    sample = pool(context)
    assert not sample <= set(first)
    fill(context, studio)  # some room, since few of the sample came twice
    assert sample <= pool(context) and len(pool(context)) <= LIMIT
    studio.tasks |= sorted_tasks(1200, start=9000)
    fill(context, studio)
    assert any(task >= 9000 for task in pool(context)), "drawn anew when the project has grown"
    assert len(pool(context)) <= LIMIT


def test_labelled_tasks_leave_a_full_pool_and_others_take_their_place(context: Any, studio: Studio) -> None:
    known = list(studio.tasks)[: LIMIT - 10]
    context.stores.projects.add_pool(PROJECT, {task: {"text": studio.tasks[task]} for task in known}, LIMIT)
    context.stores.projects.note_pool_of(PROJECT, len(studio.tasks))
    labelled = set(known[:60])
    studio.labelled |= labelled
    context.stores.examples.touched = lambda project: labelled
    assert fill(context, studio) > 0
    assert not labelled & pool(context)
