"""What the labels of duplicates say: groups, how often they agree, and where they do not."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.duplicates.labelled import PRIOR_EXACT, PRIOR_TEXTS, count_comparisons, group_labelled
from model.spec import NONE, Kind, Sample
from model.texts import _LETTERS, MOST_CHARACTERS, duplicate_keys, normal_form
from tests.support.label_configs import control

ASKED = control("c", "good", "bad")
LONG = "call 0800 123 now to claim your prize"


def sample(task: int, text: str, label: str, **more: Any) -> Sample:
    return Sample(task, (text,), {label: 1.0}, annotations=(task,), **more)


def keys(text: str) -> tuple[int, int | None]:
    return duplicate_keys(("text",), (text,))


UNSEEN = ["\ufeffhello world", "hello\u00ad wor\u200bld", "\u202bhello world\u202c", "\u2067hello\u2069 world\u200f"]


@pytest.mark.parametrize("other", ["Hello  World", " hello world\n", "ＨＥＬＬＯ world", "hello\u00a0world", *UNSEEN])
def test_case_blanks_and_compatible_characters_make_no_other_text(other: str) -> None:
    assert keys(other)[0] == keys("hello world")[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Cafe\u0301", "CAFÉ"),
        ("❤\ufe0f", "❤"),
        ("ｱﾊﾟｰﾄ", "アパート"),
        ("\u05d1\u05bc", "\ufb31"),
        ("ﷺ", "صلى الله عليه وسلم"),
        ("Straße", "STRASSE"),
        ("", " \u200b\n"),
    ],
)
def test_texts_in_all_scripts_are_the_same_however_they_are_written(one: str, other: str) -> None:
    assert keys(one) == keys(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("12345", "12346"),
        ("👍", "👎"),
        ("می\u200cخواهم", "میخواهم"),
        ("👩\u200d🔬", "👩🔬"),
        ("", "."),
        ("https://a.b/1", "https://a.b/2"),
    ],
)
def test_short_texts_of_other_characters_are_others(one: str, other: str) -> None:
    assert keys(one)[0] != keys(other)[0] and keys(one)[1] is keys(other)[1] is None


def test_near_duplicates_differ_in_digits_and_signs_alone() -> None:
    assert keys(LONG)[1] == keys("Call 0900 999 NOW, to claim your prize!")[1] is not None
    assert keys(LONG)[0] != keys("Call 0900 999 NOW, to claim your prize!")[0]
    assert keys(LONG)[1] != keys("call 0800 123 now to claim your price")[1]
    assert keys("thank you 12")[1] is None, "too short to go by"
    assert keys("मुझे अपना पैसा वापस चाहिए अभी")[1] != keys("मझे अपना पैसा वापस चाहिए अभी")[1], "vowel signs are letters"


def test_a_text_of_all_characters_takes_no_memory_for_ever() -> None:
    everything = "".join(map(chr, range(0x20000)))
    assert keys(everything) == keys(everything) and len(_LETTERS) <= MOST_CHARACTERS


def test_what_is_asked_about_other_inputs_and_pairs_is_another_text() -> None:
    assert duplicate_keys(("a",), ("same",)) != duplicate_keys(("b",), ("same",))
    assert duplicate_keys(("a", "b"), ("x y", "z")) != duplicate_keys(("a", "b"), ("x", "y z"))


@given(st.text(), st.text())
def test_any_text_has_keys_and_its_normal_form_has_the_same(text: str, other: str) -> None:
    form = normal_form(text)
    assert duplicate_keys(("t",), (form,)) == duplicate_keys(("t",), (normal_form(form),))
    assert isinstance(duplicate_keys(("t", "u"), (text, other))[0], int)


def test_agreement_is_that_of_each_label_with_those_of_the_others() -> None:
    rows = [("a", "good"), ("A", "good"), ("b", "bad"), ("B", "good"), ("b ", "bad"), ("c", "good")]
    found = group_labelled(ASKED, [sample(n, text, label) for n, (text, label) in enumerate(rows)])
    agreement = found.agreement()
    assert agreement.exact_texts == 5
    assert agreement.exact == pytest.approx((4 + PRIOR_EXACT * 20) / 25), "both a; both b that say bad, of ties"
    assert found.count_groups() == (2, 0)


def test_near_duplicates_take_over_labels_only_where_many_agreed() -> None:
    def rows(count: int, odd: int) -> list[Sample]:
        texts = [f"your invoice number {n} is attached here" for n in range(count)]
        return [sample(n, text, "bad" if n < odd else "good") for n, text in enumerate(texts)]

    assert not group_labelled(ASKED, rows(10, 0)).agreement().carries_near
    assert group_labelled(ASKED, rows(20, 0)).agreement().carries_near
    assert not group_labelled(ASKED, rows(40, 4)).agreement().carries_near
    assert group_labelled(ASKED, [*rows(1, 0)] * 40).agreement().near_texts == 0, "exact ones are no evidence for them"


def test_very_many_copies_of_one_text_say_little_of_other_texts() -> None:
    rows = [sample(n, "order 66 was shipped by our house", "good") for n in range(1000)]
    rows += [sample(1000 + n, "thank you", "good" if n % 2 else "bad") for n in range(8)]
    found = group_labelled(ASKED, rows).agreement()
    assert found.exact_texts == 28 and found.exact == pytest.approx((20 + PRIOR_EXACT * 20) / 48)
    assert found.exact < 0.83, "1,000 copies once said .99"


def test_groups_say_what_their_labels_say() -> None:
    rows = [sample(1, "a", "good"), sample(2, "A", "good"), sample(3, "a ", "bad"), sample(4, "b", "good")]
    exact, near = group_labelled(ASKED, rows).answers()
    assert not near
    several = exact[keys("a")[0]]
    assert several.answers == ((("good",), 0.6667), (("bad",), 0.3333)) and several.against == (3,)
    assert exact[keys("b")[0]].answers == ((("good",), 1.0),)
    sure = [*rows, sample(5, "a", "bad", ground_truth=True)]
    assert group_labelled(ASKED, sure).answers()[0][keys("a")[0]].answers == ((("bad",), 1.0),)


def test_answers_with_nothing_and_sets_are_answers() -> None:
    blank = group_labelled(ASKED, [sample(1, "a", NONE)]).answers()[0][keys("a")[0]]
    assert blank.answers == (((), 1.0),)
    asked = control("c", "x", "y", kind=Kind.MULTIPLE)
    rows = [Sample(1, ("a",), {"y": 1.0, "x": 0.6}), Sample(2, ("a",), {"x": 1.0, "y": 1.0}), Sample(3, ("b",), {})]
    found = group_labelled(asked, rows)
    assert found.answers()[0][keys("a")[0]].answers == ((("x", "y"), 1.0),)
    assert found.answers()[0][keys("b")[0]].answers == (((), 1.0),)
    assert found.agreement().exact_texts == 2


def test_labels_of_duplicates_that_differ_name_each_other() -> None:
    rows = [sample(1, "a", "good"), sample(2, "a", "good"), sample(3, "A", "bad"), sample(4, "b", "good")]
    (found,) = group_labelled(ASKED, rows).disagreements(near=False)
    assert (found.task, found.given, found.suggested, found.like, found.others) == (3, ("bad",), ("good",), 1, 2)
    tie = group_labelled(ASKED, [sample(1, "a", "good"), sample(2, "a", "bad")]).disagreements(near=False)
    assert [(one.task, one.like) for one in tie] == [(1, 2), (2, 1)]
    sure = [sample(1, "a", "good"), sample(2, "a", "good"), sample(3, "a", "bad", ground_truth=True)]
    assert [one.task for one in group_labelled(ASKED, sure).disagreements(near=False)] == [1, 2]
    odd = [sample(1, LONG, "good"), sample(2, LONG.replace("123", "124"), "bad")]
    assert not group_labelled(ASKED, odd).disagreements(near=False)
    assert len(group_labelled(ASKED, odd).disagreements(near=True)) == 2


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), min_size=2, max_size=9))
def test_who_disagrees_is_as_each_label_against_the_others_says(said: list[tuple[str, bool]]) -> None:
    """Counted once a group, and not once a label: there may be 100,000 of one text."""
    asked = control("c", "a", "b", "c")
    found = group_labelled(asked, [sample(n, "x", own, ground_truth=sure) for n, (own, sure) in enumerate(said)])
    agreeing, wrong = 0, {}
    for task, (own, is_sure) in enumerate(said):
        others = Counter(other for n, (other, _) in enumerate(said) if n != task)
        agreeing += others[own] == max(others.values())
        truths = [other for other, sure in said if sure]
        told = truths or [one for one in others if others[one] == max(others.values()) > others[own]]
        if not is_sure and told and told[0] != own:
            wrong[task] = truths[:1] or told
    agreement = found.agreement()
    assert agreement.exact == pytest.approx((agreeing + PRIOR_EXACT * 20) / (len(said) + 20))
    rows = found.disagreements(near=False)
    assert {row.task for row in rows} == set(wrong)
    for row in rows:
        assert row.suggested[0] in wrong[row.task] and said[row.like][0] == row.suggested[0]
        assert row.others == len(said) - 1 and row.share + row.given_share <= 1.0001


def test_a_hundred_thousand_copies_of_one_text_are_counted_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, count, read = control("c", "good", "bad"), 100_000, Counter[str]()
    samples = [sample(n, "same", "bad" if n % 7 == 0 else "good") for n in range(count)]
    found = group_labelled(asked, samples)
    own = type(found)._answer
    monkeypatch.setattr(type(found), "_answer", lambda self, one: (read.update(["answer"]), own(self, one))[1])
    assert len(found.disagreements(near=True)) == len(range(0, count, 7))
    assert found.agreement().exact_texts == PRIOR_TEXTS and read["answer"] <= 4 * count
    answers, _ = found.answers()
    (one,) = answers.values()
    assert len(one.against) == 50


@pytest.mark.parametrize("pairs", [0, 1, 30, 2000])
@pytest.mark.parametrize("wrong", [0, 1, 17])
def test_two_that_agree_are_one_comparison(pairs: int, wrong: int) -> None:
    wrong = min(wrong, pairs)
    samples = [
        sample(2 * pair + side, f"text {pair}", "bad" if side and pair < wrong else "good")
        for pair in range(pairs)
        for side in (0, 1)
    ]
    found = group_labelled(ASKED, samples)
    agreement, (groups, _) = found.agreement(), found.count_groups()
    seen = round(agreement.exact, 4), agreement.exact_texts, groups
    assert count_comparisons(*seen, near=False) == (pairs, wrong)
