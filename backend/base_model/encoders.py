"""The base encoder and the fine-tuned ones of a process, over the feature cache that a machine's processes share."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from backend.settings.settings import Settings
from model.interfaces import EncoderCounters

if TYPE_CHECKING:
    from model.encoder.encoder import Encoder
    from model.features.cache import CachedEncoder, FeatureCache
    from model.interfaces import Embedder
    from model.spans.transfer.prior import TransferPrior
    from model.versions.span_answers import SpanTools

FIT_SHARE = 0.2
"""Of a refit's time, what one search for the weights of a head of spans may take: a cold fit has up to three, with
texts held out, and reads and answers texts besides."""


class Encoders:
    """The base encoder and fine-tuned ones, over one feature cache. Fine-tuned ones are kept while few. `hasty`: of
    long texts only as much is read at once as nobody waits long for, and `pause` is called amid them. Thread-safe."""

    def __init__(
        self,
        settings: Settings,
        threads: int = 1,
        tuned: int = 2,
        *,
        hasty: bool = False,
        pause: Callable[[], None] | None = None,
    ) -> None:
        self._settings, self._threads, self._kept, self._hasty, self._pause = settings, threads, tuned, hasty, pause
        self.tally = EncoderCounters()
        self._tuned: OrderedDict[Path, Embedder] = OrderedDict()
        self._base: CachedEncoder | None = None
        self._lender: Encoder | None = None  # of the base: fine-tuned ones share its layers
        self._cache: FeatureCache | None = None
        self._tools: SpanTools | None = None
        self._loading = threading.RLock()

    @property
    def base(self) -> CachedEncoder:
        """The encoder named by BASE_MODEL, loaded at first use. Raises EncoderError."""
        if self._base is None:  # asked without the lock: no request waits while a fine-tuned one is loaded
            with self._loading:
                if self._base is None:
                    self._base = self._load_base()
        return self._base

    def _load_base(self) -> CachedEncoder:
        from backend.base_model.hub import find_encoder_files
        from model.encoder.encoder import Encoder
        from model.features.cache import CachedEncoder

        self._lender = Encoder(
            find_encoder_files(self._settings),
            threads=self._threads,
            precision=self._settings.precision,
            timings=self._settings.data_dir,
            tally=self.tally,
        )
        return CachedEncoder(self._lender, self.cache)

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
