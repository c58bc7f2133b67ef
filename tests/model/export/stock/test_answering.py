"""How many texts a version is asked about: all that there is time for, and most of the time is left for teaching."""

from __future__ import annotations

import pytest

from model.export.stock import answering
from model.export.stock.answering import ANSWERING_SHARE, LEAST_ASKED, Clock, ask, teaching_seconds
from model.export.stock.distil import tell_nobody


class Slow:
    """A version that takes half a second a text, by a clock of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(answering, "monotonic", lambda: self.now)

    def __call__(self, texts: list[str]) -> list[str]:
        self.now += 0.5 * len(texts)
        return [text.upper() for text in texts]


def test_all_are_asked_in_their_order_where_there_is_time(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, texts = Slow(monkeypatch), [f"t{number}" for number in range(900)]
    found = ask(texts, slow, Clock.start(2000), 0, tell_nobody)
    assert found.texts == texts and found.answers == [text.upper() for text in texts]
    assert (found.unasked, found.pace) == (0, 0.5)


def test_a_larger_pool_is_cut_so_that_teaching_gets_most_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, texts = Slow(monkeypatch), [f"t{number}" for number in range(10_000)]
    clock, told = Clock.start(2000), []
    found = ask(texts, slow, clock, 3, lambda line, step=0, of=0: told.append(line))
    assert 700 < len(found.texts) <= 2000 * ANSWERING_SHARE / 0.5 and found.unasked == 10_000 - len(found.texts)
    assert found.answers == [text.upper() for text in found.texts]
    places = [int(text[1:]) for text in found.texts]
    assert places == sorted(places) and places[-1] > 9000, "drawn from all of them"
    assert "there was time for" in told[-1]
    assert teaching_seconds(clock, found.pace, 200) == pytest.approx(2000 - 0.5 * len(places) - 200)


def test_some_are_asked_however_little_time_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, clock = Slow(monkeypatch), Clock.start(0.1)
    found = ask([f"t{number}" for number in range(300)], slow, clock, 0, tell_nobody)
    assert len(found.texts) == LEAST_ASKED and found.unasked == 300 - LEAST_ASKED
    assert teaching_seconds(clock, found.pace, 200) == 0.0
