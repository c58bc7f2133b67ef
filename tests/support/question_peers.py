"""Questions in the bench of accuracy: the learner's head, and what plainer answers would give."""

from __future__ import annotations

import re
import string
import time
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from backend.simulate.trainer import PolicyTrainer, Workplace
from model.numerics.metrics import expected_calibration_error
from model.questions.asked import AnsweredText, find_sentences
from model.questions.fit import QuestionBasis, fit_question_head
from model.questions.question_type import STOP_WORDS
from model.questions.reading import QuestionReader
from model.simulation.span_dataset import SpanDataset
from model.simulation.span_replay import CONTROL, spec_of
from model.span import Span, SpanDocument, SpanSample
from model.spans.features.feature_space import StateScale
from model.spans.features.reading import ReadText, SpanReader
from model.spans.head.fit import Basis, SpanExample, fit_span_head
from model.spans.head.head import Suggestions
from tests.support.question_sets import LABEL, AskedPassage, QuestionSet

Guess = tuple[Span | None, float]
"""The answer that is shown, if any, and its score."""

Row = dict[str, float | str]


def rows_of(data: QuestionSet, reader: SpanReader, counts: Sequence[int], names: Sequence[str] = ()) -> list[Row]:
    """A row per number of answers and method (of these `names`; all without)."""
    rows: list[Row] = []
    for count in counts:
        train = data.train[:count]
        for name, method in METHODS.items():
            if (count == 0 and name != "understudy") or (names and name not in names):
                continue
            began = time.process_time()
            guesses = method(reader, train, data.test)
            measured = _measure(data.test, guesses)
            rows.append({"set": data.name, "answers": count, "by": name, **measured, "cpu_s": _since(began)})
    return rows


def tuned_row(data: QuestionSet, place: Workplace, count: int, seed: int) -> Row:
    """What a fine-tune on so many answers comes to, with the share that it earned, whatever the gate says of it."""
    documents = [SpanDocument(one.text, one.answers, one.question) for one in data.train[:count]]
    control = spec_of(SpanDataset((LABEL,), tuple(documents), ()))
    samples = [SpanSample(number, one.text, one.spans, question=one.question) for number, one in enumerate(documents)]
    tuned = PolicyTrainer(place).tune_marks(control, {CONTROL: samples}, [], seed)
    model = tuned.model or tuned.refused
    if model is None:
        raise SystemExit(tuned.reason)
    found = [own for _, own in model.look(CONTROL, [(one.text, one.question) for one in data.test])]
    guesses = [guess_of(own) for own in found]
    part = model.finetuned.marks[CONTROL] if model.finetuned is not None else None
    return {
        **{"set": data.name, "answers": count, "by": "with fine-tune", **_measure(data.test, guesses)},
        **{"cpu_s": round(tuned.cpu_seconds, 1), "share": part.weight if part is not None else 0.0},
        "gate": tuned.reason,
    }


def by_understudy(reader: SpanReader, train: Sequence[AskedPassage], test: Sequence[AskedPassage]) -> list[Guess]:
    """The head for questions as it would be shown."""
    questions = QuestionReader(reader)
    read = questions.read([(one.text, one.question) for one in (*train, *test)])
    examples = [AnsweredText(text, one.answers) for text, one in zip(read, train, strict=False)]
    scale = StateScale.measure([one.passage for one in read[:64]], questions.words.width)
    head = fit_question_head(QuestionBasis((LABEL,), scale, reader.prior), examples)
    found = head.spans(read[len(train) :])
    return [guess_of(own) for own in found]


def guess_of(own: Suggestions) -> Guess:
    """What is shown of a question."""
    return (own.spans[0].span, own.spans[0].score) if own.spans else (None, own.score)


def by_chain(reader: SpanReader, train: Sequence[AskedPassage], test: Sequence[AskedPassage]) -> list[Guess]:
    """What marks of entities are learned by, which sees no question; the likeliest span that it would show."""
    read = reader.read([one.text for one in train])
    scale = StateScale.measure(read[:64], reader.width)
    basis = Basis((LABEL,), reader.name_vectors([LABEL]), scale, reader.prior)
    head = fit_span_head(basis, [SpanExample(text, one.answers) for text, one in zip(read, train, strict=True)])
    guesses: list[Guess] = []
    for own in head.spans(reader.read([one.text for one in test])):
        best = max(own.spans, key=lambda span: span.score, default=None)
        guesses.append((best.span, best.score) if best else (None, own.score))
    return guesses


