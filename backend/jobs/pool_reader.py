"""The unlabelled texts that a refit reads: only those whose features are cached, so that no label waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backend.errors import BackendError
from backend.labelstudio.task_spec import parse_label_config
from backend.store.stores import Stores
from model.spec import TaskSpec, Text
from model.texts import characters_of, portions, text_key

if TYPE_CHECKING:
    from backend.base_model.encoders import Encoders
    from model.features.cache import CachedEncoder

REFIT_POOL_TEXTS = 1000
"""Pool texts of a refit: 300 keep most of what the cold start gains from 4,000."""


class PoolReader:
    """Reads each project's pool again, and cuts it into what is encoded, only when pool or label config changed."""

    def __init__(self) -> None:
        self._read: dict[int, tuple[tuple[int, str], list[tuple[dict[str, str], list[Text]]]]] = {}

    def read(self, stores: Stores, base: CachedEncoder, project: int) -> list[dict[str, str]]:
        """Documents whose features are in the cache, at most REFIT_POOL_TEXTS, by a hash of their task id."""
        spec = _spec(stores, project)
        state = stores.projects.pool_size(project), spec.digest
        known = self._read.get(project)
        if known is None or known[0] != state:
            known = self._read[project] = state, _chosen(stores, base, project, spec)
        return [document for document, texts in known[1] if all(base.holds(texts))]


def read_words_ahead(stores: Stores, encoders: Encoders, project: int) -> int:
    """Read the words of the pool texts that a refit may look at, for spans, until a refit is due; how many."""
    from model.versions.span_answers import SCALE_POOL_TEXTS

    spec, done = _spec(stores, project), 0
    if not spec.spans:
        return 0
    pool, tools = stores.projects.pool(project), encoders.span_tools()
    chosen = [pool[task] for task in sorted(pool, key=_spread)[:SCALE_POOL_TEXTS]]
    for control in spec.spans:
        own = [document for document in chosen if all(name in document for name in control.inputs)]
        for portion in portions(own, lambda document: sum(map(len, document.values()))):
            if stores.jobs.is_learner_wanted():
                return done
            tools.read_ahead(control, portion)
            done += len(portion)
    return done


def encode_ahead(stores: Stores, base: CachedEncoder, project: int) -> int:
    """Encode pool texts that are not in the cache yet, until a refit is due; the number encoded.

    Asks for a refit at the end when there is no label yet, since the cold start gains from every text."""
    wanted = pool_texts(stores, base, project)
    missing = [text for text, held in zip(wanted, base.holds(wanted), strict=True) if not held]
    done = 0
    for portion in portions(missing, characters_of):  # between two looks at the queue
        if stores.jobs.is_learner_wanted():
            return done
        base.embed(portion)
        done += len(portion)
    if done and not stores.examples.count(project):
        stores.jobs.enqueue_refit(project)
    return done


def pool_texts(stores: Stores, base: CachedEncoder, project: int) -> list[Text]:
    """What the encoder reads of the pool texts that a refit may look at."""
    chosen = _chosen(stores, base, project, _spec(stores, project))
    return list(dict.fromkeys(text for _, texts in chosen for text in texts))


def _spec(stores: Stores, project: int) -> TaskSpec:
    try:
        return parse_label_config(stores.projects.config(project))
    except BackendError:
        return TaskSpec((), ())


def _chosen(
    stores: Stores, base: CachedEncoder, project: int, spec: TaskSpec
) -> list[tuple[dict[str, str], list[Text]]]:
    """At most REFIT_POOL_TEXTS documents, each with what the encoder reads of it: texts, long ones by sentences."""
    from model.features.long_texts import LabelAwarePooling

    documents = stores.projects.pool(project)
    readers = [(control, LabelAwarePooling(base, control)) for control in spec.controls]
    return [
        (
            dict(documents[task]),
            [
                part
                for control, reader in readers
                if all(name in documents[task] for name in control.inputs)
                for part in reader.parts_of(control.text_of(documents[task]))
            ],
        )
        for task in sorted(documents, key=_spread)[:REFIT_POOL_TEXTS]
    ]


def _spread(task: int) -> bytes:
    """Neighbouring tasks are often alike: a hash spreads the choice over all of them."""
    return text_key((str(task),))
