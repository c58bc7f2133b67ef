"""The tab of classes, from a real store: what is taken for what, and which tasks those are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from backend.labelstudio.records import ExampleRecord
from backend.routes.app import create_app
from backend.ui.paging import PAGE_ROWS
from backend.ui.views.classes import LEAST_ROWS, view_classes
from model.evidence.row import About, EvidenceRow, Judgement, Marked
from tests.support.rig import choices_config

PROJECT = 7
ADMIN = {"Authorization": "Bearer admin"}
TAB = f"/ui/projects/{PROJECT}/classes"


def rows_of(pairs: Sequence[tuple[str, str]], labels: int = 100) -> list[EvidenceRow]:
    """(given, said) of tasks 1, 2, ..."""
    return [
        EvidenceRow(
            "label",
            Judgement(0.8, given == said, 0.2),
            "v0.1",
            labels=labels,
            at=1e9 + task,
            task=task,
            given=(given,) if given else (),
            said=(said,) if said else (),
        )
        for task, (given, said) in enumerate(pairs, 1)
    ]


def keep(services: Any, config: str, rows: list[EvidenceRow], counts: dict[str, int] | None = None) -> None:
    stores = services.stores
    stores.projects.save_config(PROJECT, config)
    counts = counts or {}
    stores.projects.save_summary(PROJECT, {"labels": {"label": counts}, "samples": {"label": sum(counts.values())}})
    stores.evidence.append(PROJECT, rows)


def label(services: Any, task: int, text: str) -> None:
    stamp = "2026-01-01T00:00:00Z"
    record = ExampleRecord(task, task, {"text": text}, {"label": [["A"]]}, stamp)
    services.stores.examples.upsert_many(PROJECT, [record])


def only(services: Any, **query: str) -> Any:
    return view_classes(services, PROJECT, query).controls[0]


def test_too_few_answers_are_counted_and_no_class_is_judged(services: Any) -> None:
    keep(services, choices_config(["A", "B"]), rows_of([("A", "B")] * 12), {"A": 12})
    control = only(services)
    assert (control.tested, control.wanted, control.macro, control.mistakes) == (12, LEAST_ROWS, None, [])
    assert [(row.name, row.labels, row.f1) for row in control.classes] == [("B", 0, None), ("A", 12, None)]
    assert (control.scarce, control.unseen) == (1, 1)


def test_mistakes_and_figures_of_classes(services: Any) -> None:
    pairs = [("A", "A")] * 20 + [("A", "B")] * 5 + [("B", "B")] * 10 + [("", "B")]
    keep(services, choices_config(["A", "B", "C"]), rows_of(pairs), {"A": 60, "B": 12, "": 1})
    control = only(services)
    assert control.tested == 36 and control.macro == pytest.approx((2 * 20 / 45 + 2 * 10 / 26 + 0) / 3, abs=1e-4)
    assert [(one.given, one.said, one.count) for one in control.mistakes] == [("A", "B", 5), ("none of these", "B", 1)]
    first, second, third, last = control.classes
    assert (first.name, first.recall, second.name, second.precision) == ("none of these", 0.0, "B", 0.625)
    assert (third.name, third.f1, third.lacking) == ("A", 0.8889, 0)
    assert (last.name, last.f1, last.lacking) == ("C", None, 25) and second.lacking == 13
    assert control.matrix.names == ["A", "B", "none of these"]
    assert [[cell.count for cell in row.cells] for row in control.matrix.rows] == [[20, 5, 0], [0, 10, 0], [0, 1, 0]]
    assert [cell.shade for cell in control.matrix.rows[0].cells] == [4, 1, 0]


def test_hunted_tasks_stand_in_the_tables_and_not_in_the_figure_above_them(services: Any) -> None:
    fair, hard = rows_of([("A", "A")] * 12 + [("B", "B")] * 12), rows_of([("B", "A")] * 9)
    keep(
        services, choices_config(["A", "B"]), [*fair, *(replace(row, hunted=True) for row in hard)], {"A": 60, "B": 60}
    )
    control = only(services)
    assert (control.tested, control.set_aside, control.macro) == (24, 9, 1.0)
    assert {row.name: (row.given, row.right) for row in control.classes} == {"A": (12, 12), "B": (21, 12)}
    assert [(mistake.given, mistake.said, mistake.count) for mistake in control.mistakes] == [("B", "A", 9)]


def test_rows_of_an_earlier_release_are_counted_as_not_recorded(services: Any) -> None:
    old = [EvidenceRow("label", Judgement(0.8, True, 0.2), labels=100) for _ in range(30)]
    keep(services, choices_config(["A", "B"]), [*old, *rows_of([("A", "A")] * 20)], {"A": 100})
    control = only(services)
    assert (control.tested, control.unrecorded) == (20, 30)


def test_versions_that_knew_little_are_left_out(services: Any) -> None:
    rows = [*rows_of([("A", "B")] * 30, labels=10), *rows_of([("A", "A")] * 20)]
    keep(services, choices_config(["A", "B"]), rows, {"A": 120})
    assert only(services).tested == 20 and only(services).mistakes == []


def test_of_many_classes_the_most_confused_are_shown(services: Any) -> None:
    names = [f"class {number:03d}" for number in range(150)]
    pairs = [(name, name) for name in names] + [(names[n], names[n + 1]) for n in range(60) for _ in range(60 - n)]
    keep(services, choices_config(names), rows_of(pairs), dict.fromkeys(names, 1))
    control = only(services)
    assert len(control.matrix.names) == 15 and control.matrix.confused == 61 and control.matrix.names[0] == names[1]
    assert len(control.mistakes) == 20 and control.kinds_of_mistakes == 60 and len(control.classes) == 150


def test_a_cell_lists_its_tasks_the_newest_first_page_by_page(services: Any) -> None:
    keep(services, choices_config(["A", "B"]), rows_of([("A", "B")] * 45 + [("B", "B")]), {"A": 60})
    label(services, 45, "where is   my order?")
    known = replace(services, settings=services.settings.model_copy(update={"label_studio_url": "http://studio:8080"}))
    cell = view_classes(known, PROJECT, {"control": "label", "given": "A", "said": "B"}).cell
    assert cell is not None and (cell.place.rows, cell.place.pages) == (45, 2)
    assert [row.task for row in cell.tasks] == list(range(45, 45 - PAGE_ROWS, -1))
    assert (cell.tasks[0].text, cell.tasks[1].text) == ("where is my order?", "")
    assert cell.tasks[0].link == "http://studio:8080/projects/7/data?task=45"
    client = create_app(known).test_client()
    html = client.get(f"{TAB}?control=label&given=A&said=B&page=2", headers=ADMIN).get_data(as_text=True)
    assert 'href="http://studio:8080/projects/7/data?task=5"' in html and "26 to 45 of 45" in html
    twin = client.get(f"{TAB}.json?control=label&given=A&said=B&page=2", headers=ADMIN).json
    assert [row["task"] for row in twin["cell"]["tasks"]] == list(range(20, 0, -1))


@pytest.mark.parametrize(
    "query", ["control=label", "control=x&given=A&said=B", "given=A&said=B", "control=label&given=%ff&said=&page=-1"]
)
def test_an_address_that_names_no_cell_opens_the_tab(services: Any, client: Any, query: str) -> None:
    keep(services, choices_config(["A", "B"]), rows_of([("A", "B")] * 25), {"A": 60})
    assert client.get(f"{TAB}?{query}", headers=ADMIN).status_code == 200


def test_labels_and_texts_are_shown_as_text(services: Any, client: Any) -> None:
    bad = "<script>alert(1)</script>"
    keep(services, choices_config([bad, "B"]), rows_of([(bad.replace("/", "\\/"), "B")] * 25), {bad: 25})
    label(services, 25, "<img src=x onerror=alert(1)> and \ud83d alone")
    given = "%3Cscript%3Ealert(1)%3C%5C/script%3E"
    html = client.get(f"{TAB}?control=label&given={given}&said=B", headers=ADMIN).get_data(as_text=True)
    assert "<script>alert" not in html and "<img" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html and "&lt;img src=x onerror=alert(1)&gt; and ? alone" in html
    assert client.get(f"{TAB}.json?control=label&given={given}&said=B", headers=ADMIN).json["cell"]["tasks"][0]["text"]


MULTIPLE = '<View><Text name="text" value="$text"/><Choices name="label" toName="text" choice="multiple">'
SETS = f'{MULTIPLE}<Choice value="A"/><Choice value="B"/></Choices></View>'
NESTED = '<Choice value="A"><Choice value="A1"/><Choice value="A2"/></Choice><Choice value="B"/>'
TREE = f'<View><Text name="text" value="$text"/><Taxonomy name="label" toName="text">{NESTED}</Taxonomy></View>'
STARS = '<View><Text name="text" value="$text"/><Rating name="label" toName="text"/></View>'


def test_sets_trees_and_stars_have_forms_of_their_own(services: Any, client: Any) -> None:
    keep(services, SETS, rows_of([("A", "B")] * 25), {"A": 25})
    control = only(services)
    assert control.matrix is None and control.f1 == 0.0
    assert [(one.kind, one.count) for one in control.mistakes] == [("superfluous", 25), ("missed", 25)]
    assert client.get(f"{TAB}?control=label&given=A&said=", headers=ADMIN).status_code == 200
    services.stores.projects.save_config(PROJECT, TREE)
    services.stores.evidence.append(PROJECT, rows_of([("A/A1", "A/A2")] * 5))
    control = only(services)
    assert control.levels[1].answered == 5 and control.matrix.level == 1 and control.matrix.rows[0].cells[0].count == 5
    services.stores.projects.save_config(PROJECT, STARS)
    stars = [EvidenceRow("stars", Judgement(0.8, False, 0.2), labels=9, task=1, given=("5",), said=("3",))] * 25
    services.stores.projects.save_config(PROJECT, STARS.replace("label", "stars"))
    services.stores.evidence.append(PROJECT, stars)
    assert only(services).star_error == 2.0
    assert "2.00" in client.get(TAB, headers=ADMIN).get_data(as_text=True)


def test_marked_text_tells_boundary_from_label(services: Any, client: Any) -> None:
    marks = (
        '<View><Text name="text" value="$text"/><Labels name="label" toName="text"><Label value="PER"/></Labels></View>'
    )
    slips = (("PER", "PER", False), ("PER", "", False))
    own = Marked((("PER", 0.9, False), ("PER", 0.8, True)), ("PER", "PER", "PER"), 3, slips=slips)
    old = Marked((("PER", 0.9, True),), ("PER",), 0)
    rows = [EvidenceRow("label", Judgement(0.9, False, 0.1), labels=50, task=n, marked=own) for n in range(1, 21)]
    old_row = EvidenceRow("label", Judgement(0.9, True, 0.1), labels=50, marked=old)
    keep(services, marks, [old_row, *rows], {"PER": 61})
    control = only(services)
    assert {one.kind: one.count for one in control.mistakes} == {"other boundary": 20, "missed": 20}
    assert (control.classes[0].given, control.classes[0].said, control.classes[0].right) == (61, 41, 21)
    assert control.unrecorded == 1 and control.f1 == pytest.approx(2 * 21 / 102, abs=1e-4)
    assert [one.said for one in control.mistakes] == ["nothing", "PER"]
    html = client.get(f"{TAB}?control=label&given=PER&said=PER&elsewhere=1", headers=ADMIN).get_data(as_text=True)
    assert "other boundary" in html and "20 tasks" in html


def test_an_answer_about_regions_leads_to_its_texts(services: Any, client: Any) -> None:
    mark = '<Labels name="label" toName="text"><Label value="PER"/></Labels>'
    marks = f'<View><Text name="text" value="$text"/>{mark}</View>'
    shown = (("PER", 0.9, True),)
    right, wrong = (
        Marked(shown, ("PER",), 0, about={"state": About(1, 1, 1, 1, {"present": (1, 1, 1)})}),
        Marked(shown, ("PER",), 0, about={"state": About(1, 0, 1, 0, {"absent": (1, 0, 0), "present": (0, 1, 0)})}),
    )
    rows = [
        EvidenceRow("label", Judgement(0.9, True, 0.1), "v0.1", labels=50, task=n, marked=wrong if n < 3 else right)
        for n in range(1, 21)
    ]
    keep(services, marks, rows, {"PER": 20})
    answers = {one.label: one for one in only(services).answers_about["state"]}
    assert (answers["absent"].given, answers["absent"].missed, answers["absent"].superfluous) == (2, 2, 0)
    assert (answers["present"].given, answers["present"].missed, answers["present"].superfluous) == (18, 0, 2)
    html = client.get(TAB, headers=ADMIN).get_data(as_text=True)
    for query in ("label=absent&amp;what=missed", "label=present&amp;what=superfluous", "label=present&amp;what=given"):
        assert f"control=label&amp;about=state&amp;{query}#tasks" in html
    asked = {"control": "label", "about": "state", "label": "present", "what": "superfluous"}
    found = view_classes(services, PROJECT, asked).regions
    assert found is not None and [row.task for row in found.tasks] == [2, 1]
    html = client.get(f"{TAB}?control=label&about=state&label=present&what=superfluous", headers=ADMIN).text
    assert "state: present, superfluous" in html and "2 texts" in html
    for other in ({"what": "x"}, {"control": "x"}, {"about": "x"}, {"label": "x"}):
        found = view_classes(services, PROJECT, {**asked, **other}).regions
        assert found is None or found.tasks == []


def test_a_tab_of_a_project_without_a_label_config_opens(services: Any, client: Any) -> None:
    services.stores.projects.save_config(PROJECT, "<View/>")
    assert "Nothing that is learned" in client.get(TAB, headers=ADMIN).get_data(as_text=True)
