"""Reads what a version's fine-tuned encoder says of marked text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from model.errors import VersionError
from model.questions.tuned_answers import TunedAnswers, TunedAnswersJson, restore_tuned_answers
from model.spans.head.tuned_marks import TunedMarks, TunedMarksJson, restore_tuned_marks
from model.spans.transfer.prior import TransferPrior
from model.versions.directory import HEADS, WEIGHTS, HeadsJson, arrays_under
from model.versions.finetuned import FineTuned


def with_tuned_marks(finetuned: FineTuned | None, directory: Path, prior: TransferPrior | None) -> FineTuned | None:
    """The fine-tuned part of a verified version with what it says of spans. Raises
    VersionError; also where it was trained with another prior."""
    from safetensors.numpy import load_file

    if finetuned is None:
        return None
    try:
        state: HeadsJson = json.loads((directory / HEADS).read_text(encoding="utf-8"))
        entries = state.get("tuned_spans", [])
        arrays = load_file(directory / WEIGHTS) if entries else {}
        marks = {
            entry["control"]: _restore(entry["config"], arrays_under(arrays, f"tuned_span.{index}."), prior)
            for index, entry in enumerate(entries)
        }
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise VersionError(f"{directory.name} cannot be read: {error!r}", version=directory.name) from error
    return replace(finetuned, marks=marks)


def _restore(
    config: TunedMarksJson | TunedAnswersJson, arrays: Mapping[str, NDArray[np.generic]], prior: TransferPrior | None
) -> TunedMarks | TunedAnswers:
    """Of questions they say what they are; of any other marks they never did."""
    if "kind" in config:
        return restore_tuned_answers(cast("TunedAnswersJson", config), arrays)
    return restore_tuned_marks(config, arrays, prior)
