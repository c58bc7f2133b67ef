"""The second tab: which classes have too few labels, which are taken for each other, and in which tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from backend.application.services import Services
from backend.labelstudio.label_display import spec_of, texts_of
from backend.record_json import Summary
from backend.rules.recent_answers import RECENT_ROWS
from backend.ui.paging import Place, cut_page
from backend.ui.views.head import Head, view_head
from backend.ui.views.task_rows import TaskRow, describe_rows
from model.evidence.marked_text import AboutFigures, summarise_marks
from model.evidence.report.cells import (
    ANSWERED,
    OTHERWISE,
    Cell,
    Form,
    count_cells,
    form_of,
    kind_of_mistake,
    mistakes_of,
    most_confused,
    rows_of_cell,
)
from model.evidence.report.classes import (
    ClassCounts,
    LevelCounts,
    count_classes,
    count_levels,
    macro_f1,
    mean_star_error,
    micro_f1,
    present_rows,
)
from model.evidence.report.region_answers import WAYS, RegionAnswer, count_answers, rows_with
from model.evidence.row import EvidenceRow
from model.spec import NONE, Control, Kind, TaskSpec

LEAST_ROWS = 20
"""Answers before which nothing is said of single classes."""

CLASSES_SHOWN, MISTAKES_SHOWN = 1000, 20
MATRIX_CLASSES = 15
"""Most rows of a matrix, which has a screen's width; with more classes those that are confused most."""

SHADES = 5
"""Darkness of a cell, by its share of its row: the count stands in it, too."""

NOTHING, UNSAID = "none of these", "nothing"
QUESTION_WORDS = {ANSWERED: "an answer", OTHERWISE: "another answer", NONE: "no answer"}


@dataclass(frozen=True)
class ClassRow:
    """One class: `labels` that it has in all, `lacking` until it has enough; of the tested answers how often it was
    `given`, `said`, and both. `key`: its name in addresses."""

    key: str
    name: str
    labels: int
    lacking: int
    given: int
    said: int
    right: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class Mistake:
    """`count` answers: `given` was answered with `said`. `kind`: of a marked span, what is wrong with it."""

    cell: Cell
    given: str
    said: str
    kind: str
    count: int


@dataclass(frozen=True)
class MatrixCell:
    """`shade` from 0 to SHADES."""

    cell: Cell
    count: int
    shade: int


@dataclass(frozen=True)
class MatrixRow:
    name: str
    cells: list[MatrixCell]


@dataclass(frozen=True)
class Matrix:
    """A row for each class that was given, a column for each that was answered. `level`: of a tree, its first one;
    `confused`: how many classes take part in a mistake, where not all are shown."""

    names: list[str]
    rows: list[MatrixRow]
    level: int
    confused: int


@dataclass(frozen=True)
class ControlClasses:
    """One control. `tested` answers are told of, `wanted` before anything is; `set_aside`: of hunted tasks, which stand
    in tables and lists but say nothing of other tasks; `unrecorded`: of an earlier release,
    which did not note what was answered. `f1`, `macro`: over all answers, and the mean of the classes; `right`: the
    share of right answers to a question; `star_error`: mean distance of ratings. `scarce`, `unseen`: classes with too
    few labels, and with none. `hunted`: they can be."""

    name: str
    form: str
    tested: int
    wanted: int
    set_aside: int
    unrecorded: int
    f1: float | None
    macro: float | None
    right: float | None
    star_error: float | None
    classes: list[ClassRow]
    scarce: int
    unseen: int
    hunted: bool = False
    levels: list[LevelCounts] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)
    kinds_of_mistakes: int = 0
    matrix: Matrix | None = None
    about: dict[str, AboutFigures] = field(default_factory=dict)
    answers_about: dict[str, list[RegionAnswer]] = field(default_factory=dict)


@dataclass(frozen=True)
class CellTasks:
    """The tasks of a cell, the newest first."""

    control: str
    given: str
    said: str
    kind: str
    cell: Cell
    level: int
    tasks: list[TaskRow]
    place: Place


@dataclass(frozen=True)
class RegionTasks:
    """The tasks of one answer to the question `about` the regions of `control`, the newest first. `what`: of WAYS."""

    control: str
    about: str
    label: str
    what: str
    tasks: list[TaskRow]
    place: Place


