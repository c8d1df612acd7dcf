"""Numbers of a translated line without its text; texts without addresses and numbers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_models import EchoEngine
from fake_translators import HOSTILE
from monitored import features, shipped_tokenizer, translation
from translate.decoding.config import SearchConfig, SearchMethod
from translate.decoding.rescoring.mbr import MinimumBayesRisk
from translate.decoding.search.config import Candidates
from translate.decoding.translator import Translator
from translate.decoding.warning_flags import COPIED_SOURCE, LENGTH_RATIO, REPETITION, repeats
from translate.monitoring.features import FeatureExtractor, LineFeatures
from translate.monitoring.redaction import redact
from translate.tags import Tagging


def test_numbers_of_a_line_are_those_counted_by_hand():
    [line] = features(["The NASA has 12 \u2603."], ["Die NASA hat 12."])
    assert (line.source_characters, line.source_words, line.target_characters) == (18, 5, 16)
    assert line.script == "Latin"
    # of 14 characters without spaces the snowman is unknown, two are digits, 5 of 10 letters are capitals
    assert line.unknown_characters == pytest.approx(1 / 14, abs=1e-4)
    assert line.digits == pytest.approx(2 / 14, abs=1e-4)
    assert line.capitals == pytest.approx(5 / 10, abs=1e-4)
    # the snowman is three bytes of UTF-8
    assert line.byte_tokens * line.source_tokens == pytest.approx(3, abs=0.01)
    assert line.segments == 1
    assert line.flags == ()


def test_scripts_are_those_of_most_letters():
    scripts = [line.script for line in features(["漢字とかな ABC", "это OK", "12 ...", ""], ["a"] * 4)]
    assert scripts == ["Kana", "Cyrillic", "", ""]


def test_flags_are_those_of_the_json_output():
    texts = ["so so so gut!", "ha ha ha!", "A lamp on the table in the room.", "gut", "1 1 1 1", "ab- ab- ab-?!"]
    sources = ["good", "a", "A lamp on the table in the room.", "x " * 60, "2", "z"]
    found = [line.flags for line in features(sources, texts)]
    repetitive = repeats(list(zip(sources, texts, strict=True)))
    assert [REPETITION in flags for flags in found] == repetitive == [True, True, False, False, False, True]
    assert COPIED_SOURCE in found[2]
    assert LENGTH_RATIO in found[3]


def test_log_probability_is_the_mean_whatever_the_length_penalty():
    found = translation("a b", [5, 6], [7, 8, 9], score=-6 / 4**0.6)  # log p = -6, EOS counted
    [line] = FeatureExtractor(shipped_tokenizer(), length_penalty=0.6)(["x"], [found])
    assert line.log_prob == pytest.approx(-1.5)
    [impossible] = FeatureExtractor(shipped_tokenizer())(["x"], [translation("", [5], [], score=float("-inf"))])
    assert impossible.log_prob is None


def test_scores_of_other_kinds_are_no_confidence():
    """Scores of minimum Bayes risk are expected utilities."""
    search = SearchConfig(method=SearchMethod.mbr, candidates=Candidates.beam, beam_size=2)
    translator = Translator(MinimumBayesRisk(EchoEngine(), shipped_tokenizer()), shipped_tokenizer(), search)
    [line] = FeatureExtractor.of_translator(translator)(["x"], [translation("a", [5], [6], score=0.9)])
    assert line.log_prob is None


def test_a_tag_is_no_text():
    tagged = FeatureExtractor(shipped_tokenizer(), tagging=Tagging(known=("<2de>",)))
    [line] = tagged(["<2de> A lamp."], [translation("Eine Lampe.", [5], [6])])
    assert (line.source_characters, line.source_words) == (7, 2)


def test_features_of_hostile_lines_survive_json():
    found = features(HOSTILE, HOSTILE[::-1])
    assert [LineFeatures.from_json(json.loads(json.dumps(line.to_json()))) for line in found] == found
    assert [line.segments for line in found][:2] == [0, 0]


@pytest.mark.parametrize(
    "changes",
    [
        {"source_characters": -1},
        {"source_tokens": 1.5},
        {"segments": True},
        {"target_tokens": 10**400},
        {"digits": 1.5},
        {"capitals": float("nan")},
        {"log_prob": float("inf")},
        {"log_prob": "0"},
        {"script": "x" * 1000},
        {"script": None},
        {"flags": "repetition"},
        {"flags": None},
    ],
)
def test_other_values_are_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        LineFeatures.from_json(LineFeatures().to_json() | changes)


def test_fields_and_flags_of_a_newer_version_are_ignored():
    values = LineFeatures().to_json() | {"new": 1, "flags": ["newer", REPETITION, ["nested"]]}
    assert LineFeatures.from_json(values) == LineFeatures(flags=(REPETITION,))
    with pytest.raises(ValueError, match="object"):
        LineFeatures.from_json([])


def test_features_and_the_command_need_no_pytorch():
    code = "import sys, translate.monitor; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


REDACTED = [
    (
        ("Mail a.b+c@ex-ample.co.uk now.", "Mail an A.B+c@ex-ample.co.uk."),
        ("Mail [address 1] now.", "Mail an [address 1]."),
    ),
    (("It costs 1,000.50 €.", "Es kostet 1.000,50 €."), ("It costs [number 1] €.", "Es kostet [number 1] €.")),
    (("Call +49 (30) 123-4567, room B2.",), ("Call +[number 1], room [number 2].",)),
    (("IBAN DE89 3704 0044 0532 0130 00 is mine.",), ("IBAN [number 1] is mine.",)),
    (
        ("3 apples and 4 pears", "4 Birnen, 3 Äpfel"),
        ("[number 1] apples and [number 2] pears", "[number 2] Birnen, [number 1] Äpfel"),
    ),
    (("٣ كتب", "3 books"), ("[number 1] كتب", "[number 1] books")),
    (("我有3个苹果", "müller@straße.de"), ("我有[number 1]个苹果", "[address 1]")),
    (("No digits, no @ddress, three.",), ("No digits, no @ddress, three.",)),
]


@pytest.mark.parametrize(("texts", "wanted"), REDACTED)
def test_addresses_and_numbers_are_replaced_alike_in_all_texts(texts, wanted):
    assert redact(*texts) == wanted


@given(st.text(alphabet=st.sampled_from("a1Z ٣²½Ⅳ①.,-@+(x\u00a0漢"), max_size=60))
@settings(max_examples=100, deadline=None)
def test_no_digit_and_no_address_is_left(text):
    [found] = redact(text)
    rest = re.sub(r"\[(address|number) \d+\]", "", found)
    assert not any(character.isdecimal() or character in "²½①" for character in rest)
    assert not re.search(r"\w@\w", rest)


@pytest.mark.parametrize("part", ["a", "1", "a@", "1.", "a1 ", "((1", "²", " 1 a2", "a@b.", "1 ", "-1-"])
def test_long_hostile_texts_take_linear_time(part):
    start = time.process_time()
    redact(part * (50_000 // len(part)))
    assert time.process_time() - start < 1
