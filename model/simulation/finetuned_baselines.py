"""The two recipes of other tools that train an encoder, written out: HumanSignal's and SetFit's
(model/simulation/baselines.py).

Both start from the learner's own base encoder, so that recipes are compared and not encoders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from model.numerics.arrays import Floats

if TYPE_CHECKING:
    from transformers import BatchEncoding, PreTrainedModel, PreTrainedTokenizerBase

    from model.simulation.baseline_task import Task

Item = TypeVar("Item")

OFFLINE_OPTIONS = {"local_files_only": True, "trust_remote_code": False}
Pair = tuple[int, int, float]
"""Two rows, and 1 for equal labels else 0."""

RATE, CLIP, LONGEST = 2e-5, 1.0, 256

EPOCHS, BATCH = 3, 8
"""label_studio_ml/examples/huggingface_llm and bert_classifier: three epochs of batches of 8 at 2e-5."""

PAIRS, PAIR_BATCH, MOST_STEPS, WARM_UP = 20, 16, 400, 0.1
"""SetFit (Tunstall et al. 2022): 20 pairs of equal and 20 of different labels a text, batches of 16, one epoch; the
number of steps is capped to save time, as it was for the measured table."""


def train_humansignal(task: Task) -> Floats:
    """Probabilities [test rows, K] of AutoModelForSequenceClassification after 3 epochs from a fresh head."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    _prepare(task)
    kind = "multi_label_classification" if task.multilabel else "single_label_classification"
    model: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(
        task.base_model, num_labels=task.targets.shape[1], problem_type=kind, use_safetensors=True, **OFFLINE_OPTIONS
    )
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(task.base_model, **OFFLINE_OPTIONS)
    texts, targets = task.flat(task.train), torch.tensor(task.targets, dtype=torch.float32)
    generator = np.random.default_rng(task.seed)
    batches = [rows for _ in range(EPOCHS) for rows in _batches(generator.permutation(len(texts)).tolist(), BATCH)]

    def loss_of(rows: Sequence[int]) -> Tensor:
        logits = model(**_tokens(tokenizer, [texts[row] for row in rows])).logits
        if task.multilabel:
            return F.binary_cross_entropy_with_logits(logits, targets[rows])
        return F.cross_entropy(logits, targets[rows].argmax(1))

    _train(model, batches, loss_of, 0.0, task)
    with torch.inference_mode():
        parts = [model(**_tokens(tokenizer, part)).logits for part in _batches(task.flat(task.test), 32)]
    logits = torch.cat(parts)
    return np.asarray((logits.sigmoid() if task.multilabel else logits.softmax(1)).double().numpy())


def train_setfit(task: Task) -> Floats:
    """Probabilities [test rows, K]: contrastive pairs first, then a logistic regression on the new embeddings."""
    from transformers import AutoModel, AutoTokenizer

    from model.simulation.baseline_task import fit_logistic

    _prepare(task)
    body: PreTrainedModel = AutoModel.from_pretrained(task.base_model, use_safetensors=True, **OFFLINE_OPTIONS)
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(task.base_model, **OFFLINE_OPTIONS)
    texts = task.flat(task.train)

    def embed(part: Sequence[str]) -> Tensor:
        tokens = _tokens(tokenizer, part)
        mask = tokens["attention_mask"].unsqueeze(-1)
        hidden = body(**tokens).last_hidden_state
        return F.normalize((hidden * mask).sum(1) / mask.sum(1).clamp(min=1), dim=1)

    def loss_of(pairs: Sequence[Pair]) -> Tensor:
        left, right = embed([texts[pair[0]] for pair in pairs]), embed([texts[pair[1]] for pair in pairs])
        return F.mse_loss((left * right).sum(1), torch.tensor([pair[2] for pair in pairs]))

    pairs = make_pairs(task.targets, np.random.default_rng(task.seed))
    _train(body, list(_batches(pairs, PAIR_BATCH))[:MOST_STEPS], loss_of, WARM_UP, task)
    with torch.inference_mode():
        train, test = (
            torch.cat([embed(part) for part in _batches(rows, 32)]).numpy() for rows in (texts, task.flat(task.test))
        )
    return fit_logistic(train, task.targets, test, 1.0, multilabel=task.multilabel)


def make_pairs(targets: Floats, generator: np.random.Generator, each: int = PAIRS) -> list[Pair]:
    """(row, other row, 1 for equal labels else 0), shuffled: `each` of either kind for every row that has a partner."""
    answers = targets >= 0.5 if (targets.sum(1) > 1 + 1e-9).any() else np.eye(targets.shape[1])[targets.argmax(1)] > 0
    pairs: list[Pair] = []
    for row in range(len(answers)):
        equal = (answers == answers[row]).all(1)
        for same, value in ((True, 1.0), (False, 0.0)):
            partners = np.flatnonzero(equal == same)
            partners = partners[partners != row]
            if len(partners):
                pairs += [(row, int(other), value) for other in generator.choice(partners, each)]
    return [pairs[index] for index in generator.permutation(len(pairs))]


def _prepare(task: Task) -> None:
    from transformers.utils import logging

    logging.set_verbosity_error()  # its report of a fresh head, and a bar for every load, belong on no terminal
    logging.disable_progress_bar()
    torch.set_num_threads(task.threads)
    torch.manual_seed(task.seed)


def _train(
    model: PreTrainedModel, batches: Sequence[Item], loss_of: Callable[[Item], Tensor], warm_up: float, task: Task
) -> None:
    """AdamW without weight decay, linear warm-up and decay, gradients clipped: the Trainer's defaults."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0)
    total, warm = len(batches), int(warm_up * len(batches))
    rate = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: (step + 1) / max(1, warm) if step < warm else (total - step) / max(1, total - warm)
    )
    model.train()
    for step, batch in enumerate(batches):
        task.tell(f"{len(task.train)} labels, step {step}/{total}")
        optimizer.zero_grad()
        loss_of(batch).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        rate.step()
    model.eval()


def _tokens(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> BatchEncoding:
    return tokenizer(list(texts), padding=True, truncation=True, max_length=LONGEST, return_tensors="pt")


def _batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