@dataclass(frozen=True)
class ClassesView:
    """`cell`: the tasks of the one that was asked for; `regions`: of an answer to a question about regions."""

    head: Head
    controls: list[ControlClasses]
    cell: CellTasks | None
    regions: RegionTasks | None


def view_classes(services: Services, project: int, asked: Mapping[str, str]) -> ClassesView:
    """Of a known project. `asked`: `control`, `given` and `said` of a cell, its `level`, and a `page` of its tasks; or
    `about`, `label` and `what` of an answer to a question about its regions."""
    stores = services.stores
    spec, rows = spec_of(stores.projects.config(project)), stores.evidence.rows(project, hunted=True)
    summary = stores.projects.summary(project)
    controls = spec.questions if spec else ()
    chosen = {control.name: choose_rows(rows, control, summary) for control in controls}
    return ClassesView(
        head=view_head(services, project),
        controls=[_describe(spec, one, chosen[one.name], summary) for one in controls] if spec else [],
        cell=_cell(services, project, spec, chosen, asked) if spec else None,
        regions=_regions(services, project, spec, chosen, asked) if spec else None,
    )


def choose_rows(rows: Sequence[EvidenceRow], control: Control, summary: Summary) -> list[EvidenceRow]:
    """Those that are told of: of marked text the last ones, as `status` does; else by versions that knew half of
    today's labels."""
    if control.kind is Kind.SPANS:
        return [row for row in rows if row.control == control.name][-RECENT_ROWS:]
    return present_rows(rows, control.name, summary.get("samples", {}).get(control.name, 0))


def _describe(spec: TaskSpec, control: Control, rows: Sequence[EvidenceRow], summary: Summary) -> ControlClasses:
    form = form_of(control, rows)
    told = [row for row in rows if row.task]
    marked = form in (Form.SPANS, Form.QUESTION)
    tested = list(rows) if marked else told
    fair = [row for row in tested if not row.hunted]
    enough = len(fair) >= LEAST_ROWS
    counts, whole = (count_classes(tested, form), count_classes(fair, form)) if enough else ({}, {})
    labels = summary.get("labels", {}).get(control.name, {})
    classes = _classes(spec, control, form, counts, labels)
    names = _Names(spec, control, form, counts)
    mistakes = mistakes_of(told, form) if enough else []
    figures = summarise_marks(rows) if marked and enough else None
    return ControlClasses(
        name=control.name,
        form=form.value,
        tested=len(fair),
        wanted=LEAST_ROWS,
        set_aside=len(tested) - len(fair),
        unrecorded=len(rows) - len(told),
        f1=_rounded(micro_f1(whole)) if form in (Form.SET, Form.SPANS) else None,
        macro=_rounded(macro_f1(whole)) if form is not Form.QUESTION else None,
        right=_rounded(sum(row.correct for row in fair) / len(fair)) if enough and form is Form.QUESTION else None,
        star_error=_rounded(mean_star_error(fair)) if enough and form is Form.STARS else None,
        classes=classes[:CLASSES_SHOWN],
        scarce=sum(row.lacking > 0 for row in classes if row.labels),
        unseen=sum(not row.labels and row.lacking > 0 for row in classes),
        hunted=control in spec.controls,
        levels=count_levels(told) if enough and form is Form.TREE else [],
        mistakes=[
            Mistake(cell, names.show(cell.given), names.show(cell.said), kind_of_mistake(cell, form), count)
            for cell, count in mistakes[:MISTAKES_SHOWN]
        ],
        kinds_of_mistakes=len(mistakes),
        matrix=_matrix(control, told, form, names) if enough else None,
        about=figures.get("about", {}) if figures else {},
        answers_about=count_answers(rows) if marked and enough else {},
    )


def _classes(
    spec: TaskSpec, control: Control, form: Form, counts: Mapping[str, ClassCounts], labels: Mapping[str, int]
) -> list[ClassRow]:
    """The classes, the worst first, those that were not tested last."""
    from model.evidence.forecast import ENOUGH_CLASS_LABELS, needs_of_classes

    names = texts_of(spec, control.name, counts)
    of_config = [] if form is Form.TREE else control.keys()  # its inner nodes are seldom given
    keys = dict.fromkeys([*counts, *of_config, *(key for key in names if names[key] in labels)])
    known = {**{name: name for name in labels}, **{names[key]: key for key in keys}}
    lacking, wanted = needs_of_classes(labels), 0 if form is Form.TREE else ENOUGH_CLASS_LABELS
    rows = []
    for name, key in known.items():
        own = counts.get(key, ClassCounts(0, 0, 0))
        rows.append(
            ClassRow(
                key=key,
                name=name or NOTHING,
                labels=labels.get(name, 0),
                lacking=lacking.get(name, 0) if name in labels else wanted,
                given=own.given,
                said=own.said,
                right=own.right,
                precision=_rounded(own.precision),
                recall=_rounded(own.recall),
                f1=_rounded(own.f1),
            )
        )
    return sorted(rows, key=lambda row: (row.f1 is None, row.f1 or 0.0, row.labels, row.name))


