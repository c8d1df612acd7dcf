"""Models that write from right to left, and the order of hypotheses by the scores of several models."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from in_process import call_here
from small_runs import options, write_corpus
from trained_model import trained_model
from translate.checkpoint import load_model
from translate.data.augmentation.subword_sampling import sample_target
from translate.decoding.config import DecodingConfig, ForcedScore, Hypothesis, SearchConfig, SearchMethod
from translate.decoding.rescoring.rerank_config import RerankConfig, RerankWeights
from translate.decoding.rescoring.reranking import Reranker, Scorer, Source
from translate.device import Precision
from translate.engines import load_translator
from translate.errors import UserError
from translate.tags import Tagging
from translate.text import read_lines

SENTENCE = "1 2 3"


@dataclass
class Judge:
    """An engine with given hypotheses, and given log probabilities of every token of the pairs that it is asked for."""

    hypotheses: list[Hypothesis] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    asked: list[tuple] = field(default_factory=list)
    max_length: int = 100
    precision: Precision = Precision.fp32

    def search(self, sentences, config, *, progress=None):
        return [self.hypotheses[: config.n_best] for _ in sentences]

    def score(self, pairs, *, details=False, progress=None):
        self.asked += pairs
        return [
            ForcedScore(log_probs=[score] * (len(target) + 1))
            for (_, target), score in zip(pairs, self.scores, strict=True)
        ]


@pytest.fixture(scope="module")
def tokenizer():
    return load_model(trained_model(), device=torch.device("cpu")).tokenizer


def rerank(tokenizer, config: RerankConfig, *, n_best: int = 3, **scores: list[float]) -> tuple[list, dict[str, Judge]]:
    """Texts and scores of three hypotheses, whose own scores fall from the first to the last."""
    texts = ["3 2 1", "3 2", "1 2 3"]
    tokens = tokenizer.encode_target(texts)
    own = [Hypothesis(tokens=ids, score=score) for ids, score in zip(tokens, (-1.0, -1.5, -2.0), strict=True)]
    judges = {role: Judge(scores=values) for role, values in scores.items()}
    scorers = [Scorer(role, judge, tokenizer) for role, judge in judges.items()]
    reranker = Reranker(Judge(own), tokenizer, scorers, config)
    [found] = reranker.search([tuple(tokenizer.encode_source([SENTENCE])[0])], SearchConfig(beam_size=3, n_best=n_best))
    return [(*tokenizer.decode_target([each.tokens]), round(each.score, 6)) for each in found], judges


def test_hypotheses_are_ordered_by_the_weighted_sum(tokenizer):
    config = RerankConfig(weights=RerankWeights(forward=1.0, reverse=2.0))
    found, _ = rerank(tokenizer, config, reverse=[-3.0, -0.5, -1.0])
    assert found == [("3 2", -2.5), ("1 2 3", -4.0), ("3 2 1", -7.0)]
    found, _ = rerank(tokenizer, config, reverse=[-3.0, -0.5, -1.0], n_best=1)
    assert found == [("3 2", -2.5)]
    unchanged = RerankConfig(weights=RerankWeights(reverse=0.0))
    found, _ = rerank(tokenizer, unchanged, reverse=[-3.0, -0.5, -1.0])
    assert [text for text, _ in found] == ["3 2 1", "3 2", "1 2 3"]


def test_each_model_reads_and_writes_its_own_direction(tokenizer):
    roles = ("reverse", "right_to_left", "language_model")
    _, judges = rerank(tokenizer, RerankConfig(language_model_source="7"), **dict.fromkeys(roles, [-1.0] * 3))
    texts = ["1 2 3", "7", "3 2 1"]
    read, written = tokenizer.encode_source(texts), tokenizer.encode_target(texts)
    read, written = [tuple(ids) for ids in read], [tuple(ids) for ids in written]
    assert judges["reverse"].asked[0] == (read[2], written[0])
    assert judges["right_to_left"].asked[0] == (read[0], written[2])
    assert judges["language_model"].asked[0] == (read[1], written[2])


def test_wrong_settings_are_refused():
    with pytest.raises(UserError, match=r"rerank\.weights\.reverse"):
        RerankConfig(weights=RerankWeights(reverse=float("nan"))).check()
    with pytest.raises(UserError, match="language_model_source is blank"):
        RerankConfig(language_model="runs/lm", language_model_source=" ").check()
    sampling = DecodingConfig(rerank=RerankConfig(reverse="runs/back"), search=SearchConfig(method="sampling"))
    with pytest.raises(UserError, match=r"rerank orders the hypotheses of search\.method=beam"):
        sampling.check()
    covered = SearchConfig(coverage_penalty=0.1)
    for config in (
        DecodingConfig(rerank=RerankConfig(reverse="runs/back"), search=covered),
        DecodingConfig(search=replace(covered, method=SearchMethod.mbr, samples=8)),
    ):
        with pytest.raises(UserError, match="order the same hypotheses"):
            config.check()


def test_options_of_models_that_are_not_given_are_refused():
    for config, option in (
        (RerankConfig(weights=RerankWeights(reverse=2.0)), "weights.reverse"),
        (RerankConfig(weights=RerankWeights(forward=2.0)), "weights.forward"),
        (RerankConfig(reverse="runs/back", weights=RerankWeights(language_model=2.0)), "weights.language_model"),
        (RerankConfig(reverse="runs/back", language_model_source="-"), "language_model_source"),
    ):
        with pytest.raises(UserError, match=rf"rerank\.{option} is for a model that is not given"):
            config.check()
    RerankConfig(reverse="runs/back", weights=RerankWeights(forward=2.0, reverse=0.0)).check()


def test_models_read_lines_with_their_own_tags_and_context():
    def read(role: str, tagging: Tagging, source: Source, *, has_context: bool = False) -> str:
        texts: list[str] = []
        encoder = SimpleNamespace(
            user_symbols=(), encode_source=lambda lines: texts.extend(lines) or [[]], encode_target=lambda lines: [[]]
        )
        scorer = Scorer(role, Judge(scores=[-1.0]), encoder, tagging, has_context)
        scorer.score([source], ["3 2"], RerankConfig())
        return texts[0]

    line = Source.of("<2de> 1 2", ["<2de>"])
    assert line == Source("<2de>", "1 2", "1 2")
    own = Tagging(known=("<2de>", "<bt>"), tag="<bt>")
    assert read("right_to_left", own, line) == "<2de> 1 2"
    assert read("right_to_left", own, Source.of("1 2", ["<2de>"])) == "<bt> 1 2"
    assert read("right_to_left", Tagging(known=("<x>",), tag="<x>"), line) == "<x> 1 2"
    assert read("right_to_left", Tagging(), line) == "1 2"
    assert read("reverse", Tagging(known=("<2en>",), tag="<2en>"), line) == "<2en> 3 2"
    assert read("language_model", Tagging(known=("<2de>",), tag="<2de>"), line) == "<2de> ."
    behind = Source.of("<2de> 7 <sep> 1 2", ["<2de>"])
    assert read("right_to_left", own, behind) == "<2de> 1 2"
    assert read("right_to_left", own, behind, has_context=True) == "<2de> 7 <sep> 1 2"
    assert read("right_to_left", own, line, has_context=True) == "<2de> <sep> 1 2"
    assert read("reverse", Tagging(), behind, has_context=True) == "<sep> 3 2"


@pytest.fixture(scope="module")
def right_to_left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that writes from right to left, with sampled subwords; every target ends in "= 9"."""
    folder = tmp_path_factory.mktemp("reverse")
    for path in write_corpus(folder / "corpus").glob("*.tgt"):
        path.write_text("".join(f"{line} = 9\n" for line in read_lines(path)))
    changes = {"data__reverse_target": "true", "run__max_steps": 60, "sampling__target": 0.9}
    changes |= {"run__save_every": 60}
    process = call_here("train", *options(folder / "corpus", folder / "run", **changes))
    assert process.returncode == 0, process.stderr.decode()
    return folder / "run"


