"""Fine-tuning on marked text with a tiny BERT: it learns, it resumes exactly, what is served is what was trained."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest

from model.encoder.encoder import Encoder
from model.encoder.windows import Windows
from model.spans.chain.schedule import choose
from model.spans.chain.tags import TagSet, WordSpan
from model.spans.features.reading import SpanReader
from model.spans.head.tuned_marks import TAGGED_DEPTHS, WordScorer
from model.spans.words import apart, to_characters, word_spans
from model.training.follower import RunConfig
from model.training.marks.marked_set import MarkedSet, draw_texts, read_parts
from model.training.recipe import DEFAULT_RECIPE
from model.training.tuner import FineTuner, TrainingSet
from tests.model.spans.conftest import mark, sentences
from tests.model.training.test_tuner import WORDS, lesson, tiny

__all__ = ["lesson", "tiny"]

LABELS = ("COLOUR", "THING")


def marked_texts(count: int, seed: int = 0) -> MarkedSet:
    """Four words each, of which some are colours or, after a colour, things."""
    generator = np.random.default_rng(seed)
    tags, texts, found = TagSet(LABELS), [], []
    for _ in range(count):
        words = list(generator.choice(WORDS, 4))
        marks = [WordSpan(i, i, "COLOUR") for i, word in enumerate(words) if word in WORDS[:3]]
        marks += [WordSpan(i, i, "THING") for i, word in enumerate(words) if i and words[i - 1] in WORDS[:3]]
        marks = [mark for mark in marks if mark.label == "COLOUR" or words[mark.first] not in WORDS[:3]]
        texts.append(" ".join(words))
        found.append(tags.encode(4, marks))
    return MarkedSet("marks", LABELS, texts, found, [1.0] * count)


def tune(
    tiny: Path, marks: MarkedSet, steps: int, checkpoint: Path | None = None, stop: int | None = None
) -> FineTuner:
    tuning = FineTuner(tiny, [], [marks], seed=3, threads=1)

    def report(step: int, loss: float) -> None:
        if step == stop:
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        tuning.run(steps, report, checkpoint, marked=steps)
    return tuning


def scorer_of(tuning: FineTuner) -> WordScorer:
    return tuning.marked[0].scorer(np.zeros((0, 32), np.float32), 0.0, None)


def test_what_is_served_is_what_was_trained_and_it_has_learned(tiny: Path, tmp_path: Path) -> None:
    tuning = tune(tiny, marked_texts(48), 200)
    tuning.save_encoder(tmp_path / "encoder.safetensors")
    served = SpanReader(Encoder(tiny, weights=tmp_path / "encoder.safetensors"), None, None, TAGGED_DEPTHS)
    fresh = marked_texts(40, seed=9)
    read = served.read(fresh.texts)
    scores = scorer_of(tuning).log_scores(read, read)
    gold = np.concatenate(fresh.tags)
    assert (scores.argmax(1) == gold).mean() > 0.78 > (gold == 0).mean() + 0.1
    assert (scores.argmax(1) == gold)[gold == 1].mean() > 0.95, "colours need no context, which one layer learns slowly"
    held = tuning.read_marks(fresh)
    shifted = scores - scores.max(1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    assert tuning.marked_loss(0, held) == pytest.approx(-logs[np.arange(len(gold)), gold].mean(), abs=2e-3)


def test_a_killed_run_goes_on_as_if_nothing_had_happened(tiny: Path, tmp_path: Path) -> None:
    checkpoint, marks = tmp_path / "run.safetensors", marked_texts(20)
    tune(tiny, marks, 60, checkpoint, stop=40)
    assert checkpoint.is_file()
    steps: list[int] = []
    resumed = FineTuner(tiny, [], [marks], seed=3, threads=1)
    resumed.run(60, lambda step, loss: steps.append(step), checkpoint, marked=60)
    assert steps[0] == 26, "the checkpoint of step 25"
    whole = tune(tiny, marks, 60)
    for name, parameter in whole._trainable().items():
        found = resumed._trainable()[name].detach().numpy()
        np.testing.assert_allclose(found, parameter.detach().numpy(), rtol=0, atol=2e-5)


def test_choices_and_marks_take_turns_on_one_encoder(tiny: Path, lesson: TrainingSet) -> None:
    tuning = FineTuner(tiny, [lesson], [marked_texts(20)], seed=3, threads=1)
    losses: list[float] = []
    tuning.run(50, lambda step, loss: losses.append(loss), marked=20)
    turns = [tuning._turn(step) for step in range(50)]
    assert sum(marked for marked, _ in turns) == 20
    assert [turn for marked, turn in turns if marked] == list(range(20))
    assert [turn for marked, turn in turns if not marked] == list(range(30))
    assert max(np.diff([step for step, (marked, _) in enumerate(turns) if marked])) <= 3, "evenly spread"
    heads = tuning.heads({"label": 1.0}, {"label": 1.0})
    assert np.abs(scorer_of(tuning).coefficients).max() > 0 and set(heads) == {"label"}


def test_what_the_prior_says_is_learned_on_top_of(tiny: Path) -> None:
    """With a prior that knows everything there is little to learn, and a head of zeros says what the prior says."""
    marks = marked_texts(16)
    offsets = [np.where(np.eye(5)[own] > 0, 0.0, -8.0).astype(np.float16) for own in marks.tags]
    told = MarkedSet(marks.name, marks.labels, marks.texts, marks.tags, marks.weights, offsets)
    tuning = FineTuner(tiny, [], [told], seed=3, threads=1)
    assert tuning.marked_loss(0, tuning.read_marks(told)) < 0.01
    blank = FineTuner(tiny, [], [marks], seed=3, threads=1)
    shares = np.bincount(np.concatenate(marks.tags), minlength=5) + 0.5
    logs = np.log(shares / shares.sum())
    expected = -logs[np.concatenate(marks.tags)].mean()
    assert blank.marked_loss(0, blank.read_marks(marks)) == pytest.approx(expected, rel=1e-3), "most words are of none"


def test_long_texts_are_read_in_windows_and_words_that_are_cut_are_not_learned(tiny: Path) -> None:
    windows = Windows(tiny, 16)
    text = " ".join(WORDS * 4)
    (parts,) = read_parts(windows, [text])
    assert len(parts) > 1 and all(len(part.window.ids) <= 16 for part in parts)
    assert set(np.concatenate([part.words for part in parts]).tolist()) == set(range(40))
    assert read_parts(windows, [""]) == [[]]
    (one,) = read_parts(windows, ["Red green"])[0]
    assert one.capitals.tolist() == [0] and one.owners.tolist() == [0, 1] and one.tokens.tolist() == [1, 2]


def test_texts_come_in_turn_and_by_seed_and_step_alone() -> None:
    seen = [row for step in range(5) for row in draw_texts(10, 7, step, 8)]
    assert sorted(seen) == sorted(list(range(10)) * 4), "four times each"
    assert draw_texts(10, 7, 3, 8) == draw_texts(10, 7, 3, 8) != draw_texts(10, 8, 3, 8)
    assert len(draw_texts(3, 7, 0, 8)) == 8, "few texts come several times in a batch"


def test_another_process_hears_the_same(lesson: TrainingSet) -> None:
    marks = marked_texts(3)
    offsets = [np.full((4, 5), -0.5, np.float16) for _ in range(3)]
    told = MarkedSet(marks.name, marks.labels, marks.texts, marks.tags, marks.weights, offsets)
    order = RunConfig("base", (lesson,), 1, 1, "fp32", 30, None, True, (told,), 10)
    heard = RunConfig.from_json(order.to_json())
    assert heard.marked == 10 and heard.marks[0].texts == told.texts
    for ours, theirs in ((told.tags, heard.marks[0].tags), (told.offsets, heard.marks[0].offsets)):
        assert all((own == other).all() for own, other in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(
    ("texts", "trust", "steps"), [(16, 1.0, 40), (64, 0.0, 96), (64, 1.0, 48), (64, 0.5, 72), (2000, 1.0, 400)]
)
def test_steps_follow_from_texts_and_from_what_the_prior_knows(texts: int, trust: float, steps: int) -> None:
    assert DEFAULT_RECIPE.marked_steps_for(texts, trust) == steps


@pytest.mark.long
@pytest.mark.slow
def test_it_learns_people_and_places_without_a_prior(minilm: Encoder, tmp_path: Path) -> None:
    """The real encoder, sixty steps, no prior: names and places that it has not seen in these sentences."""
    people, tags = sentences(48), TagSet(("LOC", "PER"))
    read = SpanReader(minilm).read([one.text for one in people])
    gold = [
        tags.encode(len(text.bounds), apart(word_spans(text.bounds, one.spans)))
        for text, one in zip(read, people, strict=True)
    ]
    marks = MarkedSet("label", tags.labels, [one.text for one in people], gold, [1.0] * len(people))
    tuning = FineTuner(minilm.directory, [], [marks], seed=1, threads=1)
    tuning.run(60, lambda step, loss: None, marked=60)
    tuning.save_encoder(tmp_path / "encoder.safetensors")
    tuned = SpanReader(Encoder(minilm.directory, weights=tmp_path / "encoder.safetensors"), depths=TAGGED_DEPTHS)
    fresh = [
        mark("Yesterday Ilse Brandt came back from Helsinki.", ("Ilse Brandt", "PER"), ("Helsinki", "LOC")),
        mark("Why did Omar leave Toronto so soon?", ("Omar", "PER"), ("Toronto", "LOC")),
        mark(
            "The shop was closed on Monday.",
        ),
    ]
    again = tuned.read([one.text for one in fresh])
    scorer = tuning.marked[0].scorer(np.zeros((0, 384), np.float32), 0.0, None)
    found = scorer.candidates(again, again, 12)
    hits = wrong = 0
    for text, own, one in zip(again, found, fresh, strict=True):
        shown = {to_characters(text.bounds, WordSpan(c.first, c.last, tags.labels[c.label])) for c in choose(own, 0.5)}
        hits, wrong = hits + len(shown & set(one.spans)), wrong + len(shown - set(one.spans))
    assert hits >= 3 and wrong <= 1