class _Names:
    """What the labels of cells are called."""

    def __init__(self, spec: TaskSpec, control: Control, form: Form, keys: Iterable[str]) -> None:
        self._form, self._texts = form, texts_of(spec, control.name, keys)

    def show(self, key: str) -> str:
        """In words."""
        if self._form is Form.QUESTION:
            return QUESTION_WORDS.get(key, key)
        nothing = UNSAID if self._form in (Form.SET, Form.SPANS) else NOTHING
        return self._texts.get(key, key) or nothing


def _matrix(control: Control, rows: Sequence[EvidenceRow], form: Form, names: _Names) -> Matrix | None:
    """None where a matrix says nothing: of sets and of marked text."""
    if form in (Form.SET, Form.SPANS):
        return None
    level = 1 if form is Form.TREE else 0
    counted = count_cells(rows, form, level)
    present = {label for cell in counted for label in (cell.given, cell.said)}
    confused = 0
    if len(present) > MATRIX_CLASSES:
        most, confused = most_confused(counted, MATRIX_CLASSES)
        present = set(most)
    if len(present) < 2:
        return None
    order = {key: place for place, key in enumerate(control.keys())}
    labels = sorted(present, key=lambda key: (key == NONE, order.get(key, len(order)), key))
    answered = [label for label in labels if form is not Form.QUESTION or label != OTHERWISE]
    return Matrix(
        names=[names.show(label) for label in labels],
        rows=[MatrixRow(names.show(label), _cells(label, labels, counted)) for label in answered],
        level=level,
        confused=confused,
    )


def _cells(given: str, labels: Sequence[str], counted: Counter[Cell]) -> list[MatrixCell]:
    whole = sum(counted[Cell(given, said)] for said in labels)
    found = []
    for said in labels:
        count = counted[Cell(given, said)]
        shade = -(-SHADES * count // whole) if count else 0
        found.append(MatrixCell(Cell(given, said), count, shade))
    return found


def _cell(
    services: Services,
    project: int,
    spec: TaskSpec,
    chosen: Mapping[str, Sequence[EvidenceRow]],
    asked: Mapping[str, str],
) -> CellTasks | None:
    """The tasks of the cell that the address names; None where it names none."""
    name = asked.get("control", "")
    if name not in chosen or "given" not in asked or "said" not in asked:
        return None
    control, rows = spec.control(name), [row for row in chosen[name] if row.task]
    form, level = form_of(control, chosen[name]), 1 if asked.get("level") == "1" else 0
    cell = Cell(asked["given"], asked["said"], asked.get("elsewhere") != "1")
    found, place = cut_page(rows_of_cell(rows, form, cell, level), asked)
    names = _Names(spec, control, form, (cell.given, cell.said))
    return CellTasks(
        control=name,
        given=names.show(cell.given),
        said=names.show(cell.said),
        kind=kind_of_mistake(cell, form) if cell.given != cell.said or form is Form.SPANS else "",
        cell=cell,
        level=level,
        tasks=describe_rows(services, project, spec, control, found),
        place=place,
    )


def _regions(
    services: Services,
    project: int,
    spec: TaskSpec,
    chosen: Mapping[str, Sequence[EvidenceRow]],
    asked: Mapping[str, str],
) -> RegionTasks | None:
    """The tasks of the answer that the address names; None where it names none."""
    name, about, label, what = (asked.get(part, "") for part in ("control", "about", "label", "what"))
    if name not in chosen or "about" not in asked or what not in WAYS:
        return None
    told = [row for row in chosen[name] if row.task]
    found, place = cut_page(rows_with(told, about, label, what), asked)
    tasks = describe_rows(services, project, spec, spec.control(name), found)
    return RegionTasks(name, about, label, what, tasks, place)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
