"""Spans (named entities) through the whole loop on the real Label Studio, one story told in order: each test goes on
where the last one ended."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from backend.settings.settings import Settings
from backend.store.stores import Stores
from model.acquisition.batch import is_blind
from model.span import Span, SpanDocument
from tests.e2e.conftest import PASSWORD, USER, Backend, Studio, wait_until
from tests.e2e.queue import Queue
from tests.support.span_texts import PEOPLE, PLACES, invented_texts, labels_config, marked, regions, spans_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

LABELLED, SIZE = 60, 24

NEW_NAME = "Quillfeather Trust"
ABOUT_IT = [
    marked(text.replace("*", f"[{NEW_NAME}|organisation]"))
    for text in (
        "😀 The * planted trees.",
        "Then 👍🏽 the * bought a barge.",
        "Letters reached the * by boat.",
        "🇳🇴 A loan of the * was paid back.",
        "Who has heard of the * before?",
        "All of it belongs to the * now.",
    )
]
"""A name that nothing can know. There are some more than are needed: what is blind has no suggestion."""

NAMES = [
    (*person.split(), place) for person, place in zip(PEOPLE * 2, PLACES * 3, strict=False) if len(person.split()) == 2
]
"""First name, last name and place of one text each; those of the last have been in others."""

TAUGHT = len(NAMES) - 4


class Story:
    """What the tests of this file hand on to each other."""

    project: int
    queue: Queue
    stores: Stores
    documents: dict[int, SpanDocument]
    order: list[int]
    removal: tuple[int, Span]


@pytest.fixture(scope="module")
def learning(label_studio: Studio) -> Iterator[Backend]:
    rig = Backend(
        LABEL_STUDIO_URL=label_studio.server.url,
        LABEL_STUDIO_API_KEY=label_studio.server.access_token,
        BASIC_AUTH_USER=USER,
        BASIC_AUTH_PASS=PASSWORD,
        FINETUNE_STEPS="12",
        QUEUE_SIZE=str(SIZE),
        QUEUE_SECONDS="1",
    )
    rig.configs = {}
    with rig:
        yield rig


@pytest.fixture(scope="module")
def story(label_studio: Studio, learning: Backend) -> Iterator[Story]:
    told = Story()
    documents = [*ABOUT_IT, *invented_texts(150 - len(ABOUT_IT))]
    told.project = make_project(label_studio, learning, "named entities", labels_config())
    label_studio.import_texts(told.project, [document.text for document in documents])
    by_text = {document.text: document for document in documents}
    told.documents = {task["id"]: by_text[task["data"]["text"]] for task in label_studio.tasks(told.project)}
    told.order = list(told.documents)
    stores = Stores(Settings(data_dir=learning.data_dir, redis_url=""))
    told.stores, told.queue = stores, Queue(stores, told.project)
    yield told
    stores.close()


def make_project(studio: Studio, backend: Backend, title: str, config: str) -> int:
    project = studio.create_project(title, config)
    backend.configs[project] = config
    return project


def ask(backend: Backend, project: int, tasks: Sequence[dict[str, Any]]) -> list[Any]:
    """What the backend itself answers to tasks."""
    body = {"tasks": list(tasks), "project": f"{project}.1", "label_config": backend.configs[project], "params": {}}
    return list(backend.post("/predict", body)["results"])


def said(backend: Backend, story: Story, tasks: Sequence[int]) -> list[set[Span]]:
    """The spans that are suggested for the text of each task now, which is not asked for as a task: none is blind."""
    asked = [{"data": {"text": story.documents[task].text}} for task in tasks]
    return [spans_of(item["result"]) if item else set() for item in ask(backend, story.project, asked)]


def examples(backend: Backend, project: int) -> dict[int, dict[str, Any]]:
    """Annotation -> what is stored of it."""
    return {row["id"]: row for row in backend.admin("GET", f"/projects/{project}/examples")["examples"]}


def learned_tasks(backend: Backend, story: Story) -> set[int]:
    return {row["task"] for row in examples(backend, story.project).values()}


def annotate(studio: Studio, task: int, result: list[dict[str, Any]], **fields: Any) -> int:
    body = {"result": result, "lead_time": 2.0, **fields}
    return int(studio.call("POST", f"/api/tasks/{task}/annotations/", body)["id"])


def f1(found: Sequence[set[Span]], true: Sequence[set[Span]]) -> float:
    hits = sum(len(a & b) for a, b in zip(found, true, strict=True))
    return 2 * hits / max(1, sum(map(len, found)) + sum(map(len, true)))


def truths(story: Story, tasks: Sequence[int]) -> list[set[Span]]:
    return [set(story.documents[task].spans) for task in tasks]


def check_offsets(story: Story, predictions: dict[int, dict[str, Any]]) -> int:
    """That each region of Label Studio's predictions has the text that it names; how many there are."""
    count = 0
    for task, prediction in predictions.items():
        text = story.documents[task].text
        for item in prediction["result"]:
            value = item["value"]
            assert text[value["start"] : value["end"]] == value["text"], (text, item)
            assert 0 < item["score"] <= 1 and item["meta"]["text"], item
            count += 1
    return count


