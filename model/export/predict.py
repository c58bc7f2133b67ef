"""Answers texts with the model that lies beside this file. Needs onnxruntime and tokenizers, nothing else.

python predict.py texts.csv -o answers.csv        # or .jsonl, .parquet; one column or key for each input
>>> from predict import Model
>>> Model("DIR")([{"text": "I was charged twice"}])
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Protocol, TypedDict
from unicodedata import category

import numpy as np
import onnxruntime
from tokenizers import Encoding, Tokenizer

OVERLAP, BATCH, CHARACTERS = 32, 16, 2_000
LONG, SHORTEST, LONGEST = 1600, 24, 400
ENDS, CLOSERS, COMMAS = "。！？｡؟۔।॥։።፧။។៕", "」』）】》”’", " 、，､,،;；؛\u3000"
SENTENCE_END = re.compile(rf"(?<=[.!?;؛{ENDS}])\s+|(?:(?<=[{ENDS}])|(?<=[{ENDS}][{CLOSERS}]))(?![{ENDS}{CLOSERS}])|\n+")

Row = dict[str, object]


class Rules(TypedDict):
    threshold: float
    thresholds: dict[str, float]
    nonempty: bool
    set_confidence: list[float]
    smoothing: float
    ancestors: bool
    sure: float


class Spec(TypedDict):
    """model.json."""

    kind: str
    several: bool
    inputs: list[str]
    reading: str
    focused: bool
    window: int
    labels: list[str]
    columns: list[int]
    shown: dict[str, str]
    paths: dict[str, list[str]]
    most: int | None
    rules: Rules
    words: dict[str, list[str]] | None


class Answer(TypedDict):
    """`labels` as people read them; `score`: how likely all of it is right; `ranking`: the likeliest labels."""

    labels: list[str]
    score: float
    ranking: list[tuple[str, float]]


class Marked(TypedDict):
    """`spans`: start, end (code points of the text, the end exclusive), label, text, score; `score`: how likely it is
    that they are all, and right."""

    spans: list[Mapping[str, object]]
    score: float


class Session(Protocol):
    """What runs the graph, as onnxruntime has it."""

    def get_inputs(self) -> Sequence[Named]: ...

    def run(self, wanted: None, feed: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]: ...


class Named(Protocol):
    name: str


class Model:
    """`threads`: of onnxruntime; 0: all cores. `file`: another graph of the same model, such as model.int8.onnx;
    `session`: what runs the graph, where it is not run here."""

    def __init__(
        self,
        directory: str | Path = Path(__file__).parent,
        file: str = "model.onnx",
        threads: int = 0,
        session: Session | None = None,
    ) -> None:
        folder = Path(directory)
        self.spec: Spec = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        self.session = session or open_graph(folder / file, threads)
        self.wanted = {one.name for one in self.session.get_inputs()}
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.marker = Marker(self, tokenizer) if self.spec["kind"] == "spans" else None
        if self.marker is None:
            self.reader = Reader(tokenizer, self.spec["window"])
            self.words = beside("terms").Words(**self.spec["words"]) if self.spec["words"] else None

    def __call__(self, tasks: Sequence[Mapping[str, object]]) -> Sequence[Answer | Marked]:
        """One answer a task: `labels`, `score`, and the likeliest labels with their probabilities; or `spans`."""
        if self.marker is not None:
            return self.marker.mark([str(task[self.spec["inputs"][0]]) for task in tasks])
        return [self.decide(row) for row in self.probabilities(tasks)]

    def decide(self, row: np.ndarray) -> Answer:
        """The answer that a row of probabilities [labels] calls for."""
        return decide(self.spec, row)

    def probabilities(self, tasks: Sequence[Mapping[str, object]]) -> np.ndarray:
        """Calibrated, float [tasks, labels]."""
        texts = [tuple(str(task[name]) for name in self.spec["inputs"]) for task in tasks]
        sizes = [sum(map(len, text)) for text in texts]
        order = sorted(range(len(texts)), key=sizes.__getitem__)  # less to be filled up
        groups = list(batches(order, sizes))
        parts = [self._run([texts[place] for place in group]) for group in groups]
        return np.concatenate(parts)[np.argsort(order)] if parts else np.zeros((0, len(self.spec["labels"])))

    def _run(self, texts: Sequence[tuple[str, ...]]) -> np.ndarray:
        feed = self.reader.read(texts, self.spec["reading"], self.spec["focused"], self.wanted)
        if self.words:
            feed["words"] = self.words.weigh(["\n".join(text) for text in texts])
        return self.session.run(None, {name: feed[name] for name in self.wanted})[0]


def open_graph(path: Path, threads: int) -> Session:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def batches(order: Sequence[int], sizes: Sequence[int]) -> Iterator[list[int]]:
    """Few texts at a time: more of them take longer, what they need no longer fits a core's cache."""
    group: list[int] = []
    for place in order:
        if group and (len(group) >= BATCH or sum(sizes[one] for one in group) + sizes[place] > CHARACTERS):
            yield group
            group = []
        group.append(place)
    if group:
        yield group


