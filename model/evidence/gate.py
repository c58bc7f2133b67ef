"""Whether a challenger may replace the champion: both answered the same examples, on which neither was trained.

Pure: probabilities and policy in, verdict with its evidence out. docs/decisions/0003 gives the reasons.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from model.numerics.arrays import Floats
from model.numerics.metrics import evaluate, evaluate_multilabel, log_losses, log_losses_binary, macro_f1, one_hot

Answers = NDArray[np.bool_]

LOSS_RESAMPLES = 2000
F1_RESAMPLES = 400

PROOF_SHARE = 0.8
"""Share of the resamples in which a challenger must have the lower log-loss. Between 1 - PROOF_SHARE and it nobody can
tell, and the champion stays. Not .975: with 64 rows that would miss two of three fine-tunes that are worth 4 points of
accuracy, and a wrong promotion is found out and withdrawn later (`decide_withdrawal`); this one misses a fifth."""

MAX_F1_LOSS = 0.02
"""Macro-F1 that a challenger may lose: noise of one example in fifty."""

WITHDRAW_FROM = 40
"""New labels on which a published fine-tune is judged again."""

WITHDRAW_PROOF = 0.975
"""Share of the resamples in which it must be worse. Checked after every label, it takes more than PROOF_SHARE."""


class GateEvidence(TypedDict, total=False):
    """What a verdict rests on: `n` rows always, the rest as far as it was looked at."""

    n: int
    champion: dict[str, float]
    challenger: dict[str, float]
    log_loss_change: float
    edits_change: float
    interval: list[float]
    better: float
    collapsed: list[int]
    macro_f1_fall: float


class VerdictJson(TypedDict):
    accepted: bool
    decided: bool
    reason: str
    evidence: GateEvidence


@dataclass(frozen=True)
class Verdict:
    """`reason` is a sentence for people; `decided` is False when there was too little evidence for either answer."""

    accepted: bool
    decided: bool
    reason: str
    evidence: GateEvidence = field(default_factory=GateEvidence)

    def to_json(self) -> VerdictJson:
        return {
            "accepted": self.accepted,
            "decided": self.decided,
            "reason": self.reason,
            "evidence": self.evidence,
        }


def decide_promotion(
    champion: Floats,
    challenger: Floats,
    targets: Floats,
    *,
    min_examples: int = 20,
    multilabel: bool = False,
    thresholds: tuple[float, float] = (0.5, 0.5),
    seed: int = 0,
    ahead: float = 0.0,
) -> Verdict:
    """Compare two probability matrices [n, K] on held-out `targets` [n, K]. `thresholds`: for multi-label answers.
    `ahead`: by how much what answers is better, in log-loss, than what `champion` shows of it.

    Accepted when the challenger's log-loss is lower in PROOF_SHARE of the paired bootstrap's resamples, no class that
    the champion answers is given up altogether, and macro-F1 does not fall, beyond noise, by more than MAX_F1_LOSS.
    """
    sides = (champion, challenger)
    measure = [
        evaluate_multilabel(p, targets, t) if multilabel else evaluate(p, targets)
        for p, t in zip(sides, thresholds, strict=True)
    ]
    metrics = [_rounded(found) for found in measure]
    count = len(targets)
    evidence: GateEvidence = {"n": count, "champion": metrics[0], "challenger": metrics[1]}
    if count < min_examples:
        return _refuse(f"too little evidence: {count} of {min_examples} held-out examples", evidence, decided=False)
    losses = log_losses_binary if multilabel else log_losses
    better, change, interval = compare_losses(losses(champion, targets) - ahead, losses(challenger, targets), seed)
    evidence |= {"log_loss_change": change, "interval": interval, "better": better}
    shown = f"log-loss {metrics[1]['log_loss']:.3f} against {metrics[0]['log_loss'] - ahead:.3f} on {count} held out"
    shown += f", {ahead:.3f} of it by a fine-tune" if ahead else ""
    answers = [_answers(p, t, multilabel) for p, t in zip(sides, thresholds, strict=True)]
    true = targets >= 0.5 if multilabel else _answers(targets, 0, False)
    evidence["collapsed"] = collapsed = find_collapsed(answers[0], answers[1], true)
    if collapsed:
        return _refuse(f"{len(collapsed)} class(es) are never answered any more; {shown}", evidence)
    if better <= 1 - PROOF_SHARE:
        how = "significantly worse" if interval[0] > 0 else "worse"
        return _refuse(f"{how} than the champion: {shown}", evidence)
    if better < PROOF_SHARE:
        return _refuse(
            f"cannot tell which is better (challenger in {better:.0%} of resamples): {shown}", evidence, decided=False
        )
    if (fall := _f1_fall(answers[0], answers[1], true, seed)) > MAX_F1_LOSS:
        evidence["macro_f1_fall"] = round(fall, 4)
        return _refuse(f"macro-F1 falls from {metrics[0]['macro_f1']} to {metrics[1]['macro_f1']}; {shown}", evidence)
    how = "significantly better" if interval[1] < 0 else "better"
    return Verdict(True, True, f"{how} than the champion: {shown}", evidence)


@dataclass(frozen=True)
class MarkedSide:
    """What one side suggested for n texts: `edits` [n] from there to what is right, `found` [n, labels] whether a span
    of the label was exactly right there, and figures (f1, macro_f1, saved, ece)."""

    edits: Floats
    found: Answers
    figures: Mapping[str, float]


def decide_marked_promotion(
    champion: MarkedSide,
    challenger: MarkedSide,
    drawn: NDArray[np.bool_],
    *,
    min_examples: int = 20,
    seed: int = 0,
) -> Verdict:
    """`drawn` [n, labels]: whether a span of the label was right there. Accepted when the challenger costs fewer edits
    in PROOF_SHARE of the paired bootstrap's resamples, and no label is given up altogether."""
    count = len(champion.edits)
    evidence: GateEvidence = {"n": count, "champion": dict(champion.figures), "challenger": dict(challenger.figures)}
    if count < min_examples:
        what = f"too little evidence: {count} of {min_examples} held-out texts"
        return Verdict(False, False, what, evidence)
    better, change, interval = compare_losses(champion.edits, challenger.edits, seed)
    evidence |= {"edits_change": change, "interval": interval, "better": better}
    shown = (
        f"{challenger.edits.mean():.2f} edits a text against {champion.edits.mean():.2f}, F1 "
        f"{challenger.figures['f1']:.3f} against {champion.figures['f1']:.3f} on {count} held out"
    )
    evidence["collapsed"] = collapsed = find_collapsed(champion.found, challenger.found, drawn)
    if collapsed:
        return Verdict(False, True, f"{len(collapsed)} label(s) are never found any more; {shown}", evidence)
    if better <= 1 - PROOF_SHARE:
        how = "significantly worse" if interval[0] > 0 else "worse"
        return Verdict(False, True, f"{how} than the head alone: {shown}", evidence)
    if better < PROOF_SHARE:
        what = f"cannot tell which is better (challenger in {better:.0%} of resamples): {shown}"
        return Verdict(False, False, what, evidence)
    how = "significantly better" if interval[1] < 0 else "better"
    return Verdict(True, True, f"{how} than the head alone: {shown}", evidence)


