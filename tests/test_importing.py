"""Published models converted into ours: the logits, ids and translations of transformers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from translate.batch import pad_batch
from translate.checkpoint import LoadedModel, load_model
from translate.decoding.config import SearchConfig, SearchMethod
from translate.decoding.native_engine import NativeEngine
from translate.device import Precision
from translate.importing.huggingface import convert
from translate.importing.languages import with_languages
from translate.importing.vocabulary import published_rows
from translate.tokenizer import BOS, EOS, PAD, UNK

transformers = pytest.importorskip("transformers", reason="the extra huggingface is not installed")

import published_models as published
from translate.checkpoint import read_config
from translate.files import to_plain, write_text

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Kind:
    """A kind of published model: how it is made, and its languages in transformers' words and in ours."""

    make: Callable[[Path], Path]
    codes: tuple[str, str] = ("", "")
    languages: tuple[str, str] = ("", "")


KINDS = {
    "marian": Kind(published.make_marian),
    "marian of transformers' defaults": Kind(
        partial(published.make_marian, scale_embedding=False, activation_function="gelu")
    ),
    "marian with two vocabularies": Kind(partial(published.make_marian, separate=True)),
    "marian with untied output": Kind(partial(published.make_marian, tie_word_embeddings=False)),
    "m2m100": Kind(published.make_m2m100, ("en", "de"), ("en", "de")),
    "nllb": Kind(published.make_nllb, ("eng_Latn", "deu_Latn"), ("en", "de")),
    "nllb without sentencepiece": Kind(
        partial(published.make_nllb, as_on_hub=False), ("eng_Latn", "isl_Latn"), ("eng_Latn", "is")
    ),
}


@dataclass(frozen=True)
class Pair:
    """A published model as transformers loads it, and its conversion."""

    directory: Path
    theirs: Any
    tokenizer: Any
    ours: LoadedModel
    kind: Kind

    def rows(self, side: str) -> torch.Tensor:
        order = self.ours.manifest["huggingface"][side]
        return torch.tensor(published_rows(order["front"], order["size"]))

    def their_ids(self, ids: list[int], side: str) -> list[int]:
        return self.rows(side)[ids].tolist()


@pytest.fixture(scope="module", params=KINDS)
def pair(request, tmp_path_factory) -> Pair:
    return make_pair(KINDS[request.param], tmp_path_factory.mktemp("published"))


def make_pair(kind: Kind, folder: Path) -> Pair:
    directory = kind.make(folder / "theirs")
    convert(directory, folder / "ours")
    set_direction(folder / "ours", kind.languages)
    options = {"src_lang": kind.codes[0], "tgt_lang": kind.codes[1]} if kind.codes[0] else {}
    return Pair(
        directory,
        transformers.AutoModelForSeq2SeqLM.from_pretrained(directory).eval(),
        transformers.AutoTokenizer.from_pretrained(directory, **options),
        load_model(folder / "ours", device=CPU),
        kind,
    )


def set_direction(directory: Path, languages: tuple[str, str]) -> None:
    import yaml

    from translate.model_directory import MODEL, read_manifest

    (directory / "checksums.json").unlink()
    config = with_languages(read_config(directory / MODEL), read_manifest(directory), languages)
    write_text(directory / MODEL, yaml.safe_dump(to_plain(config)))


def test_sentences_get_the_ids_of_transformers(pair):
    text = published.sentences(50)
    text += ["Ünïcode ¿ 12 ½ 水", "  two  spaces"]
    theirs = pair.tokenizer(text)["input_ids"]
    prefix = getattr(pair.ours.model, "source_prefix")
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


def their_logits(pair: Pair, source: list[list[int]], target: list[list[int]]) -> torch.Tensor:
    model, pad = pair.theirs, pair.theirs.config.pad_token_id
    prefix = pair.ours.model.source_prefix
    sources = [pair.their_ids([*prefix, *ids, EOS], "source") for ids in source]
    start = pair.ours.model.target_prefix or [BOS]
    targets = [pair.their_ids([*start, *ids], "target") for ids in target]
    padded = [
        torch.nn.utils.rnn.pad_sequence([torch.tensor(ids) for ids in side], batch_first=True, padding_value=pad)
        for side in (sources, targets)
    ]
    lengths = torch.tensor([len(ids) for ids in sources])
    mask = (torch.arange(padded[0].shape[1]) < lengths[:, None]).long()
    return model(input_ids=padded[0], attention_mask=mask, decoder_input_ids=padded[1]).logits


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
