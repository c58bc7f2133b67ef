"""Whoever is patient waits while predictions are answered, and not for ever."""

from __future__ import annotations

import threading
import time

import pytest

from backend.errors import Overloaded
from backend.serving.patience import Patience
from backend.serving.predictors import Admission


def test_without_predictions_nobody_waits() -> None:
    Patience(Admission(2), 0.0).give_way()
    patience = Patience(Admission(2), 1000.0)
    patience.give_way()
    assert patience._left == 1000.0


def test_it_waits_until_the_last_prediction_is_answered() -> None:
    admission, order, go_on = Admission(4), list[str](), threading.Event()
    inside = threading.Barrier(3)

    def predict() -> None:
        with admission.enter():
            inside.wait(120)
            go_on.wait(120)
            order.append("prediction")

    def page() -> None:
        Patience(admission, 60.0).give_way()
        order.append("page")

    threads = [threading.Thread(target=predict) for _ in range(2)]
    for thread in threads:
        thread.start()
    inside.wait(120)
    threads.append(threading.Thread(target=page))
    threads[-1].start()
    assert admission.inside == 2
    go_on.set()
    for thread in threads:
        thread.join(120)
    assert order == ["prediction", "prediction", "page"] and admission.inside == 0


def test_a_patience_ends_however_often_it_is_asked() -> None:
    admission = Admission(1)
    with admission.enter():
        patience, began = Patience(admission, 0.05), time.monotonic()
        for _ in range(1000):
            patience.give_way()
        assert patience._left <= 0
        assert time.monotonic() - began >= 0.05


def test_as_many_as_are_admitted_and_no_more() -> None:
    admission = Admission(2)
    with admission.enter(), admission.enter():
        with pytest.raises(Overloaded), admission.enter():
            pass
        assert admission.inside == 2
    assert admission.inside == 0 and admission.wait_for_none(0.0)
