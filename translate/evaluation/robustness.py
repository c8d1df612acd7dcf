"""Noisy versions of a test set, and a table that compares their scores with those of the clean set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from random import Random

from translate.data.augmentation.joining import Casing, ClauseJoiner, join_pairs
from translate.data.augmentation.noise import NOISES, Noise, Pair, synonyms
from translate.data.augmentation.synonyms import read_synonyms
from translate.data.augmentation.text import CLAUSES, JOINED, JOINS, KINDS, SYNONYMS
from translate.data.corpora import ParallelText
from translate.errors import UserError
from translate.evaluation.evaluate import Evaluation

SEED = 1  # fixed, so that scores of different models can be compared


def check_noise(kinds: Sequence[str], *, synonyms_file: str) -> None:
    """Raise UserError for an unknown kind of noise, or for synonyms without a valid file."""
    for kind in kinds:
        if kind not in KINDS:
            raise UserError(f"noise={kind}: unknown noise; choose from {', '.join(KINDS)}")
    if SYNONYMS in kinds:
        if not synonyms_file:
            raise UserError("noise=synonyms needs synonyms_file=FILE with lines of a word, a TAB and its synonyms")
        read_synonyms(synonyms_file)


def noisy_version(
    text: ParallelText, kind: str, *, synonyms_file: str = "", languages: tuple[str, str] = ("", "")
) -> ParallelText:
    """A test set with one kind of noise; deterministic.

    Joined sets have one line for two, and no labels. Each line has its own random generator: equal lines with equal
    numbers get equal noise in every set.

    languages  ISO 639 codes of source and target, for the conjunctions of clauses
    """
    name = f"{text.name} with {kind}"
    if kind in JOINS:
        return _joined_version(text, kind, name, languages)
    noise: Noise = partial(synonyms, known=read_synonyms(synonyms_file)) if kind == SYNONYMS else NOISES[kind]
    changed = [
        [noise(source, target, Random(f"{kind} {SEED} {number}")) for target in targets]
        for number, (source, *targets) in enumerate(zip(text.source, *text.references, strict=True))
    ]
    return _with_lines(text, name, changed)


def _joined_version(text: ParallelText, kind: str, name: str, languages: tuple[str, str]) -> ParallelText:
    casing = Casing(), Casing()
    for side, lines in zip(casing, (text.source, text.target), strict=True):
        side.learn(lines)
    joiner = ClauseJoiner(languages, casing)
    rows = list(zip(text.source, *text.references, strict=True))
    changed = []
    for number, (first, second) in enumerate(zip(rows[::2], rows[1::2], strict=False)):
        pairs = [((first[0], target), (second[0], other)) for target, other in zip(first[1:], second[1:], strict=True)]
        if kind == JOINED:
            changed.append([join_pairs(*pair) for pair in pairs])
        else:
            changed.append([joiner.join(*pair, Random(f"{CLAUSES} {SEED} {number}")) for pair in pairs])
    if not changed:
        raise UserError(f"noise={kind}: a single line cannot be joined with another one")
    return _with_lines(replace(text, labels=None), name, changed)


def _with_lines(text: ParallelText, name: str, changed: list[list[Pair]]) -> ParallelText:
    """The set with changed lines; changed: for each line, pairs of its noisy source and each of its references."""
    references = [[pairs[number][1] for pairs in changed] for number in range(len(text.references))]
    return replace(
        text,
        name=name,
        source=[pairs[0][0] for pairs in changed],
        target=references[0],
        further_references=references[1:],
        reference_paths=[],
    )


def robustness_rows(clean: Evaluation, noisy: Mapping[str, Evaluation]) -> list[list[str]]:
    """Table with a header, a row for the clean set and one for each kind of noise: lines, scores, exact matches."""
    header = ["noise", "lines", *(score.name for score in clean.scores.values()), "exact"]
    return [header, *(_row(kind, evaluation) for kind, evaluation in [("none", clean), *noisy.items()])]


def _row(kind: str, evaluation: Evaluation) -> list[str]:
    scores = [score.rounded for score in evaluation.scores.values()]
    return [kind, f"{len(evaluation.source):,}", *scores, f"{evaluation.exact:.1%}"]
