"""Fine-tunes the upper half of the encoder, and a head on it: of prototypes for choices (docs/learning.md, decision
0006), on words for marked text (model/training/marks/marked_task.py). Both at once take turns on one encoder.

logits = dropout(e) W' + b with e the normalised pooled output and W = 20 normalise(P_k + n_k normalised centroid): the
first step already classifies by label name and class centroid. Cross-entropy plus half a supervised contrastive loss,
batches of 16 drawn evenly over the classes; embeddings and the lower half of the layers frozen
(model/training/layers/frozen_encoder.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from model.encoder.padded import load_model
from model.encoder.weights import DELTA, KIND, stored_names
from model.encoder.windows import Window, Windows
from model.errors import EncoderError
from model.kernels.choice import BF16, FP32
from model.kernels.matrix_product import PLAIN
from model.numerics.arrays import Floats
from model.pretrained.architectures import canonical_name
from model.pretrained.base_model import has_token_types, read_config
from model.pretrained.reading import read_pooling, read_window
from model.spec import Text
from model.training.checkpoint import begin_at, load_checkpoint, save_checkpoint
from model.training.distributed import Team, alone
from model.training.layers.frozen_encoder import TopLayers
from model.training.layers.packed_layer import Noise
from model.training.marks.drawn import Drawn
from model.training.marks.marked_set import MarkedSet
from model.training.marks.marked_task import MarkedTask
from model.training.marks.soft_task import SoftSet, SoftTask
from model.training.questions.asked_set import AskedSet
from model.training.questions.asked_task import AskedTask
from model.training.recipe import DEFAULT_RECIPE, TrainingRecipe
from model.training.training_set import TrainingSet, draw_batch, prototype_head
from model.versions.finetuned import TunedHead

if TYPE_CHECKING:
    from torch.optim.optimizer import ParamsT
    from transformers import PreTrainedModel

__all__ = ["FineTuner", "TrainingSet", "draw_batch", "prototype_head"]

Report = Callable[[int, float], None]
Draw = tuple[int, NDArray[np.int64], list[Window]]
"""One batch: lesson, its rows, and a window of each."""

HEAD_NOISE = 1 << 20
"""Its place among the processes' seeds: all of them draw the same dropout for the head."""


class Paused(Exception):
    """A training ends before its time, after the step of its argument, and has written where it stands."""