def by_overlap(reader: SpanReader, train: Sequence[AskedPassage], test: Sequence[AskedPassage]) -> list[Guess]:
    """In the sentence that shares most words with the question, its longest run of capitalised words or numbers that
    the question does not hold."""
    return [(_run(text, set(_words(one.question))), 1.0) for text, one in zip(_read(test), test, strict=True)]


def by_memory(reader: SpanReader, train: Sequence[AskedPassage], test: Sequence[AskedPassage]) -> list[Guess]:
    """The string that most often answered the same question, where the passage has it."""
    known: dict[str, Counter[str]] = {}
    for one in train:
        for span in one.answers:
            known.setdefault(one.question.lower(), Counter())[one.text[span.start : span.end]] += 1
    guesses: list[Guess] = []
    for one in test:
        strings = [own for own, _ in known.get(one.question.lower(), Counter()).most_common() if own in one.text]
        at = one.text.find(strings[0]) if strings else -1
        guesses.append((Span(at, at + len(strings[0]), LABEL) if strings else None, 1.0))
    return guesses


METHODS: dict[str, Callable[[SpanReader, Sequence[AskedPassage], Sequence[AskedPassage]], list[Guess]]] = {
    "understudy": by_understudy,
    "chain for entities": by_chain,
    "overlap": by_overlap,
    "memory": by_memory,
}


def _measure(test: Sequence[AskedPassage], guesses: Sequence[Guess]) -> dict[str, float]:
    """Exact match and F1 of tokens as SQuAD 2.0 counts them, as shown; clicks saved (a wrong answer costs two where
    there is a right one, else one); what the scores are off, and how many are shown."""
    exact, tokens, spent, wanted = 0.0, 0.0, 0.0, 0
    scores, right = list[float](), list[bool]()
    for one, (span, score) in zip(test, guesses, strict=True):
        gold = [_tokens(one.text[own.start : own.end]) for own in one.answers]
        said = _tokens(one.text[span.start : span.end]) if span is not None else []
        hit = span in one.answers if span is not None else False
        exact += (max((float(said == own) for own in gold), default=0.0)) if gold else float(span is None)
        tokens += (max((_f1(said, own) for own in gold), default=0.0)) if gold else float(span is None)
        wanted += bool(gold)
        spent += (0 if hit else (2 if gold else 1)) if span is not None else bool(gold)
        if span is not None:
            scores.append(score)
            right.append(hit)
    ece = expected_calibration_error(np.array(scores), np.array(right, dtype=bool)) if scores else 0.0
    return {
        "exact": round(exact / len(test), 3),
        "f1": round(tokens / len(test), 3),
        "shown": round(len(scores) / len(test), 3),
        "precision": round(float(np.mean(right)), 3) if right else 0.0,
        "saved": round(1 - spent / max(1, wanted), 3),
        "ece": round(float(ece), 3),
    }


def _tokens(text: str) -> list[str]:
    plain = "".join(own for own in text.lower() if own not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", plain).split()


def _f1(said: Sequence[str], gold: Sequence[str]) -> float:
    shared = sum((Counter(said) & Counter(gold)).values())
    return 2 * shared / (len(said) + len(gold)) if shared else 0.0


def _words(text: str) -> list[str]:
    return [own for own in re.findall(r"\w+", text.lower()) if own not in STOP_WORDS]


def _read(test: Sequence[AskedPassage]) -> list[ReadText]:
    from model.spans.words import find_words

    nothing = np.zeros((0, 0), np.float16)
    return [ReadText(one.text, find_words(one.text), nothing, nothing) for one in test]


def _run(text: ReadText, asked: set[str]) -> Span | None:
    words, of = text.words, find_sentences(text).of
    shares = Counter(sentence for word, sentence in zip(words, of, strict=True) if word.lower() in asked)
    best = shares.most_common(1)[0][0] if shares else 0
    runs: list[tuple[int, int]] = []
    for place, (word, sentence) in enumerate(zip(words, of, strict=True)):
        fits = sentence == best and (word[0].isupper() or word[0].isdigit()) and word.lower() not in asked
        if fits and runs and runs[-1][1] == place - 1:
            runs[-1] = (runs[-1][0], place)
        elif fits:
            runs.append((place, place))
    if not runs:
        return None
    first, last = max(runs, key=lambda run: run[1] - run[0])
    return Span(text.bounds[first][0], text.bounds[last][1], LABEL)


def _since(began: float) -> float:
    return round(time.process_time() - began, 2)
