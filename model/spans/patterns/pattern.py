"""One string or regular expression that may mark a label, and what is wrong with one that cannot be used."""

from __future__ import annotations

from dataclasses import dataclass, field

from model.errors import DataError

LONGEST_WORDS = 40
"""Words of the longest string and of the longest match: no longer span is ever looked for."""

LONGEST_TEXT = 1_000
"""Characters of a string or an expression."""


class PatternError(DataError):
    """A pattern cannot be used: the message names its line, its field and the remedy."""

    code = "bad_pattern"


@dataclass(frozen=True, order=True)
class Pattern:
    """`text` is a string, or with `is_regex` an expression in RE2's syntax. `line`: where in a file it stands, from 1;
    0 for nowhere."""

    label: str
    text: str
    is_regex: bool = False
    ignore_case: bool = False
    line: int = field(default=0, compare=False)

    @property
    def kind(self) -> str:
        """The field of a file that it comes from."""
        return "regex" if self.is_regex else "pattern"

    def bad(self, what: str) -> PatternError:
        """The error that says what is wrong with it."""
        place = f"line {self.line}, " if self.line else ""
        shown = self.text if len(self.text) <= 60 else f"{self.text[:60]}…"
        message = f'{place}field "{self.kind}", {shown!r} of {self.label!r}: {what}'
        return PatternError(message, field=self.kind, line=self.line)
