"""Fine-tunes the whole encoder from a prototype head (g12 of the measured methods; docs/learning.md).

logits = dropout(e) W' + b with e the normalised pooled output and W = 20 normalise(P_k + n_k normalised centroid): the
first step already classifies by label name and class centroid. Cross-entropy plus half a supervised contrastive loss,
batches of 16 drawn evenly over the classes; embeddings and the lower half of the layers frozen (model/toplayers.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from model.base_model import has_token_types, read_config, read_pooling, read_window
from model.checkpoint import load_checkpoint, save_checkpoint
from model.coldstart import normalise
from model.finetuned import TunedHead
from model.spec import Text
from model.stopping import looks_at
from model.toplayers import TopLayers
from model.windows import Window, Windows

Floats = NDArray[np.floating]
Report = Callable[[int, float], None]

BATCH = 16
BALANCED_CLASSES = 16
"""Up to this many classes batches are balanced; beyond, a batch cannot hold them all."""

SCALE = 20.0
CONTRAST, CONTRAST_TEMPERATURE = 0.5, 0.1
ENCODER_RATE, HEAD_RATE = 5e-5, 5e-3
WARM_UP = 0.1
TRAIN_TOKENS = 128
"""Longest window that training reads; longer texts give a random one of theirs at each step."""

CHECKPOINT_STEPS = 25


@dataclass(frozen=True)
class Lesson:
    """One control's training rows: texts [n], targets [n, K], weights [n], and the head it starts from [K, width]."""

    name: str
    labels: tuple[str, ...]
    multilabel: bool
    texts: Sequence[Text]
    targets: Floats
    weights: Floats
    prototypes: Floats


def steps_for(count: int) -> int:
    """Optimiser steps for `count` labels: 60, 100, 200 and 300 at 16, 64, 256 and 1,000, linear in log n between."""
    return round(float(np.interp(np.log(max(count, 1)), np.log([16, 64, 256, 1000]), [60, 100, 200, 300])))


def prototype_head(prototypes: Floats, embeddings: Floats, targets: Floats) -> Floats:
    """The first head [K, width], of label prototypes [K, width] and embeddings [n, width] with targets [n, K]."""
    sums = targets.T @ normalise(embeddings)
    return SCALE * normalise(prototypes + targets.sum(0)[:, None] * normalise(sums))