def stored(studio: Studio, project: int, prefix: str) -> dict[int, dict[str, Any]]:
    """Task -> its last prediction of a version that begins with `prefix`."""
    return {
        task["id"]: item
        for task in studio.tasks(project)
        for item in task["predictions"]
        if str(item["model_version"]).startswith(prefix)
    }


def test_connect_writes_a_queue_with_regions(label_studio: Studio, learning: Backend, story: Story) -> None:
    learning.understudy("connect", "--project", str(story.project))
    [backend] = label_studio.call("GET", f"/api/ml?project={story.project}")
    assert backend["is_interactive"], "one mark shall mark all"
    state = wait_until(lambda: story.queue.state().get("version") and story.queue.state(), "a first queue")
    written = stored(label_studio, story.project, str(state["version"]))
    assert len(written) == SIZE
    blind = {task for task in written if is_blind(story.project, task, 0.05)}
    regions_written = check_offsets(story, written)
    assert regions_written > SIZE / 2, "before any label the prior answers"
    assert not any(written[task]["result"] for task in blind)


def test_before_any_label_the_prior_answers(learning: Backend, story: Story) -> None:
    cold = f1(said(learning, story, story.order), truths(story, story.order))
    print(f"F1 before any label {cold:.2f}")
    assert cold > 0.5


def test_the_second_occurrence_is_suggested_and_a_removal_remembered(
    label_studio: Studio, learning: Backend, story: Story
) -> None:
    about = {task: document for task, document in story.documents.items() if NEW_NAME in document.text}
    first, second, third = [task for task in about if not is_blind(story.project, task, 0.05)][:3]
    [again], [once_more] = about[second].spans, about[third].spans
    annotate(label_studio, first, regions(about[first]))
    began = time.monotonic()
    wait_until(lambda: again in said(learning, story, [second])[0], "the second occurrence is suggested")
    print(f"second occurrence suggested {time.monotonic() - began:.2f} s after the label")
    label_studio.retrieve_predictions(story.project, [second])
    prediction = label_studio.predictions(second)[-1]
    assert again in spans_of(prediction["result"])
    left = [item for item in prediction["result"] if spans_of([item]) != {again}]
    assert len(left) == len(prediction["result"]) - 1
    annotation = annotate(label_studio, second, left, parent_prediction=prediction["id"])
    wait_until(lambda: annotation in examples(learning, story.project), "what was left of it is stored")
    wait_until(lambda: once_more not in said(learning, story, [third])[0], "what was removed stays away")
    learning.settled(story.project, quiet=1)
    assert once_more not in said(learning, story, [third])[0]
    story.removal = annotation, again


def test_a_skip_teaches_nothing_and_an_empty_answer_does(label_studio: Studio, learning: Backend, story: Story) -> None:
    done = learned_tasks(learning, story)
    left = [task for task in story.order if task not in done]
    skipped = next(task for task in left if len(story.documents[task].spans) == 2)
    empty = next(task for task in left if not story.documents[task].spans)
    a_skip = annotate(label_studio, skipped, regions(story.documents[skipped]), was_cancelled=True)
    nothing = annotate(label_studio, empty, [])
    wait_until(lambda: nothing in examples(learning, story.project), "the empty answer is stored")
    known = examples(learning, story.project)
    assert known[nothing]["spans"] == {"label": []} and a_skip not in known


def test_sixty_texts_make_it_better_and_the_next_label_takes_a_second(
    label_studio: Studio, learning: Backend, story: Story
) -> None:
    done = learned_tasks(learning, story)
    chosen = [task for task in story.order if task not in done][: LABELLED - len(done)]
    rest = [task for task in story.order if task not in {*done, *chosen}][:-1]
    cold = f1(said(learning, story, rest), truths(story, rest))
    given = {annotate(label_studio, task, regions(story.documents[task])): task for task in chosen}
    wait_until(lambda: len(examples(learning, story.project)) == LABELLED, "every label that was given is stored")
    known = examples(learning, story.project)
    for annotation, task in given.items():
        marks = {Span(one["start"], one["end"], one["label"]) for one in known[annotation]["spans"]["label"]}
        assert marks == set(story.documents[task].spans), story.documents[task]
    before = learning.settled(story.project, quiet=1)
    warm = f1(said(learning, story, rest), truths(story, rest))
    print(f"F1 of {len(rest)} other texts: {cold:.2f} before, {warm:.2f} after {LABELLED} labels")
    assert warm > max(cold, 0.9)

    last = story.order[-1]
    annotate(label_studio, last, regions(story.documents[last]))
    began = time.monotonic()
    wait_until(lambda: learning.version(story.project) != before, "a new version", timeout=30)
    print(f"a new version {time.monotonic() - began:.2f} s after the label")


