"""Rules on pairs: what each drops, alone and for a batch."""

from __future__ import annotations

import numpy as np
import pytest

from translate.data.filters.pair_rules import (
    LengthRule,
    Pairs,
    RepetitionRule,
    Rule,
    ScoreRule,
    ScriptRule,
    addresses_differ,
    ends_differ,
    numbers_differ,
)


def pairs_of(*pairs: tuple[str, str]) -> Pairs:
    return Pairs([source for source, _ in pairs], [target for _, target in pairs], [None] * len(pairs))


def drops(rule: Rule, source: str, target: str) -> bool:
    return rule(pairs_of((source, target))).tolist() == [True]


@pytest.mark.parametrize(
    ("source", "target", "dropped"),
    [
        ("In 1989 it fell.", "1989 fiel sie.", False),
        ("In 1989 it fell.", "1990 fiel sie.", True),
        ("In 1989 it fell.", "Sie fiel.", True),
        ("It costs 1,000.50 €.", "Es kostet 1.000,50 €.", False),
        ("3 dogs", "drei Hunde", False),  # numbers of one digit are words in many texts
        ("From 10 to 12", "Von 10 bis zwölf", False),  # one of them is enough
        ("Year 2024", "سنة ٢٠٢٤", False),
        ("no number", "keine Zahl", False),
    ],
)
def test_numbers_of_several_digits_must_share_one(source: str, target: str, dropped: bool):
    assert drops(numbers_differ, source, target) is dropped
    assert drops(numbers_differ, target, source) is dropped


@pytest.mark.parametrize(
    ("source", "target", "dropped"),
    [
        ("See https://en.example.org/a.", "Siehe https://de.example.org/b.", False),
        ("See https://example.org.", "Siehe dort.", True),
        ("See www.example.org", "Siehe www.other.org", True),
        ("Write to A.B@example.org.", "Schreib an a.b@example.org", False),
        ("Write to a@example.org", "Schreib an b@example.org", True),
        ("a@b", "c", True),
        ("见 https://example.org/路", "See https://example.org/x", False),
        ("nothing", "nichts", False),
    ],
)
def test_urls_and_email_addresses_must_share_one(source: str, target: str, dropped: bool):
    assert drops(addresses_differ, source, target) is dropped


@pytest.mark.parametrize(
    ("source", "target", "dropped"),
    [
        ("Why?", "Warum?", False),
        ("Why?", "为什么？", False),
        ('"Why?"', "«Warum.»", True),
        ("Why?", "Warum", True),
        ("Go!", "Geh.", False),
        ("A heading", "Eine Überschrift.", False),
        ("As follows:", "Wie folgt.", True),
        ("Why?", "Γιατί;", False),  # the Greek question mark
        ("ends (so).", "endet (so.)", False),
    ],
)
def test_the_last_marks_must_be_of_one_kind(source: str, target: str, dropped: bool):
    assert drops(ends_differ, source, target) is dropped
    assert drops(ends_differ, target, source) is dropped


@pytest.mark.parametrize(
    ("line", "dropped"),
    [
        ("the the the the", True),
        ("it goes on and on and on and on and so on", True),
        ("No! no no no no.", True),
        ("你好你好你好你好", True),
        ("哈" * 15, False),
        ("哈" * 16, True),
        ("very, very, very good", False),  # three times
        ("Hmmmmmmmm", False),
        ("a table: -- -- -- -- -- --", False),
        ("0101010101010101", False),
        ("Mississippi", False),
    ],
)
def test_words_and_phrases_repeated_four_times_are_dropped(line: str, dropped: bool):
    rule = RepetitionRule(4)
    assert drops(rule, line, "anders") is dropped
    assert drops(rule, "other", line) is dropped


def test_repetition_does_not_go_over_line_ends():
    same = pairs_of(*[("one two", "eins zwei")] * 6)
    assert not RepetitionRule(3)(same).any()
    mixed = pairs_of(("a b", "c"), ("ab cd ab cd ab cd ", "c"), ("ab cd", "c"))
    assert RepetitionRule(3)(mixed).tolist() == [False, True, False]


def test_lengths_are_judged_by_the_median_ratio_of_the_sample():
    # a target of half as many characters is usual here
    sample = pairs_of(*[("x" * n, "y" * (n // 2)) for n in range(10, 200, 2)])
    rule = LengthRule.of_sample(sample, 3)
    assert np.exp(rule.median) == pytest.approx(0.5)
    assert not drops(rule, "x" * 60, "y" * 30)
    assert not drops(rule, "x" * 60, "y" * 89)  # 2.97 times the usual ratio
    assert drops(rule, "x" * 60, "y" * 91)
    assert drops(rule, "x" * 60, "y" * 9)
    assert not drops(rule, "x" * 15, "y" * 1)  # short pairs are not judged
    assert drops(rule, "x" * 60, "")


def test_scores_below_the_least_are_dropped_and_so_are_missing_ones():
    pairs = Pairs(["a"] * 5, ["b"] * 5, [0.4, 0.5, None, float("nan"), float("inf")])
    assert ScoreRule(0.5)(pairs).tolist() == [True, False, True, True, False]


def test_lines_in_another_script_are_dropped_by_what_is_usual_on_their_side():
    rule = ScriptRule(pairs_of(*[("an English line", "这是中文")] * 30, ("Русский", "Русский")))
    assert not drops(rule, "another", "另一行")
    assert drops(rule, "another", "another one")
    assert drops(rule, "Русский", "另一行")
    assert not drops(rule, "set it", "设为 ``logging.logProcesses``")  # mixed, as text about programs is
    assert not drops(rule, "12 + 3", "= 15")  # no letters
    assert drops(rule, "Chinese", "日本語ではひらがな") is False  # Han and Kana are one script here


def test_nothing_is_dropped_by_scripts_if_the_sample_has_none():
    assert not drops(ScriptRule(pairs_of(("1", "2"))), "a line", "Русский")


@pytest.mark.parametrize("rule", [numbers_differ, addresses_differ, ends_differ, RepetitionRule(4), ScoreRule(0.0)])
def test_a_batch_may_be_empty(rule: Rule):
    assert rule(pairs_of()).tolist() == []
