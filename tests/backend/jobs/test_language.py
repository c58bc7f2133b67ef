"""The language of a project's texts is noticed on its pool, in eight languages, and told where people look."""

from __future__ import annotations

import logging
import unicodedata
from dataclasses import replace
from typing import Any

import pytest
from rq import Queue
from rq.serializers import JSONSerializer

from backend.application.label_configs import LabelConfigs, warn_of_language
from backend.base_model.languages import CODE, NAMES, LanguageReport, find_languages
from backend.cli.render import render_background_work
from backend.doctor.learning import judge_language
from backend.jobs.language import notice_language
from backend.jobs.learn.refit import refit
from backend.labelstudio.records import ExampleRecord
from backend.redis_access.keys import project_key
from model.encoder.encoder import find_base_model
from tests.support.rig import choices_config
from tests.support.tiny import PROJECT, settings, tiny_base  # noqa: F401

pytestmark = pytest.mark.usefixtures("read_once")

TEXTS = {
    "de": (
        "Wann kommt meine Bestellung endlich an?",
        "Die Lieferung war leider beschädigt, ich möchte mein Geld zurück.",
    ),
    "es": ("¿Cuándo llega mi pedido a casa?", "El paquete llegó roto y quiero que me devuelvan el dinero."),
    "ru": ("Когда придёт мой заказ домой?", "Посылка пришла повреждённой, верните, пожалуйста, деньги."),
    "zh": (
        "我昨天在商店里买了一台新的电脑，可是它今天就已经坏了。",
        "请问你们什么时候可以把钱退给我？我已经等了一个星期了。",
    ),
    "ja": (
        "昨日買った新しいパソコンが今日もう壊れてしまいました。",
        "いつお金を返してもらえますか。もう一週間も待っています。",
    ),
    "ar": ("متى يصل الطلب إلى المنزل؟ لم يصل أي شيء حتى الآن.", "وصلت الشحنة مكسورة وأريد استرداد أموالي من فضلكم."),
    "hi": ("मेरा ऑर्डर घर कब तक पहुँचेगा, कृपया बताइए।", "सामान टूटा हुआ मिला और मुझे अपने पैसे वापस चाहिए।"),
    "th": ("เมื่อไหร่พัสดุของฉันจะมาถึงบ้านสักที", "สินค้าที่ได้รับเสียหาย ฉันต้องการขอเงินคืนครับ"),
    "en": ("When will my order arrive at my house at last?", "The parcel came broken, and I would like my money back."),
}


def pool_of(code: str) -> dict[int, dict[str, str]]:
    return {number: {"text": TEXTS[code][number % 2]} for number in range(30)}


@pytest.mark.parametrize("code", TEXTS)
def test_texts_in_a_language_that_the_packaged_encoder_does_not_know_are_noticed(code: str) -> None:
    found = find_languages("", find_base_model(), [one["text"] for one in pool_of(code).values()], 30)
    assert next(iter(found.languages)) == code and found.languages[code] >= 0.5
    assert found.is_unread == (code != "en"), found
    assert LanguageReport.from_json(found.to_json()) == found


UNCLEAR = [
    *("Samsung Galaxy S21 Ultra 5G 128GB Phantom Black", "Nike Air Max 90 Essential Sneaker 43 wolf grey"),
    *("2024-11-30 12:33:11,123 ERROR org.apache.http.Client", "0123456789 0123456789 0123456789 0123"),
    *('{"id": 123, "status": "failed", "mail": "a@b.de"}', "SELECT * FROM users WHERE id = 3 ORDER BY name"),
    *("Love it so much, my dear friends! 😀😀😀❤️❤️🔥🔥🔥", "This is the best day 🎉🎉🎉🎉🎉 of all of my life"),
    *("see https://www.beispiel.de/produkte/schuhe-und-stiefel", "👍👍👍👍👍👍👍👍👍👍👍👍👍👍👍👍👍👍👍👍👍👍"),
    *("C8H10N4O2 caffeine 1,3,7-trimethylxanthine", "BRCA1 mutation p.Gln1756fs in HER2+ patients"),
]


@pytest.mark.parametrize("base_model", ["", "some/encoder"])
def test_texts_in_no_clear_language_tell_nothing(base_model: str) -> None:
    found = find_languages(base_model, find_base_model(), UNCLEAR * 10, 120)
    assert found.foreign == 0 and set(found.languages) == {"en"} and not found.is_unread, found


def test_what_surrounds_a_language_does_not_hide_it() -> None:
    texts = [
        '<div class="main"><p>Wann kommt meine Bestellung endlich?</p><a href="http://x.com/contact">x</a></div>',
        "DIE STRASSE IST GESPERRT 🚧🚧 WEGEN BAUARBEITEN \ud83d",
        *("ﾊﾟｿｺﾝｶﾞｺﾜﾚﾏｼﾀ ｵｶﾈｦｶｴｼﾃｸﾀﾞｻｲ", "いつお金を返して", "请看https://example.com/abc 我要马上退款"),
        *("مـــتـــى يصـــل الطـــلـــب إلى المـــنـــزل", "בְּרֵאשִׁית בָּרָא אֱלֹהִים אֵת הַשָּׁמַיִם וְאֵת הָאָרֶץ"),
        unicodedata.normalize("NFD", "Khi nào đơn hàng của tôi sẽ đến nơi vậy shop"),
    ]
    found = find_languages("", find_base_model(), texts * 2, 16)
    assert found.languages == {"de": 0.25, "ja": 0.25, "zh": 0.125, "ar": 0.125, "he": 0.125, "vi": 0.125}


