"""The searches by name. Adding one is one function here and one YAML in configs/search."""

from __future__ import annotations

from collections.abc import Callable

from translate.batch import Tokens
from translate.decoding.beam import beam_search
from translate.decoding.greedy import greedy_search
from translate.decoding.hypotheses import Hypothesis, SearchConfig, SearchMethod
from translate.models.seq2seq import Seq2Seq

Search = Callable[[Seq2Seq, Tokens, SearchConfig], list[list[Hypothesis]]]

SEARCHES: dict[SearchMethod, Search] = {
    SearchMethod.beam: beam_search,
    SearchMethod.greedy: greedy_search,
}
