"""What one long document with many regions and labels costs the product, and those who ask while it is answered.

The parts of `python -m bench.scale --spans`: a real web process on one core (so that it has one predictor thread), a
real learner, and the lists of strings in this process.
"""

from __future__ import annotations

import gc
import itertools
import json
import multiprocessing
import random
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import requests

from bench.support.load import Answers, Probe, body, post, probe_while
from bench.support.report import milliseconds
from bench.support.served import Parts, Server, cores, pinned
from model.spans.patterns.lexicon import build_lexicon, read_lexicon
from model.spans.patterns.pattern import Pattern
from model.spans.words import find_words
from tests.support.marked_project import MarkedProject, Marks, endless_marked_rows, marked_rows, spans_config

Row = dict[str, Any]

LONG, OTHER = 8, 9
"""The project of the long document, and one of short texts that others ask."""

SHORT_TEXTS = 64
"""That both projects have learned."""

PROBES = {"/health": 20.0, "/predict, 1 task": 2.0}
"""Requests a second."""

WAIT_SECONDS = 1_800.0
NOTHING, ONE, TWO, UNREAD = "nothing", "1 long text after the other", "2 at once", "long texts that nobody has read"
LOADS = (NOTHING, ONE, TWO, UNREAD)

ENVIRONMENT = {"MAX_TEXT_CHARS": "10000000", "PREDICT_DEADLINE": "600", "REFIT_TIMEOUT_SECONDS": "1800"}


@dataclass(frozen=True)
class LongDocument:
    """A text of sentences with what is marked in it, among so many labels; the short texts of the same project."""

    text: str
    marks: Marks
    labels: tuple[str, ...]
    short: tuple[tuple[str, Marks], ...]