def test_a_model_from_right_to_left_translates_by_itself(right_to_left):
    assert json.loads((right_to_left / "best/manifest.json").read_text())["reverse_target"] is True
    translator = load_translator(right_to_left, DecodingConfig(threads=1, workers=1))
    lines = list(read_lines(right_to_left.parent / "corpus/test.src"))
    # what every target ends in is learned first, and written first
    assert all(translation.text.endswith("= 9") for translation in translator.translate(lines))
    tokenizer = translator.tokenizer
    [forwards] = tokenizer.target_processor.encode(["1 2 = 9"], out_type=int)
    assert tokenizer.encode_target(["1 2 = 9"]) == [forwards[::-1]]
    sentences = [tuple(ids) for ids in tokenizer.encode_source(lines)]
    for [hypothesis] in translator.engine.search(sentences, SearchConfig()):
        assert hypothesis.tokens[0] == forwards[-1]
    [sampled] = sample_target(tokenizer, ["1 2 = 9"], strength=0.5, seed=1)
    assert tokenizer.decode_target([sampled]) == ["1 2 = 9"]


def test_the_command_reranks(right_to_left, tmp_path):
    model, corpus = trained_model(), trained_model().parent / "corpus"
    config = RerankConfig(right_to_left=str(right_to_left), weights=RerankWeights(forward=0.0, right_to_left=1.0))
    search = SearchConfig(beam_size=4, n_best=4)
    lines = list(read_lines(corpus / "test.src"))[:5]
    found = load_translator(model, DecodingConfig(search=search, rerank=config, threads=1, workers=1)).translate(lines)
    # the score of each hypothesis is that of the other model, asked by itself
    other = load_translator(right_to_left, DecodingConfig(threads=1, workers=1))
    for line, translation in zip(lines, found, strict=True):
        texts = [text for text, _ in translation.n_best]
        forced = [each.scores.score() for each in other.score([line] * 4, texts)]
        assert [score for _, score in translation.n_best] == pytest.approx(forced, abs=1e-4)
        assert forced == sorted(forced, reverse=True)
    words = [f"model={model}", f"input={corpus / 'test.src'}", f"output={tmp_path / 'out'}"]
    process = call_here("decode", *words, f"rerank.reverse={right_to_left}")
    assert b"must have been trained with data.reverse_target=false" in process.stderr
    process = call_here("decode", *words, f"rerank.right_to_left={model}")
    assert b"must have been trained with data.reverse_target=true" in process.stderr
    process = call_here("decode", *words, f"rerank.reverse={tmp_path / 'none'}")
    assert f"rerank.reverse={tmp_path / 'none'}: ".encode() in process.stderr
