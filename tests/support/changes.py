"""What each change to the learning is worth: the same orders with all of them, and with one taken back.

Only changes that reach the answers to single texts are here. Where one cannot act (words between blanks in a text of
ASCII, an encoder that does not see all alike) nothing is measured.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import pairwise, product
from math import sqrt
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from backend.cli.simulate.progress import Progress
from backend.simulate.trainer import PolicyTrainer, Workplace
from bench.support.replays import Course, QueueReplay
from model.acquisition.strategies import DEFAULT_STRATEGY
from model.decoding.answers import carry_over, decide
from model.duplicates.labelled import LabelledGroups, group_labelled
from model.features import tfidf
from model.head import calibration, fit, zero_shot
from model.head.zero_shot import refine_prototypes, sees_all_alike
from model.interfaces import Embedder
from model.labels import LabelledAnswer, names_of
from model.numerics.arrays import Floats
from model.numerics.metrics import expected_calibration_error
from model.numerics.temperature import HUMBLE, HUMBLE_STRENGTH, fit_temperature
from model.simulation.dataset import Dataset
from model.simulation.replay import Replay, ReplayPlan, Row, reachable
from model.spec import NONE, Sample
from model.texts import duplicate_keys

COUNTS = "0,16,64,256,1000"

SEEDS = "31,32,33"

ALL, WITHOUT_DUPLICATES = "all changes", "duplicates"
HUNTED, QUEUED = "queue that hunts", "hunting"
TUNED = "with fine-tunes"

TUNED_COUNTS = (64, 256)
QUEUED_COUNTS = (64, 256)
"""Labels at which fine-tunes and queues are measured: each takes minutes."""

LOOKED_AT = 300
"""Texts that tell whether a change can act."""

MEASURES = ("accuracy", "log_loss", "ece")

NOISE: Mapping[str, float] = {"accuracy": 0.01, "log_loss": 0.01, "ece": 0.015}
"""By how much the median must be worse, beside being worse in every order, to be told: of 1,000 texts with half a dozen
that answer otherwise an accuracy moves by half a point, and an error in 15 bins by .01."""

TEST_ROWS = 1000
"""Of which that is noise."""

OTHER_TEXTS = 2.0
"""Times as much where other texts were labelled: two random samples of 64 differ by one or two points in accuracy."""

HEADING = """# Every change on and off

