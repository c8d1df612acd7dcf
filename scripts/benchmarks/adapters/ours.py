"""Our own system: updates as translate.train makes them, the engines of translate.decode, the preparation of data."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import cache, partial
from itertools import chain, repeat
from typing import Any, Self
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.protocol import WARMUP_UPDATES, Channel, Message, Slices, run_worker, serve_decoding
from benchmarks.work import TrainingWork
from translate.batch import NO_TARGET, Batch, pad_batch
from translate.checkpoint import vocabularies_of
from translate.data.augmentation.pair_encoder import PairEncoder
from translate.data.batching import BatchConfig
from translate.data.corpora import DataConfig
from translate.data.corpus import CorpusConfig
from translate.data.loader import UpdateStream
from translate.data.prepare import Prepared, prepare
from translate.decoding.config import DecodingConfig, Engine, EngineName, Hypothesis, SearchConfig, SearchMethod
from translate.decoding.native_engine import NativeEngine
from translate.device import Device, Precision, capabilities, choose_device, tune_process
from translate.distributed import World
from translate.engines import load_translator
from translate.models import TransformerConfig, attention, build_model
from translate.models.seq2seq import Seq2Seq, Vocabularies
from translate.tokenizer import EOS
from translate.tokenizer_training import TokenizerConfig
from translate.training import step as step_module
from translate.training.config import LossConfig, TrainConfig
from translate.training.optimizer import OptimizerConfig, make_optimizer
from translate.training.parallel import decide_training, parallelize
from translate.training.step import PendingUpdate, train_step

_LOSS = "label_smoothed_cross_entropy"
_VERSIONS = ("translate-seq2seq", "torch")


def prepare_corpus(data: Message, *, vocab_size: int) -> Prepared:
    """Vocabulary and encoded corpus of the files SPLIT.LANGUAGE in a folder; from the cache after the first call."""
    source, target = data["languages"]
    train, valid = (
        CorpusConfig(source=f"{data['folder']}/{split}.{source}", target=f"{data['folder']}/{split}.{target}")
        for split in data["splits"]
    )
    config = DataConfig(source_language=source, target_language=target, cache=data["cache"], train=train, valid=valid)
    config.cleaning.max_ratio = data.get("max_ratio", config.cleaning.max_ratio)
    return prepare(config, TokenizerConfig(vocab_size=vocab_size))


def update_stream(corpus: Prepared, work: TrainingWork) -> UpdateStream:
    packed = work.device == "cuda" and work.precision == "bf16" and work.attention_dropout == 0
    encoder, batches = PairEncoder(corpus.train, corpus.tokenizer), BatchConfig(tokens=work.tokens)
    stream = partial(UpdateStream, corpus.train, encoder, batches, seed=work.seed, world=World())
    return stream(packed=packed, pinned=work.device == "cuda")  # as a run makes it


def transformer_of(work: TrainingWork, *, max_length: int = 256) -> TransformerConfig:
    same: Message = {
        name: getattr(work, name) for name in ("d_model", "ffn_dim", "num_heads", "dropout", "attention_dropout")
    }
    same |= {"encoder_layers": work.layers, "decoder_layers": work.layers, "activation_dropout": work.dropout}
    return TransformerConfig(**same, max_length=max_length)


def untrained_model(work: TrainingWork, *, length: int = 0) -> Seq2Seq:
    """A model without a corpus, for sentences of this length."""
    torch.manual_seed(work.seed)
    config = transformer_of(work, max_length=max(256, length + 1))
    return build_model(config, Vocabularies(work.vocab_size, work.vocab_size, True))


def made_up_sentences(vocab_size: int, count: int, length: int) -> list[np.ndarray]:
    return list(np.random.default_rng(1).integers(EOS + 1, vocab_size, size=(count, length)))


class Trainer:
    """Updates as the run's loop makes them. losses are those of all updates, label smoothing included."""

    def __init__(self, work: TrainingWork, model: Seq2Seq, batches: Iterator[Sequence[Batch]]) -> None:
        self.next_batches = partial(next, batches)
        self.config = TrainConfig(
            loss=LossConfig(label_smoothing=work.label_smoothing),
            optimizer=OptimizerConfig(learning_rate=work.learning_rate, clip_norm=work.clip_norm),
        )
        device = choose_device(Device(work.device))
        head_width = work.d_model // work.num_heads
        decision = decide_training(
            device, capabilities(device), precision=Precision(work.precision), head_width=head_width
        )
        self.model = parallelize(model, World(), decision)
        self.optimizer = make_optimizer(model, self.config.optimizer)
        self.pending: PendingUpdate | None = None
        self.losses: list[float] = []

    @classmethod
    def of_corpus(cls, work: TrainingWork, data: Message) -> Self:
        corpus = prepare_corpus(data, vocab_size=work.vocab_size)
        torch.manual_seed(work.seed)
        model = build_model(transformer_of(work), vocabularies_of(corpus.tokenizer))
        stream = update_stream(corpus, work)
        return cls(work, model, iter(lambda: stream.next(0.0).batches, None))

    @classmethod
    def of_length(cls, work: TrainingWork, length: int) -> Self:
        """Made-up sentences; it warms up on a short pair, so that memory before the first slice is the idle model's."""
        sentences = made_up_sentences(work.vocab_size, max(1, work.tokens // length), length - 1)
        short = made_up_sentences(work.vocab_size, 1, 1)
        batches = chain(repeat([pad_batch(short, short)], WARMUP_UPDATES), repeat([pad_batch(sentences, sentences)]))
        return cls(work, untrained_model(work, length=length), batches)

    def update(self) -> int:
        """Make an update; its target tokens. Its result is read while the next one runs, as in a run."""
        step = len(self.losses) + 1
        pending = train_step(self.model, self.optimizer, self.next_batches(), self.config, World(), step=step)
        self.finish()
        self.pending = pending
        return pending.target_tokens

    def finish(self) -> None:
        """Wait for the last update."""
        if self.pending is not None:
            self.losses.append(self.pending.result().loss)
            self.pending = None

    def use_reference(self) -> ExitStack:
        """Train with attention by its formula, and with PyTorch's cross entropy of all logits, until it is closed.

        Dropout draws the same masks, so that losses can be compared update by update.
        """
        attend = attention.attend  # weights are wanted of the reference alone
        by_formula = lambda *parts, **options: (attend(*parts, **options | {"return_weights": True})[0], None)  # noqa: E731
        patches = ExitStack()
        patches.enter_context(patch.object(attention, "attend", by_formula))
        patches.enter_context(patch.object(step_module, _LOSS, _cross_entropy))
        return patches

    def answer(self, request: Message) -> Message:
        return shares_of_time(self, request["profile"]) if "profile" in request else {"losses": self.losses}


def _cross_entropy(hidden: Tensor, weight: Tensor, labels: Tensor, *, smoothing: float) -> tuple[Tensor, Tensor]:
    logits, labels = F.linear(hidden, weight).float().flatten(0, -2), labels.flatten()
    smoothed, plain = (
        F.cross_entropy(logits, labels, ignore_index=NO_TARGET, label_smoothing=rate, reduction="sum")
        for rate in (smoothing, 0.0)
    )
    return smoothed, plain.detach()


def shares_of_time(trainer: Trainer, updates: int) -> Message:
    """Each part's share of the time of some updates, measured around its functions; rest is the time between them."""
    seconds: dict[str, float] = defaultdict(float)

    def now() -> float:
        if trainer.model.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def timed(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            started = now()
            result = function(*arguments, **keywords)
            seconds[part] += now() - started
            return result

        return call

    functions: list[tuple[str, Any, str]] = [
        ("data", trainer, "next_batches"),
        ("forward", trainer.model.module, "forward"),
        ("loss", step_module, _LOSS),
        ("backward", Tensor, "backward"),
        ("optimiser", torch.nn.utils, "clip_grad_norm_"),
        ("optimiser", trainer.optimizer, "step"),
        ("optimiser", trainer.optimizer, "zero_grad"),
    ]
    with ExitStack() as patches:
        for part, owner, name in functions:
            patches.enter_context(patch.object(owner, name, timed(part, getattr(owner, name))))
        started = now()
        for _ in range(updates):
            trainer.update()
        trainer.finish()  # within the time: a GPU may still be working
        total = now() - started
    shares = {part: spent / total for part, spent in seconds.items()}
    return {"shares": {**shares, "rest": 1 - sum(shares.values())}}


def train(settings: Message, channel: Channel) -> None:
    """Updates over the corpus, or over made-up sentences ({"length": n})."""
    work, length = TrainingWork(**settings["work"]), settings.get("length")
    tune_process(work.threads)
    trainer = Trainer.of_length(work, length) if length else Trainer.of_corpus(work, settings["data"])
    with trainer.use_reference() if settings.get("reference") else ExitStack():
        slices = Slices(channel, *_VERSIONS, finish=trainer.finish, answer=trainer.answer)
        while slices.after_update(trainer.update()):
            pass


def decode(settings: Message, channel: Channel) -> None:
    """Translate with a model directory, or with an untrained model ({"work": …, "length": n})."""
    tune_process(settings["threads"])

    @cache
    def engine(batch_tokens: int) -> Engine:
        if "length" in settings:
            device = choose_device(Device(settings["device"]))
            model = untrained_model(TrainingWork(**settings["work"]), length=settings["length"]).to(device)
            return NativeEngine(model=model, device=device, batch_tokens=batch_tokens, workers=1)
        chosen: Message = {"engine": EngineName(settings["engine"]), "precision": Precision(settings["precision"])}
        chosen |= {"device": Device(settings["device"]), "threads": settings["threads"]}
        config = DecodingConfig(batch_tokens=batch_tokens, **chosen)
        return load_translator(settings["model"], config).engine

    def translate(sentences: list[tuple[int, ...]], beam: int, setting: Message) -> list[list[Hypothesis]]:
        length = setting.get("length", 0)  # of every translation; 0: as the model likes
        method = SearchMethod.greedy if beam == 1 else SearchMethod.beam
        search = SearchConfig(method=method, beam_size=beam, min_length=length, max_length=length)
        return engine(setting.get("batch_tokens", 0)).search(sentences, search)

    engine(0)  # loads the model before the first request
    extra = ["ctranslate2"] if settings.get("engine") == "ctranslate2" else []
    versions = (*_VERSIONS, *extra)
    serve_decoding(settings, channel, translate, versions, read=tuple, write=lambda found: list(found[0].tokens))


def prepare_data(settings: Message, channel: Channel) -> None:
    """Time the preparation of a corpus, or ({"batching": true}) making the batches of an epoch of it."""
    tune_process(settings["threads"])
    data, work = settings["data"], TrainingWork(tokens=BatchConfig().tokens)
    corpus = prepare_corpus(data, vocab_size=work.vocab_size) if settings["batching"] else None

    def answer(request: Message) -> Message:
        started = time.perf_counter()
        if corpus is None:
            prepare_corpus(data, vocab_size=work.vocab_size)
        else:
            with update_stream(corpus, work) as stream:
                while not stream.position.epoch:
                    stream.next(0.0)
        return {"seconds": time.perf_counter() - started}

    channel.serve(answer, *_VERSIONS)


if __name__ == "__main__":
    run_worker(train, decode, prepare_data)
