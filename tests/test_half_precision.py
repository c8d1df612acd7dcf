"""Searches in fp16 and bf16, by autocast on the CPU: the same tensor types as on a GPU."""

import numpy as np
import pytest
import torch

from small_models import MODELS, make_model
from translate.decoding.config import Hypothesis, SearchConfig
from translate.decoding.native_engine import SEARCHES, DecodingJob
from translate.decoding.search.base import Queue
from translate.device import Precision
from translate.models import ARCHITECTURES
from translate.models.layers import mask_value
from translate.models.seq2seq import Seq2Seq

HALVES = {Precision.fp16: torch.float16, Precision.bf16: torch.bfloat16}


def sentences(count: int) -> list[tuple[int, ...]]:
    """Random sentences, longest first, as a job takes them."""
    random = np.random.default_rng(0)
    drawn = [tuple(random.integers(4, 30, random.integers(1, 9)).tolist()) for _ in range(count)]
    return sorted(drawn, key=len, reverse=True)


def search(
    model: Seq2Seq, precision: Precision, config: SearchConfig, *, batch_tokens: int = 60, count: int = 24
) -> list[list[Hypothesis]]:
    """Translate with autocast as on a GPU; few sentences at a time, so that others join, leave and take rows."""
    job = DecodingJob(
        model=model,
        device=torch.device("cpu"),
        autocast=HALVES.get(precision),
        sentences=sentences(count),
        config=config,
        batch_tokens=batch_tokens,
        batch_sentences=count,
    )
    found: dict[int, list[Hypothesis]] = {}
    job.run(Queue(count), found.update)
    return [found[index] for index in range(count)]


def decided_model(name: str, **settings) -> Seq2Seq:
    """A model with large logits, so that few choices are near ties."""
    model = make_model(name, max_length=20, **settings).float()
    model.projection.weight = torch.nn.Parameter(model.projection.weight * 4)
    return model


@pytest.mark.parametrize(("name", "settings"), MODELS, ids=str)
@pytest.mark.parametrize("method", SEARCHES)
def test_half_precision_search_mostly_agrees_with_fp32(name, settings, method):
    model, config = decided_model(name, **settings), SearchConfig(method=method, beam_size=3)
    expected = search(model, Precision.fp32, config)
    for precision, share in ((Precision.fp16, 0.8), (Precision.bf16, 0.4)):
        found = search(model, precision, config)
        assert torch.tensor([best.score for best, *_ in found]).isfinite().all(), precision
        same = np.mean([mine[0].tokens == theirs[0].tokens for mine, theirs in zip(found, expected, strict=True)])
        assert same >= share, precision


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("method", SEARCHES)
def test_batch_size_changes_no_translation_in_fp32_and_few_in_half_precision(name, method):
    """Sums in another order are rounded otherwise: to 24 bits too little to matter, to 8 bits sometimes not."""
    model, config = decided_model(name), SearchConfig(method=method, beam_size=3)
    shares = {}
    for precision in (Precision.fp32, *HALVES):
        alone, few, many = (search(model, precision, config, batch_tokens=tokens, count=20) for tokens in (1, 30, 400))
        lines = zip(alone, few, many, strict=True)
        shares[precision] = np.mean([len({tuple(best.tokens) for best, *_ in line}) == 1 for line in lines])
    print(f"{name} {method}, translations that are the same in batches of any size: {shares}")
    assert shares[Precision.fp32] == 1.0
    assert shares[Precision.fp16] >= 0.9
    assert shares[Precision.bf16] >= 0.7


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_masked_key_gets_zero_weight_and_its_score_does_not_overflow(dtype):
    hidden = torch.tensor(mask_value(dtype), dtype=dtype)
    assert (hidden - 1000).isfinite()
    assert torch.stack([hidden + 100, torch.zeros((), dtype=dtype)]).softmax(0).tolist() == [0.0, 1.0]
    assert torch.stack([hidden, hidden]).softmax(0).isfinite().all(), "a query that sees nothing"
