"""The comparison as Markdown: tables, and what they say of the claims that the articles make."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from benchmarks.report import markdown_table
from comparison.facts import ENOUGH_LINES, Facts, p_value
from comparison.runs import BASELINE, LOSSES, MODELS, Contestant

Found = Mapping[str, Facts]

TWO_PASSES = ("r_drop", "sim_cut", "adversarial")  # or more, over every batch


def document(models: Found, losses: Found, conditions: Sequence[str]) -> str:
    """conditions: what a reader must know of how the figures were made."""
    parts = ["# Models and losses compared", "", *conditions]
    if models:
        parts += ["", "## Models", "", *_results(models, MODELS), "", *_by_length(models), "", *claims(models)]
    if losses.keys() - {BASELINE}:
        parts += ["", "## Auxiliary losses", "", *_results(losses, LOSSES), "", *loss_claims(losses)]
    return "\n".join(parts) + "\n"


def _results(found: Found, contestants: Mapping[str, Contestant]) -> list[str]:
    headings = (
        "",
        "BLEU",
        "chrF",
        "p",
        "million parameters",
        "updates",
        "target tokens/s",
        "uncovered source tokens",
    )
    rows = []
    for name, facts in found.items():
        p = "–" if name == BASELINE or BASELINE not in found else f"{p_value(facts, found[BASELINE]):.3f}"
        missed = "–" if facts.uncovered is None else f"{facts.uncovered:.1%}"
        rows.append(
            (
                contestants[name].title,
                f"{facts.bleu:.1f} ± {facts.interval:.1f}",
                f"{facts.chrf:.1f}",
                p,
                f"{facts.parameters / 1e6:.1f}",
                f"{facts.updates:,}",
                f"{facts.tokens_per_second:,.0f}",
                missed,
            )
        )
    return markdown_table(headings, rows)


def _by_length(found: Found) -> list[str]:
    lengths = list(next(iter(found.values())).by_length)
    rows = [
        (MODELS[name].title, *(f"{facts.by_length.get(length, math.nan):.1f}" for length in lengths))
        for name, facts in found.items()
    ]
    return [
        f"BLEU by source words, of lengths with at least {ENOUGH_LINES} sentences:",
        "",
        *markdown_table(("", *lengths), rows),
    ]


def claims(found: Found) -> list[str]:
    """What the articles say, and whether it is so here."""
    said = []
    if {"lstm_bahdanau", "lstm_plain"} <= found.keys():
        said.append(_attention_helps_long_sentences(found["lstm_bahdanau"], found["lstm_plain"]))
    if {BASELINE, "lstm_bahdanau"} <= found.keys():
        said.append(_trains_faster(found[BASELINE], found["lstm_bahdanau"]))
    if {BASELINE, "no_positions"} <= found.keys():
        said.append(_better("Order must be told", found[BASELINE], found["no_positions"], "with positions"))
    if {BASELINE, "single_head"} <= found.keys():
        said.append(_better("Several heads see more than one", found[BASELINE], found["single_head"], "with four"))
    if {"lstm_multi_head", "lstm_bahdanau"} <= found.keys():
        claim = "Several heads help an LSTM, too"
        said.append(_better(claim, found["lstm_multi_head"], found["lstm_bahdanau"], "with four"))
    return ["What the articles say, and what was measured:", "", *said] if said else []


def loss_claims(found: Found) -> list[str]:
    """What the losses are for, and whether it came about."""
    said = []
    for loss, without, attention in (
        ("self_attention_loss", BASELINE, "softmax, over queries"),
        ("self_attention_loss_sigmoid", "sigmoid", "sigmoid, over keys"),
    ):
        if {loss, without} <= found.keys():
            said.append(_covers_more(found[loss], found[without], attention))
    if {"self_attention_loss_keys", BASELINE} <= found.keys():
        said.append(_is_nothing(found["self_attention_loss_keys"], found[BASELINE]))
    if {"attention_weighted", BASELINE} <= found.keys():
        claim = "What receives attention should weigh more (attention_weighted_cross_entropy)"
        said.append(_better(claim, found["attention_weighted"], found[BASELINE], "so weighted"))
    if BASELINE in found:
        costly = [name for name in TWO_PASSES if name in found]
        said += [_is_worth_its_passes(LOSSES[name].title, found[name], found[BASELINE]) for name in costly]
    return ["What the losses are for, and what was measured:", "", *said] if said else []


def _covers_more(loss: Facts, without: Facts, attention: str) -> str:
    assert loss.uncovered is not None
    assert without.uncovered is not None
    verdict = _verdict(loss.uncovered < without.uncovered)
    return (
        f"- *self_attention_loss keeps source tokens from being ignored* ({attention}). Uncovered are "
        f"{loss.uncovered:.2%} with it, {without.uncovered:.2%} without: {verdict}. "
        f"{loss.bleu - without.bleu:+.1f} BLEU (p = {p_value(loss, without):.3f})."
    )


def _is_nothing(zero: Facts, without: Facts) -> str:
    """The loss is zero by its formula, so that the two differ as any runs do that end by the clock."""
    return (
        "- *self_attention_loss asks for nothing over the keys of a softmax.* What it makes of a run is another of the "
        f"same settings: {zero.bleu - without.bleu:+.1f} BLEU (p = {p_value(zero, without):.3f})."
    )


def _is_worth_its_passes(name: str, loss: Facts, without: Facts) -> str:
    p = p_value(loss, without)
    verdict = "not significant" if p >= 0.05 else _verdict(loss.bleu > without.bleu)
    return (
        f"- *{name} is worth its further passes in so short a time.* {loss.updates:,} updates in the time of "
        f"{without.updates:,}, {loss.bleu - without.bleu:+.1f} BLEU (p = {p:.3f}): {verdict}."
    )


def _attention_helps_long_sentences(attention: Facts, plain: Facts) -> str:
    short, *_, long = (length for length in attention.by_length if length in plain.by_length)
    gains = {length: attention.by_length[length] - plain.by_length[length] for length in (short, long)}
    kept = [facts.by_length[long] / facts.by_length[short] for facts in (attention, plain)]
    verdict = _verdict(gains[long] > 0 and kept[0] > kept[1])
    return (
        f"- *Attention was invented for long sentences.* It is worth {gains[short]:+.1f} BLEU on {short} source words "
        f"and {gains[long]:+.1f} on {long}; of its BLEU on the short ones the LSTM keeps {kept[0]:.0%} on the long "
        f"ones with attention, {kept[1]:.0%} without: {verdict}."
    )


def _trains_faster(transformer: Facts, lstm: Facts) -> str:
    ratio = transformer.tokens_per_second / lstm.tokens_per_second
    return (
        f"- *Self-attention trains faster than recurrence.* {ratio:.2f} times as many target tokens a second, "
        f"{transformer.bleu - lstm.bleu:+.1f} BLEU after the same time: {_verdict(ratio > 1)}."
    )


def _better(claim: str, one: Facts, other: Facts, which: str) -> str:
    p = p_value(one, other)
    verdict = "not significant" if p >= 0.05 else _verdict(one.bleu > other.bleu)
    return f"- *{claim}.* {one.bleu - other.bleu:+.1f} BLEU {which} (p = {p:.3f}): {verdict}."


def _verdict(holds: bool) -> str:
    return "it holds here" if holds else "**it does not hold here**"
