"""Notices the language of a project's texts, when more of them are known or the encoder is another.

Runs after a reconciliation, and after a refit: where nothing is reconciled the pool holds what /predict was asked.
"""

from __future__ import annotations

import logging

from backend.base_model.hub import find_encoder_files
from backend.base_model.languages import FEWEST_TEXTS, SAMPLE_TEXTS, LanguageReport, find_languages
from backend.settings.settings import Settings
from backend.store.stores import Stores
from model.errors import ModelError

GROWTH = 1.5
"""Of the texts since they were looked at last."""

log = logging.getLogger(__name__)


def notice_language(settings: Settings, stores: Stores, project: int) -> LanguageReport | None:
    """What is known now; None where there are too few texts, or the encoder's files are not there. Raises
    StoreUnavailable."""
    known, size = LanguageReport.from_json(stores.projects.language(project)), _count_texts(stores, project)
    same = known is not None and known.base_model == settings.base_model
    if known is not None and same and size < GROWTH * max(known.pool, FEWEST_TEXTS):
        return known
    if size < FEWEST_TEXTS:
        return None
    told = known is not None and same and known.is_unread
    try:
        files, texts = find_encoder_files(settings), _draw(stores, project)
        found = find_languages(settings.base_model, files, texts, size, told)
    except ModelError as error:
        log.warning("the language of the texts is not looked at project=%s: %s", project, error)
        return None
    stores.projects.note_language(project, found.to_json())
    if warning := found.warn():
        log.warning("project=%s %s", project, warning)
    return found


def _count_texts(stores: Stores, project: int) -> int:
    return max(stores.projects.pool_size(project), stores.examples.count(project))


def _draw(stores: Stores, project: int) -> list[str]:
    """Unlabelled texts drawn at random; the ones that were labelled last where there are next to none."""
    documents = [*stores.projects.sample_pool(project, SAMPLE_TEXTS)]
    if len(documents) < FEWEST_TEXTS:
        documents = [dict(record.texts) for record in stores.examples.newest(project, SAMPLE_TEXTS)]
    return ["\n".join(document.values()) for document in documents]
