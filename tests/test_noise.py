"""Noise of single pairs: what it changes, how often, and what stays."""

from __future__ import annotations

import math
import re
import time
from collections import Counter
from functools import partial
from random import Random

import pytest

from translate.data.augmentation.noise import NOISES, capitals, emoji, punctuation, synonyms, title_case, typos

SOURCE = [
    "The driver's bag, at 16:05, did not come; it cost 3,50 euros.",
    "Is “Anna” coming?",
    "Wir müssen groß denken!",
    "Он пришёл домой, но устал.",
    "我们走吧，现在。",
    "42",
    "(no mark)",
    "…",
]
TARGET = [f"Ziel {number}, gut." for number in range(len(SOURCE))]
TABLE = {"driver's": ["chauffeur's"], "bag": ["sack", "pouch"], "anna": ["Anne"], "wir": ["man"]}
KNOWN = partial(synonyms, known=lambda word: TABLE.get(word, ()))
ALL = {**NOISES, "synonyms": KNOWN}


def drawn(noise, source, target="Gut.", *, count=300):
    return [noise(source, target, Random(seed)) for seed in range(count)]


@pytest.mark.parametrize("name", ALL)
def test_noise_is_a_function_of_text_and_seed_and_the_source_does_not_depend_on_the_target(name):
    for source, target in zip(SOURCE, TARGET, strict=True):
        for seed in range(30):
            found = ALL[name](source, target, Random(seed))
            assert ALL[name](source, target, Random(seed)) == found
            assert ALL[name](source, "etwas anderes", Random(seed))[0] == found[0]


def test_capitals_are_on_both_sides():
    assert capitals("Große Not.", "big need", Random(1)) == ("GROSSE NOT.", "BIG NEED")
    assert capitals("我们走吧。", "Gehen wir.", Random(1)) == ("我们走吧。", "GEHEN WIR.")


def test_title_case_is_of_words_and_of_the_source_alone():
    source, target = title_case("the driver's 3rd bag isn’t “here”: ßtraße", "das ist es", Random(1))
    assert (source, target) == ("The Driver's 3Rd Bag Isn’t “Here”: ßtraße", "das ist es")


def test_punctuation_is_missing_on_both_sides_or_wrong_in_the_source_alone():
    found = Counter(drawn(punctuation, SOURCE[0]))
    assert set(found) == {
        (SOURCE[0][:-1], "Gut"),
        ("The driver's bag at 16:05 did not come it cost 3,50 euros.", "Gut."),
        (SOURCE[0] + ".", "Gut."),
        (SOURCE[0] + "..", "Gut."),
    }
    # a third, within 4.5 standard errors
    assert found[SOURCE[0][:-1], "Gut"] / 300 == pytest.approx(1 / 3, abs=4.5 * math.sqrt(2 / 9 / 300))
    assert {source for source, _ in drawn(punctuation, 'He said "yes."')} == {
        'He said "yes"', 'He said "yes."', 'He said "yes.."', 'He said "yes..."',
    }  # fmt: skip
    assert set(drawn(punctuation, "no mark", "keins")) == {("no mark", "keins")}


def test_typos_come_at_their_rate_and_in_letters_alone():
    letters = "abcdefghij" * 40
    counts = []
    for seed in range(200):
        source, target = typos(letters, "Ziel", Random(seed), rate=0.05)
        assert (set(source) - set("qwertyuiopüasdfghjklöäzxcvbnm"), target) == (set(), "Ziel")
        counts.append(edits(letters, source))
    # a slip is one edit, or two (swapped letters): between n·p and 2·n·p, with room for neighbouring slips
    spread = 4.5 * math.sqrt(0.05 * 0.95 * 400 / 200) * 2
    assert 0.95 * 20 - spread < sum(counts) / 200 < 1.3 * 20 + spread


def test_every_text_with_words_has_a_typo_and_other_signs_stay():
    for source in SOURCE:
        signs = re.sub(r"[^\W\d_]", "", source)
        for noisy, _ in drawn(typos, source, count=100):
            assert re.sub(r"[^\W\d_]", "", noisy) == signs
            assert (noisy != source) == bool(re.search(r"[a-zäöüß\u0400-\u04ff]", source, re.I))
    assert {noisy for noisy, _ in drawn(typos, "I")} <= {"II", "U", "O", "J", "K"}


def test_typos_are_of_all_kinds_and_keep_the_alphabet():
    found = {noisy for noisy, _ in drawn(typos, "Дом")}
    assert {"оДм", "ДДом", "ом"} <= found, "swapped, doubled and missing letters"
    assert {"Лом", "Щом"} & found, "neighbours, with the capital of the letter"
    assert all("\u0400" <= letter <= "\u04ff" for noisy in found for letter in noisy)


def test_emoji_are_the_same_on_both_sides_and_the_text_stays():
    found = drawn(emoji, "Ja.", "Yes.")
    for source, target in found:
        assert "Ja." in source
        assert source.replace("Ja.", "") == target.replace("Yes.", "")
        assert source.isascii() is False
    in_front = sum(source.endswith("Ja.") for source, _ in found) / len(found)
    assert in_front == pytest.approx(0.1, abs=4.5 * math.sqrt(0.09 / 300))


def test_synonyms_replace_known_words_with_their_capital_letters():
    found = {KNOWN("The bag of WIR, Anna: Bagger", "Gut.", Random(seed)) for seed in range(200)}
    words = {source for source, _ in found}
    assert {target for _, target in found} == {"Gut."}
    assert "The sack of WIR, Anna: Bagger" in words
    assert "The bag of MAN, Anna: Bagger" in words
    assert "The bag of WIR, Anne: Bagger" in words
    assert "The bag of WIR, Anna: Bagger" not in words, "at least one"
    assert KNOWN("nothing known", "Gut.", Random(1)) == ("nothing known", "Gut.")


def edits(one: str, other: str) -> int:
    """Levenshtein distance."""
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        previous, row[0] = row[0], i
        for j, found in enumerate(other, start=1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (letter != found))
    return row[-1]


@pytest.mark.parametrize("line", ["." * 200_000 + "x", "! " * 100_000 + "x", "a," * 100_000, '."' * 100_000 + "x"])
def test_long_lines_take_linear_time(line):
    for noise in ALL.values():
        start = time.process_time()
        noise(line, line, Random(1))
        assert time.process_time() - start < 3
