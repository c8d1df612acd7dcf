"""Lines with markup, translated by functions that keep, lose or change what they are given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from in_process import call_here
from trained_model import trained_model
from translate.decoding.translator import Translation
from translate.documents.marked_lines import compile_patterns, translate_marked
from translate.errors import UserError
from translate.tags import Tagging


def translated(lines: list[str], change: Callable[[str], str], *, keep: list[str] = [], tags=()) -> list[str]:  # noqa: B006
    def translate(texts, *, progress=None, previous=()):
        given.extend(texts)
        return [
            Translation(text=t, score=-1.0, n_best=[(t, -1.0)], source_tokens=1, target_tokens=1, segments=1)
            for t in map(change, texts)
        ]

    given: list[str] = []
    found = translate_marked(
        lines, translate=translate, tagging=Tagging(known=tuple(tags)), keep=compile_patterns(keep)
    )
    translated.given = given
    return [translation.text for translation in found]


def test_tags_are_hidden_and_put_back():
    assert translated(["press <b>now</b> twice", "plain"], str.upper) == ["PRESS <b>NOW</b> TWICE", "PLAIN"]
    assert translated.given == ["plain", "press now twice"]


def test_addresses_that_the_model_changes_are_put_back():
    line = "see https://x.org/A?b=1 or write to me@x.org now"
    assert translated([line], str.upper) == ["SEE https://x.org/A?b=1 OR WRITE TO me@x.org NOW"]
    assert translated([line], lambda text: text.replace("now", "NOW")) == [line.replace("now", "NOW")]


def test_own_patterns_stay():
    assert translated(["order AB-12 today", "AB-x"], str.lower, keep=[r"[A-Z]{2}-\d+"]) == ["order AB-12 today", "ab-x"]
    assert translated(["12 / AB-12"], str.upper, keep=[r"[A-Z]{2}-\d+"]) == ["12 / AB-12"]


def test_lines_keep_their_order_and_their_tags():
    lines = ["<2de> a <i>b</i>", "c", "<2fr> a <i>b</i>", "", "<2de> d"]
    assert translated(lines, lambda text: text.replace("a", "A"), tags=["<2de>", "<2fr>"])[1] == "c"
    assert "<2de> a b" in translated.given
    assert "<2fr> a b" in translated.given


@pytest.mark.parametrize(("pattern", "message"), [("(", "is no regular expression"), ("x*", "matches the empty text")])
def test_wrong_patterns_are_errors(pattern, message):
    with pytest.raises(UserError, match=message):
        compile_patterns([pattern])


def test_decode_keeps_markup(tmp_path: Path):
    process = call_here("decode", f"model={trained_model()}", "markup=true", stdin=b"1 <b>2 3</b> x@y.org\n4 5\n")
    assert process.returncode == 0, process.stderr.decode()
    first, second, _ = process.stdout.decode().split("\n")
    assert first.count("<b>") == first.count("</b>") == first.count("x@y.org") == 1
    assert second == call_here("decode", f"model={trained_model()}", stdin=b"4 5\n").stdout.decode().strip()
    (tmp_path / "p").write_text("\n")
    for option in ("search.n_best=2", f"constraints.prefixes={tmp_path / 'p'}"):
        assert call_here("decode", f"model={trained_model()}", "markup=true", option, stdin=b"1\n").returncode == 1