Written by `python -m bench.learning --changes --out DIR`: medians over the seeds, at most 1,000 test rows. Each cell:
accuracy · log-loss · calibration error, by number of labels (a set of fewer is learned whole: `448:`). *All changes*:
the product as it is. A row below it says what was taken back, and shows what comes of that; where it cannot act, there
is none (so of duplicates: next to no test text of these sets is there again). Of sets (GoEmotions) accuracy is exact
match. **Bold**: the change makes this worse in every order, of two at least, and in the median by more than .01
(calibration error: .015), more where there are fewer test rows (`packages-es` has 290, `packages-zh_CN` 103). Queues:
the texts are chosen by the queue in place of chance, with hunting of scarce classes and without; bold from twice as
much on, since other texts are labelled; of sets their accuracy is micro-F1. Fine-tunes: what the gate lets answer,
beside the heads alone. `packages`: Debian's descriptions by section (`--fetch-languages`); `-in-en`: the same packages
in English; `e5-small`: over multilingual-e5-small at 4 bits (`python -m bench.accuracy --fetch-encoder`), else MiniLM.
"""


@dataclass(frozen=True)
class Change:
    """One that can be taken back: what is called what else instead, and whether it can act at all."""

    name: str
    instead: Sequence[tuple[Any, str, Any]]
    acts: Callable[[Dataset, Embedder], bool]

    def taken_back(self) -> ExitStack:
        """The code of before, as long as it is open."""
        stack = ExitStack()
        for place, name, other in self.instead:
            stack.enter_context(patch.object(place, name, other))
        return stack


def _texts(data: Dataset) -> list[str]:
    return [" ".join(sample.text) for sample in data.train[:LOOKED_AT]]


def _words_between_blanks(text: str) -> list[str]:
    words = tfidf.WORD.findall(text.lower())
    return words + [" ".join(pair) for pair in pairwise(words)]


def _differ_in_words(data: Dataset, _: Embedder) -> bool:
    differ = sum(tfidf.split_terms(text) != _words_between_blanks(text) for text in _texts(data))
    return differ >= 0.1 * min(LOOKED_AT, len(data.train))


def _sees_all_alike(data: Dataset, base: Embedder) -> bool:
    return sees_all_alike(*_names_and_texts(data, base))


def _drifts(data: Dataset, base: Embedder) -> bool:
    names, texts = _names_and_texts(data, base)
    with _KEPT_TO_NAMES.taken_back():
        before = refine_prototypes(names, texts)
    return not np.array_equal(before, refine_prototypes(names, texts))


def _names_and_texts(data: Dataset, base: Embedder) -> tuple[Floats, Floats]:
    names = base.embed([(name,) for name in names_of(data.control.words, data.control.keys())])
    return names[:, -1], base.embed([sample.text for sample in data.train[:LOOKED_AT]])[:, -1]


def _temperature_of_before(held_out: Floats, targets: Floats, *, multilabel: bool, **_: float) -> float:
    """As it was until decision 0081: none below 64 labels, then around one that suited sst2."""
    if multilabel:
        return fit_temperature(held_out, targets, multilabel=True)
    if len(targets) < calibration.SETS_FROM:
        return 1.0
    return fit_temperature(held_out, targets, prior_strength=HUMBLE_STRENGTH, centre=HUMBLE)


_KEPT_TO_NAMES = Change("refined names kept to the names (0087)", ((zero_shot, "LEAST_AGREEMENT", -1.0),), _drifts)

CHANGES = (
    Change(
        "sureness (0081)",
        (
            (fit, "expected_log_temperature", lambda _: 0.0),
            (calibration, "fit_temperature", _temperature_of_before),
        ),
        lambda data, _: not data.multilabel,
    ),
    Change("centred names (0086)", ((fit, "sees_all_alike", lambda *_: False),), _sees_all_alike),
    Change("words without blanks (0085)", ((tfidf, "split_terms", _words_between_blanks),), _differ_in_words),
    _KEPT_TO_NAMES,
)


class CarryingReplay(Replay):
    """A replay whose answers to texts with labelled duplicates are those of the duplicates, as the product's are."""

    plain: Row
    """The last row as the head alone would have it."""

    def _measure(self, count: int, seconds: float) -> Row:
        self.plain = super()._measure(count, seconds)
        return {**self.plain, **self._carried()}

    def _carried(self) -> Row:
        """accuracy, ece and log_loss with labels carried over; nothing where no test text is there again."""
        assert self.model is not None
        known = known_answers(group_labelled(self.control, self._samples()), self.data.test)
        if not known:
            return {}
        texts = [sample.text for sample in self.data.test]
        scores, rules = self.model.scores(self.control.name, texts), self.model.rules(self.control.name)
        right, sure, losses = np.zeros(len(texts), bool), np.zeros(len(texts)), 0.0
        for row, sample in enumerate(self.data.test):
            answer, mixed = decide(self.control, rules, scores[row]), scores[row]
            if row in known:
                answer = carry_over(self.control, answer, known[row])
                mixed = mix(scores[row], rules.labels, known[row], self.control.multilabel)
            truth = {key for key, share in sample.target.items() if share >= 0.5}
            said = set(answer.chosen) if answer is not None else set()
            right[row] = (said or (set() if self.control.multilabel else {NONE})) == truth
            sure[row] = answer.score if answer is not None else 0.0
            losses += self._loss(mixed, rules.labels, truth)
        count = len(texts)
        found = {"accuracy": float(right.mean()), "ece": expected_calibration_error(sure, right)}
        return {
            **{key: round(value, 6) for key, value in found.items()},
            "log_loss": round(losses / count, 6),
            "known": len(known),
        }

    def _loss(self, row: Floats, labels: Sequence[str], truth: set[str]) -> float:
        """As model/numerics/metrics.py has it: of sets the mean over their labels."""
        safe = np.clip(row, 1e-12, 1 - 1e-12)
        true = np.array([label in truth for label in labels])
        if self.control.multilabel:
            return float(-np.log(np.where(true, safe, 1 - safe)).mean())
        return float(-np.log(safe[true].sum())) if true.any() else float(-np.log(1e-12))


