"""Metrics of summaries and answers, against values worked out by hand."""

from __future__ import annotations

import pytest

from translate.evaluation.metrics import exact_match, rouge, score, token_f1
from translate.evaluation.scores import MetricName


@pytest.mark.parametrize(
    ("hypothesis", "reference", "exact", "f1"),
    [
        ("The  Denver Broncos!", "denver broncos", 1, 1),
        ("Denver", "the Denver Broncos", 0, 2 / 3),
        ("in the year 1990", "1990", 0, 2 / 4),
        ("a b b c", "b b b", 0, 2 * 2 / 6),  # "a" is an article, of three b in the reference two are matched
        ("Paris", "London\tparis", 1, 1),
        ("", "", 1, 1),
        ("", "yes", 0, 0),
        ("no", "yes", 0, 0),
    ],
)
def test_answers_match_the_squad_formula(hypothesis, reference, exact, f1):
    assert exact_match(hypothesis, reference) == exact
    assert token_f1(hypothesis, reference) == pytest.approx(f1)


def test_rouge_matches_its_formula():
    pytest.importorskip("rouge_score")
    hypothesis, reference = "the cats sat here", "the cat was sitting here"  # without endings: cat, sat, sit
    assert rouge("rouge1")(hypothesis, reference) == pytest.approx(2 * 3 / 9)
    assert rouge("rouge2")(hypothesis, reference) == pytest.approx(2 * 1 / 7)
    assert rouge("rougeL")("here the cat", reference) == pytest.approx(2 * 2 / 8)


def test_corpus_score_is_the_mean_of_line_scores_with_a_confidence_interval():
    hypotheses, references = ["Rome", "in Rome", "London", "Oslo"], ["Rome"] * 4
    found = score(hypotheses, [references], metrics=[MetricName.exact_match, MetricName.f1], bootstrap=200)
    assert found[MetricName.exact_match].value == pytest.approx(25)
    assert found[MetricName.f1].value == pytest.approx(100 * (1 + 2 / 3) / 4)
    assert str(found[MetricName.f1]).startswith("F1 = 41.7 ± ")
    assert found[MetricName.exact_match].interval > 10
    assert found[MetricName.exact_match].signature == "squad:1.1"


def test_rouge_signature_names_the_package_and_version():
    pytest.importorskip("rouge_score")
    [found] = score(["a cat"], [["a cat"]], metrics=[MetricName.rougeL]).values()
    assert (found.name, found.value) == ("ROUGE-L", 100)
    assert "stemmer:porter|version:rouge-score 0." in found.signature
