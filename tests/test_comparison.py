"""scripts/compare_models.py: that its report says what the runs have shown."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))

from comparison import report
from comparison.facts import Facts, p_value
from comparison.runs import LOSSES, MODELS
from translate.losses import AUXILIARY_LOSSES
from translate.models import ARCHITECTURES

PLAIN = Facts(
    folder=Path("none"),
    bleu=20.0,
    interval=1.0,
    chrf=40.0,
    by_length={"0–10": 30.0, "11–20": 20.0, "21–": 10.0},
    parameters=5_000_000,
    updates=100,
    minutes=10.0,
    tokens_per_second=1000.0,
    uncovered=None,
)


@pytest.fixture(autouse=True)
def no_bootstrap(monkeypatch):
    monkeypatch.setattr(report, "p_value", lambda one, other: 0.01 if abs(one.bleu - other.bleu) > 2 else 0.3)


def test_each_claim_is_judged_by_the_figures():
    attention = replace(PLAIN, bleu=25.0, by_length={"0–10": 31.0, "11–20": 24.0, "21–": 18.0}, uncovered=0.1)
    found = {
        "transformer": replace(attention, bleu=30.0, tokens_per_second=2500.0),
        "lstm_bahdanau": attention,
        "lstm_plain": PLAIN,
        "no_positions": replace(attention, bleu=29.0),
        "single_head": replace(attention, bleu=33.0),
    }
    long_sentences, faster, order, heads = report.claims(found)[2:]
    assert "+1.0 BLEU on 0–10 source words and +8.0 on 21–" in long_sentences
    assert "keeps 58% on the long ones with attention, 33% without: it holds here" in long_sentences
    assert "2.50 times as many" in faster
    assert "it holds here" in faster
    assert "+1.0 BLEU with positions (p = 0.300): not significant" in order
    assert "-3.0 BLEU with four (p = 0.010): **it does not hold here**" in heads
    turned = found | {"lstm_bahdanau": replace(attention, by_length={"0–10": 40.0, "11–20": 24.0, "21–": 11.0})}
    assert "**it does not hold here**" in report.claims(turned)[2]


def test_losses_are_judged_by_coverage_and_by_what_their_time_gives():
    baseline = replace(PLAIN, bleu=30.0, uncovered=0.05, updates=1000)
    found = {
        "transformer": baseline,
        "self_attention_loss": replace(baseline, bleu=30.5, uncovered=0.01),
        "self_attention_loss_keys": replace(baseline, bleu=29.5),
        "attention_weighted": replace(baseline, bleu=33.0),
        "sigmoid": replace(baseline, uncovered=0.01),
        "self_attention_loss_sigmoid": replace(baseline, uncovered=0.02),
        "sim_cut": replace(baseline, bleu=25.0, updates=400),
    }
    softmax, sigmoid, keys, weighted, sim_cut = report.loss_claims(found)[2:]
    assert "1.00% with it, 5.00% without: it holds here. +0.5 BLEU (p = 0.300)" in softmax
    assert "2.00% with it, 1.00% without: **it does not hold here**" in sigmoid
    assert "another of the same settings: -0.5 BLEU (p = 0.300)." in keys
    assert "+3.0 BLEU so weighted (p = 0.010): it holds here" in weighted
    assert "400 updates in the time of 1,000, -5.0 BLEU (p = 0.010): **it does not hold here**" in sim_cut


def test_the_document_has_a_row_for_each_run():
    models = {"transformer": replace(PLAIN, bleu=30.0, uncovered=0.25), "lstm_plain": PLAIN}
    text = report.document(models, {"transformer": models["transformer"]}, ["Conditions."])
    assert "Conditions." in text
    rows: dict[str, list[str]] = {}
    for line in text.split("\n"):
        if line.startswith("| "):
            first, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            rows.setdefault(first, cells)
    assert rows["LSTM without attention"][:3] == ["20.0 ± 1.0", "40.0", "0.010"]
    assert rows["Transformer"][-1] == "25.0%"
    assert "BLEU by source words" in text


def test_every_architecture_and_every_loss_takes_part():
    options = " ".join(option for contestant in (MODELS | LOSSES).values() for option in contestant.options)
    assert all(f"auxiliary=[{name}]" in options for name in AUXILIARY_LOSSES)
    assert len(ARCHITECTURES) <= len(MODELS)


def test_a_difference_that_is_always_there_is_significant(tmp_path):
    """Two finished runs, one of which wrote the references themselves."""
    lines = [f"a sentence with number {number} and some more words" for number in range(60)]
    (tmp_path / "test.en").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    runs = []
    for name, hypotheses in (("good", lines), ("bad", [line[:-11] for line in lines])):
        folder = tmp_path / name
        (folder / "evaluation").mkdir(parents=True)
        (folder / "evaluation" / "hypotheses.txt").write_text("\n".join(hypotheses) + "\n", encoding="utf-8")
        test = f"data: {{test: {{source: {tmp_path}/test.en, target: {tmp_path}/test.en}}}}"
        (folder / "config.yaml").write_text(test, encoding="utf-8")
        runs.append(replace(PLAIN, folder=folder))
    assert p_value(runs[0], runs[1]) < 0.01
    assert p_value(runs[0], runs[0]) > 0.05
