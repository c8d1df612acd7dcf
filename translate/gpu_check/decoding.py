"""Translations of a model at several batch sizes, and on the device compared with the CPU."""

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
# Of a mean log probability in fp32, a sum over VOCABULARY terms and up to 40 tokens: hypotheses whose scores are
# closer are a tie, which rounding decides.
TIE = 1e-5
# Shares of the sentences. Half precision may translate a sentence otherwise than fp32, and then also otherwise in
# another batch, where sums are made in another order: up to 8 % and 2 % of these short ones, on a CPU.
OTHER_IN_HALF, OTHER_IN_BATCH = 0.25, 0.05


def batches(check: Check) -> None:
    """Every architecture translates equally at batch sizes 1, 7 and 64: exactly in fp32, nearly in half precision."""
    for architecture in ARCHITECTURES:
        model = learn(check, architecture)
        whole = compare_sizes(check, model, Precision.fp32, tolerance=0.0, architecture=architecture)
        half = decoding_precision(Precision.auto, check.can)
        if half is Precision.fp32:
            continue
        other = different(translate(check, model, half, BATCH_SIZES[0]), whole) / SENTENCES
        check.compare(f"{half}, other hypotheses than in fp32", other, OTHER_IN_HALF, case=architecture)
        # On a CPU half weights leave the arithmetic in fp32. Elsewhere, by the triangle inequality: two batch sizes
        # differ by no more than each of them from fp32.
        tolerance = 2 * other + OTHER_IN_BATCH if check.can.on_gpu else 0.0
        compare_sizes(check, model, half, tolerance=tolerance, architecture=architecture)


def compare_sizes(
    check: Check, model: Seq2Seq, precision: Precision, *, tolerance: float, architecture: str
) -> list[Hypothesis]:
    """Compare the hypotheses at all batch sizes; returns those of the first size."""
    first, *others = (translate(check, model, precision, size) for size in BATCH_SIZES)
    for size, other in zip(BATCH_SIZES[1:], others, strict=True):
        case = f"{architecture}, batch size {size} and {BATCH_SIZES[0]}"
        check.compare(f"{precision}, changed hypotheses", different(other, first) / SENTENCES, tolerance, case=case)
    return first


def hypotheses(check: Check) -> None:
    """The device's hypotheses in fp32 are those of the plain loop on the CPU."""
    if not check.can.on_gpu:
        raise Skipped(NO_CUDA)
    for architecture in ARCHITECTURES:
        model = learn(check, architecture)
        found = translate(check, model, Precision.fp32, 64)
        on_cpu = copy.deepcopy(model).cpu().eval()
        expected = [best for [best] in search_batch(on_cpu, sentences(check), SEARCH)]
        check.compare("fp32, changed hypotheses", different(found, expected) / SENTENCES, 0.0, case=architecture)


def learn(check: Check, architecture: str) -> Seq2Seq:
    """A model trained briefly to copy: its hypotheses differ in length, and are neither certain nor random."""
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


def different(found: Sequence[Hypothesis], expected: Sequence[Hypothesis]) -> int:
    """Number of sentences with different hypotheses whose scores are not tied."""
    pairs = zip(found, expected, strict=True)
    return sum(one.tokens != other.tokens and abs(one.score - other.score) > TIE for one, other in pairs)