def decide_withdrawal(
    served: ArrayLike, alone: ArrayLike, *, seed: int = 0, measure: str = "log-loss", what: str = "labels"
) -> Verdict:
    """Whether a published blend goes on (`accepted`), by its log-losses [n] (or another `measure`) on labels (`what`)
    that came since it was published, and those of the head alone on the same: withdrawn when it is worse in
    WITHDRAW_PROOF of the resamples."""
    blend, head = np.asarray(served, dtype=float), np.asarray(alone, dtype=float)
    count = len(blend)
    evidence: GateEvidence = {"n": count}
    if count < WITHDRAW_FROM:
        return Verdict(True, False, f"{count} of {WITHDRAW_FROM} new {what}", evidence)
    better, change, interval = compare_losses(head, blend, seed)
    evidence |= {"log_loss_change": change, "interval": interval, "better": better}
    shown = f"{measure} {blend.mean():.3f} against {head.mean():.3f} on {count} new {what}"
    if better <= 1 - WITHDRAW_PROOF:
        return _refuse(f"worse than the head alone: {shown}", evidence)
    return Verdict(True, better >= WITHDRAW_PROOF, f"not proven worse than the head alone: {shown}", evidence)


def find_outdone(verdicts: Mapping[str, VerdictJson]) -> list[str]:
    """Controls, of the JSON verdicts of a training, whose head alone was better than the fresh fine-tune: than an older
    one of fewer labels it is all the more."""
    return [
        name
        for name, verdict in verdicts.items()
        if verdict["decided"] and not verdict["accepted"] and verdict["evidence"].get("better", 1.0) <= 1 - PROOF_SHARE
    ]


def compare_losses(champion: Floats, challenger: Floats, seed: int = 0) -> tuple[float, float, list[float]]:
    """Paired bootstrap of two vectors of losses [n]: share of resamples in which the challenger's mean is lower (ties
    count half), mean change, and its 95 % interval."""
    difference = challenger - champion
    generator = np.random.default_rng(seed)
    means = difference[generator.integers(0, len(difference), (LOSS_RESAMPLES, len(difference)))].mean(1)
    better = float((means < 0).mean() + (means == 0).mean() / 2)
    low, high = np.percentile(means, [2.5, 97.5])
    return round(better, 4), round(float(difference.mean()), 4), [round(float(low), 4), round(float(high), 4)]


def find_collapsed(champion: Answers, challenger: Answers, true: Answers, least: int = 3) -> list[int]:
    """Columns that the champion gets right and the challenger never does, of answers and truth [n, K].

    Looked at: columns that occur `least` times or more. With many of them some lose their one hit by chance, so
    the champion must have log2 of their number right (two at least)."""
    looked_at = np.flatnonzero(true.sum(0) >= least)
    if not len(looked_at):
        return []
    needed = max(2, int(np.ceil(np.log2(len(looked_at)))))
    kept, lost = (champion & true).sum(0), (challenger & true).sum(0) == 0
    return [int(column) for column in looked_at if kept[column] >= needed and lost[column]]


def _answers(probabilities: Floats, threshold: float, multilabel: bool) -> Answers:
    if multilabel:
        return probabilities >= threshold
    return one_hot(probabilities.argmax(1), probabilities.shape[1]) > 0


def _f1_fall(champion: Answers, challenger: Answers, true: Answers, seed: int) -> float:
    """How far macro-F1 falls, 0 when it falls in fewer than PROOF_SHARE of the resamples: with few rows a class, one
    row moves it by more than MAX_F1_LOSS."""
    fall = macro_f1(champion, true) - macro_f1(challenger, true)
    if fall <= MAX_F1_LOSS:
        return 0.0
    resamples = np.random.default_rng(seed).integers(0, len(true), (F1_RESAMPLES, len(true)))
    falls = [macro_f1(champion[rows], true[rows]) > macro_f1(challenger[rows], true[rows]) for rows in resamples]
    return fall if float(np.mean(falls)) >= PROOF_SHARE else 0.0


def _refuse(reason: str, evidence: GateEvidence, decided: bool = True) -> Verdict:
    return Verdict(False, decided, reason, evidence)


def _rounded(metrics: dict[str, float]) -> dict[str, float]:
    return {name: round(float(value), 4) for name, value in metrics.items()}