def test_the_queue_hands_out_what_it_chose(label_studio: Studio, learning: Backend, story: Story) -> None:
    learning.settled(story.project, quiet=1)
    story.queue.ask()
    wait_until(story.queue.is_written, "the queue is the last plan")

    def hand_out() -> Any:
        return label_studio.call("GET", f"/api/projects/{story.project}/next")

    task = story.queue.steady(hand_out)
    assert task["id"] in story.queue.tasks() and task["id"] not in learned_tasks(learning, story)
    written = story.queue.steady(lambda: stored(label_studio, story.project, str(story.queue.state()["version"])))
    assert set(written) <= story.queue.tasks() and check_offsets(story, written)
    assert "tasks chosen by v0." in learning.understudy("queue", str(story.project))


def test_a_whole_project_is_predicted(label_studio: Studio, learning: Backend, story: Story) -> None:
    live = learning.settled(story.project, quiet=1)
    free = {task["id"] for task in label_studio.tasks(story.project) if not task["total_annotations"]}
    learning.understudy("predict", str(story.project))
    written = stored(label_studio, story.project, live)
    seen = free - {task for task in free if is_blind(story.project, task, 0.05)}
    assert set(written) >= seen and check_offsets(story, written)
    found = [spans_of(written[task]["result"]) for task in sorted(seen)]
    assert f1(found, truths(story, sorted(seen))) > 0.9
    assert "👩‍🚀" in "".join(story.documents[task].text for task in seen), "characters are counted beside emoji"
    learning.understudy("predict", str(story.project))
    assert stored(label_studio, story.project, live).keys() == written.keys()


def test_nothing_was_lost_and_a_listing_takes_no_removal_back(learning: Backend, story: Story) -> None:
    before = examples(learning, story.project)
    learning.understudy("resync", str(story.project))
    wait_until(lambda: learning.admin("GET", f"/projects/{story.project}")["last_sync"].get("listed"), "a listing")
    state = learning.admin("GET", f"/projects/{story.project}")
    assert state["last_sync"]["changed"] == 0, "every webhook had come"
    assert examples(learning, story.project) == before and len(before) == LABELLED + 1
    annotation, span = story.removal
    kept = {record.annotation: record for record in story.stores.examples.snapshot(story.project).records}
    assert kept[annotation].removed == {"label": [(span.start, span.end, span.label)]}


def test_commands_know_of_spans(learning: Backend, story: Story) -> None:
    number = str(story.project)
    told = learning.understudy("status", number)
    assert "F1 of their spans" in told and "of the clicks saved" in told
    listed = learning.understudy("examples", number).strip().splitlines()
    assert len(listed) == LABELLED + 1 and '"label": "organisation"' in listed[0]
    about = next(task for task in story.order if NEW_NAME in story.documents[task].text)
    assert f"[{NEW_NAME}]" in learning.understudy("explain", number, str(about))


def test_retrain_publishes_and_a_rollback_sticks(learning: Backend, story: Story) -> None:
    before = learning.settled(story.project, quiet=1)
    told = learning.understudy("retrain", str(story.project))
    print(told)
    listed = json.loads(learning.understudy("versions", str(story.project), "--json"))["versions"]
    after = learning.settled(story.project, quiet=1)
    assert after != before and after in {one["version"] for one in listed}
    learning.understudy("rollback", str(story.project), before)
    wait_until(lambda: learning.version(story.project) == before, "the older version is served", timeout=30)
    learning.understudy("unpin", str(story.project))


HTML = "<div>\n  <p>😀 <b>{first} <i>{last}</i></b> &amp; friends left<br><u>{place}</u> today.</p></div>"
COUNTED = "\n  😀 {first} {last} & friends left\n{place} today."
"""HTML as the page counts its characters."""


