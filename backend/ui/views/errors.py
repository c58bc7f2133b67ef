"""The fourth tab: answers that people corrected, labels that are probably wrong, tasks on which annotators disagree."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backend.admin_json import DisputedTask, Searched, Suspect
from backend.application.explain import explain_task
from backend.application.label_errors import describe_suspects, shorten
from backend.application.services import Services
from backend.explained_json import CarriedOver, DecidingWord, Explanation
from backend.labelstudio.label_display import spec_of
from backend.record_json import SpanPlace
from backend.ui.paging import Place, cut_page
from backend.ui.views.head import Head, view_head
from backend.ui.views.task_rows import TaskRow, describe_rows, task_link
from model.evidence.row import EvidenceRow
from model.spec import TaskSpec

NEWEST, SUREST = "newest", "surest"
ORDERS = {NEWEST: "newest first", SUREST: "surest first"}

CORRECTED, SUSPECTS, DISPUTED = "corrected", "suspects", "disputed"
"""The lists, as an address names them: `?list=suspects&page=2`."""

ROWS_SHOWN = 10
"""Of each list: there are three."""

MOST_SUSPECTS = 1000
TEXT_SHOWN, BEFORE_WORDS = 2000, 200
"""Characters of an explained text, and those before the first word that decided."""

EXPLAINED_KEPT = 256
"""Explanations that a process keeps: each costs up to a second."""


@dataclass(frozen=True)
class SuspectRow:
    """A label that is probably wrong. `given`, `suggested`: in words, of a marked span with its text; the probabilities
    are those of what was given and of what is suggested. `like`: the task of a duplicate with another label, or 0."""

    control: str
    task: int
    text: str
    given: str
    suggested: str
    p_given: float
    p_suggested: float
    flag: str
    kind: str
    link: str
    like: int = 0
    like_link: str = ""


@dataclass(frozen=True)
class DisputedRow:
    """A task on which annotators disagree, how much, and what not all of them say."""

    control: str
    task: int
    score: float
    text: str
    answers: list[str]
    link: str


@dataclass(frozen=True)
class ErrorsView:
    """`corrected`: answers that people gave otherwise, of `tested` ones; `unrecorded`: of an earlier release, which did
    not note its tasks. `searched`: control -> labels that were looked at, and when; `pushable`: they can be put into
    Label Studio's tab."""

    head: Head
    order: str
    orders: dict[str, str]
    corrected: list[TaskRow]
    corrected_place: Place
    tested: int
    unrecorded: int
    suspects: list[SuspectRow]
    suspects_place: Place
    searched: dict[str, Searched]
    not_searched: list[str]
    disputed: list[DisputedRow]
    disputed_place: Place
    pushable: bool


def view_errors(services: Services, project: int, asked: Mapping[str, str]) -> ErrorsView:
    """Of a known project. `asked`: `order` of the corrected answers, and the `page` of one `list`."""
    stores = services.stores
    spec, rows = spec_of(stores.projects.config(project)), stores.evidence.rows(project, hunted=True)
    order = asked.get("order", "") if asked.get("order") in ORDERS else NEWEST
    told = [row for row in rows if row.task and spec and row.control in {one.name for one in spec.questions}]
    wrong = sort_corrected([row for row in told if not row.correct], order)
    found = describe_suspects(stores, project, limit=MOST_SUSPECTS)
    corrected, corrected_place = cut_page(wrong, _of(asked, CORRECTED), ROWS_SHOWN)
    suspects, suspects_place = cut_page(found["suspects"], _of(asked, SUSPECTS), ROWS_SHOWN)
    disputed, disputed_place = cut_page(found.get("disputed", []), _of(asked, DISPUTED), ROWS_SHOWN)
    return ErrorsView(
        head=view_head(services, project),
        order=order,
        orders=ORDERS,
        corrected=_corrected(services, project, spec, corrected) if spec else [],
        corrected_place=corrected_place,
        tested=len(told),
        unrecorded=sum(not row.task for row in rows),
        suspects=[_suspect(services, project, row) for row in suspects],
        suspects_place=suspects_place,
        searched=found["searched"],
        not_searched=found.get("not_searched", []),
        disputed=[_dispute(services, project, row) for row in disputed],
        disputed_place=disputed_place,
        pushable=services.settings.has_label_studio,
    )


def sort_corrected(rows: Sequence[EvidenceRow], order: str) -> list[EvidenceRow]:
    """From rows that are oldest first."""
    newest = list(reversed(rows))
    return sorted(newest, key=lambda row: -row.confidence) if order == SUREST else newest


def _of(asked: Mapping[str, str], name: str) -> Mapping[str, str]:
    """What is asked for of one list: the page is of the one that is named."""
    return asked if asked.get("list", CORRECTED) == name else {}


def _corrected(services: Services, project: int, spec: TaskSpec, rows: Sequence[EvidenceRow]) -> list[TaskRow]:
    by_control = {name: [row for row in rows if row.control == name] for name in {row.control for row in rows}}
    described = {
        name: iter(describe_rows(services, project, spec, spec.control(name), own)) for name, own in by_control.items()
    }
    return [next(described[row.control]) for row in rows]


