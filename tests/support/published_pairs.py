"""Published models beside their conversions: ids and logits of both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml

from published_models import make_m2m100, make_marian, make_nllb
from translate.checkpoint import LoadedModel, load_model, read_config
from translate.files import to_plain, write_text
from translate.importing.huggingface import convert
from translate.importing.languages import with_languages
from translate.importing.vocabulary import published_rows
from translate.model_directory import MODEL, read_manifest
from translate.tokenizer import BOS, EOS

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Kind:
    """A kind of published model: how it is made, and its languages in transformers' words and in ours."""

    make: Callable[[Path], Path]
    codes: tuple[str, str] = ("", "")
    languages: tuple[str, str] = ("", "")


KINDS = {
    "marian": Kind(make_marian),
    "marian of transformers' defaults": Kind(partial(make_marian, scale_embedding=False, activation_function="gelu")),
    "marian with two vocabularies": Kind(partial(make_marian, separate=True)),
    "marian with untied output": Kind(partial(make_marian, tie_word_embeddings=False)),
    "m2m100": Kind(make_m2m100, ("en", "de"), ("en", "de")),
    "nllb": Kind(make_nllb, ("eng_Latn", "deu_Latn"), ("en", "de")),
    "nllb without sentencepiece": Kind(
        partial(make_nllb, as_on_hub=False), ("eng_Latn", "isl_Latn"), ("eng_Latn", "is")
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


def make_pair(kind: Kind, folder: Path) -> Pair:
    directory = kind.make(folder / "theirs")
    convert(directory, folder / "ours")
    set_direction(folder / "ours", kind.languages)
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    options = {"src_lang": kind.codes[0], "tgt_lang": kind.codes[1]} if kind.codes[0] else {}
    return Pair(
        directory,
        AutoModelForSeq2SeqLM.from_pretrained(directory).eval(),
        AutoTokenizer.from_pretrained(directory, **options),
        load_model(folder / "ours", device=CPU),
        kind,
    )


def set_direction(directory: Path, languages: tuple[str, str]) -> None:
    (directory / "checksums.json").unlink()
    config = with_languages(read_config(directory / MODEL), read_manifest(directory), languages)
    write_text(directory / MODEL, yaml.safe_dump(to_plain(config)))


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