class FineTuner:
    """One training run. Use: `FineTuner(...)`, `run(...)`, then `heads`, `save_encoder`. Raises EncoderError."""

    def __init__(
        self,
        directory: Path,
        lessons: Sequence[TrainingSet],
        marks: Sequence[MarkedSet | AskedSet] = (),
        *,
        seed: int,
        threads: int = 0,
        team: Team | None = None,
        recipe: TrainingRecipe = DEFAULT_RECIPE,
        precision: str = FP32,
        kernel: str = PLAIN,
        weights: Path | None = None,
        soft: SoftSet | None = None,
    ) -> None:
        """`kernel`: of the matrix products (model/kernels/training_product.py); `weights`: an earlier fine-tune's, to
        go on from instead of the base model's own; `soft`: marked texts as a student is taught them."""
        if threads:
            torch.set_num_threads(threads)
        torch.manual_seed(seed)
        self.seed, self.lessons, self.team = seed, list(lessons), team or alone()
        self.device, self.recipe = self.team.device, recipe
        half = precision == BF16
        self._autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=half)
        self.base = directory
        self.encoder = _load(directory, weights)
        self._dropout = float(self.encoder.config.to_dict().get("hidden_dropout_prob", recipe.dropout))
        nn.Module.to(self.encoder.float(), self.device)  # its own `to` has no types
        self.windows = Windows(directory, min(recipe.tokens, read_window(directory, read_config(directory))))
        self.top = TopLayers(
            self.encoder,
            pooling=read_pooling(directory),
            typed=has_token_types(self.encoder.config.to_dict()),
            frozen_share=recipe.frozen_share,
            keep=torch.bfloat16 if half else torch.float32,
            kernel=kernel,
            token_share=recipe.token_share,
        )
        self.weight = nn.ParameterDict({str(i): _parameter(x.prototypes) for i, x in enumerate(self.lessons)})
        self.bias = nn.ParameterDict({str(i): _parameter(np.zeros(len(x.labels))) for i, x in enumerate(self.lessons)})
        self.weight.to(self.device)
        self.bias.to(self.device)
        self.marked = [self.read_marks(own) for own in marks]
        self.student = self.read_soft(soft) if soft is not None else None
        self._tasks: list[MarkedTask | AskedTask | SoftTask] = [*self.marked]
        if self.student is not None:
            self._tasks.append(self.student)
        self._steps, self._marked_steps = 1, 0
        self._head_noise = Noise()
        self._read: list[list[list[Window]]] = [_by_text(self.windows, lesson.texts) for lesson in self.lessons]

    def run(
        self,
        steps: int,
        report: Report,
        checkpoint: Path | None = None,
        *,
        marked: int = 0,
        last: int | None = None,
        watch: Callable[[], bool] | None = None,
        pause: Callable[[], bool] | None = None,
    ) -> int:
        """Train for `steps` steps, calling `report(step, loss)` after each; the step it ended after. `marked` of the
        steps, evenly spread, are on marked text.

        Goes on from `checkpoint` if there is one. Batches and dropout depend on seed and step only, so that a resumed
        run does what the first would have done. Ends after step `last`, with the learning rate of a longer run, or when
        `watch()`, asked now and then in the second half, says so. Of several processes the leader alone reads and
        writes the checkpoint and looks; the others need a `watch` where it has one. When `pause()` says so after a
        step, the leader writes a checkpoint and raises Paused."""
        encoder = [p for p in self.encoder.parameters() if p.requires_grad]
        marks = [parameter for task in self._tasks for parameter in task.parameters()]
        head = [*self.weight.values(), *self.bias.values(), *marks]
        recipe = self.recipe
        self._steps, self._marked_steps = steps, marked
        groups = [{"params": part} for part in (encoder, [*self.weight.values(), *self.bias.values()], marks) if part]
        optimizer = _optimizer(groups, recipe.weight_decay)
        named, looks, end = self._trainable(), recipe.looks_at(steps), last or steps
        start = self._begin(checkpoint, named, optimizer)
        with self._autocast:
            self.top.remember([window for step in range(start, end) for window in self._windows_of(step)])
        self.encoder.train()
        for step in range(start, end):
            for group, rate in zip(optimizer.param_groups, self._rates(step), strict=True):
                group["lr"] = rate * recipe.rate_at(step, steps)
            loss = self._step(step)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.team.add_gradients(encoder)
            self.team.add_gradients(head, 1 / self.team.size)
            nn.utils.clip_grad_norm_([*encoder, *head], recipe.largest_gradient, foreach=True)
            optimizer.step()
            pauses = pause is not None and step + 1 < end and pause()
            is_due = pauses or (step + 1) % recipe.checkpoint_steps == 0
            if checkpoint and self.team.leads and is_due and step + 1 < steps:
                save_checkpoint(checkpoint, step + 1, named, optimizer)
            if pauses:
                raise Paused(step + 1)
            report(step + 1, float(loss.detach()))
            if watch is not None and step + 1 in looks and self.team.tell(self.team.leads and watch()):
                end = step + 1
                break
        self.encoder.eval()
        return end

    @torch.no_grad()
    def answers(self, lesson: int, texts: Sequence[Text]) -> Floats:
        """Probabilities [n, K] of one lesson's head as it is now, by each text's first window."""
        was_training = self.encoder.training
        self.encoder.eval()
        windows = sorted((found[0] for found in _by_text(self.windows, texts)), key=lambda window: len(window.ids))
        result = np.zeros((len(texts), len(self.lessons[lesson].labels)))
        head = self.heads({x.name: 1.0 for x in self.lessons}, {x.name: 1.0 for x in self.lessons})
        for start in range(0, len(windows), self.recipe.batch):
            batch = windows[start : start + self.recipe.batch]
            with self._autocast:
                pooled = self.top.embed(batch)
            result[[window.text for window in batch]] = head[self.lessons[lesson].name].scores(
                pooled.float().cpu().numpy()
            )
        self.encoder.train(was_training)
        return result

    def read_marks(self, lesson: MarkedSet | AskedSet) -> MarkedTask | AskedTask:
        """Marked texts, or passages with their questions, in windows, with a head as it is before training."""
        windows = Windows(self.base, read_window(self.base, read_config(self.base)))  # as long as when it is served
        width = int(self.encoder.config.hidden_size)
        if isinstance(lesson, AskedSet):
            return AskedTask(lesson, windows, width, self._dropout, self.device)
        return MarkedTask(lesson, windows, width, self._dropout, self.device)

    def read_soft(self, lesson: SoftSet) -> SoftTask:
        """Marked texts as a student is taught them, likewise."""
        windows = Windows(self.base, read_window(self.base, read_config(self.base)))
        return SoftTask(lesson, windows, int(self.encoder.config.hidden_size), self._dropout, self.device)

    def student_answers(self, held: SoftTask) -> tuple[Floats, Floats]:
        """What the student says of the pieces of `held` as it is now, and what is taught there [pieces, tags]."""
        assert self.student is not None
        was_training = self.encoder.training
        self.encoder.eval()
        found = self.student.answers(held, self._states, self.recipe.batch)
        self.encoder.train(was_training)
        return found

    def marked_loss(self, task: int, held: MarkedTask | AskedTask) -> float:
        """Mean loss of a word in the texts of `held`, or of a question, by one task's head as it is now."""
        was_training, own = self.encoder.training, self.marked[task]
        self.encoder.eval()
        if isinstance(own, AskedTask) and isinstance(held, AskedTask):
            loss = own.held_out_loss(held, self._states, self.recipe.batch)
        else:
            assert isinstance(own, MarkedTask) and isinstance(held, MarkedTask)
            loss = own.held_out_loss(held, self._states, self.recipe.batch)
        self.encoder.train(was_training)
        return loss

    def _states(self, windows: Sequence[Window]) -> list[Tensor]:
        """As in a step: the encoder in the training's number format, what the heads do with it in float32."""
        with self._autocast:
            return self.top.states(windows)

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

    def save_encoder(self, path: Path, note: Mapping[str, str] | None = None) -> None:
        """Write what training changed as safetensors, with the names that the base model's file has (a delta); `note`:
        further metadata."""
        from safetensors.torch import save_file

        stored = stored_names(self.base / "model.safetensors", str(self.encoder.base_model_prefix))
        learned = {name: value for name, value in self.encoder.named_parameters() if value.requires_grad}
        changes = {stored[canonical_name(name)]: value.detach().cpu().contiguous() for name, value in learned.items()}
        save_file(changes, path, metadata={KIND: DELTA, **(note or {})})

    def _trainable(self) -> dict[str, Tensor]:
        named: dict[str, Tensor] = {f"encoder.{n}": p for n, p in self.encoder.named_parameters() if p.requires_grad}
        named.update({f"weight.{n}": p for n, p in self.weight.items()})
        named.update({f"bias.{n}": p for n, p in self.bias.items()})
        for index, task in enumerate(self._tasks):
            named.update({f"marked.{index}.{n}": p for n, p in task.named_parameters()})
        return named

    def _begin(self, checkpoint: Path | None, named: Mapping[str, Tensor], optimizer: torch.optim.Optimizer) -> int:
        """The step to begin at, with every process's tensors as the leader has them."""
        own = load_checkpoint(checkpoint, named, optimizer) if checkpoint and self.team.leads else 0
        start = self.team.tell(own)
        self.team.copy(begin_at(start, named, optimizer))
        return start

    def _turn(self, step: int) -> tuple[bool, int]:
        """Whether a step is on marked text, and how many of its kind were before it."""
        before, after = (turn * self._marked_steps // self._steps for turn in (step, step + 1))
        return (True, before) if after > before else (False, step - before)

    def _rates(self, step: int) -> list[float]:
        """Highest rates of encoder and heads, of the kinds that there are."""
        recipe, (marked, turn) = self.recipe, self._turn(step)
        rates = recipe.marked_encoder_rate, recipe.marked_head_rate
        task = self._task(turn) if marked else None
        if isinstance(task, AskedTask):
            rates = recipe.taught_rates if task.lesson.start is not None else recipe.asked_rates
        encoder = rates[0] if marked else recipe.encoder_rate
        return [encoder, *([recipe.head_rate] if self.lessons else []), *([rates[1]] if self._tasks else [])]

    def _windows_of(self, step: int) -> list[Window]:
        marked, turn = self._turn(step)
        if marked:
            return list(self._draw_marks(turn).windows)
        return self._draw(turn)[2]

    def _draw(self, step: int) -> Draw:
        """The batch of a step on choices; controls take turns."""
        generator = np.random.default_rng([self.seed, step])
        index = step % len(self.lessons)
        lesson = self.lessons[index]
        rows = draw_batch(lesson.targets, lesson.multilabel, generator, self.recipe.balanced_classes)
        return index, rows, [generator.choice(np.array(self._read[index][row], dtype=object)) for row in rows]

    def _task(self, step: int) -> MarkedTask | AskedTask | SoftTask:
        """Whose turn a step on marked text is."""
        return self._tasks[step % len(self._tasks)]

    def _draw_marks(self, step: int) -> Drawn:
        """The batch of a step on marked text; controls take turns."""
        return self._task(step).drawn(self.seed, step // len(self._tasks), self.recipe.marked_batch)

    def _pooled(self, windows: Sequence[Window]) -> Tensor:
        """Of all windows [n, width], each process having computed its share."""
        order = sorted(range(len(windows)), key=lambda row: len(windows[row].ids))
        with self._autocast:
            part = self.top.embed([windows[row] for row in self.team.share(order)])
        return self.team.gather(part.float(), order)

    def _words(self, batch: Drawn) -> list[Tensor]:
        """Of all texts the states that are looked at [count, width], each process having computed its share."""
        order = sorted(range(len(batch.windows)), key=lambda row: len(batch.windows[row].ids))
        own = self.team.share(order)
        with self._autocast:
            found = batch.pick(own, self.top.states([batch.windows[row] for row in own]))
        longest, width = max(batch.counts), found[0].shape[1]
        padded = [F.pad(words.float(), (0, 0, 0, longest - len(words))).flatten() for words in found]
        rows = self.team.gather(torch.stack(padded), order).view(len(order), longest, width)
        return [words[:count] for words, count in zip(rows, batch.counts, strict=True)]

    def _step(self, step: int) -> Tensor:
        team = self.team
        torch.manual_seed((self.seed * 1_000_003 + step) * team.size + team.rank)
        self.top.noise.begin([self.seed, step, team.rank])
        marked, turn = self._turn(step)
        if marked:
            batch = self._draw_marks(turn)
            return batch.loss(self._words(batch), [self.seed, step, HEAD_NOISE])
        self._head_noise.begin([self.seed, step, HEAD_NOISE])
        index, rows, windows = self._draw(turn)
        lesson = self.lessons[index]
        embeddings = F.normalize(self._pooled(windows), dim=-1)
        logits = self._head_noise.drop(embeddings, self._dropout) @ self.weight[str(index)].T + self.bias[str(index)]
        targets = torch.tensor(lesson.targets[rows], dtype=torch.float32, device=self.device)
        importance = torch.tensor(lesson.weights[rows], dtype=torch.float32, device=self.device)
        if lesson.multilabel:
            losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(-1)
            return (losses * importance).sum() / importance.sum()
        losses = -(targets * logits.log_softmax(-1)).sum(-1)
        loss = (losses * importance).sum() / importance.sum()
        if not self.recipe.contrast:
            return loss
        return loss + self.recipe.contrast * contrastive_loss(
            embeddings, targets.argmax(-1), self.recipe.contrast_temperature
        )


def contrastive_loss(
    embeddings: Tensor, labels: Tensor, temperature: float = DEFAULT_RECIPE.contrast_temperature
) -> Tensor:
    """Supervised contrastive loss (Khosla et al. 2020) over unit vectors [n, width]; 0 when no label occurs twice."""
    similarity = embeddings @ embeddings.T / temperature
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    same = (labels[:, None] == labels[None]) & ~itself
    anchors = same.any(1)
    if not anchors.any():
        return embeddings.sum() * 0
    logs = similarity - torch.logsumexp(similarity.masked_fill(itself, -1e9), dim=1, keepdim=True)
    return -((logs * same).sum(1)[anchors] / same.sum(1)[anchors]).mean()


def _load(directory: Path, weights: Path | None = None) -> PreTrainedModel:
    try:
        return load_model(directory, weights)
    except (OSError, ValueError, RuntimeError) as error:
        raise EncoderError(f"the encoder in {directory} cannot be trained: {error}", path=str(directory)) from error


def _optimizer(groups: ParamsT, decay: float) -> torch.optim.Optimizer:
    """AdamW in one pass over the parameters where this torch has it for the device."""
    try:
        return torch.optim.AdamW(groups, weight_decay=decay, fused=True)
    except (RuntimeError, TypeError, ValueError):
        return torch.optim.AdamW(groups, weight_decay=decay)


def _by_text(windows: Windows, texts: Sequence[Text]) -> list[list[Window]]:
    found: list[list[Window]] = [[] for _ in texts]
    for window in windows.split(texts):
        found[window.text].append(window)
    return found


def _parameter(values: Floats) -> nn.Parameter:
    return nn.Parameter(torch.tensor(np.asarray(values), dtype=torch.float32))
