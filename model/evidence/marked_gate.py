"""Whether a fine-tune may have a share in what is marked: both sides suggested for the same texts, unseen by either.

Pure: edits and hits in, verdict with its evidence out, as model/evidence/gate.py has it for choices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.evidence.gate import PROOF_SHARE, Answers, GateEvidence, Verdict, compare_losses, find_collapsed
from model.numerics.arrays import Floats


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
