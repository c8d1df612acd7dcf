"""Long lines split where a reader would pause, and rejoined."""

from __future__ import annotations

import random
import time

import pytest

from fake_models import CharacterTokenizer
from translate.decoding.segmentation import Segment, join_translations, split_line


def pieces_of(line: str, *, max_tokens: int) -> tuple[list[str], list[Segment]]:
    tokenizer = CharacterTokenizer()
    segments = split_line(
        line, tokenizer.encode_source([line])[0], encode=tokenizer.encode_source, max_tokens=max_tokens
    )
    assert all(0 < len(segment.tokens) <= max_tokens for segment in segments)
    return tokenizer.decode_target([segment.tokens for segment in segments]), segments


@pytest.mark.parametrize(
    ("line", "pieces"),
    [
        ("short enough, all of it. Really.", ["short enough, all of it. Really."]),
        ("One sentence is here. Another one is there!", ["One sentence is here.", "Another one is there!"]),
        ('He said: "This is it." Then he left us.', ['He said: "This is it."', "Then he left us."]),
        ("At 3 p. m. it goes on. But here it ends.", ["At 3 p. m. it goes on.", "But here it ends."]),
        ("first the one clause, then another one came", ["first the one clause,", "then another one came"]),
        ("words and words and words and words and word", ["words and words and", "words and words and word"]),
        ("第一句话在这里，不太长。第二句话在那里，也不长！第三句话没有了，就这样。好。",
         ["第一句话在这里，不太长。", "第二句话在那里，也不长！", "第三句话没有了，就这样。", "好。"]),
        ("x" * 70, ["x" * 23, "x" * 23, "x" * 24]),
        ("It is on.  And on it goes, up to the end", ["It is on.", "And on it goes, up to the end"]),
    ],
)  # fmt: skip
def test_lines_are_split_at_punctuation(line, pieces):
    assert pieces_of(line, max_tokens=32)[0] == pieces


def test_splitting_loses_nothing():
    generator = random.Random(5)
    for _ in range(300):
        line = "a" + "".join(generator.choices("ab c.,!?。，;  ", k=generator.randrange(200)))
        texts, _ = pieces_of(line, max_tokens=generator.randrange(1, 40))
        assert "".join(texts).replace(" ", "") == line.replace(" ", "")


def test_hostile_lines_are_split_quickly():
    for unit in (".", ",", " ", "a", ".' ", "！", ". a"):
        start = time.process_time()
        pieces_of("x" + unit * (65_000 // len(unit)) + "x", max_tokens=100)
        assert time.process_time() - start < 20, unit


def test_rejoined_with_a_space_except_in_chinese_and_inside_words():
    two = [Segment([4]), Segment([4])]
    assert join_translations(["One.", "Two."], two) == "One. Two."
    assert join_translations(["第一。", "第二。"], two) == "第一。第二。"
    assert join_translations(["", "Two."], two) == "Two."
    assert join_translations(["un", "cut"], [Segment([4], whole=False), Segment([4])]) == "uncut"
