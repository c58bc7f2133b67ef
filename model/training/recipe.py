"""The numbers of a fine-tune in one place, and its schedule: how many steps, at which rate, and when it ends early
because held-out answers get worse while the training loss still falls. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TrainingRecipe:
    """Everything about a fine-tune that is a number. Where no source is named the number was set by hand, and not
    searched for (docs/learning.md, decision 0006)."""

    batch: int = 16
    """Texts of one step, drawn evenly over the classes; also the most processes of a team."""
    balanced_classes: int = 16
    """Up to so many classes a batch is drawn evenly over them; beyond, a batch cannot hold them all."""
    tokens: int = 128
    """Longest window that training reads; longer texts give a random one of theirs at each step."""

    step_counts: tuple[int, ...] = (16, 64, 256, 1000)
    """Labels at which the number of steps is given; linear in the logarithm of labels between."""
    steps: tuple[int, ...] = (60, 100, 200, 300)
    """Optimiser steps there."""
    warm_up: float = 0.1
    """Share of the steps in which the rate rises; it falls linearly to 0 after."""
    encoder_rate: float = 5e-5
    """AdamW's rate at its highest, of the encoder (Devlin et al. 2019: 2e-5 to 5e-5)."""
    head_rate: float = 5e-3
    """The same of the head, which begins as prototypes instead of pretrained."""
    weight_decay: float = 0.01
    """AdamW's, a step, in units of the rate (Devlin et al. 2019)."""
    largest_gradient: float = 1.0
    """Norm to which the gradients of a step are cut (Devlin et al. 2019)."""
    marked_batch: int = 8
    """Texts of one step on marked text; also the most processes of a team that has such."""
    marked_epochs: tuple[int, int] = (12, 6)
    """Times that each marked text is read, within `marked_steps`: without a prior, and with one that is right about the
    texts. Half of the steps are then better, not just cheaper: there is less to learn (saved edits at 256 texts of
    bc5cdr .53 against .51, at 64 of wikigold .55 against .54)."""
    marked_steps: tuple[int, int] = (40, 400)
    """Fewest and most optimiser steps on marked text."""
    marked_encoder_rate: float = 2e-4
    """AdamW's rate of the encoder there: words are judged by states that it never made for that."""
    marked_head_rate: float = 2e-3
    """The same of the head on words."""

    asked_rates: tuple[float, float] = (1e-4, 2e-3)
    """AdamW's on questions, of the encoder and of the head."""
    taught_rates: tuple[float, float] = (5e-5, 5e-5)
    """The same where the base model has a head for questions: both know much already."""
    asked_epochs: int = 8
    """Times that each question is read, within `asked_steps`."""
    asked_steps: tuple[int, int] = (40, 400)
    """Fewest and most optimiser steps on questions."""

    dropout: float = 0.1
    """Share of the embedding that the head does not see, where the encoder's config has no `hidden_dropout_prob`."""

    contrast: float = 0.5
    """Share of the supervised contrastive loss beside the cross-entropy, which has 1 (Khosla et al. 2020)."""
    contrast_temperature: float = 0.1
    """Of cosine similarities in that loss (Khosla et al. 2020)."""

    frozen_share: float = 0.5
    """Of the layers, from below: with MiniLM as accurate as none in a third of the time (sst2, 64 labels, accuracy .790
    and .790, calibration error .130 and .143)."""

    token_share: float = 0.5
    """Of a text's tokens, those that the layers that learn read in a step (model/training/layers/token_dropout.py)."""

    looks: int = 8
    """Looks at the held-out rows in one training, evenly over its second half."""
    worse: float = 1.03
    """Held-out loss, in units of the lowest seen, that counts as worse: less is noise of a few dozen rows."""

    folds: int = 3
    """Parts of the cross-fit while labels are few: each part is answered by a model trained on the two others."""
    hold_out_from: int = 300
    """Labels from which one fifth is held out instead: 60 rows are evidence enough, one training does for four."""
    hopeless: float = 0.05
    """Share of resamples with the lower loss, under which a challenger gets no further parts."""

    checkpoint_steps: int = 25
    """Steps between two checkpoints: what a killed training loses at most."""

    def steps_for(self, count: int) -> int:
        """Optimiser steps for `count` labels."""
        return round(float(np.interp(np.log(max(count, 1)), np.log(self.step_counts), self.steps)))

    def marked_steps_for(self, count: int, trust: float) -> int:
        """Optimiser steps for `count` marked texts, with a prior that can be trusted so far (0: none)."""
        (least, most), (alone, trusted) = self.marked_steps, self.marked_epochs
        epochs = alone + (trusted - alone) * min(1.0, max(0.0, trust))
        return min(most, max(least, round(epochs * count / self.marked_batch)))

    def asked_steps_for(self, count: int) -> int:
        """Optimiser steps for `count` questions."""
        least, most = self.asked_steps
        return min(most, max(least, round(self.asked_epochs * count / self.marked_batch)))

    def rate_at(self, step: int, steps: int) -> float:
        """Share of the learning rate: linear warm-up, then linear decay to 0."""
        warm = max(1, round(self.warm_up * steps))
        return (step + 1) / warm if step < warm else (steps - step) / max(1, steps - warm)

    def looks_at(self, steps: int) -> frozenset[int]:
        """The steps after which to look, the last one excepted."""
        half = steps // 2
        return frozenset(half + round((steps - half) * look / self.looks) for look in range(self.looks)) - {0, steps}

    def should_stop(self, losses: Sequence[float]) -> bool:
        """Whether the held-out losses so far have risen at the last two looks, beyond noise."""
        if len(losses) < 3:
            return False
        first, second, third = losses[-3:]
        return first < second < third and third > self.worse * min(losses)


DEFAULT_RECIPE = TrainingRecipe()
"""What the product trains with."""
