"""HTML as a person sees it: no tags, scripts or styles, entities decoded, a line for each block."""

from __future__ import annotations

import pytest

from backend.labelstudio.html_text import html_to_text


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
        ("<P CLASS='x' hidden>y</P>", "y"),
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
