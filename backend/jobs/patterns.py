"""The patterns of a project, as a refit learns them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from backend.store.spans.patterns import PatternStore

if TYPE_CHECKING:
    from model.spans.patterns.lexicon import Lexicon
    from model.spec import TaskSpec

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Patterns:
    """`lexicons`: by control, of those that mark text now, and their `digests`; `read`: digests of all that are stored,
    by control."""

    lexicons: Mapping[str, Lexicon] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    read: Mapping[str, str] = field(default_factory=dict)

    @property
    def texts(self) -> dict[str, str]:
        """The lexicons as JSON."""
        return {control: lexicon.text for control, lexicon in self.lexicons.items()}


def read_patterns(store: PatternStore, project: int, spec: TaskSpec) -> Patterns:
    """What is stored for the controls that mark text. One that cannot be read is left out, and said in the log: no
    label waits for it. Raises StoreUnavailable."""
    from model.spans.patterns.lexicon import read_lexicon

    digests = store.digests(project)
    found: dict[str, Lexicon] = {}
    for control in spec.spans:
        text = store.text(project, control.name) if control.name in digests and control.question is None else None
        if text is None:
            continue
        try:
            found[control.name] = read_lexicon(text)
        except (ValueError, KeyError, TypeError) as error:
            log.error("patterns unusable project=%s control=%s: %r", project, control.name, error)
    own = {control: lexicon.digest for control, lexicon in sorted(found.items())}
    return Patterns(found, own, digests)
