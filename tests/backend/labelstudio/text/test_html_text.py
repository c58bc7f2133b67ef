"""HTML as a person sees it: no tags, scripts or styles, entities decoded, a line for each block."""

from __future__ import annotations

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.labelstudio.text.html_text import html_to_text


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("", ""),
        ("plain", "plain"),
        ("<p>one</p><p>two</p>", "one\ntwo"),
        ("a<br>b<br/>c", "a\nb\nc"),
        ("a\n  b\r\n c", "a b c"),
        ("in<b>si</b>de", "inside"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><th>c</th></tr></table>", "a b\nc"),
        ("&lt;b&gt; &amp;amp; &eacute; &#x1F600; &nosuch;", "<b> &amp; é 😀 &nosuch;"),
        ("a<script>b</script>c<style>d</style>e<noscript>f</noscript>g", "aceg"),
        ("a<script>if (1 < 2) '</p>'</script>b", "ab"),
        ("a<!-- hidden <b> -->b", "ab"),
        ("<template><p>x</p></template>y", "y"),
        ("</script></p>x", "x"),
        ("1 < 2 & 3 > 2", "1 < 2 & 3 > 2"),
        ("<ul><li>a<li>b</ul>", "a\nb"),
        ("<!DOCTYPE html><?xml version='1.0'?><html><body>x</body></html>", "x"),
        ("<P CLASS='x' NOWRAP>y</P>", "y"),
        ("<p hidden>x</p>y", "y"),
        ("<div style='max-height:0; DISPLAY : none'>preview<div>b</div><br></div><p style='display:block'>y</p>", "y"),
        ("<input hidden value=x>y<div hidden><input hidden>a</div>z", "y\nz"),
        ("<body style='display:none'>y</body>", "y"),
        ("a &zwnj;&#847; &#8203;&shy; b", "a b"),
        ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),
        ("<![if IE]>x<![endif]>", "x"),
        ("日本<b>語</b>\u00a0é", "日本語 é"),
    ],
)
def test_html_is_read_as_people_see_it(html: str, expected: str) -> None:
    assert html_to_text(html) == expected


@pytest.mark.parametrize(
    "html", ["<", "</", "<!", "<a", "<a href='x", "&", "&#", "&#xFFFFFFFF;", "&#55296;", "<p", "]]>"]
)
def test_broken_html_does_not_fail(html: str) -> None:
    assert html_to_text("a " + html).startswith("a")


@pytest.mark.parametrize("html", ["a<![x]]>b", "<![ x", "<p>array<![x]</p>", "<a b=c " * 20_000, "<!--" * 50_000])
def test_hostile_markup_never_raises(html: str) -> None:
    assert isinstance(html_to_text(html), str)


def test_a_head_that_is_never_closed_hides_no_text() -> None:
    assert html_to_text("<html><head><title>T</title><body>Text</body></html>") == "Text"


BODY = "<p>parliament voted for the <b>new</b> tax law</p>"
READ = "parliament voted for the new tax law"
PICTURE = base64.b64encode(bytes(range(256)) * 9_000).decode()


@pytest.mark.parametrize(
    "before",
    [
        f'<img src="data:image/png;base64,{PICTURE}">',
        f"<img src='data:image/png;base64,{PICTURE}' alt='x'>",
        f'<div style="background:url(data:image/png;base64,{PICTURE})"></div>',
        f"<img src=data:image/png;base64,{PICTURE}>",
        f"<!--{PICTURE}-->",
        f"<!--[if mso]>{PICTURE}<![endif]-->",
        f"<style>{PICTURE}</style>",
        f"<head><style>{PICTURE}</style></head>",
        f"<script>var a = '{PICTURE}'</script>",
        f"<template>{PICTURE}</template>",
        f'<a href="data:application/pdf;base64,{PICTURE}"></a>',
        '<p class="MsoNormal"> </p>' * 50_000,
        "<div>" * 100_000,
        "&zwnj;&nbsp;&#847;&shy; " * 50_000,
        f"<div style='display:none'>{PICTURE}</div>",
        " \n" * 1_000_000,
        f'<img src="{"x" * 20_000_000}">',
    ],
    ids=lambda before: before[:24],
)
def test_only_readable_text_counts_against_the_limit(before: str) -> None:
    assert html_to_text(before + BODY, 1_000) == READ


def test_text_over_the_limit_is_not_read_to_its_end() -> None:
    html = "<p>" + "word &amp; " * 1_000_000
    began = time.process_time()
    found = html_to_text(html, 1_000)
    assert found.startswith("word & word &") and 1_000 <= len(found) < 200_000
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "html",
    [
        "<div>" * 100_000 + "</i>" * 2_000_000,  # each end tag looks for its beginning among all that are open
        "<b>" * 3_000 + "</i>" * 2_000_000,
        "<p><b><i><u>" * 1_000_000,
        "<a b=c " * 2_000_000,
        "<" * 10_000_000,
        "<table><tr><td>" * 500_000,
        "<a href=x>" * 1_000_000,
        "<!--" * 2_000_000,
        "&" * 10_000_000,
    ],
    ids=lambda html: html[:16],
)
def test_hostile_markup_takes_bounded_time(html: str) -> None:
    began = time.process_time()
    html_to_text(html, 100_000)
    assert time.process_time() - began < 30


@given(
    st.lists(
        st.sampled_from(["<p>", "</p>", "a", "é", "日本", "<b", ">", "&eacute;", "<!--", "-->", "\n"]), max_size=20
    )
)
def test_portions_are_read_as_the_whole(parts: list[str]) -> None:
    html = "".join(parts)
    whole = html_to_text(html)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("backend.labelstudio.text.html_text._PORTION", 16)
        assert html_to_text(html) == whole