def make_document(characters: int, regions: int, labels: int) -> LongDocument:
    """Regions lie evenly in the text. Equal strings have equal labels, as many as there are kinds of each."""
    kinds = sorted({label for _, marks in marked_rows() for *_, label in marks})
    names = [f"{kind} {number}" for number in range(-(-labels // len(kinds))) for kind in kinds][:labels]

    def named(text: str, marks: Marks) -> Marks:
        own = [(start, end, random.Random(f"{label} {text[start:end]}").choice(names)) for start, end, label in marks]
        return tuple(own)

    rows = endless_marked_rows()
    short = tuple((text, named(text, marks)) for text, marks in itertools.islice(rows, SHORT_TEXTS))
    parts, found, size = list[str](), list[tuple[int, int, str]](), 0
    while size < characters:
        text, marks = next(rows)
        found += [(size + start, size + end, label) for start, end, label in named(text, marks)]
        parts.append(text)
        size += len(text) + 1
    kept = [found[len(found) * number // regions] for number in range(min(regions, len(found)))]
    return LongDocument(" ".join(parts), tuple(kept), tuple(names), short)


@dataclass
class Reading:
    """What a process has used from one moment to the next."""

    server: Server
    cpu: float = 0.0

    def __post_init__(self) -> None:
        forget_peaks(self.server)
        self.cpu = self.server.cpu_seconds()

    def row(self) -> Row:
        """CPU seconds since, and the peak of its memory."""
        return {"cpu_s": round(self.server.cpu_seconds() - self.cpu, 2), "peak_mb": round(self.server.peak_mb())}


def forget_peaks(server: Server) -> None:
    """Peaks of memory begin anew, where the system can do that."""
    for process in server.tree():
        try:
            Path(f"/proc/{process.pid}/clear_refs").write_text("5", encoding="ascii")
        except OSError:
            return


class LongProject:
    """A web process that has learned a long document in one project, and short texts in another."""

    def __init__(self, parts: Parts, document: LongDocument) -> None:
        self.parts, self.document = parts, document
        self.project = MarkedProject(parts, LONG, document.labels, spans_config(document.labels))
        self.other = MarkedProject.of_sample(parts, OTHER)
        self.server = parts.server("web")
        self._numbers = itertools.count(1)
        self._texts = itertools.islice(endless_marked_rows(), 2000, None)

    def learn(self) -> Iterator[Row]:
        """A row a fit."""
        self.other.setup()
        self.parts.learn(self.other, SHORT_TEXTS, self.other.sample())
        self.project.setup()
        with self.parts.learning() as learner:
            for name, rows in (
                (f"{SHORT_TEXTS} short texts", list(self.document.short)),
                ("the long one beside them", [(self.document.text, self.document.marks)]),
                ("one more short text", [("Ann Miller went to Oslo.", self.document.short[0][1][:0])]),
            ):
                reading = Reading(learner)
                self.project.annotate_many(rows)
                self.project.settle(quiet=5.0, timeout=WAIT_SECONDS)
                yield {"step": f"learn {name}", **reading.row()}

    def predict(self) -> Iterator[Row]:
        """A row for the first answer to the whole text, which reads what nobody has read, and for the next one."""
        self.ask("")
        for name in ("read and answer the rest", "answer what is read"):
            reading = Reading(self.server)
            failure = self.ask(self.document.text + f" {next(self._numbers)}.", whole=True)
            if failure:
                raise RuntimeError(failure)
            yield {"step": name, **reading.row()}

    def ask(self, text: str, whole: bool = False) -> str:
        """One task of this text; what is wrong with the reply."""
        sent = self._body(text or "Ann Miller.", whole)
        with requests.Session() as session:
            return post(session, self.parts.url, sent, 1)

    def _body(self, text: str, whole: bool) -> bytes:
        data = body([text], (), LONG, self.project.config)
        return json.dumps({**json.loads(data), "whole": whole}).encode() if whole else data

    def meanwhile(self, load: str, seconds: float) -> Iterator[Row]:
        """What others see while this load is on: a row an endpoint."""
        texts = [text for text, _ in itertools.islice(self._texts, int(40 * seconds))]  # none twice: answers are kept
        bodies = [body([text], (), OTHER, self.other.config) for text in texts]
        head = {"Content-Type": "application/json"}
        probes = [
            Probe("/health", "GET", "/health", PROBES["/health"]),
            Probe("/predict, 1 task", "POST", "/predict", PROBES["/predict, 1 task"], bodies, head),
        ]
        answered: list[int] = []
        with self._loaded(load, answered):
            answers = probe_while(self.parts.port, probes, seconds, lambda: True)
        yield from rows_of(load, answers, len(answered))

    @contextmanager
    def _loaded(self, load: str, answered: list[int]) -> Iterator[None]:
        stop = threading.Event()

        def work(number: int) -> None:
            while not stop.is_set():
                turn = next(self._numbers)
                text = f"{turn} {self.document.text}" if load == UNREAD else f"{self.document.text} {turn}."
                failure = self.ask(text, whole=load != UNREAD)
                if not failure:
                    answered.append(number)

        threads = [
            threading.Thread(target=work, args=(one,)) for one in range({ONE: 1, TWO: 2, UNREAD: 1}.get(load, 0))
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()


def rows_of(load: str, answers: dict[str, Answers], answered: int) -> Iterator[Row]:
    """One an endpoint."""
    for name, seen in answers.items():
        row = {"meanwhile": load, "endpoint": name, **milliseconds(seen.seconds), "failures": len(seen.failures)}
        yield {**row, "long answers": answered}


def measure_long(document: LongDocument, seconds: float) -> Iterator[tuple[str, list[Row]]]:
    """What it costs, and what others see meanwhile: each table as soon as it is there."""
    name = f"{len(document.text):,} characters, {len(document.marks):,} regions, {len(document.labels)} labels"
    mine = cores()
    with tempfile.TemporaryDirectory(prefix="us-") as scratch, ExitStack() as stack:
        with pinned(mine[0]):
            parts = stack.enter_context(Parts(Path(scratch) / "d", **ENVIRONMENT))
        own = LongProject(parts, document)
        yield f"learned beside short texts: {name}", [*own.learn()]
        stack.enter_context(pinned(mine[1]))
        yield f"answered: {name}", [*own.predict()]
        yield "others meanwhile, on one core", [row for load in LOADS for row in own.meanwhile(load, seconds)]


def measure_lists(counts: Sequence[int], text: str) -> Iterator[Row]:
    """What lists of so many strings cost, each in a process of its own."""
    for count in counts:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            yield pool.apply(measure_list, (count, text))


def measure_list(count: int, text: str) -> Row:
    """Built, kept and looked for in a text."""
    patterns, bounds = make_patterns(count), find_words(text)
    before, began = psutil.Process().memory_info().rss, time.process_time()
    lexicon = build_lexicon(patterns)
    canonical = lexicon.text
    built = time.process_time() - began
    began = time.process_time()
    lexicon = read_lexicon(canonical)
    lexicon.find("", ())
    ready = time.process_time() - began
    del patterns
    gc.collect()
    memory, began = psutil.Process().memory_info().rss - before, time.process_time()
    found = lexicon.find(text, bounds)
    return {
        "strings": len(lexicon.patterns),
        "check_cpu_s": round(built, 2),
        "build_cpu_s": round(ready, 2),
        "memory_mb": round(memory / 2**20),
        "version_kb": round(lexicon.packed().nbytes / 1000),
        "find_cpu_s": round(time.process_time() - began, 2),
        "matches": len(found),
    }


def make_patterns(count: int) -> list[Pattern]:
    """Different strings of one to three words, of eight labels; one in twenty is of words that stand in texts alone."""
    chance = random.Random(count)
    words = sorted({word for text, _ in marked_rows() for word in text.split() if word.isalpha()})
    strings = dict[str, None]()
    while len(strings) < count:
        own = chance.choices(words, k=chance.randint(1, 2))
        strings[" ".join([*own, f"n{chance.randrange(10**6)}"] if chance.random() > 0.05 else own)] = None
    return [Pattern(f"label {place % 8}", string) for place, string in enumerate(strings)]
