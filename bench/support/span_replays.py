"""Labelling projects with marked text replayed with real heads: through the real queue, and stage by stage; and what is
drawn from a trajectory of either kind: test-then-train rows, and the learning curve that was true."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from backend.rules.notice.drift import find_drift
from backend.settings.settings import Settings
from bench.support.replays import BLIND, EXPLORED, WITHOUT_QUEUE, Course, Queue, Row, Trajectory, is_due, open_rows
from bench.support.report import judge
from bench.support.spans import POOL
from model.acquisition.batch import QueueEntry, plan_batch
from model.acquisition.diversity import clusters
from model.acquisition.reading_worth import RANDOM_UNTIL, is_any_good
from model.acquisition.span_doubts import marked_pool, mean_state
from model.acquisition.strategies import DEFAULT_STRATEGY, Pool
from model.evidence.forecast import Stage, SurveyMean, f1_stages_of
from model.evidence.row import EvidenceRow, Judgement, Marked
from model.numerics.arrays import Floats
from model.simulation.replay import ReplayPlan, Tell
from model.simulation.span_dataset import SpanDataset
from model.simulation.span_replay import SpanReplay
from model.span import SpanDocument
from model.spans.features.reading import ReadText
from model.spans.head.head import OPENING_WORDS, Suggestions
from model.versions.span_answers import SpanTools
from tests.support.next_place import next_place

SUM_DIV = "sum_div"
"""Of texts with spans: the sum of doubts, not by what is read, one of each cluster (the literature's usual choice)."""

MILESTONES = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256)
CHUNK = 256


