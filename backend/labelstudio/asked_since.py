"""Since when each question is asked: what was annotated before a question came did not leave it blank."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

Span = tuple[int, int | None]
"""From when to when a question was in the label config, microseconds since 1970; None: it still is."""


AskedJson = Mapping[str, Sequence[Sequence[int | None]]]
"""`Asked` as the store keeps it: question -> [since, until] of each span."""


@dataclass(frozen=True)
class Asked:
    """Question -> when it was asked. A question that is not among them always was."""

    spans: Mapping[str, tuple[Span, ...]] = field(default_factory=dict)

    def at(self, name: str, moment: int) -> bool:
        """Whether the question was asked then."""
        return name not in self.spans or any(
            since <= moment and (until is None or moment < until) for since, until in self.spans[name]
        )

    def follow(self, names: Iterable[str], moment: int) -> Asked:
        """A label config with these questions came then. Those of the first one have always been asked."""
        now = set(names)
        since = moment if self.spans else 0
        found = {name: spans if name in now else _end(spans, moment) for name, spans in self.spans.items()}
        for name in sorted(now):
            spans = found.get(name, ())
            if not spans or spans[-1][1] is not None:
                found[name] = (*spans, (since, None))
        return Asked(found)

    def to_json(self) -> AskedJson:
        """Plain JSON types."""
        return {name: [list(span) for span in spans] for name, spans in self.spans.items()}

    @classmethod
    def from_json(cls, data: AskedJson) -> Asked:
        """Inverse of `to_json`."""
        return cls({name: tuple((since or 0, until) for since, until in spans) for name, spans in data.items()})


ASKED_ALWAYS = Asked()
"""Every question was asked from the beginning."""


def _end(spans: tuple[Span, ...], moment: int) -> tuple[Span, ...]:
    since, until = spans[-1]
    return spans if until is not None else (*spans[:-1], (since, max(since, moment)))
