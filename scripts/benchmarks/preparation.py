"""The corpus that all systems train on, made by our own `prepare`, and handed to peers as arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.corpus import Corpus
from translate.data.corpora import CorpusConfig, DataConfig
from translate.data.prepare import Prepared, prepare
from translate.errors import UserError
from translate.tokenizer_training import TokenizerConfig

Data = dict[str, str]


def data_of(folder: Path, *, source: str, target: str, cache: Path) -> Data:
    """Files train.SOURCE, train.TARGET and so on of a folder, as the workers are told of them."""
    for split, language in ((split, language) for split in ("train", "val") for language in (source, target)):
        if not (folder / f"{split}.{language}").is_file():
            raise UserError(f"--data {folder}: there is no file {split}.{language} in it")
    return {"folder": str(folder), "source": source, "target": target, "cache": str(cache)}


def prepared(data: Data, *, vocab_size: int) -> Prepared:
    """A joint unigram vocabulary and the encoded corpus; made once, then taken from the cache."""

    def corpus(split: str) -> CorpusConfig:
        path = Path(data["folder"]) / split
        return CorpusConfig(source=f"{path}.{data['source']}", target=f"{path}.{data['target']}")

    config = DataConfig(
        source_language=data["source"],
        target_language=data["target"],
        cache=data["cache"],
        train=corpus("train"),
        valid=corpus("val"),
    )
    return prepare(config, TokenizerConfig(vocab_size=vocab_size))


def export_corpus(data: Prepared) -> Corpus:
    source, target = data.train.pairs(np.arange(len(data.train)))
    return Corpus([np.asarray(ids, np.int64) for ids in source], [np.asarray(ids, np.int64) for ids in target])
