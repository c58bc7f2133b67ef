"""One run of the training process: evidence on held-out rows first, then the model that would be served."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

import numpy as np

from model.encoder.encoder import Encoder
from model.encoder.engine import training_kernel, training_precision
from model.errors import TrainingError
from model.evidence.gate import Verdict
from model.features.cache import CachedEncoder, FeatureCache
from model.features.int8_check import describe_refusal, save_checked
from model.features.long_texts import LabelAwarePooling
from model.features.varied_cache import VariedCache
from model.head.fit import fit_head
from model.head.zero_shot import refine_prototypes, with_none
from model.interfaces import Embedder
from model.labels import names_of
from model.numerics.arrays import Floats
from model.numerics.metrics import log_losses, log_losses_binary
from model.pretrained.base_model import find_base_model
from model.questions.tuned_answers import TunedAnswers
from model.spans.features.reading import SpanReader
from model.spans.head.tuned_marks import TunedMarks
from model.spans.patterns.lexicon import Lexicon, read_lexicon
from model.spans.transfer.token_prior import choose_prior
from model.spec import NONE, Json, Text
from model.training.asked_evidence import AskedRows, split_questions
from model.training.distributed import Team
from model.training.follower import RunConfig, broadcast, threads_each
from model.training.holdout_evidence import Evidence, HeldOut, split_rows
from model.training.marked_evidence import MarkedRows, split_texts
from model.training.marks.blend_evidence import Earned
from model.training.marks.marked_task import MarkedTask
from model.training.questions.asked_task import AskedTask
from model.training.recipe import DEFAULT_RECIPE
from model.training.request import PAUSE, RESULT, Progress, Result, read_request, read_result, write_json
from model.training.tuner import FineTuner, TrainingSet, prototype_head
from model.versions.directory import Manifest, version_path, write_version
from model.versions.encoder_files import ENCODER
from model.versions.finetuned import FineTuned, blend, blend_weight
from model.versions.span_answers import SpanTools, fit_span_heads


class Training:
    """Everything that is decided in a run; the processes of `team` train along."""

    def __init__(self, directory: Path, team: Team) -> None:
        self.directory, self.team = directory, team
        self.request = read_request(directory)
        self.base_path = find_base_model(self.request.base_model)
        request, timings = self.request, self.request.timings_folder
        self.encoder = Encoder(self.base_path, threads=request.threads, precision=request.precision, timings=timings)
        cache = FeatureCache(Path(self.request.features), self.request.features_mb)
        self.base: Embedder = CachedEncoder(self.encoder, cache)
        controls, seed = self.request.task_spec.controls, self.request.seed
        rows = (split_rows(control, self.request.samples_of(control.name), seed) for control in controls)
        self.lessons = [lesson for lesson in rows if lesson is not None]
        self.tools = self._span_tools()
        self.marks = self._split_marks()
        if not self.lessons and not self.marks:
            raise TrainingError("there are too few labels to train on: at least two classes are needed")
        if self.marks and team.size > DEFAULT_RECIPE.marked_batch:
            most = DEFAULT_RECIPE.marked_batch
            raise TrainingError(
                f"FINETUNE_LAUNCH starts {team.size} processes; marked text is split over at most {most}"
            )
        self.count = max([len(x.samples) for x in self.lessons] + [x.texts for x in self.marks])
        self.last: int | None = None  # the step after which the first part's held-out answers got worse
        parts = [lesson.parts for lesson in self.lessons] + [rows.parts for rows in self.marks]
        self.parts = sorted({int(p) for own in parts for p in own if p >= 0})
        self.steps, self.marked_steps = self._plan()
        runs = len(self.parts) if self.count < DEFAULT_RECIPE.hold_out_from else 1
        self.progress = Progress(self.steps * (runs + (1 if self.count < DEFAULT_RECIPE.hold_out_from else 0)))

    def _span_tools(self) -> SpanTools | None:
        """What spans are read with, where there are controls that mark text."""
        request = self.request
        if not request.task_spec.spans:
            return None
        trained = [Path(request.priors) / f"{self.base.digest}.safetensors"] if request.priors else []
        own = self.encoder
        prior = choose_prior(own.digest, own.layers, own.token_head, *trained)
        cache = VariedCache(Path(request.words), request.words_mb) if request.words else None
        lexicons = {control: read_lexicon(text) for control, text in request.patterns.items()}
        return SpanTools(SpanReader(self.encoder, prior, cache), lexicons=lexicons)

    def _split_marks(self) -> list[MarkedRows | AskedRows]:
        if self.tools is None:
            return []
        found: list[MarkedRows | AskedRows | None] = []
        for control in self.request.task_spec.spans:
            samples = self.request.marked_samples_of(control.name)
            if control.question is None:
                found.append(split_texts(control, samples, self.request.pool, self.tools))
            else:
                found.append(split_questions(control, samples, self.tools))
        return [own for own in found if own is not None]

    def _plan(self) -> tuple[int, int]:
        """Steps of a training, and how many of them are on marked text."""
        choices = DEFAULT_RECIPE.steps_for(max(len(x.samples) for x in self.lessons)) if self.lessons else 0
        marked = max((own.steps(self.parts[0]) for own in self.marks), default=0)
        steps = self.request.steps or choices + marked
        share = round(steps * marked / (choices + marked))
        return steps, share if not self.lessons or not self.marks else min(max(1, share), max(1, steps - 1))

    def run(self) -> Result:
        """Train, judge and write the version. Raises ModelError."""
        found = read_result(self.directory)
        if found is not None:
            return found
        few = self.count < DEFAULT_RECIPE.hold_out_from
        evidence = {x.control.name: Evidence(x) for x in self.lessons}
        marked = {x.control.name: x.evidence() for x in self.marks}
        final = None
        limits = self.request.min_examples, self.request.seed
        for part in self.parts:
            stage = f"checking {part + 1} of {len(self.parts)}" if few else "training"
            answered, tuning = self._held_out(part, stage, keep=not few)
            for name, (champion, challenger) in answered.answers.items():
                evidence[name].add(part, champion, challenger)
            for name, said in answered.marked.items():
                marked[name].add(part, said)
            hopeless = [item.is_hopeless(*limits) for item in evidence.values()]
            hopeless += [item.is_hopeless(*limits, DEFAULT_RECIPE.hopeless) for item in marked.values()]
            if not few or (tuning is not None and all(hopeless)):
                final = part, tuning  # a hopeless one is kept as it is, with the reason
                break
        verdicts = {name: item.judge(*limits) for name, item in evidence.items()}
        earned = {name: own for name, item in marked.items() if (own := item.judge(*limits)) is not None}
        verdicts |= {name: own.verdict for name, own in earned.items()}
        left_out, tuning = final or (None, None)
        return self._write(left_out, tuning or self._tuning(part=None, stage="training"), evidence, earned, verdicts)

    def _held_out(self, part: int, stage: str, keep: bool) -> tuple[_Found, FineTuner | None]:
        """Per control (head alone, blend) on the rows of `part`, and what is marked in its texts; none of them was seen
        in training."""
        stored = self.directory / f"part{part}.json"
        if stored.is_file() and not keep:
            self.progress.skip(self.steps)
            return _Found.from_json(json.loads(stored.read_text(encoding="utf-8"))), None
        tuning = self._tuning(part, stage)
        answers: dict[str, tuple[Floats, Floats]] = {}
        with _Scratch(self.directory, self.encoder, tuning) as encoder:
            marked = self._mark(tuning, encoder, part)
            heads = tuning.heads(dict.fromkeys(self._names(), 1.0), dict.fromkeys(self._names(), 1.0))
            for lesson in self.lessons:
                rows = np.flatnonzero(lesson.parts == part)
                if len(rows) == 0 or lesson.control.name not in heads:
                    continue
                texts = [lesson.samples[row].text for row in rows]
                rest = [s for s, p in zip(lesson.samples, lesson.parts, strict=True) if p != part]
                head = fit_head(lesson.control, rest, self.request.pool, self.base, seed=self.request.seed)
                own = head.scores(texts, LabelAwarePooling(self.base, lesson.control).embed(texts))
                tuned = heads[lesson.control.name].scores(encoder.embed(texts)[:, -1])
                weight = blend_weight(len(rest))
                answers[lesson.control.name] = own, blend(own, tuned, weight, multilabel=lesson.multilabel)
        found = _Found(answers, marked)
        write_json(stored, found.to_json())
        return found, tuning

    def _mark(self, tuning: FineTuner, encoder: Encoder, part: int) -> dict[str, Json]:
        """What a fine-tuned encoder alone says of the texts of a part."""
        tasks = {task.lesson.name: task for task in tuning.marked}
        named = {rows.control.name: rows for rows in self.marks if rows.of(part)}
        return {name: rows.said(tasks[name], encoder, part) for name, rows in named.items() if name in tasks}

    def _tuning(self, part: int | None, stage: str) -> FineTuner:
        """An encoder trained on all rows but those of `part`."""
        lessons = [x for lesson in self.lessons if (x := self._lesson(lesson, part)) is not None]
        marks = [rows.lesson(part) for rows in self.marks if rows.teaches(part)]
        if not lessons and not marks:
            raise TrainingError("the labels are too few to hold some of them out")
        watch = part == self.parts[0]
        seed, threads, base = self.request.seed, self.request.threads, self.request.base_model
        wanted, timings = self.request.precision, self.request.timings_folder  # one precision for all of a team
        device, config = self.team.device, self.encoder.config
        precision = training_precision(wanted, config, device, timings)
        kernel = training_kernel(precision, config, device, timings)
        marked = self.marked_steps if lessons and marks else self.steps if marks else 0
        order = RunConfig(
            base, tuple(lessons), seed, threads, precision, self.steps, self.last, watch, tuple(marks), marked, kernel
        )
        broadcast(self.team, order)
        each = threads_each(threads, self.team)
        tuning = FineTuner(
            self.base_path,
            lessons,
            marks,
            seed=seed,
            threads=each,
            team=self.team,
            precision=precision,
            kernel=kernel,
        )
        checkpoint = self.directory / f"{'final' if part is None else f'part{part}'}.safetensors"
        whole = sum(len(x.texts) for x in lessons) + sum(len(x.texts) for x in marks)
        per_epoch = (DEFAULT_RECIPE.batch if lessons else DEFAULT_RECIPE.marked_batch) / max(1, whole)
        ended = tuning.run(
            self.steps,
            lambda step, loss: self.progress.tell(stage, step, loss, step * per_epoch),
            checkpoint,
            marked=marked,
            last=self.last,
            watch=self._watch(tuning, part) if part is not None and watch else None,
            pause=(self.directory / PAUSE).exists,
        )
        self.last = ended if ended < self.steps else self.last
        self.progress.finish(self.steps)
        checkpoint.unlink(missing_ok=True)
        return tuning

    def _watch(self, tuning: FineTuner, part: int) -> Callable[[], bool]:
        """Looks at the rows of `part` while the others are learned; true when learning on makes it worse."""
        held: list[tuple[int, list[Text], Floats]] = []
        for index, lesson in enumerate(tuning.lessons):
            whole = next(x for x in self.lessons if x.control.name == lesson.name)
            rows = np.flatnonzero(whole.parts == part)
            if len(rows):
                held.append((index, [whole.samples[row].text for row in rows], whole.targets[rows]))
        seen: list[float] = []
        marked = self._held_marks(tuning, part)

        def look() -> bool:
            losses = [tuning.marked_loss(index, own) for index, own in marked]
            for index, texts, targets in held:
                loss = log_losses_binary if tuning.lessons[index].multilabel else log_losses
                losses.append(float(loss(tuning.answers(index, texts), targets).mean()))
            seen.append(sum(losses))
            self.progress.tell_held_out(seen[-1])
            return DEFAULT_RECIPE.should_stop(seen)

        return look

    def _held_marks(self, tuning: FineTuner, part: int) -> list[tuple[int, MarkedTask | AskedTask]]:
        """The texts of a part for each task on marked text, with what is right there."""
        found = []
        for index, task in enumerate(tuning.marked):
            held = next(own for own in self.marks if own.control.name == task.lesson.name).held(part)
            if held is not None:
                found.append((index, tuning.read_marks(held)))
        return found

    def _lesson(self, lesson: HeldOut, part: int | None) -> TrainingSet | None:
        rows = np.flatnonzero(lesson.parts != part) if part is not None else np.arange(len(lesson.samples))
        if len(rows) == 0:
            return None
        texts = [lesson.samples[row].text for row in rows]
        targets = lesson.targets[rows]
        base = LabelAwarePooling(self.base, lesson.control)
        named = [key for key in lesson.labels if key != NONE]
        names = base.embed([(name,) for name in names_of(lesson.control.words, named)])[:, -1]
        pool = [d for d in self.request.pool if all(name in d for name in lesson.control.inputs)]
        background = base.embed([lesson.control.text_of(document) for document in pool])[:, -1]
        prototypes = with_none(refine_prototypes(names, background), lesson.labels)
        start = prototype_head(prototypes, base.embed(texts)[:, -1], targets)
        weights = np.array([lesson.samples[row].weight for row in rows])
        return TrainingSet(lesson.control.name, lesson.labels, lesson.multilabel, texts, targets, weights, start)

    def _lexicons(self) -> Mapping[str, Lexicon]:
        return self.tools.lexicons if self.tools is not None else {}

    def _names(self) -> list[str]:
        return [lesson.control.name for lesson in self.lessons]

    def _write(
        self,
        part: int | None,
        tuning: FineTuner,
        evidence: Mapping[str, Evidence],
        earned: Mapping[str, Earned],
        verdicts: Mapping[str, Verdict],
    ) -> Result:
        """The version: heads on all labels, the encoder tuned on all but those of `part`, and of each control the share
        that it earned."""
        self.progress.tell("writing", self.steps, None, None)
        request, spec = self.request, self.request.task_spec
        accepted = any(verdict.accepted for verdict in verdicts.values())
        reason = "; ".join(f"{name}: {v.reason}" if len(verdicts) > 1 else v.reason for name, v in verdicts.items())
        # A control whose challenger was refused goes on with its head alone, when another control's was accepted.
        refused = {name for name, verdict in verdicts.items() if accepted and not verdict.accepted}
        weights = {x.control.name: blend_weight(len(x.samples)) for x in self.lessons}
        temperatures = {name: item.temperature for name, item in evidence.items()}
        heads = {
            c.name: fit_head(c, request.samples_of(c.name), request.pool, self.base, seed=request.seed)
            for c in spec.controls
        }
        path = self.directory / ENCODER
        reason += describe_refusal(save_checked(path, tuning.save_encoder, self.encoder, request.checked_texts))
        manifest = self._manifest(verdicts, accepted, reason)
        root = Path(request.models)
        shutil.rmtree(version_path(root, request.project, request.version), ignore_errors=True)  # of a killed attempt
        counts = {x.control.name: len(x.samples) for x in self.lessons}
        tuned = {
            name: replace(head, rules=evidence[name].rules, trained_on=counts[name])
            for name, head in tuning.heads(weights, temperatures).items()
        }
        parts = FineTuned(path, tuned, self._tuned_marks(part, tuning, earned)).without(refused)
        samples = {control.name: request.marked_samples_of(control.name) for control in spec.spans}
        marking = fit_span_heads(spec, samples, request.pool, self.tools)
        parent = version_path(root, request.project, request.parent) if request.parent else None
        write_version(root, manifest, heads, parts, marking, regions_of=parent)
        path.unlink()
        metrics = {name: verdict.evidence.get("challenger", {}) for name, verdict in verdicts.items()}
        result = Result(request.version, accepted, reason, metrics, manifest.gate or {})
        write_json(self.directory / RESULT, result)
        return result

    def _tuned_marks(
        self, part: int | None, tuning: FineTuner, earned: Mapping[str, Earned]
    ) -> dict[str, TunedMarks | TunedAnswers]:
        """What the encoder says of words, for each control of which held-out texts told how."""
        tasks = {task.lesson.name: task for task in tuning.marked}
        named = {rows.control.name: rows for rows in self.marks if rows.control.name in tasks}
        return {name: rows.earned(tasks[name], part, earned[name]) for name, rows in named.items() if name in earned}

    def _manifest(self, verdicts: Mapping[str, Verdict], accepted: bool, reason: str) -> Manifest:
        request = self.request
        return Manifest(
            version=request.version,
            project=request.project,
            parent=request.parent,
            kind="finetune",
            snapshot_seq=request.snapshot_seq,
            spec=request.spec,
            spec_digest=request.task_spec.digest,
            encoder_digest=self.base.digest,
            precision=self.encoder.precision,
            labels_seen={
                **{name: len(items) for name, items in request.samples.items()},
                **{name: len({item["task"] for item in items}) for name, items in request.spans.items()},
            },
            finetuned=request.version,
            status="published" if accepted else "challenger",
            reason=reason,
            metrics={name: verdict.evidence.get("challenger", {}) for name, verdict in verdicts.items()},
            incumbent_metrics={name: verdict.evidence.get("champion", {}) for name, verdict in verdicts.items()},
            gate={name: verdict.to_json() for name, verdict in verdicts.items()},
            seed=request.seed,
            patterns={control: own.digest for control, own in self._lexicons().items()},
        )


class _FoundJson(TypedDict):
    answers: Mapping[str, Sequence[Sequence[Sequence[float]]]]
    marked: Mapping[str, Json]


@dataclass(frozen=True)
class _Found:
    """Of one part: control -> (head alone, blend), and what a fine-tuned encoder alone says of marked text."""

    answers: dict[str, tuple[Floats, Floats]]
    marked: Mapping[str, Json]

    def to_json(self) -> Mapping[str, Json]:
        answers = {name: [a.tolist(), b.tolist()] for name, (a, b) in self.answers.items()}
        return {"answers": answers, "marked": self.marked}

    @classmethod
    def from_json(cls, raw: _FoundJson) -> _Found:
        return cls({name: (np.array(a), np.array(b)) for name, (a, b) in raw["answers"].items()}, raw["marked"])


class _Scratch:
    """The tuned encoder as the packed engine serves it: evidence must come from what will answer."""

    def __init__(self, directory: Path, base: Encoder, tuning: FineTuner) -> None:
        self.path, self.base, self.tuning = directory / "held-out.safetensors", base, tuning

    def __enter__(self) -> Encoder:
        self.tuning.save_encoder(self.path)
        return Encoder(self.base.directory, weights=self.path, threads=None, base=self.base)

    def __exit__(self, *error: object) -> None:
        self.path.unlink(missing_ok=True)