def _suspect(services: Services, project: int, row: Suspect) -> SuspectRow:
    marked = "kind" in row
    return SuspectRow(
        control=row["control"],
        task=row["task"],
        text=row["text"],
        given=_in_words(row["given"], row.get("given_span"), marked),
        suggested=_in_words(row["suggested"], row.get("suggested_span"), marked),
        p_given=row["p_given"],
        p_suggested=row["p_suggested"],
        flag=row["flag"],
        kind=row.get("kind", ""),
        link=task_link(services, project, row["task"]),
        like=row.get("like", 0),
        like_link=task_link(services, project, row["like"]) if "like" in row else "",
    )


def _dispute(services: Services, project: int, row: DisputedTask) -> DisputedRow:
    answers = [
        f"{_in_words(one['label'], one.get('place'), True)} {one['votes']} of {one['of']}" for one in row["answers"]
    ]
    link = task_link(services, project, row["task"])
    return DisputedRow(row["control"], row["task"], row["score"], row["text"], answers, link)


def _in_words(label: str, place: SpanPlace | None, marked: bool) -> str:
    if place is not None:
        return f"“{place['text']}” {label}"
    return label or ("nothing" if marked else "not set")


@dataclass(frozen=True)
class Piece:
    """A part of a text; `weight` of the heaviest word is 1, of what did not decide 0."""

    text: str
    weight: float


@dataclass(frozen=True)
class WordRow:
    """A word that decided for `label`, and by how much (log-odds)."""

    text: str
    label: str
    log_odds: float


@dataclass(frozen=True)
class SpanWords:
    """A span that is suggested, how sure it is, and what speaks for it."""

    text: str
    label: str
    score: float
    reason: str


@dataclass(frozen=True)
class WhyView:
    """What the `version` that serves now answers for a task, and why. `texts`: input -> its pieces; `spans`: None where
    no text is marked; `carried_over`: what is answered in place of that, since people labelled a duplicate."""

    task: int
    control: str
    version: str
    labels: list[str]
    score: float
    runner_up: str
    runner_up_score: float
    texts: dict[str, list[Piece]]
    words: list[WordRow]
    spans: list[SpanWords] | None
    carried_over: CarriedOver | None
    link: str


class WhyCache:
    """The explanations that were asked for last, for as long as the version that answers is the same."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, str, int, str], WhyView] = OrderedDict()
        self._lock = threading.Lock()

    def why(self, services: Services, project: int, task: int, control: str) -> WhyView:
        """Of a known project. Raises what `explain_task` does."""
        key = (project, services.registry.version_of(project), task, control)
        with self._lock:
            known = self._kept.get(key)
        if known is not None:
            return known
        found = describe_why(explain_task(services, project, task, control), task_link(services, project, task))
        with self._lock:
            self._kept[key] = found
            while len(self._kept) > EXPLAINED_KEPT:
                self._kept.popitem(last=False)
        return found


def describe_why(found: Explanation, link: str) -> WhyView:
    """For people."""
    second = found["runner_up"]
    return WhyView(
        task=found["task"],
        control=found["control"],
        version=found["version"],
        labels=found["labels"],
        score=found["score"],
        runner_up=second.get("label", "") or ("none of these" if second else ""),
        runner_up_score=second.get("score", 0.0),
        texts={name: cut_text(text, _words_in(found["words"], name)) for name, text in found["texts"].items()},
        words=[WordRow(word["text"], word["label"], word["log_odds"]) for word in found["words"]],
        spans=[SpanWords(shorten(one["text"]), one["label"], one["score"], one["reason"]) for one in found["spans"]]
        if "spans" in found
        else None,
        carried_over=found.get("carried_over"),
        link=link,
    )


def _words_in(words: Sequence[DecidingWord], name: str) -> list[tuple[int, int, float]]:
    """Start, end and weight of each word of one input, from left to right; of several labels the heaviest."""
    weights: Counter[tuple[int, int]] = Counter()
    for word in words:
        if word["input"] == name:
            place = (word["start"], word["end"])
            weights[place] = max(weights[place], word["weight"])  # type: ignore[assignment]
    return sorted((start, end, float(weight)) for (start, end), weight in weights.items())


def cut_text(text: str, words: Sequence[tuple[int, int, float]]) -> list[Piece]:
    """The part of a text that holds the words, in pieces; words that lie in others are no pieces of their own."""
    first = max(0, min((start for start, *_ in words), default=0) - BEFORE_WORDS) if len(text) > TEXT_SHOWN else 0
    last = min(len(text), first + TEXT_SHOWN)
    pieces, at = [Piece("…", 0.0)] if first else [], first
    for start, end, weight in words:
        if start < at or end > last:
            continue
        pieces += [Piece(text[at:start], 0.0), Piece(text[start:end], round(weight, 4))]
        at = end
    pieces += [Piece(text[at:last], 0.0), Piece("…" if last < len(text) else "", 0.0)]
    return [piece for piece in pieces if piece.text]
