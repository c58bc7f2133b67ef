"""What a training run is asked for and what it found, two JSON files in its directory; how far it is, on stdout."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from model.errors import TrainingError
from model.evidence.gate import VerdictJson
from model.span import SpanSample, SpanSampleJson
from model.spec import Json, Sample, TaskSpec, Text
from model.spec_json import SampleJson, SpecJson

REQUEST, RESULT = "run.json", "result.json"

PAUSE = "pause"
"""A file that makes a training write where it stands, and end. No signal: a launcher between would end it at once."""


CHECKED_TEXTS = 200
"""A second of CPU or two."""


@dataclass(frozen=True)
class Request:
    """One fine-tune: everything it needs, so that the training process calls no other.

    `models` is the root of the version directories, `version` the name to write under, `steps` 0 for as many as the
    labels call for, `threads` torch's. `min_examples` is the gate's, `precision` that of what serves, since features
    are shared with it, and of training (fp32, bf16 or auto). `timings`: folder where what auto found is kept."""

    project: int
    version: str
    parent: str | None
    snapshot_seq: int
    spec: SpecJson
    samples: Mapping[str, Sequence[SampleJson]]
    pool: list[dict[str, str]]
    base_model: str
    models: str
    features: str
    features_mb: int
    steps: int = 0
    threads: int = 1
    seed: int = 0
    min_examples: int = 20
    precision: str = "fp32"
    timings: str = ""
    spans: Mapping[str, Sequence[SpanSampleJson]] = field(default_factory=dict)
    words: str = ""
    words_mb: int = 0
    priors: str = ""
    patterns: Mapping[str, str] = field(default_factory=dict)

    @property
    def timings_folder(self) -> Path | None:
        """Where timings of this machine are kept, if anywhere."""
        return Path(self.timings) if self.timings else None

    @property
    def task_spec(self) -> TaskSpec:
        """The spec as an object."""
        return TaskSpec.from_json(self.spec)

    @property
    def checked_texts(self) -> list[Text]:
        """Labelled texts by which a fine-tuned encoder is compared with itself, at most CHECKED_TEXTS of all kinds."""
        spec = self.task_spec
        chosen = [sample.text for control in spec.controls for sample in self.samples_of(control.name)]
        marked = [(sample.text,) for control in spec.spans for sample in self.marked_samples_of(control.name)]
        found = list(dict.fromkeys([*chosen, *marked]))
        return found[:: -(-len(found) // CHECKED_TEXTS) or 1]

    def samples_of(self, control: str) -> list[Sample]:
        return [Sample.from_json(item) for item in self.samples.get(control, ())]

    def marked_samples_of(self, control: str) -> list[SpanSample]:
        return [SpanSample.from_json(item) for item in self.spans.get(control, ())]


@dataclass(frozen=True)
class Result:
    """How it ended: the version is on disk in both cases. `reason` is a sentence for people."""

    version: str
    accepted: bool
    reason: str
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    gate: Mapping[str, VerdictJson] = field(default_factory=dict)


def write_json(path: Path, value: Request | Result | Mapping[str, Json]) -> None:
    """Write aside and rename: the file is complete or absent."""
    scratch = path.with_name(f".{path.name}.tmp")
    scratch.write_text(json.dumps(value if isinstance(value, Mapping) else asdict(value)), encoding="utf-8")
    os.replace(scratch, path)


def read_request(directory: Path) -> Request:
    """The request of a run. Raises TrainingError."""
    try:
        return Request(**json.loads((directory / REQUEST).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise TrainingError(f"the run cannot be read: {error}", run=directory.name) from error


def read_result(directory: Path) -> Result | None:
    """The result of a run, None when it has none yet."""
    try:
        return Result(**json.loads((directory / RESULT).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


class Progress:
    """Says on stdout how far the run is: stage, step, of, epoch, loss, seconds_left, held_out."""

    def __init__(self, total: int) -> None:
        self.total, self.before, self.fresh = total, 0, 0
        self.began = time.monotonic()

    def tell(self, stage: str, step: int, loss: float | None, epoch: float | None) -> None:
        """One line."""
        done = min(self.total, self.before + (step if loss is not None else 0))
        self.fresh += loss is not None
        pace = (time.monotonic() - self.began) / max(1, self.fresh)
        left = round(pace * (self.total - done), 1)
        line: dict[str, str | int | float] = {"stage": stage, "step": done, "of": self.total, "seconds_left": left}
        if loss is not None:
            line |= {"loss": round(loss, 4), "epoch": round(epoch or 0.0, 2)}
        print(json.dumps(line), flush=True)

    def tell_held_out(self, loss: float) -> None:
        """What the rows that are held out say after the last step that was told."""
        print(json.dumps({"held_out": round(loss, 4)}), flush=True)

    def finish(self, steps: int) -> None:
        """One of the trainings is over."""
        self.before += steps

    def skip(self, steps: int) -> None:
        """One of the trainings was over before this process began."""
        self.before += steps
