"""Noisy versions of a test set, and a table that compares their scores with those of the clean set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from operator import itemgetter
from random import Random

from translate.data.augmentation.joining import Casing, ClauseJoiner, join_pairs
from translate.data.augmentation.noise import NOISES, Noise, Pair, synonyms
from translate.data.augmentation.synonyms import read_synonyms
from translate.data.augmentation.text import CLAUSES, JOINS, KINDS, SYNONYMS
from translate.data.corpora import ParallelText
from translate.errors import UserError
from translate.evaluation.evaluate import Evaluation
from translate.tags import split_tag

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
    text: ParallelText,
    kind: str,
    *,
    synonyms_file: str = "",
    languages: tuple[str, str] = ("", ""),
    tags: Sequence[str] = (),
) -> ParallelText:
    """A test set with one kind of noise; deterministic.

    Joined sets have one line for two, and no labels. Each line has its own random generator: equal lines with equal
    numbers get equal noise in every set.

    languages  of source and target, by code or name, for the conjunctions of clauses
    tags       of the model: one in front of a line is no text, and two lines that are joined have the same
    """
    name = f"{text.name} with {kind}"
    known = [*tags, *filter(None, [text.tag])]
    fronts, sources = zip(*(_split_front(line, known) for line in text.source), strict=True)
    untagged = replace(text, source=list(sources))
    if kind in JOINS:
        return _joined_version(untagged, fronts, kind, name, languages)
    noise: Noise = partial(synonyms, known=read_synonyms(synonyms_file)) if kind == SYNONYMS else NOISES[kind]
    changed = [
        [noise(source, target, Random(f"{kind} {SEED} {number}")) for target in targets]
        for number, (source, *targets) in enumerate(zip(sources, *text.references, strict=True))
    ]
    return _with_lines(text, name, fronts, changed)


def _split_front(line: str, tags: Sequence[str]) -> tuple[str, str]:
    """The tag and space in front of a line's text, "" without a tag; and the text."""
    text = split_tag(line, tags)[1]
    return line.removesuffix(text), text


def _joined_version(
    text: ParallelText, fronts: Sequence[str], kind: str, name: str, languages: tuple[str, str]
) -> ParallelText:
    casing = Casing(), Casing()
    for side, lines in zip(casing, (text.source, text.target), strict=True):
        side.learn(lines)
    joiner = ClauseJoiner(languages, casing)
    # stable: neighbours are joined where all lines have one tag
    rows = sorted(zip(fronts, text.source, *text.references, strict=True), key=itemgetter(0))
    twos = [two for _, group in groupby(rows, key=itemgetter(0)) for two in _twos(list(group))]
    changed = []
    for number, (first, second) in enumerate(twos):
        pairs = [((first[1], target), (second[1], other)) for target, other in zip(first[2:], second[2:], strict=True)]
        joined = [joiner.join(*pair, Random(f"{CLAUSES} {SEED} {number}")) for pair in pairs]
        # side by side where a reference is no statement: all of them have one source
        is_one_source = len({source for source, _ in joined}) == 1
        changed.append(joined if kind == CLAUSES and is_one_source else [join_pairs(*pair) for pair in pairs])
    if not changed:
        raise UserError(f"noise={kind}: a single line cannot be joined with another one")
    return _with_lines(replace(text, labels=None), name, [first[0] for first, _ in twos], changed)


def _twos(rows: list[tuple[str, ...]]) -> Iterable[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Neighbours in twos, without the last of an odd number."""
    return zip(rows[::2], rows[1::2], strict=False)


def _with_lines(text: ParallelText, name: str, fronts: Sequence[str], changed: list[list[Pair]]) -> ParallelText:
    """The set with other lines: of each, what is in front, and a pair for each of its references, with one source."""
    references = [[pairs[number][1] for pairs in changed] for number in range(len(text.references))]
    return replace(
        text,
        name=name,
        source=[front + pairs[0][0] for front, pairs in zip(fronts, changed, strict=True)],
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
