"""The base encoder and the fine-tuned ones of a process, over the feature cache that a machine's processes share."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from backend.settings.settings import Settings
from model.errors import EncoderError, MissingEncoder
from model.interfaces import EncoderCounters

if TYPE_CHECKING:
    from backend.base_model.former import EncoderBook
    from model.encoder.encoder import Encoder
    from model.features.cache import CachedEncoder, FeatureCache
    from model.interfaces import Embedder
    from model.spans.transfer.prior import TransferPrior
    from model.versions.live_model import LiveModel
    from model.versions.span_answers import SpanTools

log = logging.getLogger(__name__)

FIT_SHARE = 0.2
"""Of a refit's time, what one search for the weights of a head of spans may take: a cold fit has up to three, with
texts held out, and reads and answers texts besides."""


MISSED_SECONDS = 60.0
"""Before an encoder that was not to be had is looked for again: the hub may be away, and each project asks."""


class Encoders:
    """The base encoder and fine-tuned ones, over one feature cache. Fine-tuned ones are kept while few. `hasty`: of
    long texts only as much is read at once as nobody waits long for, and `pause` is called amid them. `book`: what is
    known of encoders everywhere. `live`: the live version of each project; where BASE_MODEL cannot be used, the encoder
    that most of them were made with stands in. `unusable`: why it does; "" when all is well. Thread-safe."""

    def __init__(
        self,
        settings: Settings,
        threads: int = 1,
        tuned: int = 2,
        *,
        hasty: bool = False,
        pause: Callable[[], None] | None = None,
        book: EncoderBook | None = None,
        live: Callable[[], Mapping[int, str | None]] | None = None,
    ) -> None:
        self._settings, self._threads, self._kept, self._hasty, self._pause = settings, threads, tuned, hasty, pause
        self._book, self._live, self.tally = book, live, EncoderCounters()
        self.unusable = ""
        self._tuned: OrderedDict[Path, Embedder] = OrderedDict()
        self._base: CachedEncoder | None = None
        self._lender: Encoder | None = None  # of the base: fine-tuned ones share its layers
        self._cache: FeatureCache | None = None
        self._tools: SpanTools | None = None
        self._former: dict[str, Encoders] = {}
        self._missed: dict[str, tuple[float, MissingEncoder]] = {}
        self._loading = threading.RLock()

    @property
    def base(self) -> CachedEncoder:
        """The encoder named by BASE_MODEL, or the one that stands in for it, loaded at first use. Raises EncoderError,
        and StoreUnavailable when it has to be asked what could stand in."""
        if self._base is None:  # asked without the lock: no request waits while a fine-tuned one is loaded
            with self._loading:
                if self._base is None:
                    self._base = self._load_base()
        return self._base

    def _load_base(self) -> CachedEncoder:
        from backend.base_model.former import remember
        from backend.base_model.hub import find_encoder_files
        from model.features.cache import CachedEncoder

        try:
            directory = find_encoder_files(self._settings)
            self._lender = self._read(directory)
        except EncoderError as error:
            self._lender = self._stand_in(error)
        else:
            remember(self._settings, self._lender.digest, directory, self._book)
        return CachedEncoder(self._lender, self.cache)

    def _read(self, directory: Path) -> Encoder:
        from model.encoder.encoder import Encoder

        return Encoder(
            directory,
            threads=self._threads,
            precision=self._settings.precision,
            timings=self._settings.data_dir,
            tally=self.tally,
        )

    def _stand_in(self, error: EncoderError) -> Encoder:
        """A former encoder in place of BASE_MODEL's, which has failed with `error`. Raises that where there is none."""
        from backend.base_model.former import describe_stand_in, find_stand_in, tell_unusable

        if self._live is None:
            raise error
        encoder = self._read(find_stand_in(self._settings, self._live(), error, self._book))
        self.unusable = describe_stand_in(error, encoder.digest)
        log.error("%s", self.unusable)
        tell_unusable(self.unusable, self._book)
        return encoder

    def load(self, project: int, version: str) -> LiveModel:
        """A published version with the encoder that it was made with, its files verified. Raises VersionError, and
        MissingEncoder when that is a former encoder which is gone."""
        from model.versions.directory import read_manifest, version_path
        from model.versions.live_model import load_version

        folder = self._settings.models_dir
        own = self.of(read_manifest(version_path(folder, project, version)).encoder_digest)
        return load_version(folder, project, version, own.base, own.open, own.span_tools)

    def of(self, digest: str) -> Encoders:
        """Those over the base encoder of this digest: themselves, or those of one that BASE_MODEL named before, here or
        on another machine. Raises MissingEncoder when its files are not to be had."""
        if digest == self.base.digest:
            return self
        with self._loading:
            if digest not in self._former:
                self._former[digest] = self._open_former(digest)
            return self._former[digest]

    def keep_former(self, digests: Collection[str]) -> None:
        """Lets go of former encoders but for these."""
        for digest in [known for known in self._former if known not in digests]:
            self._former.pop(digest, None)

    def _open_former(self, digest: str) -> Encoders:
        from backend.base_model.former import find_former

        at, error = self._missed.get(digest, (0.0, None))
        if error is not None and time.monotonic() - at < MISSED_SECONDS:
            raise MissingEncoder(error.message, **error.evidence)
        try:
            directory = find_former(self._settings, digest, self._book)
        except MissingEncoder as missing:
            self._missed[digest] = time.monotonic(), missing
            raise
        settings = self._settings.model_copy(update={"base_model": str(directory)})
        found = Encoders(settings, self._threads, self._kept, hasty=self._hasty, pause=self._pause)
        found.tally, found._cache = self.tally, self.cache
        return found

    @property
    def loaded(self) -> CachedEncoder | None:
        """The base encoder if it has been loaded."""
        return self._base

    def span_tools(self) -> SpanTools:
        """What spans are read with: the base encoder's word states, cached aside, and the prior that fits it."""
        from model.features.varied_cache import VariedCache
        from model.spans.features.reading import SpanReader
        from model.versions.span_answers import SpanTools

        with self._loading:
            if self._tools is None:
                assert self.base and self._lender is not None  # loaded with `base`
                settings = self._settings
                cache, prior = (
                    VariedCache(settings.words_dir, settings.word_cache_mb),
                    find_prior(settings, self._lender),
                )
                reader = SpanReader(self._lender, prior, cache, hasty=self._hasty, pause=self._pause)
                seconds = settings.refit_timeout_seconds * FIT_SHARE
                self._tools = SpanTools(reader, settings.spans_show, fit_seconds=seconds)
            return self._tools

    @property
    def cache(self) -> FeatureCache:
        """The feature cache of this machine."""
        from model.features.cache import FeatureCache

        if self._cache is None:
            with self._loading:
                if self._cache is None:
                    self._cache = FeatureCache(self._settings.features_dir, self._settings.feature_cache_mb)
        return self._cache

    def open(self, weights: Path) -> Embedder:
        """The encoder with fine-tuned weights, which shares with the base what training left alone; the same object
        while it is kept."""
        from model.encoder.encoder import open_weights
        from model.features.cache import CachedEncoder

        with self._loading:
            if weights not in self._tuned:
                cache, base = self.base.cache, self._lender
                assert base is not None  # loaded with `base`
                encoder = open_weights(weights, base, threads=self._threads, tally=self.tally)
                self._tuned[weights] = CachedEncoder(encoder, cache)
            self._tuned.move_to_end(weights)
            while len(self._tuned) > self._kept:
                self._tuned.popitem(last=False)
            return self._tuned[weights]


def find_prior(settings: Settings, encoder: Encoder) -> TransferPrior | None:
    """The prior of spans for this encoder: one trained here (`understudy train-prior`), the one that is shipped, or the
    head that BASE_MODEL was trained with; None when there is none."""
    from model.spans.transfer.token_prior import choose_prior

    return choose_prior(encoder.digest, encoder.layers, encoder.token_head, settings.prior_path(encoder.digest))
