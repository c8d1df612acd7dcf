"""Alignment of words by attention over their pieces, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from translate.decoding.alignment import AttendedPart, align, pharaoh, words_of, words_of_pieces


def part(source: list[str], target: list[str], links: list[int]) -> AttendedPart:
    """Each target piece gives most attention to the source piece with the number in `links`, some to EOS."""
    attention = np.full((len(target) + 1, len(source) + 1), 0.01, np.float32)
    attention[range(len(target)), links] = 0.5
    attention[:, -1] = 0.4
    return AttendedPart(source, target, attention)


def test_pieces_of_a_word_are_aligned_as_one():
    pieces = ["▁the", "▁old", "▁la", "mp"], ["▁die", "▁al", "te", "▁Lam", "pe", "."]
    found = align([part(*pieces, [0, 1, 1, 2, 3, 3])], "the old lamp", "die alte Lampe.")
    assert pharaoh(found) == "0-0 1-1 2-2"


def test_attention_to_a_word_is_the_sum_over_its_pieces():
    attention = np.array([[0.4, 0.3, 0.3, 0.0], [0, 0, 0, 1]], np.float32)
    assert align([AttendedPart(["▁a", "▁b", "c"], ["▁x"], attention)], "a bc", "x") == [(1, 0)]


def test_words_of_later_parts_are_counted_on():
    parts = [part(["▁a", "▁b"], ["▁x", "▁y"], [1, 0]), part(["▁c"], ["▁z"], [0])]
    assert align(parts, "a b c", "x y z") == [(0, 1), (1, 0), (2, 2)]


def test_a_word_that_two_parts_share_keeps_its_stronger_link():
    weak = AttendedPart(["▁ab"], ["▁xy"], np.array([[0.2, 0.8], [0, 1]], np.float32))
    strong = AttendedPart(["▁cd", "▁e"], ["▁z"], np.array([[0.1, 0.7, 0.2], [0, 0, 1]], np.float32))
    assert align([weak, strong], "abcd e", "xyz") == [(1, 0)]


def test_nothing_is_aligned_with_an_empty_translation():
    assert align([part(["▁a"], [], [])], "a", "") == []


@pytest.mark.parametrize(
    ("pieces", "text", "expected"),
    [
        (["▁a", "▁", "b", "c"], "a bc", [[0], [], [1], [1]]),
        (["▁of▁the", "▁day"], "of the day", [[0, 1], [2]]),
        # letters that have become others, in number as well
        (["▁STRA", "SSE", "▁X"], "Straße x", [[0], [0], [1]]),
        # Chinese: a character is a word
        (["▁我", "喜欢", "。"], "我喜欢。", [[0], [1, 2], [3]]),
        # bytes of one character, the unknown token
        (["▁", "<0xE6>", "<0x88>", "<0x91>", "<unk>", "好"], "我吃好", [[], [0], [], [], [1], [2]]),
        # a line cut inside a word
        (["▁long", "▁word", "▁x"], "longword x", [[0], [0], [1]]),
        ([], "", []),
        (["▁a"], "", [[]]),
    ],
    ids=str,
)
def test_words_that_a_piece_has_characters_of(pieces, text, expected):
    assert words_of_pieces(pieces, text) == expected


def test_words_stand_between_white_space_or_are_chinese_characters():
    assert words_of("Ein  kurzer Satz.") == ["Ein", "kurzer", "Satz."]
    assert words_of("Python很好 ok。") == ["Python", "很", "好", "ok", "。"]
    assert words_of(" \u3000 ") == []
