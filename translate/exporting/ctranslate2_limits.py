"""Options that CTranslate2 lacks, and limits that its search can break, which are enforced afterwards."""

from __future__ import annotations

from translate.decoding.config import NEVER_GENERATED, Hypothesis, SearchConfig, SearchMethod

FORBIDDEN = frozenset(NEVER_GENERATED)


def breaks_limits(hypotheses: list[Hypothesis], limit: int) -> bool:
    """True if a hypothesis is longer than its limit, or has tokens that are forbidden."""
    return any(len(h.tokens) > limit or not FORBIDDEN.isdisjoint(h.tokens) for h in hypotheses)


def cut_at_repetitions(hypotheses: list[Hypothesis], n: int) -> list[Hypothesis]:
    """Hypotheses up to the first token that is forbidden or completes an n-gram for the second time.

    The runtime generates such a token where min_length forbids EOS and nothing else is left. The engine adds EOS.
    """
    # hypotheses that differ only after the cut become equal: the first one is the most likely
    cut: dict[tuple[int, ...], Hypothesis] = {}
    for hypothesis in hypotheses:
        tokens = hypothesis.tokens[: _first_repetition(hypothesis.tokens, n)]
        cut.setdefault(tuple(tokens), Hypothesis(tokens=tokens, score=hypothesis.score))
    return list(cut.values())


def _first_repetition(tokens: list[int], n: int) -> int:
    """Index of the first token that is forbidden or ends a repeated n-gram; the length if there is none."""
    ngrams: set[tuple[int, ...]] = set()
    for index, token in enumerate(tokens):
        ngram = tuple(tokens[max(0, index + 1 - n) : index + 1])
        if token in FORBIDDEN or ngram in ngrams:
            return index
        # shorter ones, at the start, are no n-grams
        if len(ngram) == n:
            ngrams.add(ngram)
    return len(tokens)


def unsupported(config: SearchConfig) -> str:
    """The option of a search that the runtime does not have, with the reason; "" if it has all."""
    if config.method is SearchMethod.sampling:
        return "search.method=sampling: sampling by CTranslate2 is not reproducible"
    if config.method is SearchMethod.diverse_beam:
        return "search.method=diverse_beam: CTranslate2 has no groups of hypotheses"
    return ""
