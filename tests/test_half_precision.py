"""Searches in fp16 and bf16, by autocast on the CPU: the same tensor types as on a GPU."""

import numpy as np
import pytest
import torch

from small_models import MODELS, make_model
from translate.decoding.config import Hypothesis, SearchConfig, SearchMethod
from translate.decoding.native_engine import NativeEngine
from translate.device import Precision
from translate.models import ARCHITECTURES
from translate.models.layers import mask_value
from translate.models.seq2seq import Seq2Seq

HALVES = {Precision.fp16: torch.float16, Precision.bf16: torch.bfloat16}


def sentences(count: int = 40) -> list[tuple[int, ...]]:
    random = np.random.default_rng(0)
    return [tuple(random.integers(4, 30, random.integers(1, 9)).tolist()) for _ in range(count)]


def search(
    model: Seq2Seq, precision: Precision, config: SearchConfig, *, batch_tokens: int = 60, count: int = 40
) -> list[list[Hypothesis]]:
    """Few sentences at a time, so that others join, leave and take places."""
    engine = NativeEngine(
        model=model, device=torch.device("cpu"), batch_tokens=batch_tokens, precision=Precision.fp32, workers=1
    )
    engine.precision = precision
    return engine.search(sentences(count), config)


@pytest.fixture(autouse=True)
def autocast_as_on_a_gpu(monkeypatch):
    monkeypatch.setattr(NativeEngine, "_uses_autocast", property(lambda engine: engine.precision is not Precision.fp32))


def decided_model(name: str, **settings) -> Seq2Seq:
    """A model with large logits, so that few choices are near ties."""
    model = make_model(name, max_length=20, **settings).float()
    model.projection.weight = torch.nn.Parameter(model.projection.weight * 4)
    return model


@pytest.mark.parametrize("precision", HALVES)
@pytest.mark.parametrize(("name", "settings"), MODELS, ids=str)
@pytest.mark.parametrize("method", SearchMethod)
def test_a_search_in_half_precision_finds_mostly_what_it_finds_in_fp32(name, settings, method, precision):
    model, config = decided_model(name, **settings), SearchConfig(method=method, beam_size=3)
    found, expected = search(model, precision, config), search(model, Precision.fp32, config)
    scores = torch.tensor([best.score for best, *_ in found])
    assert scores.isfinite().all()
    same = np.mean([mine[0].tokens == theirs[0].tokens for mine, theirs in zip(found, expected, strict=True)])
    assert same >= (0.8 if precision is Precision.fp16 else 0.4)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("method", SearchMethod)
def test_the_size_of_a_batch_changes_nothing_in_fp32_and_few_translations_below(name, method):
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
def test_a_hidden_key_gets_no_weight_and_a_score_added_to_it_stays_finite(dtype):
    hidden = torch.tensor(mask_value(dtype), dtype=dtype)
    assert (hidden - 1000).isfinite()
    assert torch.stack([hidden + 100, torch.zeros((), dtype=dtype)]).softmax(0).tolist() == [0.0, 1.0]
    assert torch.stack([hidden, hidden]).softmax(0).isfinite().all(), "a query that sees nothing"
