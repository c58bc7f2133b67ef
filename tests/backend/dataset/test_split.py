"""Train and test: by the text alone."""

from __future__ import annotations

from backend.dataset.split import split_of


def test_the_same_text_stands_on_one_side_however_it_is_written() -> None:
    for number in range(50):
        text = f"Straße {number}  breit"
        sides = {split_of([other], 0.5) for other in (text, text.upper(), f" {text}\n", text.replace(" ", "\u00a0"))}
        assert len(sides) == 1


def test_about_the_share_that_is_asked_for_is_held_out() -> None:
    sides = [split_of([f"text {number}"], 0.2) for number in range(2000)]
    assert 0.17 < sides.count("test") / len(sides) < 0.23
    assert {split_of([f"text {number}"], 0) for number in range(200)} == {"train"}
    assert {split_of([f"text {number}"], 1) for number in range(200)} == {"test"}


def test_a_smaller_share_is_part_of_a_larger_one() -> None:
    texts = [f"text {number}" for number in range(300)]
    small, large = ({one for one in texts if split_of([one], share) == "test"} for share in (0.1, 0.4))
    assert small < large
