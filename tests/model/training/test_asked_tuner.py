"""Fine-tuning on questions with tiny BERTs: it learns, it resumes exactly, what is served is what was trained."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest

from model.encoder.encoder import Encoder
from model.encoder.windows import Windows
from model.errors import VersionError
from model.questions.asked import AskedText, TaughtWords
from model.questions.fit import QuestionBasis, cold_question_head
from model.questions.question_type import find_type
from model.questions.reading import QuestionReader
from model.questions.tuned_answers import AnswerScorer, TunedAnswers, mix_answers, restore_tuned_answers
from model.span import Span
from model.spans.features.feature_space import StateScale
from model.spans.features.reading import ReadText, SpanReader
from model.spans.head.calibration import SpanCalibration
from model.spans.head.head import ShowRules
from model.spans.words import find_words, to_words
from model.training.follower import RunConfig
from model.training.questions.asked_set import AskedSet, read_asked
from model.training.questions.asked_task import AskedTask
from model.training.tuner import FineTuner
from tests.model.training.test_marked_tuner import marked_texts
from tests.model.training.test_tuner import WORDS, lesson, tiny
from tests.support.questions import write_answering_base

__all__ = ["lesson", "tiny"]


def colour_questions(count: int, seed: int = 0, length: int = 5) -> AskedSet:
    """Where the colour stands in a passage of some words; in every third there is none."""
    generator = np.random.default_rng(seed)
    pairs, answers = [], []
    for turn in range(count):
        words = list(generator.choice(WORDS[3:], length))
        place = int(generator.integers(length))
        if turn % 3 < 2:
            words[place] = str(generator.choice(WORDS[:3]))
        pairs.append((" ".join(words), str(generator.choice(WORDS[3:]))))
        answers.append([[(place, place)] if turn % 3 < 2 else []])
    return AskedSet("answer", ("Answer",), pairs, answers, [1.0] * count, 3)


def tune(base: Path, asked: AskedSet, steps: int, checkpoint: Path | None = None, stop: int | None = None) -> FineTuner:
    tuning = FineTuner(base, [], [asked], seed=3, threads=1)

    def report(step: int, loss: float) -> None:
        if step == stop:
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        tuning.run(steps, report, checkpoint, marked=steps)
    return tuning


def task_of(tuning: FineTuner) -> AskedTask:
    task = tuning.marked[0]
    assert isinstance(task, AskedTask)
    return task


def read(encoder: Encoder, asked: AskedSet) -> list[AskedText]:
    return QuestionReader(SpanReader(encoder)).read(asked.pairs)


def said_by(base: Path, tuning: FineTuner, asked: AskedSet, scratch: Path) -> list[list[TaughtWords]]:
    """What the served encoder says."""
    tuning.save_encoder(scratch / "encoder.safetensors")
    plain, tuned = Encoder(base), Encoder(base, weights=scratch / "encoder.safetensors")
    heads = task_of(tuning).scorer().heads
    return QuestionReader(SpanReader(plain)).read_tuned(tuned, heads, read(plain, asked))


def log_likelihood(said: TaughtWords, answers: list[tuple[int, int]], longest: int) -> float:
    """By hand: of what is right among all runs of words and none."""
    count = len(said.scores)
    runs = [(i, j) for i in range(count) for j in range(i, min(count, i + longest))]
    scores = {(i, j): said.scores[i, 0] + said.scores[j, 1] for i, j in runs}
    total = np.logaddexp.reduce([*scores.values(), said.none])
    right = [scores[place] for place in answers] or [said.none]
    return float(np.logaddexp.reduce(right) - total)


def test_what_is_served_is_what_was_trained_and_it_has_learned(tiny: Path, tmp_path: Path) -> None:
    asked = colour_questions(48)
    tuning = tune(tiny, asked, 200)
    said = said_by(tiny, tuning, asked, tmp_path)
    losses = [-log_likelihood(own[0], list(row[0]), 3) for own, row in zip(said, asked.answers, strict=True)]
    assert tuning.marked_loss(0, tuning.read_marks(asked)) == pytest.approx(np.mean(losses), abs=5e-3)
    blank = FineTuner(tiny, [], [asked], seed=3, threads=1)
    runs = 5 + 4 + 3 + 1
    assert blank.marked_loss(0, blank.read_marks(asked)) == pytest.approx(np.log(runs), rel=1e-3), "W starts from zero"
    assert np.mean(losses) < 1.3, "to know how often each place answers would be 1.71"


def test_a_killed_run_goes_on_as_if_nothing_had_happened(tiny: Path, tmp_path: Path) -> None:
    checkpoint, asked = tmp_path / "run.safetensors", colour_questions(20)
    tune(tiny, asked, 60, checkpoint, stop=40)
    assert checkpoint.is_file()
    steps: list[int] = []
    resumed = FineTuner(tiny, [], [asked], seed=3, threads=1)
    resumed.run(60, lambda step, loss: steps.append(step), checkpoint, marked=60)
    assert steps[0] == 26, "the checkpoint of step 25"
    whole = tune(tiny, asked, 60)
    for name, parameter in whole._trainable().items():
        found = resumed._trainable()[name].detach().numpy()
        np.testing.assert_allclose(found, parameter.detach().numpy(), rtol=0, atol=2e-5)


def test_it_begins_with_the_base_models_own_head(tmp_path: Path) -> None:
    """Before a step it says just what the base model says, long passages included."""
    (tmp_path / "base").mkdir()
    base = write_answering_base(tmp_path / "base", 0.1)
    encoder = Encoder(base)
    assert encoder.answering is not None
    start = encoder.answering.weight, encoder.answering.bias
    plain = colour_questions(6)
    long = (" ".join(WORDS * 8), "red")
    asked = AskedSet("answer", ("Answer",), [*plain.pairs, long], [*plain.answers, [[(0, 0)]]], [1.0] * 7, 3, start)
    tuning = FineTuner(base, [], [asked], seed=3, threads=1)
    (tmp_path / "out").mkdir()
    said = said_by(base, tuning, asked, tmp_path / "out")
    for text, own in zip(read(encoder, asked), said, strict=True):
        assert text.taught is not None
        np.testing.assert_allclose(own[0].scores, text.taught.scores, atol=2e-2)
        assert own[0].none == pytest.approx(text.taught.none, abs=2e-2)
    before = tuning.marked_loss(0, tuning.read_marks(asked))
    tuning.run(40, lambda step, loss: None, marked=40)
    assert tuning.marked_loss(0, tuning.read_marks(asked)) < before
    assert tuning._rates(0) == [5e-5, 5e-5], "both know much already"


def test_questions_take_turns_with_marks_and_have_rates_of_their_own(tiny: Path) -> None:
    tuning = FineTuner(tiny, [], [marked_texts(12), colour_questions(12)], seed=3, threads=1)
    rates: list[tuple[float, ...]] = []
    tuning.run(8, lambda step, loss: rates.append(tuple(tuning._rates(step - 1))), marked=8)
    assert rates[0::2] == [(2e-4, 2e-3)] * 4 and rates[1::2] == [(1e-4, 2e-3)] * 4
    assert np.abs(task_of_second(tuning).scorer().heads[0].weight).max() > 0


def task_of_second(tuning: FineTuner) -> AskedTask:
    task = tuning.marked[1]
    assert isinstance(task, AskedTask)
    return task


def test_long_passages_are_read_in_windows_that_share_tokens(tiny: Path) -> None:
    windows = Windows(tiny, 16)
    (parts,) = read_asked(windows, [(" ".join(WORDS * 4), "red")])
    assert len(parts) > 1 and all(len(part.window.ids) <= 16 for part in parts)
    assert set(np.concatenate([part.words for part in parts]).tolist()) == set(range(40))
    for part in parts:
        assert part.rows[0] == 0 and part.count == 1 + len(part.rows[1:])
        assert set(part.owners.tolist()) == set(range(len(part.words)))
    assert read_asked(windows, [("", "red")]) == [[]]
    assert read_asked(windows, [("red", "")])[0] != []


def test_a_window_without_the_answer_has_none(tiny: Path) -> None:
    text = " ".join(WORDS * 4)
    asked = AskedSet("answer", ("Answer",), [(text, "red")], [[[(39, 39)]]], [1.0], 3)
    windows = Windows(tiny, 16)
    task = AskedTask(asked, windows, 32, 0.0, FineTuner(tiny, [], [asked], seed=1, threads=1).device)
    told = [39 in part.words for part in task.parts[0]]
    assert True in told and False in told
    from model.training.questions.asked_task import _right

    for part, has in zip(task.parts[0], told, strict=True):
        inside = np.ones((len(part.words), 3), bool)
        assert (_right([(39, 39)], part, inside) is not None) == has
        assert _right([(39, 45)], part, inside) is None and _right([], part, inside) is None


def test_another_process_hears_the_same(tiny: Path) -> None:
    start = np.ones((2, 4), np.float32), np.zeros(2, np.float32)
    asked = colour_questions(4)
    told = AskedSet(asked.name, asked.labels, asked.pairs, asked.answers, asked.weights, 3, start)
    order = RunConfig("base", (), 1, 1, "fp32", 30, None, True, (told, marked_texts(2)), 10)
    heard = RunConfig.from_json(json.loads(json.dumps(order.to_json()))).marks
    assert isinstance(heard[0], AskedSet) and not isinstance(heard[1], AskedSet)
    assert list(heard[0].pairs) == list(told.pairs) and heard[0].longest == 3
    assert [[list(own) for own in row] for row in heard[0].answers] == [
        [list(own) for own in row] for row in told.answers
    ]
    assert heard[0].start is not None and (heard[0].start[0] == start[0]).all()


def made_up(passage: str, question: str) -> AskedText:
    nothing = np.zeros((0, 96), np.float16)

    def plain(text: str) -> ReadText:
        bounds = find_words(text)
        return ReadText(text, bounds, np.ones((len(bounds), 96), np.float16), nothing)

    asked = plain(question)
    return AskedText(asked, plain(passage), find_type(asked.words), np.zeros(32, np.float32))


def test_the_mean_is_the_mean_and_comes_back_from_its_files() -> None:
    texts = [made_up("red blue green", "who?"), made_up("", "who?"), made_up("blue", "red?")]
    head = cold_question_head(QuestionBasis(("Answer", "Other"), StateScale.measure((), 96)))
    heads = AnswerScorer(("Answer",), ())
    said = [
        [TaughtWords(np.where(np.arange(2 * count).reshape(-1, 2) == 1, 9.0, 0.0).astype(np.float32), 0.0)]
        for count in (3, 0, 1)
    ]
    alone, half, whole = (mix_answers(head, heads, texts, said, weight) for weight in (0.0, 0.5, 1.0))
    assert alone == head.best(texts) and half[1] == []
    assert [own.span.label for own in half[0]] == ["Answer", "Other"]
    assert half[0][1] == alone[0][1], "what the fine-tune does not know the head says alone"
    assert half[2][0].none == pytest.approx((alone[2][0].none + whole[2][0].none) / 2, abs=1e-6)
    assert (whole[0][0].span.first, whole[0][0].span.last) == (0, 0) and whole[0][0].probability > 0.99
    weight, bias = np.ones((2, 32), np.float32), np.zeros(2, np.float32)
    from model.pretrained.answering_head import AnsweringHead

    part = TunedAnswers(
        AnswerScorer(("Answer",), (AnsweringHead(weight, bias),)),
        0.5,
        40,
        SpanCalibration(2.0, 1.0),
        SpanCalibration(1.5, 0.0),
        ShowRules(0.4, 0.3),
    )
    again = restore_tuned_answers(json.loads(json.dumps(part.config())), part.tensors())
    assert again.config() == part.config() and (again.scorer.heads[0].weight == weight).all()
    assert part.aged(80).weight == 0.25 and part.aged(20).weight == 0.5
    shown = part.shown_by(head)
    assert shown.calibration == part.calibration and shown.rules == part.rules
    with pytest.raises(VersionError):
        restore_tuned_answers(part.config(), {})


@pytest.mark.long
@pytest.mark.slow
def test_it_learns_to_find_what_is_asked_for(minilm: Encoder, tmp_path: Path) -> None:
    """The real encoder: made-up passages of other people and places than those that it was trained on."""
    from tests.support.questions import asked

    train, later = asked(48), asked(32, 400)
    pairs = [(one.text, one.question) for one in train]
    places = [to_words(find_words(one.text), Span(*one.answer, "Answer")) if one.answer else None for one in train]
    answers = [[[(own.first, own.last)]] if own else [[]] for own in places]
    lessons = AskedSet("answer", ("Answer",), pairs, answers, [1.0] * len(train), 12)
    tuning = FineTuner(minilm.directory, [], [lessons], seed=1, threads=1)
    tuning.run(80, lambda step, loss: None, marked=80)
    tuning.save_encoder(tmp_path / "encoder.safetensors")
    tuned = Encoder(minilm.directory, weights=tmp_path / "encoder.safetensors")
    reader, scorer = QuestionReader(SpanReader(minilm)), task_of(tuning).scorer()
    texts = reader.read([(one.text, one.question) for one in later])
    said = reader.read_tuned(tuned, scorer.heads, texts)
    scale = StateScale.measure([one.passage for one in texts], reader.words.width)
    found = mix_answers(cold_question_head(QuestionBasis(("Answer",), scale)), scorer, texts, said, 1.0)
    right = 0
    for one, text, (own, *_) in zip(later, texts, found, strict=True):
        start, end = text.passage.bounds[own.span.first][0], text.passage.bounds[own.span.last][1]
        shown = one.text[start:end] if own.probability > own.none else ""
        right += shown == one.said
    assert right >= 20