def known_answers(groups: LabelledGroups, tests: Sequence[Sample]) -> dict[int, LabelledAnswer]:
    """Place of a test text -> what was answered to its duplicates, where their labels are carried over."""
    agreement, (exact, near) = groups.agreement(), groups.answers()
    found = {}
    for row, sample in enumerate(tests):
        key, alike = duplicate_keys(groups.control.inputs, sample.text)
        if key in exact:
            found[row] = LabelledAnswer(exact[key].answers, agreement.exact)
        elif alike in near and agreement.carries_near:
            found[row] = LabelledAnswer(near[alike].answers, agreement.near)
    return found


def mix(row: Floats, labels: Sequence[str], known: LabelledAnswer, multilabel: bool) -> Floats:
    """Probabilities [K] with what people answered to duplicates."""
    told = np.zeros(len(row))
    for keys, share in known.answers:
        told += share * np.array([label in (keys or ((NONE,) if not multilabel else ())) for label in labels])
    return np.asarray(known.agreement * told + (1 - known.agreement) * row)


def measure_changes(
    name: str, data: Dataset, counts: Sequence[int], seed: int, args: Any, place: Workplace, done: set[Any]
) -> Iterator[Row]:
    """The rows of one set and seed that are not done."""
    progress = Progress()
    progress.about(f"{name}, seed {seed}")
    plan = ReplayPlan(reachable(data.labelled, counts), seed=seed)

    def is_done(method: str, counts: Sequence[int]) -> bool:
        return all((name, method, count, seed) in done for count in counts)

    def replay() -> CarryingReplay:
        return CarryingReplay(data, plan, place.base, tell=progress.tell)

    if not is_done(ALL, plan.counts):
        yield from _with_all(replay())
    for change in CHANGES:
        if change.acts(data, place.base) and not is_done(change.name, plan.counts):
            with change.taken_back():
                yield from ({**row, "method": change.name} for row in replay().rows())
    queued = tuple(count for count in plan.counts if count in QUEUED_COUNTS)
    for method, share in ((HUNTED, place.settings.hunt_share), (QUEUED, 0.0)) if args.queue and queued else ():
        if not is_done(method, queued):
            course = Course(DEFAULT_STRATEGY, seed, most=queued[-1], hunt_share=share)
            yield from queue_rows(QueueReplay(data, course, place.base, place.settings, progress.tell), queued, method)
    tuned = replace(plan, counts=tuple(count for count in plan.counts if count in TUNED_COUNTS))
    if args.finetune and not is_done(TUNED, tuned.counts):
        trainer = PolicyTrainer(place, progress.tell)
        rows = Replay(data, tuned, place.base, trainer, progress.tell).rows()
        yield from ({**row, "method": TUNED} for row in rows)


def _with_all(replay: CarryingReplay) -> Iterator[Row]:
    for row in replay.rows():
        yield {**row, "method": ALL}
        yield {**replay.plain, "method": WITHOUT_DUPLICATES}


def queue_rows(replay: QueueReplay, counts: Sequence[int], method: str) -> Iterator[Row]:
    """Measures at so many labels, between those at which the queue was planned anew."""
    points = list(replay.points())
    at = [point["n"] for point in points]
    for count in counts:
        found = {key: float(np.interp(count, at, [point[key] for point in points])) for key in MEASURES}
        yield {**{key: round(value, 6) for key, value in found.items()}, "n": count, "seed": replay.course.seed} | {
            "strategy": DEFAULT_STRATEGY,
            "method": method,
        }


