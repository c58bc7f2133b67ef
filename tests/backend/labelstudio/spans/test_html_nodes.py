"""Text nodes of HTML; html5lib, which builds the tree by the rules of HTML5 in Python, is the oracle."""

from __future__ import annotations

import time
from typing import Any
from xml.dom import Node

import html5lib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.labelstudio.spans.html_nodes import HtmlNodes

TAGS = [
    "p",
    "div",
    "b",
    "i",
    "span",
    "br",
    "ul",
    "li",
    "h1",
    "a",
    "table",
    "tr",
    "td",
    "style",
    "textarea",
    "em",
    "pre",
]
# No templates: html5lib of 2020 takes them for tags like any other.
TAGS += ["blockquote", "strong", "section", "title", "center"]
PIECES = [*(f"<{tag}>" for tag in TAGS), *(f"</{tag}>" for tag in TAGS)]
PIECES += ["<!-- c -->", "&amp;", "&eacute;", "&lt;b", "\r\n", "\n", "  ", "\t", "<p class='x'>", "<br/>", "</br>"]
PIECES += ["Ada", "London ", "😀", "é", "שלום", "&#13;", "<script>var x='<p>no</p>'</script>", "<iframe>no</iframe>"]
MARKUP = st.lists(st.sampled_from(PIECES) | st.text(alphabet="ab <&é😀", max_size=4), max_size=25).map("".join)


def oracle(html: str, inline: bool) -> str:
    """The recipe that gave all recorded marks right."""
    for name in ("script", "iframe"):
        while (start := html.find(f"<{name}>")) >= 0 and (end := html.find(f"</{name}>", start)) >= 0:
            html = html[:start] + html[end + len(name) + 3 :]
    tree = html5lib.parseFragment(html, treebuilder="dom") if inline else html5lib.parse(html, treebuilder="dom")
    parts: list[str] = []

    def walk(node: Any) -> None:
        for child in node.childNodes:
            if child.nodeType == Node.TEXT_NODE:
                parts.append(child.data.replace("\r", "\n"))
            elif child.nodeType == Node.ELEMENT_NODE and child.tagName != "template":
                parts.append("\n" * (child.tagName == "br"))
                walk(child)

    walk(tree if inline else tree.getElementsByTagName("body")[0])
    return "".join(parts)


@settings(max_examples=300, deadline=None)
@given(MARKUP, st.booleans())
def test_text_nodes_are_those_of_another_parser(html: str, inline: bool) -> None:
    assert HtmlNodes(html, inline=inline).text == oracle(html, inline)


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<table>loose<tr><td>in</table>", "loosein"),
        ("<b><p>x<b>y</p>z", "xyz"),
        ("<head><title>T</title></head>Ada", "Ada"),
        ("<p>a<SCRIPT src=x>b</SCRIPT >c", "ac"),
        ("<p>a<script>never closed", "a"),
        ("a<iframe src='x'><p>b</p></iframe>c", "ac"),
        ("a<template>b</template>c", "ac"),
        ("<textarea>\nab</textarea>", "ab"),
        ("", ""),
        ("\ud83d\ude00 half \ud83d", "😀 half \ufffd"),
    ],
)
def test_awkward_markup(html: str, text: str) -> None:
    assert HtmlNodes(html).text == text


@pytest.mark.parametrize(
    ("path", "offset", "position"),
    [
        ("/p[1]/text()[1]", 1, 1),
        ("/p/text()", 1, 1),
        ("/p[1]", 1, 2),  # before its first <b>
        ("/p[1]", 2, 4),  # behind it
        ("/p[1]/b[1]", 0, 2),
        ("/p[2]/text()[1]", 3, 8),  # behind an emoji: two units
        ("/p[2]/text()[1]", 9, None),
        ("/p[3]/text()[1]", 0, None),
        ("/p[0]/text()[1]", 0, None),
        ("/text()[1]/p[1]", 0, None),
        ("/p[1]/text()[1]/b[1]", 0, None),
        ("p[1]", 0, None),
        ("//p", 0, None),
        ("", 0, None),
        ("/p[1]/text()[1]", -1, None),
    ],
)
def test_an_xpath_leads_to_a_position(path: str, offset: int, position: int | None) -> None:
    assert HtmlNodes("<p>ab<b>cd</b>ef</p><p>😀x<!-- c -->y</p>").position(path, offset) == position


def test_hostile_markup_takes_no_time() -> None:
    for html in (
        "<script>" * 50_000,
        "<b>" * 100_000 + "x",
        "<iframe " * 50_000,
        "<p><table>" * 20_000,
        "</p>" * 100_000,
    ):
        begin = time.process_time()
        HtmlNodes(html)
        assert time.process_time() - begin < 3, html[:20]


def test_a_long_page_takes_time_in_proportion() -> None:
    html = "<div><p>Ada <b>Lovelace</b> met &amp; Bob<br>in London</p>\n</div>" * 6_000
    begin = time.process_time()
    HtmlNodes(html)
    assert time.process_time() - begin < 3, "quadratic work would take minutes"
