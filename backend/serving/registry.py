"""The live model of every project: a publish is noticed by message or poll, loaded aside, swapped as one reference."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from backend.artifacts.artifacts import open_artifacts
from backend.artifacts.catalog import Catalog
from backend.artifacts.prefetch import Prefetch
from backend.base_model.download import describe_download
from backend.base_model.encoders import Encoders
from backend.cpu import loading, use_one_thread
from backend.errors import NotReady, StoreUnavailable
from backend.redaction import hide_secrets
from backend.serving.fallback_model import adapt
from backend.serving.preparations import PREPARATION_WAIT_SECONDS, Preparations, Preparing, is_large
from backend.settings.settings import Settings
from backend.store.projects import ProjectStore
from backend.store.versions import FIRST_VERSION, VersionStore
from backend.telemetry.log_context import about
from backend.telemetry.metrics import Metrics
from model.errors import ModelError
from model.failpoints import failpoint
from model.spec import TaskSpec

if TYPE_CHECKING:
    from model.versions.live_model import LiveModel

log = logging.getLogger(__name__)

RETRY_SECONDS = 10.0
"""Before a version that could not be loaded is tried again."""

FETCH_PATIENCE_SECONDS, FIRST_FETCH_SECONDS = 1.0, 60.0
"""How long the follower waits for versions that come from an object store before it looks at the others; and at the
start, before it serves without those that have not come."""

KEPT_ADAPTED, KEPT_LARGE = 128, 8
"""Models of label configs that no version was made for; those of very many labels take 10 MB and more."""


class Registry:
    """Thread-safe. Requests only read; one follower thread loads and swaps. `give_way`: called amid long answers, so
    that others have their turn."""

    def __init__(
        self,
        settings: Settings,
        projects: ProjectStore,
        versions: VersionStore,
        metrics: Metrics,
        give_way: Callable[[], None] | None = None,
        renew: Callable[[int], None] | None = None,
    ) -> None:
        self._renew_beside = renew
        self._settings, self._versions, self._metrics = settings, versions, metrics
        self._projects = projects
        self._models: dict[int, LiveModel] = {}
        self._pointers: dict[int, str] = {}
        book, live = versions.encoders, lambda: self._pointers
        self.encoders = Encoders(settings, threads=1, tuned=4, hasty=True, pause=give_way, book=book, live=live)
        self._looked = float("-inf")
        """When those of all projects were read last, of the monotonic clock."""
        self._adapted: OrderedDict[tuple[str, int, str], LiveModel] = OrderedDict()
        self._adapting = threading.Lock()
        self._aims: dict[int, str] = {}
        self._aimed: OrderedDict[tuple[int, str], tuple[int, LiveModel]] = OrderedDict()
        self._aiming = threading.Lock()
        self._preparations: Preparations[tuple[str, int, str]] = Preparations()
        self._failed: dict[tuple[int, str], tuple[float, str]] = {}
        self._ready = threading.Event()
        self._reason, self.why_not_ready = "the encoder is loading", NotReady.code
        """In words, and as a code."""
        self._stop = threading.Event()
        self.artifacts = open_artifacts(settings, self._versions_in_use)
        self.prefetch = Prefetch(self.artifacts) if self.artifacts is not None else None
        self.catalog = Catalog(self.artifacts.versions) if self.artifacts is not None else None
        self._thread = threading.Thread(target=self._follow, name="registry", daemon=True)

    def start(self) -> None:
        """Load in the background, then follow the publishes."""
        if self.prefetch is not None:
            self.prefetch.start()
        self._thread.start()

    def stop(self) -> None:
        """End the follower; returns when it has ended."""
        self._stop.set()
        if self.prefetch is not None:
            self.prefetch.stop()
        self._thread.join(2 * self._settings.poll_seconds + 1)

    @property
    def not_ready(self) -> str:
        """Why models do not serve yet; "" when they do."""
        if self._ready.is_set():
            return ""
        return "; ".join(filter(None, (self._reason, describe_download(self._settings))))

    def stale(self) -> dict[str, str]:
        """Versions that should be live and could not be loaded: `project version` -> why."""
        return {f"{project} {version}": why for (project, version), (_, why) in self._failed.items()}

    def version_of(self, project: int | None) -> str:
        """What /setup reports; never waits."""
        if project is None:
            return FIRST_VERSION
        model = self._models.get(project)
        if model is not None:
            return model.version
        # Once models serve, a pointer whose version is not loaded yet does not answer: /predict would contradict.
        return FIRST_VERSION if self._ready.is_set() else self._pointers.get(project, FIRST_VERSION)

    def served(self) -> set[str]:
        """The versions that answer, of all projects, or will once models serve; read from memory alone."""
        if not self._ready.is_set():
            return set(self._pointers.values())
        return {model.version for model in list(self._models.values())}

    def model_for(self, project: int | None, spec: TaskSpec, timeout: float) -> LiveModel:
        """The model that answers for `project` under `spec`: take it once per request. Raises NotReady, or
        Preparing for a large config that is new."""
        if not self._ready.wait(timeout):
            raise NotReady(f"models do not serve yet: {self.not_ready}")
        model = self._model_for(project, spec, timeout)
        return model if project is None else self._shown_by(project, model)

    def _model_for(self, project: int | None, spec: TaskSpec, timeout: float) -> LiveModel:
        live = self._models.get(project) if project is not None else None
        if live is not None and live.spec.digest == spec.digest:
            return live
        if is_large(spec):
            return self._adapt_aside(project or 0, live, spec, min(timeout, PREPARATION_WAIT_SECONDS))
        with self._adapting:
            key = self._key(project or 0, live, spec)
            return self._recall(key) or self._keep(key, self._adapted_to(live, spec))

    def show_spans(self, project: int, aim: str) -> None:
        """From now on for this aim; "" for that of the setting. Other processes follow at their next poll."""
        self._aims = {**{known: own for known, own in self._aims.items() if known != project}, project: aim}

    def _shown_by(self, project: int, model: LiveModel) -> LiveModel:
        """The model as it shows spans of this project: the same object each time, since answers are cached by it."""
        aim = self._aims.get(project) or self._settings.spans_show
        if model.tools is None or model.tools.aim == aim:
            return model
        with self._aiming:
            key = (project, model.spec.digest)
            serial, shown = self._aimed.get(key, (0, model))
            if serial != model.serial or shown.tools is None or shown.tools.aim != aim:
                shown = model.showing(aim)
            self._aimed[key] = (model.serial, shown)
            self._aimed.move_to_end(key)
            while len(self._aimed) > KEPT_ADAPTED:
                self._aimed.popitem(last=False)
            return shown

    def _adapted_to(self, live: LiveModel | None, spec: TaskSpec) -> LiveModel:
        encoders = self.encoders if live is None else self.encoders.of(live.base.digest)
        return adapt(live, spec, encoders.base, encoders.span_tools)

    def prepare(self, project: int | None, spec: TaskSpec) -> None:
        """Starts to make the model of a large label config, for requests to come. Never waits."""
        if is_large(spec) and self._ready.is_set():
            with suppress(Preparing):
                self.model_for(project, spec, 0.0)

    def _adapt_aside(self, project: int, live: LiveModel | None, spec: TaskSpec, seconds: float) -> LiveModel:
        """Raises Preparing when it is not made in time."""
        key = self._key(project, live, spec)
        with self._adapting:
            if (known := self._recall(key)) is not None:
                return known

        def keep(model: LiveModel) -> None:
            with self._adapting:
                self._keep(key, model)

        self._preparations.start(key, lambda: self._adapted_to(live, spec), keep).wait(seconds)
        with self._adapting:
            if (made := self._recall(key)) is not None:
                return made
        raise Preparing("the label names of this project are being read for the first time: ask again in a moment")

    @staticmethod
    def _key(project: int, live: LiveModel | None, spec: TaskSpec) -> tuple[str, int, str]:
        """A cold start for projects without versions; or the live version under a config that has changed since."""
        return live.version if live else FIRST_VERSION, project if live else 0, spec.digest

    def _recall(self, key: tuple[str, int, str]) -> LiveModel | None:
        if key in self._adapted:
            self._adapted.move_to_end(key)
        return self._adapted.get(key)

    def _keep(self, key: tuple[str, int, str], model: LiveModel) -> LiveModel:
        self._adapted[key] = model
        large = [known for known, kept in self._adapted.items() if is_large(kept.spec)][:-KEPT_LARGE]
        for known in large:
            del self._adapted[known]
        while len(self._adapted) > KEPT_ADAPTED:
            self._adapted.popitem(last=False)
        return model

    def _follow(self) -> None:
        while not self._stop.is_set():
            try:
                if not self._ready.is_set():
                    self._load_first()
                for announced in self._versions.listen(self._settings.poll_seconds, self._stop.is_set):
                    if self._stop.is_set():
                        return
                    if announced is not None:
                        failpoint("announce", announced[0])
                    self._catch_up(announced[0] if announced is not None else None)
            except (StoreUnavailable, ModelError, OSError) as error:
                self._reason, self.why_not_ready = hide_secrets(str(error)), getattr(error, "code", NotReady.code)
                log.warning("registry waits: %s", error)
            except Exception as error:  # the follower must outlive anything
                self._reason, self.why_not_ready = hide_secrets(repr(error)), NotReady.code
                log.exception("registry")
            self._stop.wait(0.5)

    def _load_first(self) -> None:
        self._reason, self.why_not_ready = "waiting for Redis", StoreUnavailable.code
        self._find_pointers()
        self._reason, self.why_not_ready = "the encoder is loading", NotReady.code
        with loading():  # not the versions: they are replaced
            from model.head.warm_up import warm_up

            warm_up(self.encoders.base)
            use_one_thread()
        self._reason = "the versions are loading"
        self._catch_up()
        self._ready.set()
        log.info("models serve, projects=%s", sorted(self._models))

    def _find_pointers(self, announced: int | None = None) -> None:
        """Of all projects; of one that was announced alone, as long as all were looked at within POLL_SECONDS: with
        thousands of projects each label of any would cost a reading of all."""
        now = time.monotonic()
        if announced is not None and now - self._looked < self._settings.poll_seconds:
            known = {announced}
        else:
            known, self._looked = set(self._projects.projects()) | set(self._pointers), now
        live = self._versions.live_of(sorted(known))
        aims = self._projects.all_spans_show(sorted(known))
        self._aims = {**{project: aim for project, aim in self._aims.items() if project not in known}, **aims}
        others = {project: version for project, version in self._pointers.items() if project not in known}
        self._pointers = others | {project: version for project, version in live.items() if version}

    def _catch_up(self, announced: int | None = None) -> None:
        self._find_pointers(announced)
        due = [
            (project, version)
            for project, version in self._pointers.items()
            if ((present := self._models.get(project)) is None or present.version != version)
            and self._may_try(project, version)
        ]
        if self.prefetch is not None:
            for project, version in due:
                self.prefetch.want(project, version)
        patience = FETCH_PATIENCE_SECONDS if self._ready.is_set() else FIRST_FETCH_SECONDS
        until = time.monotonic() + patience
        for project, version in due:
            with about(project=project):
                self._load(project, version, until)
        for project in set(self._models) - set(self._pointers):
            # Redis has lost its data: what is in memory goes on serving until the pointer is restored.
            log.debug("no live pointer project=%s", project)

    def _may_try(self, project: int, version: str) -> bool:
        failed = self._failed.get((project, version))
        return failed is None or time.monotonic() - failed[0] > RETRY_SECONDS

    def _versions_in_use(self) -> set[tuple[int, str]]:
        return set(self._pointers.items()) | {(project, model.version) for project, model in list(self._models.items())}

    def _load(self, project: int, version: str, until: float) -> None:
        """Load and swap; nothing while its files have not come by `until`, of the monotonic clock."""
        began = time.monotonic()
        try:
            if self.prefetch is not None and not self.prefetch.arrived(project, version, until):
                return
            model = self.encoders.load(project, version)
            model.warm()
        except Exception as error:  # of whatever kind: the other projects' versions are loaded all the same
            self._metrics.load_failures.inc()
            log.error("version not loaded, the old one serves on project=%s version=%s: %r", project, version, error)
            # Last: whoever reads that the version is stale finds the reason in the log and in the metrics.
            self._failed[(project, version)] = (time.monotonic(), hide_secrets(str(error)))
            return
        self._renew(project)
        previous = self._models.get(project)
        failpoint("swap.before", project)
        self._models[project] = model  # the swap
        failpoint("swap.after", project)
        self._failed = {key: value for key, value in self._failed.items() if key[0] != project}
        self._metrics.swaps.inc()
        self.encoders.keep_former({own.base.digest for own in list(self._models.values())})
        if previous is not None:
            self._metrics.live.remove(str(project), previous.version)
        self._metrics.live.labels(str(project), version).set(1)
        self._metrics.swap_seconds.observe(time.monotonic() - began)
        log.info("swapped project=%s version=%s seconds=%.3f", project, version, time.monotonic() - began)

    def _renew(self, project: int) -> None:
        """No failure of it keeps a version from answering."""
        if self._renew_beside is None:
            return
        try:
            self._renew_beside(project)
        except StoreUnavailable as error:
            log.warning("labels of duplicates not read project=%s: %s", project, error.message)
        except Exception:
            log.exception("labels of duplicates not read project=%s", project)
