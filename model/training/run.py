"""One run of the training process: evidence on held-out rows first, then the model that would be served."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from model.encoder.encoder import Encoder
from model.encoder.engine import training_precision
from model.errors import TrainingError
from model.evidence.gate import Verdict
from model.features.cache import CachedEncoder, FeatureCache
from model.features.long_texts import LabelAwarePooling
from model.head.fit import fit_head
from model.head.zero_shot import refine_prototypes, with_none
from model.interfaces import Embedder
from model.labels import names_of
from model.numerics.arrays import Floats
from model.numerics.metrics import log_losses, log_losses_binary
from model.pretrained.base_model import find_base_model
from model.spec import NONE, Text
from model.training.distributed import Team
from model.training.follower import RunConfig, broadcast, threads_each
from model.training.holdout_evidence import Evidence, HeldOut, split_rows
from model.training.recipe import DEFAULT_RECIPE
from model.training.request import RESULT, Progress, Result, read_request, read_result, write_json
from model.training.tuner import FineTuner, TrainingSet, prototype_head
from model.versions.directory import ENCODER, Manifest, version_path, write_version
from model.versions.finetuned import FineTuned, blend, blend_weight


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
        if not self.lessons:
            raise TrainingError("there are too few labels to train on: at least two classes are needed")
        self.count = max(len(x.samples) for x in self.lessons)
        self.steps = self.request.steps or DEFAULT_RECIPE.steps_for(self.count)
        self.last: int | None = None  # the step after which the first part's held-out answers got worse
        self.parts = sorted({int(p) for x in self.lessons for p in x.parts if p >= 0})
        runs = len(self.parts) if self.count < DEFAULT_RECIPE.hold_out_from else 1
        self.progress = Progress(self.steps * (runs + (1 if self.count < DEFAULT_RECIPE.hold_out_from else 0)))

    def run(self) -> Result:
        """Train, judge and write the version. Raises ModelError."""
        found = read_result(self.directory)
        if found is not None:
            return found
        few = self.count < DEFAULT_RECIPE.hold_out_from
        evidence = {x.control.name: Evidence(x) for x in self.lessons}
        final = None
        limits = self.request.min_examples, self.request.seed
        for part in self.parts:
            stage = f"checking {part + 1} of {len(self.parts)}" if few else "training"
            rows, tuning = self._held_out(part, stage, keep=not few)
            for name, (champion, challenger) in rows.items():
                evidence[name].add(part, champion, challenger)
            if not few or (tuning is not None and all(item.is_hopeless(*limits) for item in evidence.values())):
                final = tuning  # a hopeless one is kept as it is, with the reason
                break
        verdicts = {name: item.judge(*limits) for name, item in evidence.items()}
        return self._write(final or self._tuning(part=None, stage="training"), evidence, verdicts)

    def _held_out(self, part: int, stage: str, keep: bool) -> tuple[dict[str, tuple[Floats, Floats]], FineTuner | None]:
        """Per control (head alone, blend) on the rows of `part`; none of them saw these rows in training."""
        stored = self.directory / f"part{part}.json"
        if stored.is_file() and not keep:
            self.progress.skip(self.steps)
            raw = json.loads(stored.read_text(encoding="utf-8"))
            return {name: (np.array(a), np.array(b)) for name, (a, b) in raw.items()}, None
        tuning = self._tuning(part, stage)
        answers: dict[str, tuple[Floats, Floats]] = {}
        with _Scratch(self.directory, self.encoder, tuning) as encoder:
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
        write_json(stored, {name: [a.tolist(), b.tolist()] for name, (a, b) in answers.items()})
        return answers, tuning

    def _tuning(self, part: int | None, stage: str) -> FineTuner:
        """An encoder trained on all rows but those of `part`."""
        lessons = [x for lesson in self.lessons if (x := self._lesson(lesson, part)) is not None]
        if not lessons:
            raise TrainingError("the labels are too few to hold some of them out")
        watch = part == self.parts[0]
        seed, threads, base = self.request.seed, self.request.threads, self.request.base_model
        wanted, timings = self.request.precision, self.request.timings_folder  # one precision for all of a team
        precision = training_precision(wanted, self.encoder.config, self.team.device, timings)
        broadcast(self.team, RunConfig(base, tuple(lessons), seed, threads, precision, self.steps, self.last, watch))
        each = threads_each(threads, self.team)
        tuning = FineTuner(self.base_path, lessons, seed=seed, threads=each, team=self.team, precision=precision)
        checkpoint = self.directory / f"{'final' if part is None else f'part{part}'}.safetensors"
        per_epoch = DEFAULT_RECIPE.batch / max(1, sum(len(lesson.texts) for lesson in lessons))
        ended = tuning.run(
            self.steps,
            lambda step, loss: self.progress.tell(stage, step, loss, step * per_epoch),
            checkpoint,
            last=self.last,
            watch=self._watch(tuning, part) if part is not None and watch else None,
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

        def look() -> bool:
            losses = []
            for index, texts, targets in held:
                loss = log_losses_binary if tuning.lessons[index].multilabel else log_losses
                losses.append(float(loss(tuning.answers(index, texts), targets).mean()))
            seen.append(sum(losses))
            return DEFAULT_RECIPE.should_stop(seen)

        return look

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

    def _names(self) -> list[str]:
        return [lesson.control.name for lesson in self.lessons]

    def _write(self, tuning: FineTuner, evidence: Mapping[str, Evidence], verdicts: Mapping[str, Verdict]) -> Result:
        """The version: heads on all labels, the tuned encoder, and for each control the share that it earned."""
        self.progress.tell("writing", self.steps, None, None)
        request, spec = self.request, self.request.task_spec
        accepted = any(verdict.accepted for verdict in verdicts.values())
        reason = "; ".join(f"{name}: {v.reason}" if len(verdicts) > 1 else v.reason for name, v in verdicts.items())
        # A control whose challenger was refused goes on with its head alone, when another control's was accepted.
        weights = {
            x.control.name: blend_weight(len(x.samples)) if verdicts[x.control.name].accepted or not accepted else 0.0
            for x in self.lessons
        }
        temperatures = {name: item.temperature for name, item in evidence.items()}
        heads = {
            c.name: fit_head(c, request.samples_of(c.name), request.pool, self.base, seed=request.seed)
            for c in spec.controls
        }
        path = self.directory / ENCODER
        tuning.save_encoder(path)
        manifest = self._manifest(verdicts, accepted, reason)
        root = Path(request.models)
        shutil.rmtree(version_path(root, request.project, request.version), ignore_errors=True)  # of a killed attempt
        counts = {x.control.name: len(x.samples) for x in self.lessons}
        tuned = {
            name: replace(head, rules=evidence[name].rules, trained_on=counts[name])
            for name, head in tuning.heads(weights, temperatures).items()
        }
        parent = version_path(root, self.request.project, self.request.parent) if self.request.parent else None
        write_version(root, manifest, heads, FineTuned(path, tuned), marking_of=parent if spec.spans else None)
        path.unlink()
        metrics = {name: verdict.evidence.get("challenger", {}) for name, verdict in verdicts.items()}
        result = Result(request.version, accepted, reason, metrics, manifest.gate or {})
        write_json(self.directory / RESULT, result)
        return result

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
            labels_seen={name: len(items) for name, items in request.samples.items()},
            finetuned=request.version,
            status="published" if accepted else "challenger",
            reason=reason,
            metrics={name: verdict.evidence.get("challenger", {}) for name, verdict in verdicts.items()},
            incumbent_metrics={name: verdict.evidence.get("champion", {}) for name, verdict in verdicts.items()},
            gate={name: verdict.to_json() for name, verdict in verdicts.items()},
            seed=request.seed,
        )


class _Scratch:
    """The tuned encoder as the packed engine serves it: evidence must come from what will answer."""

    def __init__(self, directory: Path, base: Encoder, tuning: FineTuner) -> None:
        self.path, self.base, self.tuning = directory / "held-out.safetensors", base, tuning

    def __enter__(self) -> Encoder:
        self.tuning.save_encoder(self.path)
        return Encoder(self.base.directory, weights=self.path, threads=None, base=self.base)

    def __exit__(self, *error: object) -> None:
        self.path.unlink(missing_ok=True)