class Tuning:
    """One training run. Use: `Tuning(...)`, `run(...)`, then `embed`, `heads`, `save_encoder`."""

    def __init__(self, directory: Path, lessons: Sequence[Lesson], *, seed: int, threads: int = 0) -> None:
        from transformers import AutoModel

        if threads:
            torch.set_num_threads(threads)
        torch.manual_seed(seed)
        self.seed = seed
        self.lessons = list(lessons)
        options = {"local_files_only": True, "trust_remote_code": False, "use_safetensors": True}
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=_has_fast_bf16(self.device))
        encoder = AutoModel.from_pretrained(directory, **options)  # sdpa where the family has it
        self.encoder: Any = encoder.float().to(self.device)
        self.pooling = read_pooling(directory)
        self.windows = Windows(directory, min(TRAIN_TOKENS, read_window(directory, read_config(directory))))
        self.typed = has_token_types(self.encoder.config.to_dict())
        self.top = TopLayers(self.encoder, pooling=self.pooling, typed=self.typed)
        self.weight = nn.ParameterDict({str(i): _parameter(x.prototypes) for i, x in enumerate(self.lessons)})
        self.bias = nn.ParameterDict({str(i): _parameter(np.zeros(len(x.labels))) for i, x in enumerate(self.lessons)})
        self.weight.to(self.device)
        self.bias.to(self.device)
        self._read: list[list[list[Window]]] = [_by_text(self.windows, lesson.texts) for lesson in self.lessons]

    def run(
        self,
        steps: int,
        report: Report,
        checkpoint: Path | None = None,
        *,
        last: int | None = None,
        watch: Callable[[], bool] | None = None,
    ) -> int:
        """Train for `steps` steps, calling `report(step, loss)` after each; the step it ended after.

        Goes on from `checkpoint` if there is one. Batches and dropout depend on seed and step only, so that a resumed
        run does what the first would have done. Ends after step `last`, with the learning rate of a longer run, or when
        `watch()`, asked now and then in the second half, says so."""
        encoder = [p for p in self.encoder.parameters() if p.requires_grad]
        head = [*self.weight.values(), *self.bias.values()]
        optimizer = torch.optim.AdamW(
            [{"params": encoder, "lr": ENCODER_RATE}, {"params": head, "lr": HEAD_RATE}], weight_decay=0.01
        )
        named = self._trainable()
        start = load_checkpoint(checkpoint, named, optimizer) if checkpoint else 0
        schedule = [_rate(step, steps) for step in range(steps)]
        looks = looks_at(steps)
        self.encoder.train()
        for step in range(start, last or steps):
            for group, rate in zip(optimizer.param_groups, (ENCODER_RATE, HEAD_RATE), strict=True):
                group["lr"] = rate * schedule[step]
            loss = self._step(step)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_([*encoder, *head], 1.0)
            optimizer.step()
            if checkpoint and (step + 1) % CHECKPOINT_STEPS == 0 and step + 1 < steps:
                save_checkpoint(checkpoint, step + 1, named, optimizer)
            report(step + 1, float(loss.detach()))
            if watch is not None and step + 1 in looks and watch():
                self.encoder.eval()
                return step + 1
        self.encoder.eval()
        return last or steps

    @torch.no_grad()
    def answers(self, lesson: int, texts: Sequence[Text]) -> Floats:
        """Probabilities [n, K] of one lesson's head as it is now, by each text's first window."""
        was_training = self.encoder.training
        self.encoder.eval()
        windows = sorted((found[0] for found in _by_text(self.windows, texts)), key=lambda window: len(window.ids))
        result = np.zeros((len(texts), len(self.lessons[lesson].labels)))
        head = self.heads({x.name: 1.0 for x in self.lessons}, {x.name: 1.0 for x in self.lessons})
        for start in range(0, len(windows), BATCH):
            batch = windows[start : start + BATCH]
            with self._autocast:
                pooled = self.top.embed(batch)
            result[[window.text for window in batch]] = head[self.lessons[lesson].name].scores(
                pooled.float().cpu().numpy()
            )
        self.encoder.train(was_training)
        return result

    def heads(self, weights: Mapping[str, float], temperatures: Mapping[str, float]) -> dict[str, TunedHead]:
        """The trained heads, to be blended with these weights and temperatures."""
        return {
            lesson.name: TunedHead(
                lesson.labels,
                lesson.multilabel,
                self.weight[str(index)].detach().cpu().numpy().copy(),
                self.bias[str(index)].detach().cpu().numpy().copy(),
                weights[lesson.name],
                temperatures[lesson.name],
            )
            for index, lesson in enumerate(self.lessons)
        }

    def save_encoder(self, path: Path) -> None:
        """Write the encoder's weights as safetensors, with the names that the base model's file has."""
        from safetensors.torch import save_file

        state = {name: value.detach().cpu().clone().contiguous() for name, value in self.encoder.state_dict().items()}
        save_file(state, path)

    def _trainable(self) -> dict[str, Tensor]:
        named = {f"encoder.{n}": p for n, p in self.encoder.named_parameters() if p.requires_grad}
        named.update({f"weight.{n}": p for n, p in self.weight.items()})
        named.update({f"bias.{n}": p for n, p in self.bias.items()})
        return named

    def _step(self, step: int) -> Tensor:
        generator = np.random.default_rng([self.seed, step])
        torch.manual_seed(self.seed * 1_000_003 + step)
        index = step % len(self.lessons)  # controls take turns
        lesson = self.lessons[index]
        rows = draw_batch(lesson.targets, lesson.multilabel, generator)
        windows = [generator.choice(np.array(self._read[index][row], dtype=object)) for row in rows]
        with self._autocast:
            pooled = self.top.embed(windows)
        embeddings = F.normalize(pooled.float(), dim=-1)
        dropped = F.dropout(embeddings, self.encoder.config.to_dict().get("hidden_dropout_prob", 0.1))
        logits = dropped @ self.weight[str(index)].T + self.bias[str(index)]
        targets = torch.tensor(lesson.targets[rows], dtype=torch.float32, device=self.device)
        importance = torch.tensor(lesson.weights[rows], dtype=torch.float32, device=self.device)
        if lesson.multilabel:
            losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(-1)
            return (losses * importance).sum() / importance.sum()
        losses = -(targets * logits.log_softmax(-1)).sum(-1)
        loss = (losses * importance).sum() / importance.sum()
        return loss + CONTRAST * contrastive_loss(embeddings, targets.argmax(-1))


def draw_batch(targets: Floats, multilabel: bool, generator: np.random.Generator) -> NDArray[np.int64]:
    """Rows of one batch: evenly over the classes, or over all rows when classes are many or not exclusive."""
    count = len(targets)
    if multilabel or targets.shape[1] > BALANCED_CLASSES:
        return generator.permutation(count)[:BATCH] if count >= BATCH else generator.integers(0, count, BATCH)
    members = targets.argmax(1)
    classes = generator.permutation(np.unique(members))
    wanted = np.resize(classes, BATCH)
    rows: list[int] = []
    for label in classes:
        pool = np.flatnonzero(members == label)
        need = int((wanted == label).sum())
        rows += list(generator.choice(pool, need, replace=need > len(pool)))
    return np.array(rows, dtype=np.int64)


def contrastive_loss(embeddings: Tensor, labels: Tensor) -> Tensor:
    """Supervised contrastive loss (Khosla et al. 2020) over unit vectors [n, width]; 0 when no label occurs twice."""
    similarity = embeddings @ embeddings.T / CONTRAST_TEMPERATURE
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    same = (labels[:, None] == labels[None]) & ~itself
    anchors = same.any(1)
    if not anchors.any():
        return embeddings.sum() * 0
    logs = similarity - torch.logsumexp(similarity.masked_fill(itself, -1e9), dim=1, keepdim=True)
    return -((logs * same).sum(1)[anchors] / same.sum(1)[anchors]).mean()


def _rate(step: int, steps: int) -> float:
    """Linear warm-up, then linear decay to 0."""
    warm = max(1, round(WARM_UP * steps))
    return (step + 1) / warm if step < warm else (steps - step) / max(1, steps - warm)


def _has_fast_bf16(device: torch.device) -> bool:
    """Whether half the bits are twice as fast here: without hardware for it they are slower."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())


def _by_text(windows: Windows, texts: Sequence[Text]) -> list[list[Window]]:
    found: list[list[Window]] = [[] for _ in texts]
    for window in windows.split(texts):
        found[window.text].append(window)
    return found


def _parameter(values: Floats) -> nn.Parameter:
    return nn.Parameter(torch.tensor(np.asarray(values), dtype=torch.float32))
