"""Signs of life of a command that takes minutes."""

from __future__ import annotations

import sys
import time

from backend.screen import say, say_over

QUIET_SECONDS = 5.0
"""Between two signs of life when stderr is no terminal."""


class Progress:
    """Signs of life and notes on stderr, so that stdout holds rows only."""

    def __init__(self) -> None:
        self._live, self._said, self._what = sys.stderr.isatty(), 0.0, ""

    def about(self, what: str) -> None:
        """What the next signs of life belong to."""
        self._what = what

    def tell(self, words: str) -> None:
        """A sign of life: one line that is written over on a terminal, now and then a line elsewhere."""
        line = f"{self._what}: {words}" if self._what else words
        if self._live:
            say_over(line[:110])
        elif time.monotonic() - self._said > QUIET_SECONDS:
            self._said = time.monotonic()
            say(line, err=True)

    def note(self, words: str) -> None:
        """A line that stays."""
        self.clear()
        say(words, err=True)

    def clear(self) -> None:
        """Take the sign of life away."""
        if self._live:
            say_over("")