class SpanQueueReplay(SpanReplay):
    """The curve of one course over texts with spans. Its points are at MILESTONES, as far as `course.most`. All courses
    of a seed have one random order: the same texts are read wherever any will do, by the queue or at random, so that
    what differs is what was chosen."""

    def __init__(
        self, data: SpanDataset, course: Course, tools: SpanTools, policy: Settings, tell: Tell = lambda _: None
    ) -> None:
        counts = tuple(count for count in MILESTONES if count <= course.most)
        super().__init__(data, ReplayPlan(counts, course.strategy, course.seed, course.pool), tools, tell)
        self.candidates = self.candidates[: course.pool]
        self.course, self.policy = course, policy
        self._words: Floats = np.zeros(0)
        self._texts: list[ReadText] = []
        self._drawn: list[int] = []

    def points(self) -> Iterator[Row]:
        """One row per milestone."""
        self._encode()
        self._texts = self._read(self.candidates)
        self._words = np.array([len(text.bounds) for text in self._texts])
        self._drawn = np.random.default_rng(self.course.seed).permutation(len(self.candidates)).tolist()
        self.chosen = self._drawn[:RANDOM_UNTIL]
        self.head, milestones = self.fit(self.documents), list(self.plan.counts)
        while milestones and milestones[0] <= len(self.chosen):
            yield self._point(milestones.pop(0))
        while milestones:
            places = self._plan_queue()
            before, solved, taken = len(self.chosen), Counter[int | None]({None: len(self.chosen)}), set[int]()
            while milestones and (place := next_place(places, solved, taken)) is not None:
                self.chosen.append(place.row)
                taken.add(place.task)
                solved[place.cluster] += 1
                answers, known = len(self.chosen), len(self.candidates)
                at_one, due = answers == milestones[0], is_due(self.policy, answers, known, before, len(places))
                if at_one or (due and self.course.strategy != WITHOUT_QUEUE):  # at random nobody asks the head
                    self.head = self.fit(self.documents, self.head)
                if at_one:
                    yield self._point(milestones.pop(0))
                if due:
                    break

    def _point(self, count: int) -> Row:
        found = self._measure(count)
        about = {"strategy": self.course.strategy, "n": count, "seed": self.course.seed}
        words = int(self._words[self.chosen].sum())
        return {**about, "words": words, **{name: found[name] for name in ("f1", "saved", "classes_seen")}}

    def _plan_queue(self) -> list[QueueEntry]:
        self.tell(f"planning with {len(self.chosen)} texts")
        tasks = np.arange(len(self.candidates), dtype=np.int64)
        any_good = is_any_good(len(self.chosen), self.head.unseen(self.data.labels))
        if self.course.strategy == WITHOUT_QUEUE or (self.course.strategy != SUM_DIV and any_good):
            return self._by_chance()
        seed = self.course.seed * 1_000_003 + len(self.chosen)
        pool, confidence = self._look()
        if self.course.strategy == SUM_DIV:
            rows = self._sum_div(pool, max(8, len(self.chosen) // 10), np.random.default_rng(seed))
            return [QueueEntry(row, row, place / 1e3, None, "chosen") for place, row in enumerate(rows)]
        return plan_batch(
            [pool],
            tasks,
            confidence,
            project=self.course.seed,
            strategy=self.course.strategy,
            size=self.policy.queue_size,
            blind_share=self.policy.queue_blind_share,
            explore_share=self.policy.queue_explore_share,
            seed=seed,
            in_order=True,
        )

    def _by_chance(self) -> list[QueueEntry]:
        left = [row for row in self._drawn if row not in set(self.chosen)]
        return [QueueEntry(row, row, place / len(left), None, "chosen") for place, row in enumerate(left)]

    def _sum_div(self, pool: Pool, count: int, generator: np.random.Generator) -> list[int]:
        assert pool.worth is not None
        sums = pool.worth * (self._words + OPENING_WORDS)
        close = pool.open[np.argsort(-sums[pool.open], kind="stable")][: 4 * count]
        labels, _ = clusters(pool.unit(close), min(count, len(close)), generator)
        return [int(close[first]) for first in np.sort(np.unique(labels, return_index=True)[1])]

    def _look(self) -> tuple[Pool, Floats]:
        """As the queue sees the pool (backend/jobs/task_queue/marked_pool.py)."""
        read = self._texts
        said = portioned(partial(self.head.spans, aim=self.tools.aim), read)
        doubts = np.array([one.uncertainty for one in said])
        states = np.stack([mean_state(text) for text in read])
        pool = marked_pool(doubts, states, np.array(self.chosen, dtype=np.int64), self.head.unseen(self.data.labels))
        return pool, np.array([one.score for one in said])

    def _read(self, documents: Sequence[SpanDocument]) -> list[ReadText]:
        return portioned(self.tools.reader.read, [one.text for one in documents])


Told = TypeVar("Told")
Asked = TypeVar("Asked")


def portioned(ask: Callable[[Sequence[Asked]], list[Told]], items: Sequence[Asked]) -> list[Told]:
    """What is said of each, asked for CHUNK of them at a time."""
    return [one for start in range(0, len(items), CHUNK) for one in ask(items[start : start + CHUNK])]


def follow_spans(
    data: SpanDataset, strategy: str, seed: int, tools: SpanTools, stages: Sequence[int], tell: Tell = print
) -> Trajectory:
    """As `bench.support.replays.follow`, of texts with spans: right is a text that is right as it is shown."""
    replay = SpanReplay(data, ReplayPlan((POOL,), strategy, seed, POOL), tools)
    pool, everything = replay.candidates, [*replay.candidates, *data.test]
    counts = [count for count in stages if count <= len(pool) * 3 // 4]
    read = portioned(tools.reader.read, [one.text for one in everything])
    states = np.stack([mean_state(text) for text in read[: len(pool)]])
    queue, kept, head = Queue(len(pool), strategy, seed), [], replay.head
    for count in counts:
        head = replay.fit([pool[row] for row in queue.order[:count]], head)
        said = portioned(partial(head.spans, aim=tools.aim), read)
        marks = np.array([_facts(own, one) for own, one in zip(said, everything, strict=True)], np.float32)
        right = [{s.span for s in own.spans} == set(one.spans) for own, one in zip(said, everything, strict=True)]
        kept.append((np.array([own.score for own in said]), np.array(right), marks))
        doubts = [own.uncertainty for own in said[: len(pool)]]
        following = next((other for other in counts if other > count), count + 1)
        queue.grow(following, marked_pool(doubts, states, np.zeros(0, np.int64), head.unseen(data.labels)))
        tell(f"{strategy} seed {seed}: {count} texts, {kept[-1][1][len(pool) :].mean():.3f} right")
    confidences, correct, facts = (np.stack([stage[part] for stage in kept]) for part in range(3))
    order, kinds = np.array(queue.order), (np.array(queue.blind), np.array(queue.explored))
    nobody, shown = np.full(len(everything), -1), facts[..., SHOWN].astype(np.int32)
    return Trajectory(np.array(counts), order, *kinds, confidences, correct, shown, nobody, len(pool), facts)


LIKELY, EXPECTED, HITS, DRAWN, SHOWN = range(5)
"""Of a text: sums of the probabilities of the spans that are shown, and of all; how many are right, there, shown."""


def _facts(own: Suggestions, document: SpanDocument) -> tuple[float, float, int, int, int]:
    hits = {span.span for span in own.spans} & set(document.spans)
    return sum(one.score for one in own.spans), own.expected, len(hits), len(document.spans), len(own.spans)


def as_marked(facts: Floats) -> Marked:
    """A text's facts as a row of evidence has them."""
    shown = int(facts[SHOWN])
    score = float(facts[LIKELY]) / max(1, shown)
    marks = tuple(("", score, place < facts[HITS]) for place in range(shown))
    return Marked(marks, ("",) * int(facts[DRAWN]), 0, expected=float(facts[EXPECTED]))


def f1_of_texts(facts: NDArray[np.float32], expected: bool = False) -> float:
    """The F1 that came of these texts [n, 5], or that was expected."""
    right, there = (LIKELY, EXPECTED) if expected else (HITS, DRAWN)
    total = facts.sum(0, dtype=float)
    return float(2 * total[right] / max(1e-9, total[SHOWN] + total[there]))


def stages_of_f1(trajectory: Trajectory, stage: int, rows: Sequence[EvidenceRow]) -> list[Stage]:
    """What the product knows at this stage of the ones so far."""
    frees = [open_rows(trajectory, number) for number in range(stage + 1)]
    surveys: list[SurveyMean] = [
        {"labels": int(trajectory.counts[number]), "confidence": f1_of_texts(trajectory.marks[number, free], True)}
        for number, free in enumerate(frees)
    ]
    return f1_stages_of(surveys, rows, "label")


def draw_rows(
    trajectory: Trajectory,
    until: int,
    random: np.random.Generator,
    shares: tuple[float, float] = (BLIND, EXPLORED),
    copying: float = 0.0,
    since: int = 0,
) -> list[EvidenceRow]:
    """Test-then-train rows from stage `since` up to stage `until`. Chosen tasks are those that were chosen; the shares
    of blind and explored ones are drawn anew, and so is everything in a random order. Copiers accept a wrong pre-label.
    """
    found: list[EvidenceRow] = []
    for stage in range(since, until):
        span = slice(trajectory.counts[stage], trajectory.counts[stage + 1])
        rows, free = trajectory.order[span].copy(), open_rows(trajectory, stage)
        kind = random.choice(3, len(rows), p=[*shares, 1 - sum(shares)])
        anew = kind < 2 if trajectory.blind.any() else np.ones(len(rows), dtype=bool)
        rows[anew] = random.choice(free, anew.sum(), replace=False)
        agreed = trajectory.correct[stage, rows] | ((kind > 0) & (random.random(len(rows)) < copying))
        found += [
            EvidenceRow(
                "label",
                Judgement(float(trajectory.confidences[stage, row]), bool(right), 0.0),
                labels=int(trajectory.counts[stage]),
                blind=bool(kind == 0),
                explore=bool(kind == 1),
                marked=as_marked(trajectory.marks[stage, row]) if trajectory.marked else None,
            )
            for row, right, kind in zip(rows, agreed, kind, strict=True)
        ]
    return found


CHANGED = (0.2, 0.4)
"""Shares of the tasks that get another answer."""


def judge_drift(group: Sequence[Trajectory], replays: int) -> Iterator[Row]:
    """False alarms while nothing changes, and how soon it is told when from the middle on a share of the tasks gets
    another right answer than before. Looked at after every tenth label; the model does not learn the change."""
    for changed in (0.0, *CHANGED):
        alarms, delays, labels = 0, list[int](), 0
        for seed, trajectory in enumerate(group):
            random = np.random.default_rng(seed)
            for _ in range(replays):
                rows = draw_rows(trajectory, len(trajectory.counts) - 1, random)
                change = len(rows) // 2 if changed else len(rows)
                told = _first_alarm(rows, change, changed, random)
                labels += len(rows) if not changed else 0
                alarms += told is not None and told <= change
                delays += [told - change] if told is not None and told > change else []
        tried = replays * len(group)
        if not changed:
            rate = round(1000 * alarms / max(1, labels), 3)
            yield {"what": "false alarms of drift", "of": "1,000 labels", "replays": tried, "share": rate}
        else:
            delay = round(float(np.median(delays))) if delays else ""
            row = {"what": "drift told", "of": f"{changed:.0%} changed", "replays": tried}
            yield {**row, "share": round(len(delays) / tried, 3), "labels until": delay}


def _first_alarm(rows: Sequence[EvidenceRow], change: int, changed: float, random: np.random.Generator) -> int | None:
    """Number of the row after which drift is told."""
    timed = [replace(row, at=float(number)) for number, row in enumerate(rows, 1)]
    turned = [
        replace(row, judged=replace(row.judged, correct=False))
        if place >= change and random.random() < changed
        else row
        for place, row in enumerate(timed)
    ]
    return next((end for end in range(10, len(turned) + 1, 10) if find_drift(turned[max(0, end - 460) : end])), None)


def true_curve(group: Sequence[Trajectory]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Label counts, and accuracy (of spans F1) on unlabelled rows: a mean, smoothed (cubic in ln n), rising."""
    counts = group[0].counts
    mean = [np.mean([_reached(t, stage) for t in group]) for stage in range(len(counts))]
    fitted = np.polynomial.Polynomial.fit(np.log(counts), mean, 3)
    labels = np.arange(counts[0], counts[-1] + 1)
    return labels, np.maximum.accumulate(fitted(np.log(labels)))


def _reached(trajectory: Trajectory, stage: int) -> float:
    free = open_rows(trajectory, stage)
    if trajectory.marked:
        return f1_of_texts(trajectory.marks[stage, free])
    return float(trajectory.correct[stage, free].mean())


def summarise_spans(rows: Sequence[Row]) -> list[Row]:
    """One row per set, strategy and number of texts: means over the seeds of words read, F1, and of its distance in
    points from F1 at random at so many words, and at so many texts; `+-`: standard error of the mean at equal words.
    Each seed is compared with random's curve of the same seed, which reads the same texts as long as any will do. Of
    random itself: the distance of a seed from the mean of the others, and what it spreads."""
    ended = {(row["set"], row["strategy"], row["seed"]) for row in rows if "finished" in row}
    points = [row for row in rows if "f1" in row and (row["set"], row["strategy"], row["seed"]) in ended]
    found: list[Row] = []
    for key in sorted({(row["set"], row["strategy"], row["n"]) for row in points}):
        own = [row for row in points if (row["set"], row["strategy"], row["n"]) == key]
        random = [row for row in points if (row["set"], row["strategy"]) == (key[0], WITHOUT_QUEUE)]
        f1 = [row["f1"] for row in own]
        line: Row = {"set": key[0], "strategy": key[1], "texts": key[2], "seeds": len(own)}
        line |= {"words": round(statistics.mean(row["words"] for row in own)), "f1": round(statistics.mean(f1), 3)}
        for axis, what in (("words", "at equal words"), ("n", "at equal texts")):
            gains = [100 * (row["f1"] - base) for row in own if (base := _random_f1(random, row, axis)) is not None]
            line[what] = f"{statistics.mean(gains):+.1f}" if gains else ""
            if axis == "words":
                line["+-"] = f"{statistics.stdev(gains) / len(gains) ** 0.5:.1f}" if len(gains) > 1 else ""
        found.append(line)
    return found


def _random_f1(random: Sequence[Row], row: Row, axis: str) -> float | None:
    """Random's F1 where this row is: of the same seed, or the mean over the others where there is none (and for random
    itself); None where nobody knows."""
    own = row["strategy"] == WITHOUT_QUEUE
    seeds = _seeds(random) - {row["seed"]} if own or row["seed"] not in _seeds(random) else {row["seed"]}
    curves = [sorted((other[axis], other["f1"]) for other in random if other["seed"] == seed) for seed in seeds]
    curves = [curve for curve in curves if curve[-1][0] >= 0.9 * row[axis]]
    where = float(np.log(row[axis]))
    return statistics.mean(float(np.interp(where, *_logs(curve))) for curve in curves) if curves else None


def _seeds(rows: Sequence[Row]) -> set[int]:
    return {row["seed"] for row in rows}


def _logs(curve: Sequence[tuple[int, float]]) -> tuple[list[float], list[float]]:
    return [float(np.log(place)) for place, _ in curve], [value for _, value in curve]


def bars_of_spans(table: Sequence[Row], default: str = DEFAULT_STRATEGY) -> list[Row]:
    """The default against the bars: never below random at equal words read, which a cell is that lies more than twice
    its standard error below, and three points above it on two sets at one number of texts at least."""
    own = [row for row in table if row["strategy"] == default and row["at equal words"]]
    found: list[Row] = []
    best: dict[str, float] = {}
    for name in sorted({row["set"] for row in own}):
        cells = [(float(row["at equal words"]), float(row["+-"] or 0)) for row in own if row["set"] == name]
        gains = [gain for gain, _ in cells]
        best[name] = max(gains)
        mean, least = statistics.mean(gains), min(gains)
        surely = min(gain + NOISE * error for gain, error in cells)
        found.append({"set": name, "points": "mean", "gain": round(mean, 1), **judge(mean, ">=", 0)})
        found.append({"set": name, "points": "least", "gain": least, **judge(least, ">=", 0)})
        found.append({"set": name, "points": "least, less noise", "gain": round(surely, 1), **judge(surely, ">=", 0)})
    if len(best) > 1:
        second = sorted(best.values())[-2]
        found.append({"set": "second best", "points": "most", "gain": second, **judge(second, ">=", 3)})
    return found


NOISE = 2.0
"""Standard errors that a cell may lie below random by chance: one in fifty does."""
