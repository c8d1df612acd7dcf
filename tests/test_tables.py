"""Tables and Markdown escapes, against what Python-Markdown and the display width of characters say."""

from __future__ import annotations

import html
import re

import pytest
from markdown import markdown
from wcwidth import wcswidth

from translate.console import escape_markdown, markdown_code, markdown_table, text_table

HOSTILE = [
    "a|b",
    "*bold* _it_ `code` **x**",
    "<script>alert(1)</script>",
    "&lt; &amp; &#42; AT&T",
    "[link](http://x) ![image](y)",
    "back\\slash \\| \\\\",
    "# heading",
    "~~gone~~ {x} $y$",
    "1. - + > !",
]


def to_html(text: str) -> str:
    return markdown(text, extensions=["tables"])  # as TensorBoard and GitHub read it


def shown(page: str, tag: str) -> list[str]:
    """The text of each element, as a browser shows it."""
    return [
        html.unescape(re.sub(r"<[^>]*>", "", found))
        for found in re.findall(f"<{tag}(?: [^>]*)?>(.*?)</{tag}>", page, re.S)
    ]


def test_markdown_renders_every_cell_unchanged():
    page = to_html(markdown_table(["text", "again"], [[text, text] for text in HOSTILE]))
    assert shown(page, "th") == ["text", "again"]
    assert shown(page, "td") == [text for text in HOSTILE for _ in range(2)]
    assert not re.search("<(script|strong|em|code|a|img|del)", page)


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_renders_escaped_text_unchanged(text):
    assert shown(to_html(f"- source: {escape_markdown(text)}"), "li") == [f"source: {text}"]


@pytest.mark.parametrize("text", [*HOSTILE, "`", "a`b", "a `` b"])
def test_markdown_code_holds_the_text(text):
    assert [found.strip() for found in shown(to_html(f"x {markdown_code(text)} y"), "code")] == [text]


def test_invisible_characters_are_spelled_out():
    hidden = "a\x00b\x0bc\u2028d\ufeffe\xa0f\n"
    assert markdown_code(hidden) == "`a\\x00b\\x0bc\\u2028d\\ufeffe\\xa0f\\n`"
    assert text_table([[hidden]]) == "a\\x00b\\x0bc\\u2028d\\ufeffe\\xa0f\\n"
    assert len(markdown_table(["x"], [[hidden]]).splitlines()) == 3


def test_columns_align_by_display_width():
    rows = [["系统一", "1.5"], ["a\u0323\u0301bc", "100.25"], ["", "2"]]
    widths = [wcswidth(line) for line in text_table(rows, right=[1]).splitlines()]
    assert widths == [6 + 2 + 6] * 3
    left = text_table(rows).splitlines()
    assert [wcswidth(line[: line.index(row[1])]) for line, row in zip(left, rows, strict=True)] == [8] * 3
    assert len({wcswidth(line) for line in markdown_table(["name", "score"], rows).splitlines()}) == 1


def test_numbers_are_printed_unchanged():
    assert text_table([["1.50", "007", "1e3", "nan"]]) == "1.50  007  1e3  nan"
    assert "| 1.50 | 007 |" in re.sub(" +", " ", markdown_table(["a", "b"], [["1.50", "007"]]))
