"""Minimum Bayes risk decoding: the candidate that is most like all of them, by sacreBLEU's own definitions."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF

from fake_models import CharacterTokenizer, random_model
from in_process import call_here
from searches import search
from trained_model import trained_model
from translate.decoding.config import Hypothesis, SearchConfig, SearchMethod
from translate.decoding.rescoring.mbr import UTILITIES, MinimumBayesRisk
from translate.decoding.search.config import Candidates, Utility
from translate.device import Precision
from translate.errors import UserError

TEXTS = ["the cat sat on the mat", "the cat sat on the hat", "a dog", "the cat sat there", "x", "Ein Hund läuft."]
fastchrf = pytest.importorskip("fastchrf", reason="the extra mbr")


@dataclass
class Lottery:
    """An engine whose sample of a seed, or list of a beam, is given."""

    samples: list[str]
    scores: list[float] = field(default_factory=list)
    tokenizer: CharacterTokenizer = field(default_factory=CharacterTokenizer)
    max_length: int = 100
    precision: Precision = Precision.fp32

    def search(self, sentences, config, *, progress=None):
        texts = self.samples
        if config.method is SearchMethod.sampling:
            texts = self.samples[: config.samples]
        scores = self.scores or [-1.0] * len(texts)
        tokens = self.tokenizer.encode_source(texts)
        own = [Hypothesis(tokens=ids, score=score) for ids, score in zip(tokens, scores, strict=False)]
        return [own for _ in sentences]


def mbr(engine: Lottery, **settings) -> list[tuple[str, float]]:
    config = SearchConfig(method=SearchMethod.mbr, **settings)
    config.check()
    [found] = MinimumBayesRisk(engine, engine.tokenizer).search([(4,)], config)
    texts = engine.tokenizer.decode_target([each.tokens for each in found])
    return [(text, each.score) for text, each in zip(texts, found, strict=True)]


@pytest.mark.parametrize("utility", Utility)
def test_utilities_are_those_of_sacrebleu(utility):
    metric = {Utility.chrf: CHRF(), Utility.bleu: BLEU(effective_order=True)}[utility]
    expected = [[metric.sentence_score(text, [other]).score for other in TEXTS] for text in TEXTS]
    assert np.allclose(UTILITIES[utility]()(TEXTS), expected, atol=1e-3)


@pytest.mark.parametrize("utility", Utility)
def test_the_most_usual_sample_wins_and_its_score_is_its_expected_utility(utility):
    samples = ["a b c d e", "a b c d f", "q r", "a b c d e", "a b c x e"]
    [(text, score)] = mbr(Lottery(samples), samples=5, utility=utility)
    metric = {Utility.chrf: CHRF(), Utility.bleu: BLEU(effective_order=True)}[utility]
    assert text == "a b c d e"
    mean = np.mean([metric.sentence_score(text, [other]).score for other in samples])
    assert score == pytest.approx(mean, abs=1e-3)


def test_n_best_is_in_the_order_of_utility_and_has_each_text_once():
    found = mbr(Lottery(["a b", "a b", "c d", "a c"]), samples=4, n_best=4)
    assert found[0][0] == "a b"
    assert sorted(text for text, _ in found) == ["a b", "a c", "c d"]
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)


def test_hypotheses_of_a_beam_count_by_their_probability():
    texts = ["a b c", "x y z", "x y w"]
    likely_first = Lottery(texts, scores=[-0.01, -2.0, -2.0])
    assert mbr(likely_first, candidates=Candidates.beam, beam_size=3)[0][0] == "a b c"
    alike = Lottery(texts, scores=[-1.0, -1.0, -1.0])
    assert mbr(alike, candidates=Candidates.beam, beam_size=3)[0][0] in ("x y z", "x y w")


def test_more_translations_than_candidates_are_refused():
    for settings in ({"samples": 4}, {"candidates": Candidates.beam}):
        with pytest.raises(UserError, match="n_best"):
            SearchConfig(method=SearchMethod.mbr, n_best=6, **settings).check()
    with pytest.raises(UserError, match=r"search\.samples \(1\) must be at least 2"):
        SearchConfig(method=SearchMethod.mbr).check()


def test_candidates_repeat_at_any_batch_size():
    model, tokenizer = random_model(vocabulary_size=12, end=1.0), CharacterTokenizer()
    tokenizer.encode_source(["abcdefgh"])
    config = SearchConfig(method=SearchMethod.mbr, samples=6, n_best=3)

    class Engine:
        max_length = 100
        batch = 20

        def search(self, sentences, config, *, progress=None):
            return search(model, sentences, config, batch_sentences=self.batch)

    engine = Engine()
    sentences = [(4, 5), (6,), (7, 8, 9), (10,)]
    all_at_once = MinimumBayesRisk(engine, tokenizer).search(sentences, config)
    engine.batch = 1
    assert MinimumBayesRisk(engine, tokenizer).search(sentences, config) == all_at_once
    assert [MinimumBayesRisk(engine, tokenizer).search([each], config)[0] for each in sentences] == all_at_once


@pytest.fixture(scope="module")
def model() -> Path:
    return trained_model()


def test_the_decode_command_takes_the_search(model):
    source = model.parent / "corpus/test.src"
    words = [f"model={model}", f"input={source}", "threads=1", "workers=1", "search=mbr", "search.samples=4"]
    found = call_here("decode", *words, "search.n_best=2")
    assert found.returncode == 0, found.stderr.decode()
    assert call_here("decode", *words, "search.n_best=2").stdout == found.stdout
    scores = [float(line.rsplit(" ||| ", 1)[1]) for line in found.stdout.decode().splitlines()]
    assert 0 < max(scores) <= 100
    other = call_here("decode", *words, "search.n_best=2", "search.seed=7")
    assert other.stdout != found.stdout
    process = call_here("explain", *words, f"output={model.parent / 'pages'}")
    assert process.returncode == 1
    assert b"search.method=mbr" in process.stderr
