"""Injected label errors found again: precision and recall of both flags and of the most suspicious twentieth.

    python -m bench.label_errors [--data DIR] [--sets agnews,sst2] [--labels 512,1000] [--seeds 1] [--cache DIR]
    python -m bench.label_errors --spans [--sets wikigold,snips] [as above]
    python -m bench.label_errors --questions [--squad FILE] [--labels 256,512] [--seeds 1]

5 % of the labels are replaced by another one, drawn evenly. DIR holds folders with a train.csv of `text,label`. Errors
that a set has of its own count as false alarms, so precision is a lower bound. Of texts with spans one in twenty gets
an error: in turn another label, a boundary moved by a word, a span taken away, one or two words marked for nothing.
`cleanlab`: the same out-of-fold answers, ranked by its token classification.

Of answered questions one in twenty gets an error: in turn another answer of as many words, a boundary moved by a word,
an answer taken away, an answer where there is none (made from public sets of spans, or a file in SQuAD's format).
`by given`: ranked by how likely just the given answer is.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from backend.settings.settings import load_settings
from backend.simulate.trainer import Workplace
from bench.support.report import LIST_OF_COUNTS, command, show
from bench.support.spans import find_span_sets
from bench.support.texts import DATA, choice_control, read_split
from model.encoder.encoder import Encoder, find_base_model
from model.evidence.label_errors import LIKELY_WRONG, find_suspects, flag_of_span
from model.features.cache import CachedEncoder, FeatureCache
from model.head.fit import fit_head
from model.interfaces import Embedder
from model.numerics.arrays import Floats
from model.simulation.replay import shuffled
from model.simulation.span_dataset import SpanDataset
from model.simulation.span_replay import spec_of
from model.span import Span, SpanDocument, SpanSample, sorted_spans
from model.spans.chain.crf import Chain
from model.spans.chain.tags import TagSet, WordSpan
from model.spans.head.head import SpanHead
from model.spans.head.held_out import HeldOut, calibration_of
from model.spans.head.label_errors import AnswerErrorKind, ErrorKind, find_span_errors
from model.spans.words import Bounds, apart, find_words, to_characters, to_words, word_spans
from model.spec import Control, Kind, Label, Sample, TaskSpec
from model.versions.span_answers import SpanTools, find_errors, fit_span_heads, hold_out_samples
from tests.support.question_sets import LABEL, QuestionSet, ask_about_labels, read_squad

SHARE = 0.05


def read_rows(folder: Path, count: int, seed: int) -> list[tuple[str, str]]:
    """`count` shuffled rows; none for a set with several labels a text."""
    rows = [(text, label.replace("_", " ")) for text, label in read_split("train", seed, folder)]
    if any("|" in label for _, label in rows):
        return []
    return rows[:count]


def inject(labels: Sequence[str], names: Sequence[str], seed: int) -> tuple[list[str], set[int]]:
    """The labels with SHARE of them replaced, and which."""
    random = np.random.default_rng(1000 + seed)
    wrong = {int(row) for row in random.choice(len(labels), round(SHARE * len(labels)), replace=False)}
    changed = list(labels)
    for row in sorted(wrong):
        changed[row] = str(random.choice([name for name in names if name != labels[row]]))
    return changed, wrong


def find_again(rows: Sequence[tuple[str, str]], embedder: Embedder, seed: int) -> dict[str, Any]:
    """Precision and recall of what is flagged."""
    names = sorted({label for _, label in rows})
    given, wrong = inject([label for _, label in rows], names, seed)
    control = choice_control(names)
    samples = [Sample(i, (text,), {label: 1.0}) for i, ((text, _), label) in enumerate(zip(rows, given, strict=True))]
    head = fit_head(control, samples, [{"text": text} for text, _ in rows], embedder, seed=seed, cross_fit=True)
    if head.out_of_fold is None:
        raise SystemExit("the head gives no out-of-fold answers")
    suspects = find_suspects(head.labels, head.out_of_fold, multilabel=False, limit=len(rows))
    shown = {
        "likely_wrong": {s.task for s in suspects if s.flag == LIKELY_WRONG},
        "flagged": {s.task for s in suspects if s.flag},
        "top_5%": {s.task for s in suspects[: len(wrong)]},
    }
    right = sum(suspect.suggested == rows[suspect.task][1] for suspect in suspects if suspect.task in wrong)
    found = sum(suspect.task in wrong for suspect in suspects)
    row: dict[str, Any] = {}
    for name, tasks in shown.items():
        hits = len(tasks & wrong)
        row |= {f"{name} P": round(hits / max(1, len(tasks)), 2), f"{name} R": round(hits / len(wrong), 2)}
    return {**row, "suggestion right": round(right / max(1, found), 2)}


KINDS = tuple(kind.value for kind in ErrorKind)


def spoil(document: SpanDocument, kind: str, labels: Sequence[str], random: np.random.Generator) -> SpanDocument | None:
    """The text with one error of this kind; None where there can be none."""
    bounds = find_words(document.text)
    marks = {mark: span for span in document.spans if (mark := to_words(bounds, span)) is not None}
    if kind == ErrorKind.SUPERFLUOUS:
        return _with_one_more(document, bounds, marks, labels, random)
    if not marks:
        return None
    mark = sorted(marks)[int(random.integers(len(marks)))]
    others = [span for span in document.spans if span != marks[mark]]
    if kind == ErrorKind.MISSED:
        return replace(document, spans=tuple(others))
    if kind == ErrorKind.LABEL:
        names = [label for label in labels if label != mark.label]
        return replace(document, spans=sorted_spans([*others, replace(marks[mark], label=str(random.choice(names)))]))
    taken = {word for other in marks if other != mark for word in range(other.first, other.last + 1)}
    moved = [(mark.first + start, mark.last + end) for start, end in ((-1, 0), (1, 0), (0, 1), (0, -1))]
    moved = [(a, b) for a, b in moved if 0 <= a <= b < len(bounds) and taken.isdisjoint(range(a, b + 1))]
    if not moved:
        return None
    first, last = moved[int(random.integers(len(moved)))]
    return replace(document, spans=sorted_spans([*others, to_characters(bounds, WordSpan(first, last, mark.label))]))


def _with_one_more(
    document: SpanDocument,
    bounds: Bounds,
    marks: Mapping[WordSpan, Span],
    labels: Sequence[str],
    random: np.random.Generator,
) -> SpanDocument | None:
    """One or two words that nobody marked are marked."""
    taken = {word for mark in marks for word in range(mark.first, mark.last + 1)}
    free = [w for w, (a, b) in enumerate(bounds) if w not in taken and document.text[a:b].isalnum()]
    if not free:
        return None
    first = int(random.choice(free))
    last = first + int(first + 1 in free and random.random() < 0.5)
    more = to_characters(bounds, WordSpan(first, last, str(random.choice(labels))))
    return replace(document, spans=sorted_spans([*document.spans, more]))


def spoil_texts(
    documents: Sequence[SpanDocument], labels: Sequence[str], seed: int
) -> tuple[list[SpanDocument], dict[int, str]]:
    """The texts with one error in SHARE of them, the kinds in turn; place -> kind."""
    random = np.random.default_rng(1000 + seed)
    changed, wrong = list(documents), dict[int, str]()
    for place in random.permutation(len(documents)).tolist():
        if len(wrong) == round(SHARE * len(documents)):
            break
        kind = KINDS[len(wrong) % len(KINDS)]
        if (spoilt := spoil(documents[place], kind, labels, random)) is not None:
            changed[place], wrong[place] = spoilt, kind
    return changed, wrong


def word_posteriors(held_out: HeldOut, labels: Sequence[str]) -> list[Floats]:
    """Of each text what the head that has not seen it says of each word [words, tags of `labels`]."""
    tags = TagSet(tuple(labels))
    found: dict[int, Floats] = {}
    for head in {id(head): head for head in held_out.heads}.values():
        rows = [row for row, other in enumerate(held_out.heads) if other is head]
        texts = [held_out.texts[row] for row in rows]
        features = head.space.features(texts, head.prior, head.chain.tags)
        said = [_posteriors(chain, scores, features.lengths) for chain, scores in head.sides(features)]
        share = held_out.share.share if len(said) > 1 else 0.0
        whole = np.full((len(said[0]), tags.size), 1e-6)
        places = [0, *(1 + 2 * labels.index(label) + more for label in head.labels for more in (0, 1))]
        whole[:, places] = (1 - share) * said[0] + share * said[-1]
        whole /= whole.sum(1, keepdims=True)
        found |= zip(rows, np.split(whole, np.cumsum([len(text.bounds) for text in texts])[:-1]), strict=True)
    return [found[row] for row in range(len(held_out.texts))]


def _posteriors(chain: Chain, scores: Floats, lengths: Sequence[int]) -> Floats:
    lattice = chain.lattice_of(scores, lengths)
    found: Floats = (lattice.forward * lattice.backward)[lattice.packing.places]
    return found / found.sum(1, keepdims=True)


def rank_by_cleanlab(held_out: HeldOut, labels: Sequence[str]) -> list[int]:
    """Places of the texts, the worst first, by the least self-confidence of a word."""
    from cleanlab.token_classification.rank import get_label_quality_scores

    tags = TagSet(tuple(labels))
    rows = [row for row, text in enumerate(held_out.texts) if text.bounds]
    words = [len(held_out.texts[row].bounds) for row in rows]
    marks = [apart(word_spans(held_out.texts[row].bounds, held_out.drawn[row])) for row in rows]
    given = [tags.encode(count, own).tolist() for count, own in zip(words, marks, strict=True)]
    said = word_posteriors(held_out, labels)
    scores, _ = get_label_quality_scores(given, [said[row] for row in rows])
    return [held_out.places[rows[row]] for row in np.argsort(scores, kind="stable")]


def find_spans_again(data: SpanDataset, count: int, tools: SpanTools, seed: int) -> dict[str, Any]:
    """Precision and recall of what is flagged, and of the most suspicious twentieth beside cleanlab's; with both as
    many texts are shown as are wrong, so that precision is recall."""
    documents, wrong = spoil_texts(shuffled(data.train, seed)[:count], data.labels, seed)
    samples = [SpanSample(number, one.text, one.spans) for number, one in enumerate(documents)]
    spec, control = spec_of(data), spec_of(data).spans[0]
    head = fit_span_heads(spec, {control.name: samples}, [], tools)[control.name]
    assert isinstance(head, SpanHead)
    began = time.process_time()
    held_out = hold_out_samples(control, samples, head, tools)
    if held_out is None:
        raise SystemExit("too few texts")
    errors = find_span_errors(held_out, calibration_of(head, held_out))
    seconds = time.process_time() - began
    flags = {one: flag_of_span(one.p_given, one.p_suggested) for one in errors}
    shown = {
        "likely_wrong": {one.place for one in errors if flags[one] == LIKELY_WRONG},
        "flagged": {one.place for one in errors if flags[one]},
    }
    row: dict[str, Any] = {}
    for name, places in shown.items():
        row |= {f"{name} P": round(len(places & set(wrong)) / max(1, len(places)), 2)}
        row |= {f"{name} R": round(len(places & set(wrong)) / len(wrong), 2)}
    top = list(dict.fromkeys(one.place for one in errors))[: len(wrong)]
    theirs = rank_by_cleanlab(held_out, data.labels)[: len(wrong)]
    row |= {"top_5%": _share(top, wrong), "cleanlab": _share(theirs, wrong)}
    for kind in KINDS:
        own = {place: other for place, other in wrong.items() if other == kind}
        row[kind] = round(len(set(top) & set(own)) / max(1, len(own)), 2)
    named = [place for place, kind in wrong.items() if any(one.place == place and one.kind == kind for one in errors)]
    return {**row, "found and named": _share(named, wrong), "seconds": round(seconds, 1)}


def _share(places: Sequence[int], wrong: Mapping[int, str]) -> float:
    return round(len(set(places) & set(wrong)) / len(wrong), 2)


def run_spans(args: argparse.Namespace, place: Workplace) -> Iterator[dict[str, Any]]:
    """The same rows for sets of texts with spans."""
    sets = find_span_sets(args.data, args.sets.split(",") if args.sets else ())
    for count in (int(count) for count in args.labels.split(",")):
        medians = []
        for name, data in sets.items():
            found = [find_spans_again(data, count, place.span_tools(), seed) for seed in range(args.seeds)]
            medians.append(_median(found))
            yield {"set": name, "texts": count, **medians[-1]}
        yield {"set": "median", "texts": count, **_median(medians)}


ANSWER_KINDS = (AnswerErrorKind.ANSWER, ErrorKind.BOUNDARY, ErrorKind.MISSED, ErrorKind.SUPERFLUOUS)


def spoil_answer(one: SpanSample, kind: str, random: np.random.Generator) -> SpanSample | None:
    """The answer with one error of this kind; None where there can be none."""
    bounds = find_words(one.text)
    marks = [mark for span in one.spans if (mark := to_words(bounds, span)) is not None]
    if bool(marks) == (kind == ErrorKind.SUPERFLUOUS):
        return None
    if kind == ErrorKind.MISSED:
        return replace(one, spans=())
    size = marks[0].last - marks[0].first + 1 if marks else int(random.integers(1, 4))
    if kind == ErrorKind.BOUNDARY:
        moved = [(marks[0].first + start, marks[0].last + end) for start, end in ((-1, 0), (1, 0), (0, 1), (0, -1))]
        places = [(a, b) for a, b in moved if 0 <= a <= b < len(bounds)]
        right = {mark[:2] for mark in marks}
    else:
        places = [(a, a + size - 1) for a in range(len(bounds) - size + 1)]
        right = {(a, b) for a, b in places if any(a <= mark.last and mark.first <= b for mark in marks)}
    places = [place for place in places if place not in right]
    if not places:
        return None
    first, last = places[int(random.integers(len(places)))]
    return replace(one, spans=(to_characters(bounds, WordSpan(first, last, LABEL)),))


def find_answers_again(data: QuestionSet, count: int, tools: SpanTools, seed: int) -> dict[str, Any]:
    """As for spans, of answers to questions."""
    random = np.random.default_rng(1000 + seed)
    order = np.random.default_rng(seed).permutation(len(data.train))[:count].tolist()
    asked = [data.train[place] for place in order]
    samples = [SpanSample(n, one.text, one.answers, question=one.question) for n, one in enumerate(asked)]
    wrong: dict[int, str] = {}
    for place in random.permutation(len(samples)).tolist():
        if len(wrong) == round(SHARE * len(samples)):
            break
        kind = ANSWER_KINDS[len(wrong) % len(ANSWER_KINDS)]
        if (spoilt := spoil_answer(samples[place], kind, random)) is not None:
            samples[place], wrong[place] = spoilt, kind
    control = Control("answer", Kind.SPANS, ("text", "question"), (Label((LABEL,), LABEL),), "Labels")
    head = fit_span_heads(TaskSpec((), (), spans=(control,)), {"answer": samples}, [], tools)["answer"]
    began = time.process_time()
    errors = find_errors(control, samples, head, tools, lambda: True)
    if errors is None:
        raise SystemExit("too few answers")
    seconds = time.process_time() - began
    likely = {one.place for one in errors if flag_of_span(one.p_given, one.p_suggested) == LIKELY_WRONG}
    flagged = {one.place for one in errors if flag_of_span(one.p_given, one.p_suggested)}
    row: dict[str, Any] = {}
    for name, places in (("likely_wrong", likely), ("flagged", flagged)):
        row |= {
            f"{name} P": round(len(places & set(wrong)) / max(1, len(places)), 2),
            f"{name} R": _share([*places], wrong),
        }
    top = list(dict.fromkeys(one.place for one in errors))[: len(wrong)]
    by_given = sorted(errors, key=lambda one: (one.p_given, one.place))
    row |= {"top_5%": _share(top, wrong), "by given": _share([one.place for one in by_given][: len(wrong)], wrong)}
    for kind in ANSWER_KINDS:
        own = {place: other for place, other in wrong.items() if other == kind}
        row[kind.value] = _share(top, own) if own else 0.0
    named = [place for place, kind in wrong.items() if any(one.place == place and one.kind == kind for one in errors)]
    return {**row, "found and named": _share(named, wrong), "seconds": round(seconds, 1)}


def run_questions(args: argparse.Namespace, place: Workplace) -> Iterator[dict[str, Any]]:
    """A row per set and number of answers."""
    named = {} if args.squad else find_span_sets(args.data, args.sets.split(",") if args.sets else ("snips", "bc5cdr"))
    sets = (
        [read_squad(args.squad, 0)] if args.squad else [ask_about_labels(name, own, 0) for name, own in named.items()]
    )
    for count in (int(count) for count in args.labels.split(",")):
        for data in sets:
            found = [find_answers_again(data, count, place.span_tools(), seed) for seed in range(args.seeds)]
            yield {"set": data.name, "answers": min(count, len(data.train)), **_median(found)}


def run(args: argparse.Namespace, embedder: Embedder) -> Iterator[dict[str, Any]]:
    """A row per set and number of labels (medians over seeds), then the medians over sets."""
    names = args.sets.split(",") if args.sets else sorted(path.parent.name for path in args.data.glob("*/train.csv"))
    for count in (int(count) for count in args.labels.split(",")):
        medians = []
        for name in names:
            drawn = [(seed, read_rows(args.data / name, count, seed)) for seed in range(args.seeds)]
            found = [find_again(rows, embedder, seed) for seed, rows in drawn if rows]
            if found:
                medians.append(_median(found))
                yield {"set": name, "labels": count, **medians[-1]}
        if medians:
            yield {"set": "median", "labels": count, **_median(medians)}


def _median(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {key: round(float(np.median([row[key] for row in rows])), 2) for key in rows[0]}


def main() -> None:
    """Command line entry."""
    parser = command(__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--spans", action="store_true", help="wrong spans in texts instead of wrong choices")
    parser.add_argument("--questions", action="store_true", help="wrong answers to questions instead")
    parser.add_argument("--squad", type=Path, help="with --questions: a file in SQuAD's format")
    parser.add_argument("--sets", default="", help="default: all; with --questions snips and bc5cdr")
    parser.add_argument("--labels", type=LIST_OF_COUNTS, default="512,1000")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--cache", type=Path, help="where encoded texts are kept for the next run")
    args = parser.parse_args()
    args.data = args.data or (DATA / "ner" if args.spans or args.questions else DATA)
    with tempfile.TemporaryDirectory() as scratch:
        if args.spans or args.questions:
            place = Workplace(load_settings(), Path(scratch), args.cache or Path(scratch) / "features", 1)
            what, find = ("answers", run_questions) if args.questions else ("spans", run_spans)
            show(f"injected errors in {what} found again", list(find(args, place)), args.json)
            place.close()
            return
        base = CachedEncoder(Encoder(find_base_model()), FeatureCache(args.cache or Path(scratch), 512))
        show("injected label errors found again", list(run(args, base)), args.json)


if __name__ == "__main__":
    main()