class Marker:
    """Marks text, by what lies in the files beside this one."""

    def __init__(self, model: Model, tokenizer: Tokenizer) -> None:
        looks, words, spans = (beside(name) for name in ("looks", "words", "spans"))
        self.reader = words.Reader(model.spec, model.session, model.wanted, tokenizer, looks.Hints(model.spec))
        self.finder = spans.SpanFinder(model.spec)

    def mark(self, texts: Sequence[str]) -> list[Marked]:
        found: list[Marked] = []
        for text, read in zip(texts, self.reader.read(texts), strict=True):
            marked, score = self.finder.find(text, *read)
            found.append({"spans": marked, "score": round(score, 6)})
        return found


def beside(name: str) -> ModuleType:
    """A file of this program, wherever Python looks for others."""
    path = Path(__file__).with_name(f"{name}.py")
    module = sys.modules[f"{__name__}_{name}"] = ModuleType(f"{__name__}_{name}")
    exec(compile(path.read_text(encoding="utf-8"), path, "exec"), module.__dict__)
    return module


class Reader:
    """From texts to token windows, and which of them belong to what."""

    def __init__(self, tokenizer: Tokenizer, window: int) -> None:
        self.whole, self.cut = tokenizer, Tokenizer.from_str(tokenizer.to_str())
        self.whole.no_truncation()
        self.whole.no_padding()
        self.cut.no_padding()
        self.space = window - self.cut.num_special_tokens_to_add(True)
        self.cut.enable_truncation(max_length=window, stride=max(0, min(OVERLAP, self.space // 4)))

    def read(
        self, texts: Sequence[tuple[str, ...]], reading: str, focused: bool, wanted: Container[str]
    ) -> dict[str, np.ndarray]:
        """What the graph takes, by name."""
        pairs = [(text[0], "\n".join(text[1:])) for text in texts]
        long = [reading == "text" and focused and len(text[0]) >= LONG for text in texts]
        groups: dict[str, list[list[tuple[str, ...]]]] = {}
        if reading == "text":
            groups["members"] = [
                [(one,) for one in split_sentences(text[0])] if is_long else [text]
                for text, is_long in zip(texts, long, strict=True)
            ]
        else:
            groups["first"], groups["second"] = [[(one,)] for one, _ in pairs], [[(two,)] for _, two in pairs]
        if "whole" in wanted:
            groups["whole"] = [[text] for text in texts]
        units = list(dict.fromkeys(unit for group in groups.values() for own in group for unit in own))
        place = {unit: index for index, unit in enumerate(units)}
        feed = self.tokenise(units)
        for name, group in groups.items():
            feed[name] = np.zeros((len(texts), len(units)), np.float32)
            for row, own in enumerate(group):
                feed[name][row, [place[unit] for unit in own]] = 1
        feed["is_long"] = np.array(long, np.float32)
        if "whole_units" in wanted:
            feed |= {f"whole_{name}": value for name, value in self.tokenise(texts).items()}
        return feed

    def tokenise(self, units: Sequence[tuple[str, ...]]) -> dict[str, np.ndarray]:
        """Tokens [windows, longest], and the share of each window in each unit [units, windows]."""
        owners: list[int] = []
        windows: list[Encoding] = []
        for owner, unit in enumerate(units):
            for text in self.inputs(unit):
                encoding = self.cut.encode(*text) if isinstance(text, tuple) else self.cut.encode(text)
                windows += [encoding, *encoding.overflowing]
            owners += [owner] * (len(windows) - len(owners))
        shape = len(windows), max(len(one.ids) for one in windows)
        ids, mask, types = (np.zeros(shape, np.int64) for _ in range(3))
        shares = np.zeros((len(units), len(windows)), np.float32)
        for row, (owner, one) in enumerate(zip(owners, windows, strict=True)):
            size = len(one.ids)
            ids[row, :size], mask[row, :size], types[row, :size] = one.ids, 1, one.type_ids
            shares[owner, row] = size
        shares /= shares.sum(1, keepdims=True)
        return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types, "units": shares}

    def inputs(self, unit: tuple[str, ...]) -> Sequence[str | tuple[str, str]]:
        """A text; a pair, or where both are long their parts side by side."""
        if len(unit) == 1:
            return [unit[0]]
        first, second, half = unit[0], "\n".join(unit[1:]), self.space // 2
        if min(len(first), len(second)) <= half:
            return [(first, second)]
        parts = [self.parts(segment, half) for segment in (first, second)]
        if min(map(len, parts)) == 1:
            return [(first, second)]
        return [tuple(own[min(turn, len(own) - 1)] for own in parts) for turn in range(max(map(len, parts)))]  # type: ignore[misc]

    def parts(self, segment: str, size: int) -> list[str]:
        offsets = self.whole.encode(segment, add_special_tokens=False).offsets
        step = max(1, size - min(OVERLAP, size // 4))
        cuts = [offsets[start : start + size] for start in range(0, max(1, len(offsets) - size + step), step)]
        return [segment[cut[0][0] : cut[-1][1]] for cut in cuts if cut] or [segment]


def split_sentences(text: str) -> list[str]:
    """The different sentences of a long text, in their order."""
    sentences: list[str] = []
    held = ""
    for part in filter(None, (piece.strip() for piece in SENTENCE_END.split(text))):
        held = f"{held} {part}" if held else part
        if len(held) >= SHORTEST:
            sentences += cut_sentence(held)
            held = ""
    return list(dict.fromkeys([*sentences, held] if held else sentences)) or [""]


def cut_sentence(sentence: str) -> list[str]:
    pieces = []
    while len(sentence) > LONGEST:
        at = max(sentence.rfind(sign, LONGEST // 2, LONGEST) + 1 for sign in COMMAS)
        if at == 0:
            at = next((at for at in range(LONGEST, LONGEST // 2, -1) if category(sentence[at])[0] != "M"), LONGEST)
        pieces.append(sentence[:at].rstrip())
        sentence = sentence[at:].lstrip()
    return [*pieces, sentence] if sentence else pieces


def decide(spec: Spec, row: np.ndarray) -> Answer:
    """The answer that a row of probabilities [labels] calls for. A label "" is "none of these"."""
    keys, rules, row = list(spec["labels"]), spec["rules"], np.asarray(row, dtype=float)[spec["columns"]]
    if spec["several"]:
        chosen, score = decide_set(spec, keys, row, rules)
    else:
        row = row / row.sum() if row.sum() > 0 else np.full(len(row), 1 / len(row))
        if spec["kind"] == "taxonomy":
            chosen, score = decide_node(spec, keys, row, rules)
        elif spec["kind"] == "rating":
            chosen, score, keys, row = decide_stars(keys, row, rules)
        else:
            best = int(row.argmax())
            chosen, score = [keys[best]] if keys[best] else [], float(row[best])
    ranking = np.argsort(-row, kind="stable")[:10]
    shown = spec["shown"]
    return {
        "labels": [shown[key] for key in chosen],
        "score": round(min(max(score, 0.0), 1.0), 6),
        "ranking": [(shown.get(keys[index], ""), round(float(row[index]), 4)) for index in ranking],
    }


def decide_set(spec: Spec, keys: list[str], row: np.ndarray, rules: Rules) -> tuple[list[str], float]:
    thresholds = np.array([rules["thresholds"].get(key, rules["threshold"]) for key in keys])
    chosen = row >= thresholds
    if rules["nonempty"]:
        chosen[row.argmax()] = True
    if spec["kind"] == "taxonomy":
        paths = [tuple(spec["paths"][key]) for key in keys]
        named = np.flatnonzero(chosen)
        above = {paths[at][:depth] for at in named for depth in range(1, len(paths[at]))}
        free = [at for at in named if rules["ancestors"] or paths[at] not in above]
        chosen = np.isin(np.arange(len(keys)), sorted(free, key=lambda at: -row[at])[: spec["most"]])
    product = float(np.where(chosen, row, 1 - row).prod())
    if rules["set_confidence"]:
        clipped = min(max(product, 1e-6), 1 - 1e-6)
        first, slope = rules["set_confidence"]
        product = float(1 / (1 + np.exp(-(first + slope * np.log(clipped / (1 - clipped))))))
    return [key for key, is_chosen in zip(keys, chosen, strict=True) if is_chosen], product


def decide_node(spec: Spec, keys: list[str], row: np.ndarray, rules: Rules) -> tuple[list[str], float]:
    """From the likeliest branch down, as long as a child is sure and no less likely than stopping."""
    label = {tuple(spec["paths"][key]): (key, float(value)) for key, value in zip(keys, row, strict=True) if key}
    sums: Counter[tuple[str, ...]] = Counter()
    for path, (_, value) in label.items():
        for depth in range(1, len(path) + 1):
            sums[path[:depth]] += value  # type: ignore[assignment]
    node: tuple[str, ...] = ()
    blank = float(row.sum()) - sum(value for _, value in label.values()) if "" in keys else 0.0
    below: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for path in sums:
        below.setdefault(path[:-1], []).append(path)
    if not any(path in below for path in label):  # only leaves are labels: the likeliest of them
        node = max(label, key=lambda path: label[path][1])
    else:
        while children := below.get(node):
            best = max(children, key=lambda path: sums[path])
            if node in label and sums[best] < max(rules["sure"], label[node][1]):
                break
            node = best
    if blank > sums[node[:1]]:
        return [], blank
    return [label[node][0]], float(sums[node])


def decide_stars(keys: list[str], row: np.ndarray, rules: Rules) -> tuple[list[str], float, list[str], np.ndarray]:
    """The median, each star spread over its neighbours."""
    order = sorted((at for at, key in enumerate(keys) if key), key=lambda at: int(keys[at]))
    stars = [keys[at] for at in order]
    blank = max(0.0, 1 - float(row[order].sum())) if len(order) < len(keys) else 0.0
    if blank > 0.5:
        return [], blank, keys, row
    kernel = rules["smoothing"] ** np.abs(np.subtract.outer(np.arange(len(stars)), np.arange(len(stars)))) ** 1.0
    smooth = row[order] @ (kernel / kernel.sum(1, keepdims=True))
    reached = np.cumsum(smooth)
    best = min(int(np.searchsorted(reached, reached[-1] / 2 - 1e-9)), len(stars) - 1)
    if len(order) < len(keys):
        return [stars[best]], float(smooth[best]), [*stars, ""], np.append(smooth, blank)
    return [stars[best]], float(smooth[best]), stars, smooth


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Answer the texts of a .csv, .jsonl or .parquet file.")
    parser.add_argument("file", type=Path)
    parser.add_argument("-o", "--output", type=Path, help="the same format as the file; default: standard output")
    parser.add_argument("--graph", default="model.onnx", help="such as model.int8.onnx")
    parser.add_argument("--threads", type=int, default=0, help="0: all cores")
    given = parser.parse_args(arguments)
    try:
        beside("files").answer_file(Model(file=given.graph, threads=given.threads), given.file, given.output)
    except (OSError, ValueError) as error:
        raise SystemExit(f"{given.file}: {error}") from None


if __name__ == "__main__":
    main()
