"""Sentences of exactly the model's maximum length, one token less and one more, wherever sentences are read."""

import itertools
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fake_models import CharacterTokenizer
from in_process import call_here
from small_runs import options, write_corpus
from translate.batch import pack_batch, pad_batch
from translate.decoding.config import SearchConfig
from translate.decoding.native_engine import SEARCHES, NativeEngine
from translate.decoding.translator import Translator
from translate.device import Precision
from translate.explanation import explain_pairs
from translate.losses import label_smoothed_cross_entropy
from translate.models import ARCHITECTURES, Vocabularies, build_model
from translate.models.layers import Positions
from translate.models.seq2seq import Seq2Seq
from translate.tokenizer import EOS
from translate.training.validation_sets import encode_validation

LONGEST = 9
LENGTHS = (1, LONGEST - 1, LONGEST)
KINDS = [(name, None) for name in ARCHITECTURES if name != "transformer"]
KINDS += [("transformer", positions) for positions in Positions]
every_kind = pytest.mark.parametrize(("name", "positions"), KINDS, ids=lambda value: str(value or ""))


def make_model(name: str, positions: Positions | None) -> Seq2Seq:
    torch.manual_seed(0)
    settings = {} if positions is None else {"positions": positions}
    config = ARCHITECTURES[name][0].tiny(max_length=LONGEST, dropout=0.0, **settings)
    return build_model(config, Vocabularies(40, 40, shared=True))


def sentence(length: int) -> np.ndarray:
    return np.arange(length) % 30 + 4


def pairs() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Every combination of the lengths on the two sides."""
    source, target = zip(*itertools.product(LENGTHS, LENGTHS), strict=True)
    return [sentence(length) for length in source], [sentence(length) for length in target]


def loss_of(model: Seq2Seq, batch) -> torch.Tensor:
    output = model(batch)
    return label_smoothed_cross_entropy(output.hidden, output.weight, batch.labels, smoothing=0.1)[0]


@every_kind
@pytest.mark.parametrize("multiple", [1, 2, 8])
def test_padding_beyond_the_longest_sentence_changes_no_loss(name, positions, multiple):
    model = make_model(name, positions).double()
    source, target = pairs()
    alone = sum(loss_of(model, pad_batch([s], [t])) for s, t in zip(source, target, strict=True))
    together = loss_of(model, pad_batch(source, target, multiple))
    torch.testing.assert_close(together, alone, rtol=1e-6, atol=1e-6)
    weights = list(model.parameters())
    one_by_one, at_once = (torch.autograd.grad(loss, weights, allow_unused=True) for loss in (alone, together))
    torch.testing.assert_close(at_once, one_by_one, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("positions", Positions)
def test_loss_of_a_packed_batch_is_the_sum_over_pairs(positions):
    model = make_model("transformer", positions).double()
    source, target = pairs()
    alone = sum(loss_of(model, pad_batch([s], [t])) for s, t in zip(source, target, strict=True))
    for tokens in (1, 100):  # no more positions than needed, and many that are padding
        torch.testing.assert_close(loss_of(model, pack_batch(source, target, tokens)), alone, rtol=1e-6, atol=1e-6)


class Characters(CharacterTokenizer):
    encode_target = CharacterTokenizer.encode_source

    def source_pieces(self, ids):
        return [str(token) for token in ids]

    target_pieces = source_pieces
    decode_source = CharacterTokenizer.decode_target


@every_kind
def test_validation_loss_covers_all_pairs_up_to_the_maximum_length(name, positions):
    model, letters = make_model(name, positions), "abcdefghijklmnop"
    lines = [letters[:length] for length in (*LENGTHS, LONGEST + 1)]
    text = SimpleNamespace(source=lines, target=lines)
    batches = encode_validation(text, Characters(), tokens=100, max_length=LONGEST)
    assert sum(batch.source.num_sentences for batch in batches) == len(LENGTHS)
    assert sum(batch.num_target_tokens for batch in batches) == sum(length + 1 for length in LENGTHS)
    ids = [np.array(sentence) for sentence in Characters().encode_source(lines[: len(LENGTHS)])]
    expected = sum(loss_of(model, pad_batch([sentence], [sentence])) for sentence in ids)
    found = sum(loss_of(model, batch) for batch in batches)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_attention_is_drawn_of_pairs_that_the_model_can_read():
    letters = "abcdefghijklmnop"
    pairs = [(letters[:a], letters[:b]) for a in (LONGEST, LONGEST + 1) for b in (LONGEST, LONGEST + 1)]
    [drawn] = explain_pairs(make_model("transformer", Positions.learned), Characters(), pairs, 4)
    assert drawn.source_text == drawn.target_text == letters[:LONGEST]


@every_kind
@pytest.mark.parametrize("method", SEARCHES)
def test_every_search_handles_sentences_of_maximum_length(name, positions, method):
    model = make_model(name, positions)
    never_ends(model)
    engine = NativeEngine(model=model, device=torch.device("cpu"), batch_tokens=30, precision=Precision.fp32, workers=1)
    config = SearchConfig(method=method, beam_size=2)
    translator, letters = Translator(engine, Characters(), config), "abcdefghijklmnop"
    lengths = (*LENGTHS, LONGEST + 1, 2 * LONGEST)
    found = translator.translate([letters[:length] or "a" for length in lengths])
    assert [translation.source_tokens for translation in found] == [1, 8, 9, 10, 16]
    assert [translation.segments for translation in found[:4]] == [1, 1, 1, 2]
    assert found[2].target_tokens == LONGEST, "a translation as long as the model can write"


def never_ends(model: Seq2Seq) -> None:
    """Let the model find EOS unlikely, so that a search ends at its limit."""
    model.projection = torch.nn.Linear(model.projection.in_features, model.projection.out_features)
    torch.nn.init.normal_(model.projection.weight)
    model.projection.bias.data.zero_()[EOS] = -100.0


def test_a_run_on_sentences_of_exactly_the_limit(tmp_path):
    """Three digits with spaces between, and their marks, are six tokens; with EOS seven, which are padded to eight."""
    corpus = write_corpus(tmp_path / "corpus", pairs=200)
    limits = {"model__max_length": 6, "data__cleaning__max_tokens": 6, "tokenizer__vocab_size": 16}
    result = call_here("train", *options(corpus, tmp_path / "run", **limits, run__max_steps=2, validation__every=1))
    assert result.returncode == 0, result.stderr.decode()
    [offsets] = (corpus / "cache").glob("tokens-*/source.offsets.npy")
    assert np.diff(np.load(offsets)).max() == 6, "such sentences were trained on"
    result = json.loads((tmp_path / "run" / "result.json").read_text(encoding="utf-8"))
    assert result["step"] == 2