def test_hypertext_is_marked_at_the_right_characters(label_studio: Studio, learning: Backend) -> None:
    config = labels_config("HyperTextLabels", '<HyperText name="text" value="$html"/>')
    project = make_project(label_studio, learning, "entities in HTML", config)
    names = [{"first": first, "last": last, "place": place} for first, last, place in NAMES]
    tasks = import_data(label_studio, project, [{"html": HTML.format(**name)} for name in names])
    learning.understudy("connect", "--project", str(project), "--no-sampling")

    def place_of(name: dict[str, str], part: str) -> dict[str, Any]:
        start = COUNTED.format(**name).index(part)
        return {"start": start, "end": start + len(part)}

    for task, name in zip(tasks[:TAUGHT], names, strict=False):
        marks = [(f"{name['first']} {name['last']}", "person"), (name["place"], "place")]
        result = []
        for part, label in marks:
            value = {"start": "", "end": "", "startOffset": 0, "endOffset": 0, "globalOffsets": place_of(name, part)}
            result.append(mark({**value, "text": part, "hypertextlabels": [label]}, "hypertextlabels", part))
        annotate(label_studio, task["id"], result)
    wait_until(lambda: len(examples(learning, project)) == TAUGHT, "the marks are stored")
    learning.settled(project, quiet=1)
    for task, name in zip(tasks[TAUGHT:], names[TAUGHT:], strict=True):
        [answer] = ask(learning, project, [task])
        found = {
            (*item["value"]["globalOffsets"].values(), *item["value"]["hypertextlabels"]) for item in answer["result"]
        }
        person, place = place_of(name, f"{name['first']} {name['last']}"), place_of(name, name["place"])
        assert found == {(*person.values(), "person"), (*place.values(), "place")}, (task, answer)


def test_paragraphs_are_marked_at_the_right_characters(label_studio: Studio, learning: Backend) -> None:
    config = labels_config("ParagraphLabels", '<Paragraphs name="text" value="$turns" layout="dialogue"/>')
    project = make_project(label_studio, learning, "entities in dialogues", config)
    turns = [
        (f"Hello 👩‍🚀! Where is {first} {last}?", f"😀 In {place}, where {first} {last} lives.")
        for first, last, place in NAMES
    ]
    data = [[{"author": "A", "text": one}, {"author": "B", "text": two}] for one, two in turns]
    tasks = import_data(label_studio, project, [{"turns": turn} for turn in data])
    learning.understudy("connect", "--project", str(project), "--no-sampling")

    def places(number: int) -> list[tuple[str, int, int, str, str]]:
        """Turn, start and end in UTF-16 units, label, text."""
        first, last, place = NAMES[number]
        wanted = ((0, f"{first} {last}", "person"), (1, place, "place"), (1, f"{first} {last}", "person"))
        found = []
        for turn, part, label in wanted:
            begin = utf16(turns[number][turn].split(part)[0])
            found.append((str(turn), begin, begin + utf16(part), label, part))
        return found

    for number, task in enumerate(tasks[:TAUGHT]):
        result = []
        for place, (turn, begin, end, label, part) in enumerate(places(number)):
            value = {"start": turn, "end": turn, "startOffset": begin, "endOffset": end, "text": part}
            result.append(mark({**value, "paragraphlabels": [label]}, "paragraphlabels", str(place)))
        annotate(label_studio, task["id"], result)
    wait_until(lambda: len(examples(learning, project)) == TAUGHT, "the marks are stored")
    learning.settled(project, quiet=1)
    for number, task in list(enumerate(tasks))[TAUGHT:]:
        [answer] = ask(learning, project, [task])
        found = set()
        for item in answer["result"]:
            value = item["value"]
            assert value["start"] == value["end"] and "text" not in value, value
            found.add((value["start"], value["startOffset"], value["endOffset"], *value["paragraphlabels"]))
        assert found == {one[:4] for one in places(number)}, (turns[number], answer)


def import_data(studio: Studio, project: int, data: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The tasks, with id and data, in this order."""
    studio.call("POST", f"/api/projects/{project}/import", data)
    return [{"id": task["id"], "data": task["data"]} for task in studio.tasks(project)]


def mark(value: dict[str, Any], kind: str, id: str) -> dict[str, Any]:
    """A region that was marked by hand."""
    name = id.replace(" ", "_")
    return {"id": name, "from_name": "label", "to_name": "text", "type": kind, "origin": "manual", "value": value}


def utf16(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def test_a_backup_holds_all_of_it(learning: Backend, story: Story, tmp_path: Path) -> None:
    before, file = learning.settled(story.project, quiet=1), tmp_path / "all.tar"
    known, answers = examples(learning, story.project), said(learning, story, story.order)
    learning.understudy("backup", str(file))
    learning.stop()
    learning.understudy("restore", "--force", str(file))
    learning.start()
    wait_until(lambda: learning.version(story.project) == before, "the version is served")
    assert examples(learning, story.project) == known
    assert said(learning, story, story.order) == answers
