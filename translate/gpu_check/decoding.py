"""Hypotheses of beam search: compared between batch sizes, and between this device and the CPU."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np

from translate.batch import pad_batch
from translate.decoding.config import Hypothesis, SearchConfig, Sentence
from translate.decoding.native_engine import NativeEngine, search_batch
from translate.device import Precision, decoding_precision
from translate.distributed import World
from translate.gpu_check import NO_CUDA, Check, Skipped
from translate.gpu_check.updates import VOCABULARY, decide, make_model, settings
from translate.models import ARCHITECTURES
from translate.models.seq2seq import Seq2Seq
from translate.training.optimizer import OptimizerConfig, make_optimizer
from translate.training.parallel import parallelize
from translate.training.step import train_step

BATCH_SIZES = (64, 7, 1)
SENTENCES = 96
UPDATES = 60
SEARCH = SearchConfig(beam_size=4, max_length_ratio=1.0, max_length_offset=4)
# Hypotheses with a smaller difference of scores are tied: rounding decides between them. A score is a mean log
# probability in fp32, a sum over VOCABULARY terms and up to 40 tokens.
TIE = 1e-5
# Shares of the sentences that may be translated differently. On a CPU half precision changed up to 8 % of these short
# sentences against fp32, and up to 2 % between two batch sizes, where sums are made in another order.
OTHER_IN_HALF, OTHER_IN_BATCH = 0.25, 0.05


def batches(check: Check) -> None:
    """Every architecture translates equally at batch sizes 1, 7 and 64: exactly in fp32, nearly in half precision."""
    for architecture in ARCHITECTURES:
        model = learn(check, architecture)
        whole = compare_sizes(check, model, Precision.fp32, tolerance=0.0, architecture=architecture)
        half = decoding_precision(Precision.auto, check.can)
        if half is Precision.fp32:
            continue
        other = count_different(translate(check, model, half, BATCH_SIZES[0]), whole) / SENTENCES
        check.compare(f"{half}, other hypotheses than in fp32", other, OTHER_IN_HALF, case=architecture)
        # On a CPU only the weights are fp16, the arithmetic is fp32: no difference. On a GPU, by the triangle
        # inequality, two batch sizes differ at most by the sum of their differences from fp32.
        tolerance = 2 * other + OTHER_IN_BATCH if check.can.on_gpu else 0.0
        compare_sizes(check, model, half, tolerance=tolerance, architecture=architecture)


def compare_sizes(
    check: Check, model: Seq2Seq, precision: Precision, *, tolerance: float, architecture: str
) -> list[Hypothesis]:
    """Compare the hypotheses at all batch sizes; returns the hypotheses at the first size."""
    first, *others = (translate(check, model, precision, size) for size in BATCH_SIZES)
    for size, other in zip(BATCH_SIZES[1:], others, strict=True):
        case = f"{architecture}, batch size {size} and {BATCH_SIZES[0]}"
        share = count_different(other, first) / SENTENCES
        check.compare(f"{precision}, changed hypotheses", share, tolerance, case=case)
    return first


def hypotheses(check: Check) -> None:
    """Hypotheses in fp32 on the device equal those of the plain loop on the CPU."""
    if not check.can.on_gpu:
        raise Skipped(NO_CUDA)
    for architecture in ARCHITECTURES:
        model = learn(check, architecture)
        found = translate(check, model, Precision.fp32, 64)
        on_cpu = copy.deepcopy(model).cpu().eval()
        expected = [best for [best] in search_batch(on_cpu, sentences(check), SEARCH)]
        check.compare("fp32, changed hypotheses", count_different(found, expected) / SENTENCES, 0.0, case=architecture)


def learn(check: Check, architecture: str) -> Seq2Seq:
    """A model trained briefly to copy, so that its hypotheses have different lengths and probabilities."""
    random = np.random.default_rng(check.config.seed)
    trained = parallelize(make_model(check, architecture), World(), decide(check, Precision.auto))
    optimizer = make_optimizer(trained.module, OptimizerConfig(learning_rate=5e-3))
    for step in range(1, UPDATES + 1):
        pairs = [random.integers(4, VOCABULARY, random.integers(1, 13)) for _ in range(32)]
        train_step(trained, optimizer, [pad_batch(pairs, pairs)], settings({}), World(), step=step)
    return trained.module


def sentences(check: Check) -> list[Sentence]:
    """Random sentences of at most 20 tokens, one of them empty."""
    random = np.random.default_rng((check.config.seed, 1))
    drawn = [random.integers(4, VOCABULARY, random.integers(1, 21)).tolist() for _ in range(SENTENCES - 1)]
    return [(), *map(tuple, drawn)]


def translate(check: Check, model: Seq2Seq, precision: Precision, size: int) -> list[Hypothesis]:
    """The best hypothesis of each sentence, in batches of `size` sentences."""
    engine = NativeEngine(
        model=model, device=check.device, precision=precision, batch_sentences=size, batch_tokens=64 * 21, workers=1
    )
    return [best for [best] in engine.search(sentences(check), SEARCH)]


def count_different(found: Sequence[Hypothesis], expected: Sequence[Hypothesis]) -> int:
    """Number of sentences with different hypotheses whose scores are not tied."""
    pairs = zip(found, expected, strict=True)
    return sum(one.tokens != other.tokens and abs(one.score - other.score) > TIE for one, other in pairs)
