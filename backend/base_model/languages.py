"""Whether the encoder knows the language of a project's texts: noticed on a sample of the pool, never on one text.

Two kinds of evidence. What texts are written in, by a small classifier of 97 languages; a preset says what it knows.
And what the vocabulary of the encoder makes of them: a language that it was not made for falls into letters, or is
unknown.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from model.pretrained.presets import ENGLISH, PACKAGED, preset_named
from model.spec import Json, JsonObject
from model.texts import UNSPACED

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

SAMPLE_TEXTS = 200
"""Texts that are looked at: a share of half is off by 7 points at most (95 %)."""

FEWEST_TEXTS = 10
LEAST_LETTERS = 20
"""In a text that is looked at: the classifier is wrong in 4 of 100 texts of 60 characters, in more of shorter ones. One
of Han, kana or Hangul says as much as three others."""

READ_CHARACTERS = 400
"""Of each text: 1 of 1,000 is taken for another language then (docs/languages.md)."""

SURE = 0.5
"""Probability from which a text counts as being in a language: products, codes and transliterated words have less. Of
short English messages 4 % are taken for another language without it, .8 % with it."""

FOREIGN_SHARE, TAKEN_BACK = 0.2, 0.12
"""Of the texts in languages that the encoder does not know: from which somebody is told, and below which that is taken
back. 200 other texts of the same pool differ by 3 points, and what is told shall not come and go."""

SHOWN_SHARE = 0.05
"""A language below is not named."""

MOST_UNKNOWN = 0.05
"""Of all tokens: an encoder that reads nothing there. MiniLM: 60 % in Chinese, 16 % in Japanese; else none."""

LEAST_OF_ALPHABETS, LEAST_OF_WORDS, LEAST_OF_OTHERS, LEAST_UNSPACED = 3.05, 0.8, 2.0, 1.0
"""Letters of a token that has any. Below, words fall into pieces: in Latin, Cyrillic and Greek (or that share of a
word's letters, in languages of short words), in other scripts with blanks, and without blanks or in Hangul. MiniLM: 4.5
in English news, 3.4 in text messages, 2.6 to 3.0 in German and Romance languages, 2.1 in Vietnamese, 1.1 in Russian,
1.0 to 1.6 in Arabic, Hebrew, Hindi and Bengali, .5 in Korean, and unknown tokens in Chinese, Japanese, Thai and Khmer.
multilingual-e5-small: 3.2 to 4.3, 3.0, 3.9, 2.4 to 3.0, and 1.2 to 4.6."""

CLEARLY = 1.03
"""By how much the two bounds above must be kept for what was told to be taken back."""

CODE = "language_unread"
"""Of the finding, wherever it is told."""

REMEDY = (
    "BASE_MODEL=multilingual knows it, and the labels stay; `understudy simulate --project ID --base-model "
    "english-small,multilingual` measures what it would bring (docs/languages.md)"
)

NAMES = {
    **{"ar": "Arabic", "bg": "Bulgarian", "bn": "Bengali", "cs": "Czech", "da": "Danish", "de": "German"},
    **{"el": "Greek", "en": "English", "es": "Spanish", "fa": "Persian", "fi": "Finnish", "fr": "French"},
    **{"he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian", "id": "Indonesian", "it": "Italian"},
    **{"ja": "Japanese", "km": "Khmer", "ko": "Korean", "nb": "Norwegian", "nl": "Dutch", "no": "Norwegian"},
    **{"pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sk": "Slovak", "sv": "Swedish"},
    **{"ta": "Tamil", "th": "Thai", "tr": "Turkish", "uk": "Ukrainian", "vi": "Vietnamese", "zh": "Chinese"},
}
"""Others are called by their code (ISO 639)."""

SAME = {
    **{"arz": "ar", "ary": "ar", "hbo": "he", "nb": "no", "nn": "no", "pcm": "en", "uzs": "uz", "wuu": "zh"},
    "yue": "zh",
}
"""What the classifier tells apart and an encoder does not: Hebrew with and without points, English and its pidgin."""

_MARKUP = re.compile(r"<[^<>]{1,300}>|&#?\w{1,10};|\b(?:https?://|www\.)[!-~]+|[\w.+-]{1,64}@[\w.-]+", re.ASCII)
"""Tags, entities and addresses are in no language."""

_DENSE = re.compile(f"[{UNSPACED}\\uac00-\\ud7a3]")
"""Letters of which a token holds few."""

_ALPHABETS = re.compile("[A-Za-z\u00c0-\u052f\u1e00-\u1fff]")
"""Latin, Greek and Cyrillic."""


@dataclass(frozen=True)
class LanguageReport:
    """`languages`: ISO code -> share of the `texts` that were looked at, without those of no clear language; `unknown`:
    share of the others' tokens that the vocabulary lacks; `letters`: letters a token that has any, `least`: of a
    vocabulary that was made for the script; `pool`: tasks that were known then; `told`: the report before it said
    `is_unread`."""

    base_model: str
    pool: int
    texts: int
    languages: dict[str, float]
    unknown: float
    letters: float
    least: float
    told: bool = False

    @property
    def foreign(self) -> float:
        """Share of the texts in a language that a preset does not know; 0 for other encoders, and those that know
        a hundred."""
        preset = preset_named(self.base_model) if self.base_model else PACKAGED
        if preset is None or preset.languages != ENGLISH:
            return 0.0
        return sum(share for code, share in self.languages.items() if code != "en")

    @property
    def is_unread(self) -> bool:
        """Whether the encoder does not know what much of the texts are written in."""
        if self.texts * sum(self.languages.values()) < FEWEST_TEXTS - 0.5:
            return False
        slack = CLEARLY if self.told else 1.0
        if self.unknown >= MOST_UNKNOWN / slack:
            return True
        if preset_named(self.base_model) is not None or not self.base_model:
            return self.foreign >= (TAKEN_BACK if self.told else FOREIGN_SHARE)
        return self.letters < slack * self.least

    def describe(self) -> str:
        """`of 200 texts: 97% German; in its vocabulary a piece has 2.4 letters (English in MiniLM's: 4.5)`."""
        named = [(code, share) for code, share in self.languages.items() if share >= SHOWN_SHARE][:3]
        unclear = 1 - sum(self.languages.values())
        others = 1 - unclear - sum(share for _, share in named)
        spoken = [f"{share:.0%} {NAMES.get(code, code)}" for code, share in named]
        spoken += [f"{others:.0%} in other languages"] if others >= SHOWN_SHARE else []
        spoken += [f"{unclear:.0%} in no clear language"] if unclear >= SHOWN_SHARE else []
        pieces = f"in its vocabulary a piece has {self.letters:.1f} letters (English in MiniLM's: 4.5)"
        unknown = f", and {self.unknown:.0%} of the pieces are unknown" if self.unknown >= 0.005 else ""
        return f"of {self.texts} texts: {', '.join(spoken)}; {pieces}{unknown}"

    def warn(self) -> str:
        """A line with code, evidence and cure; "" where there is nothing to say."""
        if not self.is_unread:
            return ""
        named = self.base_model or PACKAGED.name
        return f"{CODE}: the encoder {named} does not know the language of the texts ({self.describe()}): {REMEDY}"

    def to_json(self) -> JsonObject:
        """As it is stored."""
        return asdict(self)

    @classmethod
    def from_json(cls, entry: Json) -> LanguageReport | None:
        """None where nothing is stored, by another release, or what cannot be read."""
        try:
            own = dict(entry) if isinstance(entry, dict) else {}
            languages = {str(code): float(share) for code, share in own.pop("languages").items()}
            name, pool, texts = str(own.pop("base_model")), int(own.pop("pool")), int(own.pop("texts"))
            unknown, letters, least = (float(own[key]) for key in ("unknown", "letters", "least"))
            return cls(name, pool, texts, languages, unknown, letters, least, own.get("told") is True)
        except (AttributeError, KeyError, TypeError, ValueError):
            return None


def find_languages(
    base_model: str, directory: Path, texts: Sequence[str], pool: int, told: bool = False
) -> LanguageReport:
    """`directory`: of the encoder's files. Takes .6 s of a core and 75 MB, which it gives back. Raises EncoderError."""
    read = [text for text in map(_clean, texts) if _weigh(text) >= LEAST_LETTERS]
    report = LanguageReport(base_model, pool, len(read), {}, 0.0, 0.0, 0.0, told)
    if len(read) < FEWEST_TEXTS:
        return report
    codes = _classify(read)
    clear = Counter(code for code in codes if code)
    shares = {code: round(count / len(read), 4) for code, count in clear.most_common()}
    spoken = [text for text, code in zip(read, codes, strict=True) if code]
    return replace(_read_vocabulary(report, directory, spoken), languages=shares)


def _clean(text: str) -> str:
    """What is written in a language: without tags and addresses, emoji and other symbols, half characters, and the
    strokes that stretch Arabic words; half-width letters are whole ones."""
    plain = unicodedata.normalize("NFKC", _MARKUP.sub(" ", text[: 4 * READ_CHARACTERS])).replace("\u0640", "")
    kept = (" " if sign.isspace() or unicodedata.category(sign)[0] in "SC" else sign for sign in plain)
    return " ".join("".join(kept).split())[:READ_CHARACTERS]


def _classify(texts: Sequence[str]) -> list[str]:
    """A code for each text; "" where it is in no clear language."""
    identifier = _open_identifier()  # 70 MB, in a process that lives for months: it ends with this call
    answers = [identifier.classify(text) for text in texts]
    return ["" if sure < SURE or code == "zxx" else SAME.get(str(code), str(code)) for code, sure in answers]


def _open_identifier() -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def _read_vocabulary(report: LanguageReport, directory: Path, texts: Sequence[str]) -> LanguageReport:
    from model.encoder.windows import read_tokenizer

    tokenizer = read_tokenizer(directory)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    unknown = next((one for one in ("[UNK]", "<unk>") if tokenizer.token_to_id(one) is not None), None)
    pieces = [piece for text in texts for piece in tokenizer.encode(text, add_special_tokens=False).tokens]
    letters = sum(map(_count_letters, texts))
    lettered = sum(piece != unknown and _count_letters(piece) > 0 for piece in pieces)
    return replace(
        report,
        unknown=round(pieces.count(unknown) / max(1, len(pieces)), 4) if unknown else 0.0,
        letters=round(letters / max(1, lettered), 2),
        least=_least_letters(texts, letters),
    )


def _least_letters(texts: Sequence[str], letters: int) -> float:
    """Of the script that most of the letters are in."""
    if 2 * sum(len(_DENSE.findall(text)) for text in texts) >= letters:
        return LEAST_UNSPACED
    if 2 * sum(len(_ALPHABETS.findall(text)) for text in texts) < letters:
        return LEAST_OF_OTHERS
    words = sum(_count_letters(word) > 0 for text in texts for word in text.split())
    return min(LEAST_OF_ALPHABETS, round(LEAST_OF_WORDS * letters / max(1, words), 2))


def _weigh(text: str) -> int:
    return _count_letters(text) + 2 * len(_DENSE.findall(text))


def _count_letters(text: str) -> int:
    return sum(unicodedata.category(sign)[0] in "LM" for sign in text)
