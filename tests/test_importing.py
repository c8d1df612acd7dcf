"""Published models converted into ours: the logits, ids and translations of transformers."""

from __future__ import annotations

from functools import partial

import pytest
import torch

import published_models as published
from published_pairs import CPU, KINDS, Kind, Pair, make_pair, their_logits
from translate.batch import pad_batch
from translate.decoding.config import SearchConfig, SearchMethod
from translate.decoding.native_engine import NativeEngine
from translate.device import Precision
from translate.tokenizer import BOS, EOS, PAD, UNK

pytest.importorskip("transformers", reason="the extra huggingface is not installed")


@pytest.fixture(scope="module", params=KINDS)
def pair(request, tmp_path_factory) -> Pair:
    return make_pair(KINDS[request.param], tmp_path_factory.mktemp("published"))


def test_sentences_get_the_ids_of_transformers(pair):
    text = published.sentences(50)
    if pair.kind is not KINDS["nllb without sentencepiece"]:  # some versions of transformers lose the normalisation
        text += ["Ünïcode ¿ 12 ½ 水", "  two  spaces"]
    theirs = pair.tokenizer(text)["input_ids"]
    prefix = pair.ours.model.source_prefix
    ours = [pair.their_ids([*prefix, *ids, EOS], "source") for ids in pair.ours.tokenizer.encode_source(text)]
    assert ours == theirs


def test_logits_are_those_of_transformers(pair):
    source = pair.ours.tokenizer.encode_source(published.sentences(20))
    target = pair.ours.tokenizer.encode_target(published.sentences(20, seed=1))
    batch = pad_batch(source, target)
    with torch.inference_mode():
        ours = pair.ours.model(batch).logits()
        theirs = their_logits(pair, source, target)
    rows = pair.rows("target")
    real = rows >= 0
    for index, ids in enumerate(target):
        found, wanted = ours[index, : len(ids) + 1, : len(rows)], theirs[index, -ours.shape[1] :][: len(ids) + 1]
        torch.testing.assert_close(found[:, real], wanted[:, rows[real]], atol=1e-4, rtol=0)
        # ids that stand for no token of theirs have no probability
        torch.testing.assert_close(
            ours[index, : len(ids) + 1].log_softmax(-1)[:, : len(rows)][:, real],
            wanted.log_softmax(-1)[:, rows[real]],
            atol=1e-4,
            rtol=0,
        )


@pytest.mark.parametrize("beam_size", [1, 3])
def test_translations_have_the_tokens_of_transformers(pair, beam_size):
    text = published.sentences(50, seed=2)
    inputs = pair.tokenizer(text, return_tensors="pt", padding=True)
    options = {}
    if pair.kind.codes[1]:
        options["forced_bos_token_id"] = pair.tokenizer.convert_tokens_to_ids(
            pair.tokenizer.get_lang_token(pair.kind.codes[1])
            if hasattr(pair.tokenizer, "get_lang_token")
            else pair.kind.codes[1]
        )
    never = [pair.their_ids([token], "target")[0] for token in (PAD, UNK, BOS)]
    limit, ahead = 20, max(len(pair.ours.model.target_prefix), 1)
    with torch.inference_mode():
        theirs = pair.theirs.generate(
            **inputs,
            num_beams=beam_size,
            max_new_tokens=limit + ahead,
            do_sample=False,
            suppress_tokens=[token for token in never if token >= 0],
            length_penalty=0.0,
            early_stopping=False,
            forced_eos_token_id=pair.theirs.config.eos_token_id,
            **options,
        )
    method = SearchMethod.greedy if beam_size == 1 else SearchMethod.beam
    config = SearchConfig(
        method=method, beam_size=beam_size, length_penalty=0.0, max_length=limit, max_length_offset=limit
    )
    engine = NativeEngine(model=pair.ours.model, device=CPU, precision=Precision.fp32)
    sentences = [tuple(ids) for ids in pair.ours.tokenizer.encode_source(text)]
    ours = [found[0].tokens for found in engine.search(sentences, config)]
    end, pad = pair.theirs.config.eos_token_id, pair.theirs.config.pad_token_id
    their_tokens = [[token for token in ids[ahead:] if token not in (end, pad)] for ids in theirs.tolist()]
    # where a search is cut off at the limit, the two programs count the probability of the end differently
    ended = [index for index, ids in enumerate(their_tokens) if len(ids) < limit or beam_size == 1]
    assert len(ended) >= 10
    assert sum(map(len, their_tokens)) > 30
    for index in ended:
        assert pair.their_ids(ours[index], "target") == their_tokens[index][:limit]


def test_tokens_of_target_languages_of_marian_are_tags(tmp_path):
    make = Kind(partial(published.make_marian, tags=(">>deu<<", ">>fra<<")))
    pair = make_pair(make, tmp_path)
    text = published.sentences(5)
    ours = pair.ours.tokenizer.encode_source(text, tag=">>fra<<")
    theirs = pair.tokenizer([f">>fra<< {line}" for line in text])["input_ids"]
    assert [pair.their_ids([*ids, EOS], "source") for ids in ours] == theirs
    assert pair.ours.manifest["tags"] == [">>deu<<", ">>fra<<"]
    assert pair.ours.manifest["untagged_source"] is False
