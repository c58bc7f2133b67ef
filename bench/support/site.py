"""The web application in this process over a real embedded Redis (AOF always), with projects of any size.

Made-up texts, features and heads are the same for the same seed: they are for benches about cost, not accuracy. The
encoder is the real one, and what is stored goes through the stores' own methods.
"""

from __future__ import annotations

import itertools
import random
import subprocess
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.application.services import build_services
from backend.embedded_redis.binary import find_redis_server
from backend.embedded_redis.server import answers, write_config
from backend.labelstudio.records import ExampleRecord
from backend.labelstudio.task_spec import parse_label_config
from backend.routes.app import create_app
from backend.settings.settings import Settings
from model.features.tfidf import Terms
from model.head.head_config import Choice
from model.head.linear_head import LinearHead, Member, Reference
from model.numerics.arrays import normalise
from model.spec import Control, Input, Kind, Label, TaskSpec, Text
from model.versions.directory import Manifest, write_version
from model.versions.live_model import LiveModel
from tests.support.rig import choices_config, read_rows

DEPTH, WIDTH = 4, 384
"""Of the default encoder's features."""

FITTED_ON = 2_000
"""Labelled texts that a head's vocabulary comes from: enough for all of its 20,000 terms."""

MEMBERS = (("layers", True), ("last", False), ("layers", False), ("last", True))
"""(view, words) of a head's members: four, the most that a refit averages; two above a few hundred labels."""


def make_texts(count: int, seed: int = 0) -> list[Text]:
    """`count` different texts of 6 to 60 words, drawn as often as the sample messages have them."""
    chance = random.Random(seed)
    words = " ".join(text for text, _ in read_rows()).split()
    return [(f"{' '.join(chance.choices(words, k=chance.randint(6, 60)))} n{number}",) for number in range(count)]


def make_features(count: int, seed: int = 0) -> NDArray[np.float32]:
    """[count, DEPTH, WIDTH]: random directions of about unit length around a common mean, as an encoder's are."""
    generator = np.random.default_rng(seed)
    noise = generator.standard_normal((count, DEPTH, WIDTH), dtype=np.float32)
    return (noise + np.linspace(-1, 1, WIDTH, dtype=np.float32)) / np.sqrt(np.float32(1.3 * WIDTH))


def make_head(
    classes: int, *, words: bool = True, multilabel: bool = False, members: int = len(MEMBERS), seed: int = 0
) -> LinearHead:
    """A head over made-up features, as large as a fitted one; with TF-IDF words in half of its members."""
    generator = np.random.default_rng([seed, classes])
    terms = _fit_terms(seed + 1) if words else Terms((), np.zeros(0, np.float32))

    def drawn(*shape: int) -> NDArray[np.float32]:
        return generator.standard_normal(shape, dtype=np.float32)

    fitted = tuple(
        Member(
            Choice(view, words and with_words, 10.0 * index, 10.0),
            1 / members,
            3 * drawn(WIDTH * (DEPTH if view == "layers" else 1), classes),
            drawn(classes),
            2 * drawn(len(terms.vocabulary), classes) if words and with_words else None,
        )
        for index, (view, with_words) in enumerate(MEMBERS[:members])
    )
    pool = make_features(500, seed + 2)
    prototypes = normalise(drawn(classes, WIDTH))
    similarity = (normalise(pool[:, -1]) @ prototypes.T).mean(0)
    reference = Reference(pool.mean(0), prototypes, similarity)
    labels = tuple(f"label {number}" for number in range(classes))
    return LinearHead(labels, multilabel, reference, fitted, terms, temperature=1.2, zero_share=0.1)


@lru_cache(maxsize=4)
def _fit_terms(seed: int) -> Terms:
    return Terms.fit(make_texts(FITTED_ON, seed))


def make_live(head: LinearHead, base: Any = None) -> LiveModel:
    """A version that answers one control `label` over one text with this head."""
    kind = Kind.MULTIPLE if head.multilabel else Kind.SINGLE
    control = Control("label", kind, ("text",), tuple(Label((key,), key) for key in head.labels))
    spec = TaskSpec((Input("text", "Text", "$text"),), (control,))
    return LiveModel("v1", spec, {"label": head}, base)


CHUNK = 5_000
"""Records made at a time."""

HOUR = "2026-01-01T00:00:00Z"


class Site:
    """Redis, services and a client. Use as a context manager."""

    def __init__(self, data_dir: Path, **options: Any) -> None:
        secrets: dict[str, Any] = {"webhook_secret": "bench", "admin_token": "bench"}
        # The pool's own bound is set aside: what matters is whether a request feels how large it is.
        self.settings = Settings(data_dir=data_dir, poll_seconds=0.2, pool_size=1_000_000, **secrets, **options)
        self._numbers = itertools.count(1_000_000_000)

    def __enter__(self) -> Site:
        config = write_config(self.settings, find_redis_server())
        self.redis = subprocess.Popen([find_redis_server(), str(config)], stdout=subprocess.DEVNULL)
        self._wait(lambda: answers(self.settings.redis_socket), "Redis does not start")
        self.services = build_services(self.settings)
        self._wait(lambda: not self.services.registry.not_ready, "models do not serve")
        self.client = create_app(self.services).test_client()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if hasattr(self, "services"):
            self.services.stop()
        self.redis.terminate()
        self.redis.wait(60)

    def _wait(self, done: Any, problem: str) -> None:
        deadline = time.monotonic() + 120
        while not done():
            if time.monotonic() > deadline:
                raise RuntimeError(problem)
            time.sleep(0.02)

    def add_project(self, number: int, classes: int = 8, *, members: int = 2, words: bool = True) -> str:
        """A project with a live version; its label config."""
        head = make_head(classes, members=members, words=words)
        config = choices_config(head.labels)
        spec, stores = parse_label_config(config), self.services.stores
        version = f"v{number}"
        manifest = Manifest(version, number, None, "head", 0, spec.to_json(), spec.digest, self._digest())
        write_version(self.settings.models_dir, manifest, {"label": head})
        stores.projects.save_config(number, config)
        self.add_pool(number, 0, 10)
        stores.versions.publish(number, version, expected=None, seq=0, by="bench")
        return config

    def wait_for(self, number: int) -> None:
        """Until the project's version answers."""
        self._wait(lambda: self.services.registry.version_of(number) == f"v{number}", "the version is not loaded")

    def add_examples(self, project: int, first: int, last: int, labels: Sequence[str]) -> None:
        """Annotations `first` to `last` - 1, each of a task of its own."""
        for start in range(first, last, CHUNK):
            numbers = range(start, min(start + CHUNK, last))
            records = [
                ExampleRecord(n, n, {"text": f"an example text {n}"}, {"label": [[labels[n % len(labels)]]]}, HOUR, 1)
                for n in numbers
            ]
            self.services.stores.examples.upsert_many(project, records)

    def add_pool(self, project: int, first: int, last: int) -> None:
        """Unlabelled tasks `first` to `last` - 1."""
        for start in range(first, last, CHUNK):
            documents = {n: {"text": f"an unlabelled text {n}"} for n in range(start, min(start + CHUNK, last))}
            self.services.stores.projects.add_pool(project, documents, 10_000_000)

    def new_id(self) -> int:
        """An id that nothing has yet."""
        return next(self._numbers)

    def redis_seconds(self) -> float:
        """CPU that Redis has used; its own figure, since the kernel's comes in ticks of 10 ms."""
        used = self.services.stores._redis.info("cpu")
        return float(used["used_cpu_user"] + used["used_cpu_sys"])

    def _digest(self) -> str:
        return str(self.services.registry.encoders.base.digest)
