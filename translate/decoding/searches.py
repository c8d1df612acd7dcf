"""The searches there are."""

from __future__ import annotations

from translate.decoding.beam import BeamSearch
from translate.decoding.greedy import GreedySearch
from translate.decoding.hypotheses import SearchMethod
from translate.decoding.sampling import SamplingSearch
from translate.decoding.search import Search

# adding one is one class, one line here, and one YAML in configs/search
SEARCHES: dict[SearchMethod, type[Search]] = {
    SearchMethod.beam: BeamSearch,
    SearchMethod.greedy: GreedySearch,
    SearchMethod.sampling: SamplingSearch,
}
