"""The unlabelled texts that a refit looks at: only those whose features are there already, so that no label waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backend.errors import BackendError
from backend.labelstudio.config import parse_label_config
from model.feature_cache import text_key
from model.portions import characters_of, portions
from model.spec import TaskSpec, Text

if TYPE_CHECKING:
    from backend.jobs.context import Context

USED = 1000
"""Pool texts of a refit: 300 keep most of what the cold start gains from 4,000."""


class PoolReader:
    """Reads each project's pool again only when it has grown or shrunk."""

    def __init__(self) -> None:
        self._read: dict[int, tuple[int, list[dict[str, str]]]] = {}

    def read(self, work: Context, project: int) -> list[dict[str, str]]:
        """Documents whose features are in the cache, at most USED, in the order of a hash of their task id."""
        size = work.stores.projects.pool_size(project)
        known = self._read.get(project)
        if known is None or known[0] != size:
            documents = work.stores.projects.pool(project)
            chosen = sorted(documents, key=_spread)[:USED]
            known = self._read[project] = (size, [dict(documents[task]) for task in chosen])
        return self._cached(work, project, known[1])

    def _cached(self, work: Context, project: int, documents: list[dict[str, str]]) -> list[dict[str, str]]:
        spec = _spec(work, project)
        base = work.encoders.base
        return [document for document in documents if all(base.holds(_texts(spec, base, document)))]


def encode_ahead(work: Context, project: int) -> int:
    """Encode pool texts that are not in the cache yet, until somebody wants a refit; how many were encoded.

    Asks for a refit at the end when there is no label yet, since the cold start gains from every text."""
    spec, base = _spec(work, project), work.encoders.base
    documents = work.stores.projects.pool(project)
    chosen = [dict(documents[task]) for task in sorted(documents, key=_spread)[:USED]]
    wanted = list(dict.fromkeys(text for document in chosen for text in _texts(spec, base, document)))
    missing = [text for text, held in zip(wanted, base.holds(wanted), strict=True) if not held]
    done = 0
    for portion in portions(missing, characters_of):  # between two looks at the queue
        if work.stores.jobs.is_learner_wanted():
            return done
        base.embed(portion)
        done += len(portion)
    if done and not work.stores.examples.count(project):
        work.stores.jobs.enqueue_refit(project)
    return done


def _spec(work: Context, project: int) -> TaskSpec:
    try:
        return parse_label_config(work.stores.projects.config(project))
    except BackendError:
        return TaskSpec((), ())


def _texts(spec: TaskSpec, base: Any, document: dict[str, str]) -> list[Text]:
    """What the encoder reads of a document: its texts, long ones sentence by sentence."""
    from model.focus import Focused

    controls = [c for c in spec.controls if all(name in document for name in c.inputs)]
    return [part for c in controls for part in Focused(base, c).parts_of(c.text_of(document))]


def _spread(task: int) -> Any:
    """Neighbouring tasks are often alike: a hash spreads the choice over all of them."""
    return text_key((str(task),))
