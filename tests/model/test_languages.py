"""Words, sentences, terms and label names in eight languages and more."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.acquisition.hunt_signs import find_words as hunt
from model.explain import words as explained
from model.export import predict, terms
from model.features.long_texts import LONGEST, split_sentences
from model.features.tfidf import split_terms
from model.labels import fold_name
from model.spans.words import find_words

ODD = "aß한글語サーバーｶﾞ北京สวัสดีहिन्दीकिताबكِتَابשָׁלוֹם \u0301\u200d\u200c👨‍👩‍👧🇩🇪❤️१２3_-。؟।…\n"
TEXTS = st.text(st.sampled_from(ODD) | st.characters(exclude_categories=["Cs"]), max_size=60)


def words_of(text: str) -> list[str]:
    return [text[start:end] for start, end in find_words(text)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Die Straße ist größer.", ["die", "straße", "ist", "größer"]),
        ("El niño comió.", ["el", "niño", "comió"]),
        ("Стоимость доставки", ["стоимость", "доставки"]),
        ("我住在北京。", [*"我住在北京"]),
        ("サーバーの設定", [*"サーバーの設定"]),
        ("ＡＩ技術2024年で", ["ai", *"技術", "2024", *"年で"]),
        ("ｶﾞｲﾄﾞ", [*"ガイド"]),
        ("हिन्दी में किताब", ["हिन्दी", "में", "किताब"]),
        ("كِتَابٌ جديد", ["كتاب", "جديد"]),
        ("שָׁלוֹם עולם", ["שלום", "עולם"]),
        ("ดีมาก", ["ดี", "ม", "า", "ก"]),
        ("한국어 처리", ["한국어", "처리"]),
        ("cafe\u0301", ["café"]),
        ("İade ISPARTA ılık", ["iade", "isparta", "ılık"]),
        ("re\u00adfund", ["refund"]),
        ("❤️👨‍👩‍👧", []),
    ],
)
def test_terms_are_the_words_of_the_language(text: str, words: list[str]) -> None:
    pairs = [" ".join(pair) for pair in pairwise(words)]
    assert split_terms(text) == words + pairs


@given(TEXTS)
def test_an_export_finds_the_same_terms_and_sentences(text: str) -> None:
    assert terms.find_words(text) == [term for term in split_terms(text) if " " not in term]
    assert predict.split_sentences(text * 12) == split_sentences(text * 12)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Straße 12.", ["Straße", "12", "."]),
        ("在NHK工作", ["在", "NHK", "工", "作"]),
        ("2024年", ["2024", "年"]),
        ("サーバーの", ["サ", "ー", "バ", "ー", "の"]),
        ("हिन्दी क्‍ष।", ["हिन्दी", "क्‍ष", "।"]),
        ("น้ำดี", ["น้", "ำ", "ดี"]),
        ("ភាសាខ្មែរ", ["ភា", "សា", "ខ្", "មែ", "រ"]),
        ("كِتَابٌ؟", ["كِتَابٌ", "؟"]),
        ("שָׁלוֹם", ["שָׁלוֹם"]),
        ("می‌خواهم", ["می‌خواهم"]),
        ("ｶﾞｲﾄﾞの", ["ｶﾞ", "ｲ", "ﾄﾞ", "の"]),
        ("re\u00adfund", ["re\u00adfund"]),
        ("ok 👨‍👩‍👧👍🏽!", ["ok", "👨‍👩‍👧", "👍🏽", "!"]),
    ],
)
def test_spans_begin_and_end_where_words_and_characters_do(text: str, words: list[str]) -> None:
    assert words_of(text) == words


@given(TEXTS)
def test_words_of_spans_cover_all_that_is_seen(text: str) -> None:
    covered = {place for start, end in find_words(text) for place in range(start, end)}
    assert all(place in covered for place, sign in enumerate(text) if not sign.isspace())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("サーバー", ["サ", "ー", "バ", "ー"]),
        ("ーABC", ["ー", "ABC"]),
        ("ｶﾞｲﾄﾞの", ["ｶﾞ", "ｲ", "ﾄﾞ", "の"]),
        ("re\u00adfund", ["re\u00adfund"]),
        ("می‌خواهم", ["می‌خواهم"]),
        ("צה״ל ו־ג׳ינס", ["צה״ל", "ו", "ג׳ינס"]),
        ("col·lecció", ["col·lecció"]),
        ("ภาษาไทย", [*"ภาษาไทย"]),
    ],
)
def test_explanations_name_whole_words(text: str, words: list[str]) -> None:
    assert [text[start:end] for start, end in explained.find_words(text)] == words


@pytest.mark.parametrize(
    "sentences",
    [
        ["Das ist der erste Satz über Züge.", "Und hier der zweite, etwas länger!"],
        ["¿Cuándo llega mi pedido a casa?", "¡Todavía no ha llegado nada aquí!"],
        [
            "我昨天在商店里买了一台新的电脑，可是它今天就已经坏了。",
            "你们什么时候可以把钱退给我？我已经等了整整一个星期了！",
        ],
        ["彼は「この商品はとても良いものだと思いますよ。」", "でも、私はそうは思いません。なぜなら高すぎるからです。"],
        ["متى يصل الطلب إلى المنزل؟", "لم يصل أي شيء حتى الآن يا أخي."],
        ["यह पहला वाक्य है जो लंबा है।", "और यह दूसरा वाक्य है भाई।"],
        ["Когда придёт мой заказ домой?", "До сих пор ничего не пришло."],
        ["ខ្ញុំចង់ទិញកុំព្យូទ័រថ្មីមួយ។", "តើវាមានតម្លៃប៉ុន្មានដុល្លារ?"],
    ],
)
def test_sentences_end_where_the_language_ends_them(sentences: list[str]) -> None:
    found = split_sentences((" " if sentences[0][-1] in ".?!؟" else "").join(sentences))
    assert found[0] == sentences[0] and "".join(found[1:]).replace(" ", "") == sentences[1].replace(" ", "")


@settings(deadline=None)
@given(st.text(st.sampled_from("กาน้ำदी、，の日e\u0301"), min_size=LONGEST, max_size=3 * LONGEST))
def test_a_long_sentence_without_blanks_is_cut_and_loses_nothing(text: str) -> None:
    pieces = split_sentences(text)
    assert all(len(piece) <= LONGEST for piece in pieces)
    assert {*"".join(pieces)} == {*text}


@pytest.mark.parametrize(
    ("word", "text", "is_there"),
    [
        ("rück", "Rückerstattung", True),
        ("erstattung", "Rückerstattung", False),
        ("возврат", "Возвраты денег", True),
        ("退款", "我要退款", True),
        ("ガイド", "新しいｶﾞｲﾄﾞ", True),
        ("ទិញ", "ខ្ញុំចង់ទិញ", True),
        ("ซื้อ", "อยากซื้อ", True),
        ("दी", "हिन्दी", False),
        ("हिन्दी", "यह हिन्दी है", True),
        ("كتاب", "في كتاب", True),
        ("cafe\u0301", "Das Café", True),
        ("كتاب", "في كِتـَاب جديد", True),
        ("שלום", "אמר שָׁלוֹם", True),
        ("שלום", "\u202bשלום\u202c", True),
        ("iade", "İade istiyorum", True),
        ("İADE", "iade istiyorum", True),
        ("refund", "my re\u00adfund", True),
    ],
)
def test_hunted_words_are_found_at_the_start_of_words(word: str, text: str, is_there: bool) -> None:
    assert bool(hunt([word], [text])[0]) == is_there


def test_names_of_labels_are_one_however_they_are_joined() -> None:
    pairs = [
        ("हिन्दी_समाचार", "हिन्दी समाचार"),
        ("Über_uns", "über uns"),
        ("ÜBER-UNS", "überUns"),
        ("新闻 体育", "新闻_体育"),
        ("\u2067החזר\u2069", "החזר"),
        ("u\u0308ber", "über"),
    ]
    for one, other in pairs:
        assert fold_name(one) == fold_name(other)
    assert fold_name("C# x") != fold_name("C x")
