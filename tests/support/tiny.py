"""A tiny random encoder for tests in which only the plumbing matters, and steps that run in processes of their own.

Import the fixtures; `settings` then goes before the shared one. The processes are forked by multiprocessing's fork
server, which has loaded the libraries once: each costs a few hundredths of a second, and may be killed.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.settings.settings import Settings
from backend.supervision.forking import SHARED
from tests.support.timings import lend_timing

KILLED = -9
LETTERS_OF = {"a": "abcd", "e": "efgh"}
PROJECT = 7

fork = multiprocessing.get_context("forkserver")
LIBRARIES = ("sklearn.linear_model", "sklearn.feature_extraction.text", "scipy.optimize", "transformers")
fork.set_forkserver_preload(
    [*SHARED, *LIBRARIES, "backend.jobs.learn.refit", "backend.jobs.train.train", "model.head.fit"]
)


def build_tiny(directory: Path, **more: Any) -> Path:
    """A random three-layer BERT that knows twelve letters; `more` of its configuration."""
    import torch
    from transformers import AutoModel

    from tests.model.conftest import tiny_config, write_tokenizer

    torch.manual_seed(0)
    AutoModel.from_config(tiny_config("bert", **more)).eval().save_pretrained(directory)
    write_tokenizer(directory)
    (directory / "1_Pooling").mkdir()
    modes = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
    (directory / "1_Pooling" / "config.json").write_text(json.dumps(modes))
    return directory


def build_other(base: Path, directory: Path) -> Path:
    """Another random encoder that reads the same letters."""
    from transformers import AutoModel, set_seed

    from tests.model.conftest import tiny_config

    shutil.copytree(base, directory)
    set_seed(1)
    AutoModel.from_config(tiny_config("bert", hidden_size=32)).eval().save_pretrained(directory)
    return directory


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def settings(redis_server: Any, tmp_path: Path, tiny_base: Path) -> Settings:
    url = redis_server.settings.effective_redis_url
    lend_timing(tmp_path / "data", str(tiny_base))
    return tiny_settings(tmp_path / "data", url, tiny_base)


def tiny_settings(data_dir: Path, redis_url: str, base: Path, **more: Any) -> Settings:
    """Settings of a test on the tiny encoder."""
    known = {"poll_seconds": 0.2, "admin_token": "admin", "finetune_steps": 2, "finetune_enabled": False, **more}
    return Settings(data_dir=data_dir, redis_url=redis_url, base_model=str(base), **known)


class Letters:
    """Adds labelled texts of letters to a project of two labels, a and e."""

    def __init__(self, stores: Any, project: int = PROJECT) -> None:
        from tests.support.rig import choices_config

        self.stores, self.project, self.count = stores, project, 0
        stores.projects.save_config(project, choices_config(["a", "e"]))

    def add(self, count: int) -> None:
        """So many more."""
        records = [letter_record(number) for number in range(self.count, self.count + count)]
        self.stores.examples.upsert_many(self.project, records)
        self.count += count


def letter_record(number: int) -> Any:
    """The annotation with the id `number` + 1."""
    from backend.labelstudio.records import ExampleRecord

    label = "ae"[number % 2]
    own = LETTERS_OF[label]
    text = " ".join([own[number % 4], own[number // 4 % 4], own[number // 16 % 4]])
    stamp = f"2026-01-01T{number // 3600:02d}:{number // 60 % 60:02d}:{number % 60:02d}Z"
    return ExampleRecord(number + 1, number + 1, {"text": text}, {"label": [[label]]}, stamp)


@pytest.fixture
def letters(context: Any) -> Letters:
    return Letters(context.stores)


def run_apart(step: Callable[..., None], settings: Settings, *args: Any, timeout: float = 60.0) -> int:
    """The exit status of `step(settings, *args)` in a process of its own: KILLED, or 0."""
    process = start_apart(step, settings, *args)
    process.join(timeout)
    assert process.exitcode is not None, "it hangs"
    return int(process.exitcode)


def start_apart(step: Callable[..., None], settings: Settings, *args: Any) -> Any:
    """The process, started."""
    process = fork.Process(target=enter, args=(step, settings, *args), daemon=True)
    process.start()
    return process


def enter(step: Callable[..., None], settings: Settings, *args: Any) -> None:
    """In the new process: what a worker's start does."""
    from backend.cpu import use_one_thread
    from backend.jobs import context as module
    from model.failpoints import arm

    module.current_settings = lambda: settings  # type: ignore[attr-defined]
    arm(settings.failpoint)
    with log_of(settings).open("ab") as log:  # the fork server's own is that of the test which started it
        os.dup2(log.fileno(), sys.stderr.fileno())
    use_one_thread()
    step(settings, *args)
    sys.exit(0)


def log_of(settings: Settings) -> Path:
    """What processes of their own say."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    return settings.data_dir / "apart.log"


def armed(settings: Settings, failpoint: str) -> Settings:
    """The same settings with a failpoint."""
    return settings.model_copy(update={"failpoint": failpoint})


@pytest.fixture
def disarmed() -> Iterator[None]:
    """Whatever a test arms in this process is disarmed again."""
    from model.failpoints import arm

    yield
    arm("")
