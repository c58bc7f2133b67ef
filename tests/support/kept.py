"""What is read only and takes long to load, once for all tests of a process."""

from __future__ import annotations

import copy
import shutil
import threading
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from redis import Redis

from backend.base_model import languages
from backend.base_model.encoders import Encoders
from backend.settings.settings import Settings

if TYPE_CHECKING:
    from model.encoder.encoder import Encoder

kept_identifier = cache(languages._open_identifier)
"""The classifier of languages, which a learner opens anew for each pool that it looks at."""


class KeptEncoders:
    """The packaged encoder, one of each number format. `timings`: folder of what was found out when they were loaded;
    each test gets a copy."""

    def __init__(self, timings: Path) -> None:
        self._timings, self._loading, self._load = timings, threading.Lock(), Encoders._read
        self._kept: dict[str, Encoder] = {}

    def read(self, encoders: Encoders, directory: Path) -> Encoder:
        """In place of `Encoders._read`. Other encoders are loaded by each test that names them, as is the packaged one
        where a test says how this machine was timed."""
        from model.kernels.kept_choice import CHOICE_FILE
        from model.pretrained.base_model import find_base_model

        own, kept = (folder / CHOICE_FILE for folder in (encoders._settings.data_dir, self._timings))
        told = own.exists() and not (kept.exists() and own.read_bytes() == kept.read_bytes())
        return self._load(encoders, directory) if told or directory != find_base_model() else self._lend(encoders)

    def _lend(self, encoders: Encoders) -> Encoder:
        """As if it had been loaded: with the counters of these encoders and the threads that they were told."""
        import torch

        from model.pretrained.base_model import find_base_model

        settings, threads = encoders._settings, encoders._threads
        with self._loading:
            if settings.precision not in self._kept:
                own = settings.model_copy(update={"data_dir": self._timings})
                self._kept[settings.precision] = self._load(Encoders(own, threads), find_base_model())
            shutil.copytree(self._timings, settings.data_dir, dirs_exist_ok=True)
        torch.set_num_threads(threads)
        lent = copy.copy(self._kept[settings.precision])
        lent.tally = encoders.tally
        return lent


class Beginnings:
    """What tests begin with, kept in `folder`: everything in Redis with its time to live, and the data directory but
    for the caches, which all tests share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._keys: dict[str, list[tuple[bytes, int, bytes]]] = {}

    def begin(self, settings: Settings, make: Callable[[], object], name: str) -> None:
        """Made now, or brought back."""
        caches = shutil.ignore_patterns(settings.features_dir.name, settings.words_dir.name)
        with closing(Redis.from_url(settings.effective_redis_url)) as redis:
            if name in self._keys:
                redis.flushall()
                # The files first, as in a publication: a version that is missing is tried again after ten seconds.
                shutil.copytree(self._folder / name, settings.data_dir, dirs_exist_ok=True)
                for key, left, value in self._keys[name]:
                    redis.restore(key, max(left, 0), value)
            else:
                make()
                self._keys[name] = [(key, redis.pttl(key), redis.dump(key)) for key in redis.scan_iter()]
                shutil.copytree(settings.data_dir, self._folder / name, ignore=caches, dirs_exist_ok=True)
