"""Who labels: how much, how fast, how far people agree with each other and with the model. UI_PEOPLE hides it all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backend.application.projects import describe_project
from backend.application.services import Services
from backend.record_json import Annotator, Overlap, Summary
from backend.rules.annotator_agreement import MIN_PEOPLE, MIN_SHARED
from backend.ui.formats import pluralise
from backend.ui.views.head import Head, view_head
from model.evidence.learning_curve import wilson_interval

ALONE = (
    "No task has answers of several people yet, so that nothing can be said of agreement: let people share some tasks "
    "(Label Studio: Settings, Quality, Annotations per task)."
)


@dataclass(frozen=True)
class Share:
    """`right` of `n` answers, and the 95 % interval."""

    n: int
    right: int
    share: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class PersonRow:
    """An annotator by the number that Label Studio gives, and what he is called there, "" where it does not tell.
    `last`: epoch seconds; `reliability`: by control, of those
    where overlap shows it; `with_model`: answers that were what the model had said before it learned them, `blind`: of
    those that were given without a pre-label."""

    person: int
    name: str
    labels: int
    share: float
    an_hour: float | None
    last: float
    reliability: dict[str, float]
    with_model: Share | None
    blind: Share | None


@dataclass(frozen=True)
class PairRow:
    """Two annotators, what they are called, and the tasks that both have answered."""

    one: int
    other: int
    names: tuple[str, str]
    tasks: int
    agreement: float


@dataclass(frozen=True)
class ControlAgreement:
    """How far people agree on one control. `kappa`: beyond chance, of one label a task; `unknown`: why nobody's
    reliability is told, "" where it is."""

    name: str
    tasks: int
    agreement: float
    kappa: float | None
    unknown: str
    pairs: list[PairRow]


@dataclass(frozen=True)
class PeopleView:
    """`labels`: of all people, `counts`: of each by his name, most first; `alone`: why nothing is said of agreement, ""
    where it is."""

    head: Head
    labels: int
    counts: dict[str, int]
    people: list[PersonRow]
    controls: list[ControlAgreement]
    alone: str


def view_people(services: Services, project: int, _: Mapping[str, str]) -> PeopleView:
    """Of a known project."""
    answer = describe_project(services, project)
    summary = services.stores.projects.summary(project)
    people = summary["activity"]["people"] if "activity" in summary else {}
    labels = sum(pace["labels"] for pace in people.values())
    overlap, names = summary.get("overlap", {}), services.stores.people.names()
    found = (_person(number, names.get(int(number), ""), summary, labels) for number in people)
    rows = sorted(found, key=lambda row: (-row.labels, row.person))
    return PeopleView(
        head=view_head(services, project, answer),
        labels=labels,
        counts=_counts(rows),
        people=rows,
        controls=[_control(name, own, answer["annotators"].get(name, {}), names) for name, own in overlap.items()],
        alone="" if overlap else ALONE,
    )


def _counts(rows: Sequence[PersonRow]) -> dict[str, int]:
    """Who is called like another is told with his number."""
    called = {row.person: row.name or str(row.person) for row in rows}
    often = Counter(called.values())
    return {
        called[row.person] if often[called[row.person]] == 1 else f"{called[row.person]} ({row.person})": row.labels
        for row in rows
    }


def _person(number: str, name: str, summary: Summary, labels: int) -> PersonRow:
    pace = summary["activity"]["people"][number]
    known = {control: own[number] for control, own in summary.get("annotators", {}).items() if number in own}
    tested = [own[number] for own in summary.get("with_model", {}).values() if number in own]
    reliability = {control: own["reliability"] for control, own in known.items()}
    return PersonRow(
        person=int(number),
        name=name,
        labels=pace["labels"],
        share=pace["labels"] / labels,
        an_hour=pace.get("an_hour"),
        last=pace["last"],
        reliability={control: value for control, value in reliability.items() if value is not None},
        with_model=_share(sum(own["n"] for own in tested), sum(own["right"] for own in tested)),
        blind=_share(sum(own["blind"] for own in tested), sum(own["blind_right"] for own in tested)),
    )


def _share(n: int, right: int) -> Share | None:
    """None of no answers."""
    return Share(n, right, right / n, wilson_interval(right / n, n)) if n else None


def _control(
    name: str, overlap: Overlap, annotators: Mapping[str, Annotator], names: Mapping[int, str]
) -> ControlAgreement:
    told = any(own["reliability"] is not None for own in annotators.values())
    wanted = (
        f"Nobody's reliability can be told yet: it takes {MIN_PEOPLE} people who share {pluralise(MIN_SHARED, 'task')} "
        f"or more each, or as many with a ground truth; {pluralise(overlap['tasks'], 'task')} "
        f"{'is' if overlap['tasks'] == 1 else 'are'} shared so far."
    )
    pairs = []
    for pair in overlap["pairs"]:
        one, other = pair["people"]
        called = (names.get(one, ""), names.get(other, ""))
        pairs.append(PairRow(one, other, called, pair["tasks"], pair["agreement"]))
    return ControlAgreement(
        name, overlap["tasks"], overlap["agreement"], overlap["kappa"], "" if told else wanted, pairs
    )