def test_many_languages_are_as_foreign_as_one() -> None:
    texts = [text for code, texts in TEXTS.items() if code != "en" for text in texts] + list(TEXTS["en"]) * 20
    found = find_languages("", find_base_model(), texts, len(texts))
    assert found.is_unread and "English" in found.describe() and "in other languages" in found.describe()


def test_what_is_told_does_not_come_and_go() -> None:
    report = LanguageReport("", 200, 200, {"en": 0.82, "de": 0.18}, 0.0, 3.4, 0.0)
    assert not report.is_unread and replace(report, told=True).is_unread
    assert not replace(report, languages={"en": 0.9, "de": 0.1}, told=True).is_unread
    free = LanguageReport("some/encoder", 200, 200, {"de": 1.0}, 0.0, 3.1, 3.05)
    assert not free.is_unread and replace(free, told=True).is_unread
    assert not replace(free, letters=3.2, told=True).is_unread


def test_a_free_encoder_is_judged_by_its_vocabulary() -> None:
    unread = {}
    for code in ("en", "de", "ru", "zh"):
        texts = [one["text"] for one in pool_of(code).values()]
        unread[code] = find_languages("some/encoder", find_base_model(), texts, 30).is_unread
    assert unread == {"en": False, "de": True, "ru": True, "zh": True}
    assert not LanguageReport("multilingual", 30, 30, {"de": 1.0}, 0.0, 3.3, 0.0).is_unread
    assert not LanguageReport("some/encoder", 30, 30, {"ko": 1.0}, 0.0, 1.25, 1.0).is_unread


@pytest.mark.parametrize("stored", ["{", "7", "[]", '{"texts": 30}', '{"languages": 3, "texts": "x"}'])
def test_a_damaged_report_is_none(context: Any, stored: str) -> None:
    projects = context.stores.projects
    projects._redis.hset(project_key(PROJECT, "meta"), "language", stored)
    assert LanguageReport.from_json(projects.language(PROJECT)) is None and warn_of_language(projects, PROJECT) == ""


def test_without_label_studio_a_refit_notices_it_on_the_texts_of_predict_and_on_labelled_ones(
    context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.jobs.language.find_encoder_files", lambda _: find_base_model())
    assert not context.settings.has_label_studio
    stores = context.stores
    for project, code in ((PROJECT, "ru"), (PROJECT + 1, "de")):
        stores.projects.save_config(project, choices_config(["a", "e"]))
        records = [ExampleRecord(n, n, {"text": TEXTS[code][n % 2]}, {"label": [["ae"[n % 2]]]}) for n in range(30)]
        if code == "ru":
            stores.projects.add_pool(project, pool_of(code), 100)
        else:
            stores.examples.upsert_many(project, records)
        refit(project)  # which asks for the next one, since the pool is encoded now: that is what a learner takes then
        Queue("learn", connection=stores.queue._redis, serializer=JSONSerializer).empty()
        assert refit(project) in ("published", "unchanged")
        assert f"100% {NAMES[code]}" in warn_of_language(stores.projects, project)


def test_it_is_told_in_the_log_by_status_and_by_the_doctor(
    context: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.jobs.language.find_encoder_files", lambda _: find_base_model())
    projects, own = context.stores.projects, context.settings.model_copy(update={"base_model": ""})
    assert notice_language(own, context.stores, PROJECT) is None and warn_of_language(projects, PROJECT) == ""
    projects.add_pool(PROJECT, pool_of("de"), 100)
    found = notice_language(own, context.stores, PROJECT)
    assert found is not None and found == notice_language(own, context.stores, PROJECT)
    warning = warn_of_language(projects, PROJECT)
    assert warning.startswith(CODE) and "100% German" in warning and "BASE_MODEL=multilingual" in warning
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        configs = LabelConfigs(projects, context.stores.jobs)
        configs.tell_language(PROJECT)
        configs.tell_language(PROJECT)
    assert [record.getMessage().count(CODE) for record in caplog.records] == [1]
    (verdict,) = judge_language(PROJECT, found)
    assert verdict.state == "warn" and CODE in verdict.evidence and "multilingual" in verdict.remedy
    assert warning in list(render_background_work({"language": warning}, 0.0))  # type: ignore[typeddict-item]
    projects.remove_from_pool(PROJECT, range(30))
    projects.add_pool(PROJECT, pool_of("en") | {1000 + n: {"text": TEXTS["en"][0]} for n in range(30)}, 100)
    assert notice_language(own, context.stores, PROJECT) != found and warn_of_language(projects, PROJECT) == ""