Cell = dict[int, Row]
"""Seed -> row."""


def cells_of(rows: Sequence[Row]) -> dict[tuple[str, str, int], Cell]:
    """By set, method and number of labels."""
    found: dict[tuple[str, str, int], Cell] = {}
    for row in rows:
        found.setdefault((str(row["set"]), str(row["method"]), int(row["n"] or 0)), {})[int(row["seed"] or 0)] = row
    return found


def losses_of(on: Cell, off: Cell, noise: float = 1.0) -> list[str]:
    """Measures that are worse with the change than without by more than so many times NOISE; none of one order."""
    seeds = sorted(on.keys() & off.keys())
    found = []
    for key in MEASURES:
        sign = -1.0 if key == "accuracy" else 1.0
        worse = [sign * (float(on[seed][key] or 0) - float(off[seed][key] or 0)) for seed in seeds]
        if len(worse) > 1 and min(worse) > 0 and statistics.median(worse) > noise * NOISE[key]:
            found.append(key)
    return found


BESIDE = {QUEUED: HUNTED, TUNED: WITHOUT_DUPLICATES}
"""What a method is compared with, if not with all changes."""


def table_of(rows: Sequence[Row]) -> list[dict[str, str]]:
    """One line a set and method, a cell a number of labels. What a change makes worse is bold in the line that shows
    it with the change: that of fine-tunes their own, else the one of all changes."""
    cells = cells_of(rows)
    names = (ALL, WITHOUT_DUPLICATES, *(change.name for change in CHANGES), HUNTED, QUEUED, TUNED)
    counts = sorted({column_of(count) for _, _, count in cells})
    tests = {str(row["set"]): int(row["test_rows"] or 1) for row in rows if "test_rows" in row}
    lines = []
    for name, method in product(dict.fromkeys(own for own, _, _ in cells), names):
        if method == WITHOUT_DUPLICATES and not any(row["set"] == name and row.get("known") for row in rows):
            continue  # no test text is there again
        found = sorted(count for own, other, count in cells if (own, other) == (name, method))
        if not found:
            continue
        line = {"set": name, "": method if method in (ALL, HUNTED, TUNED) else f"without {method}"}
        line |= dict.fromkeys(map(str, counts), "")
        for count in found:
            own, other = cells[name, method, count], cells.get((name, BESIDE.get(method, ALL), count), {})
            on, off = (own, other) if method == TUNED else (other, own)
            noise = (OTHER_TEXTS if method == QUEUED else 1.0) * sqrt(max(1.0, TEST_ROWS / tests[name]))
            shown = show_cell(own, losses_of(on, off, noise) if method not in (ALL, HUNTED) else ())
            column = column_of(count)
            line[str(column)] = shown if column == count else f"{count}: {shown}"
        lines.append({**line, "seeds": str(max(len(cells[name, method, count]) for count in found))})
    return lines


def column_of(count: int) -> int:
    """The usual number of labels that so many stand for: a set with fewer is learned whole."""
    return min((usual for usual in map(int, COUNTS.split(",")) if usual >= count), default=count)


def show_cell(cell: Cell, worse: Sequence[str] = ()) -> str:
    """Medians of the three measures."""
    if not cell:
        return ""
    shown = []
    for key in MEASURES:
        middle = statistics.median(float(row[key] or 0) for row in cell.values())
        value = f"{middle:.3f}".removeprefix("0")
        shown.append(f"**{value}**" if key in worse else value)
    return " · ".join(shown)


def is_changes(rows: Sequence[Row]) -> bool:
    """Whether these rows are of this bench."""
    return any(row["method"] == ALL for row in rows)


def write_changes(rows: Sequence[Row], out: Path) -> None:
    """`changes.md`."""
    table = table_of(rows)
    lines = [HEADING, "| " + " | ".join(table[0]) + " |", "|" + " --- |" * len(table[0])]
    lines += ["| " + " | ".join(line.values()) + " |" for line in table]
    out.mkdir(parents=True, exist_ok=True)
    (out / "changes.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
