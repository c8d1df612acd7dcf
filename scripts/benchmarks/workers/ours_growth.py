"""One point of growth: seconds and bytes of a token in training or decoding, of a pair in preparing or batching."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmark_data import write_corpus
from benchmarks.processes import forget_peak, peak_resident, resident
from benchmarks.protocol import Channel, version_of
from translate.batch import Batch, pad_batch
from translate.data.augmentation import PairEncoder
from translate.data.batching import BatchConfig
from translate.data.corpora import CorpusConfig, DataConfig
from translate.data.loader import UpdateStream
from translate.data.prepare import Prepared, prepare
from translate.decoding.config import SearchConfig, SearchMethod
from translate.decoding.native_engine import NativeEngine
from translate.device import Device, Precision, capabilities, choose_device, tune_process
from translate.distributed import World
from translate.models import TransformerConfig, build_model
from translate.models.seq2seq import Seq2Seq, Vocabularies
from translate.tokenizer import EOS
from translate.tokenizer_training import TokenizerConfig
from translate.training.config import TrainConfig
from translate.training.optimizer import OptimizerConfig, make_optimizer
from translate.training.parallel import decide_training, parallelize
from translate.training.step import train_step

_SEED = 1

Settings = dict[str, Any]


def train(settings: Settings) -> dict[str, float]:
    """Updates over as many sentences of one length as the tokens allow."""
    device = choose_device(Device(settings["device"]))
    decision = decide_training(device, capabilities(device), precision=Precision.auto, head_width=0)
    model = parallelize(make_model(settings), World(), decision)
    optimizer = make_optimizer(model.module, OptimizerConfig())
    sentences = max(1, settings["tokens"] // settings["length"])
    batch, small = (
        pad_batch(made_up(settings, count, length), made_up(settings, count, length))
        for count, length in ((sentences, settings["length"] - 1), (1, 1))
    )

    def work(one: Batch) -> None:
        train_step(model, optimizer, [one], TrainConfig(), World(), step=1).result()

    return measure(
        lambda: work(batch), lambda: work(small), per=sentences * settings["length"], minimum=settings["minimum"]
    )


def decode(settings: Settings) -> dict[str, float]:
    """One batch, every translation as long as its source."""
    length = settings["length"]
    sentences = max(1, settings["tokens"] // length)
    device = choose_device(Device(settings["device"]))
    model = make_model(settings).to(device)
    engine = NativeEngine(model=model, device=device, batch_tokens=sentences * (length + 1), workers=1)
    text = [tuple(row.tolist()) for row in made_up(settings, sentences, length)]

    def work(some: list[tuple[int, ...]], length: int) -> None:
        method = SearchMethod.greedy if settings["beam"] == 1 else SearchMethod.beam
        engine.search(
            some, SearchConfig(method=method, beam_size=settings["beam"], min_length=length, max_length=length)
        )

    return measure(
        lambda: work(text, length), lambda: work(text[:1], 1), per=sentences * length, minimum=settings["minimum"]
    )


def prepare_pairs(settings: Settings) -> dict[str, float]:
    """From text files to the encoded corpus, tokenizer included; once, for the second time would find it made."""
    folder = Path(settings["folder"])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_corpus(folder, settings["pairs"])
    forget_peak()
    before = resident(os.getpid())
    started = time.perf_counter()
    _prepared(folder)
    seconds = time.perf_counter() - started
    return {"seconds": seconds / settings["pairs"], "bytes": _above(before) / settings["pairs"]}


def batch_pairs(settings: Settings) -> dict[str, float]:
    """The plan of an epoch and all its batches, of a corpus that prepare_pairs left; which is then removed."""
    data = _prepared(Path(settings["folder"]))
    encoder = PairEncoder(data.train, data.tokenizer)

    def work() -> None:
        with UpdateStream(data.train, encoder, BatchConfig(), seed=_SEED, world=World()) as stream:
            while stream.next(0.0).after.epoch == 0:
                pass

    found = measure(work, lambda: None, per=settings["pairs"], minimum=settings["minimum"])
    shutil.rmtree(settings["folder"])
    return found


def make_model(settings: Settings) -> Seq2Seq:
    torch.manual_seed(_SEED)
    config = TransformerConfig(
        d_model=256,
        ffn_dim=1024,
        num_heads=4,
        encoder_layers=3,
        decoder_layers=3,
        max_length=max(256, settings["length"] + 1),
    )
    return build_model(config, Vocabularies(settings["vocabulary"], settings["vocabulary"], True))


def made_up(settings: Settings, count: int, length: int) -> list[NDArray[np.int64]]:
    random = np.random.default_rng(_SEED)
    return list(random.integers(EOS + 1, settings["vocabulary"], size=(count, length)))


def measure(work: Callable[[], None], small: Callable[[], None], *, per: int, minimum: float) -> dict[str, float]:
    """The fastest of several times, and the peak above what is there after small work.

    What takes longer than the minimum is done once.
    """
    small()
    forget_peak()
    before = resident(os.getpid())
    times: list[float] = []
    while sum(times) < minimum:
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return {"seconds": min(times) / per, "bytes": _above(before) / per}


def _above(before: int) -> int:
    return max(0, peak_resident(os.getpid()) - before)


def _prepared(folder: Path) -> Prepared:
    train, valid = (
        CorpusConfig(source=f"{folder}/{split}.xx", target=f"{folder}/{split}.yy") for split in ("train", "valid")
    )
    data = DataConfig(train=train, valid=valid, cache=f"{folder}/cache")
    data.cleaning.max_ratio = 0  # the sides are made up independently, so that lengths do not agree
    return prepare(data, TokenizerConfig())


_KINDS = {"training": train, "decoding": decode, "preparing": prepare_pairs, "batching": batch_pairs}


def main() -> None:
    channel = Channel()
    settings = channel.settings
    tune_process(settings["threads"])
    found = _KINDS[settings["kind"]](settings)
    channel.ready(versions=version_of("translate-seq2seq", "torch"), **found)


if __name__ == "__main__":
    main()
