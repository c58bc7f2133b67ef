"""The process of one export: `python -m backend.jobs.export DIRECTORY`. Reads request.json, writes archive.zip and
result.json. One JSON object a line on stdout tells how far it is."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from backend.errors import BackendError
from backend.jobs.export.run_directory import Step, read_request
from backend.settings.settings import current_settings
from model.errors import ModelError


@dataclass
class StepWriter:
    """Writes each step to stdout as a line of JSON, and while something is counted how long the rest takes."""

    stage: str = ""
    since: float = field(default_factory=time.monotonic)

    def __call__(self, line: str, step: int = 0, of: int = 0) -> None:
        if line != self.stage:
            self.stage, self.since = line, time.monotonic()
        left = (time.monotonic() - self.since) * (of - step) / step if step else None
        say({"stage": line, "step": step, "of": of, "seconds_left": None if left is None else round(left, 1)})


def say(step: Step) -> None:
    sys.stdout.write(json.dumps(step) + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str]) -> int:
    """Exit status 0 with a result, 1 with a line {"error": code, "message": …} when there can be none."""
    from backend.jobs.export.make import make_archive

    directory = Path(arguments[0])
    try:
        make_archive(current_settings(), directory, read_request(directory), StepWriter())
    except (BackendError, ModelError) as error:
        say({"error": error.code, "message": error.message})
        return 1
    except OSError as error:
        say({"error": "no_space" if error.errno == 28 else "export_failed", "message": error.strerror or str(error)})
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
