"""The Transformer with each of its options and adaptations against the formulas of their papers in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from formulas import Weights, logits_by_steps, teacher_forced
from transformer_formula import transform
from translate.adaptation import AdapterConfig, LoraConfig, PrefixConfig, adapt
from translate.models import Vocabularies, build_model
from translate.models.transformer import TransformerConfig
from translate.tokenizer import BOS, EOS

SOURCES, TARGET = [[5, 6, 7, 8], [9, 10]], [11, 12, 13, 12, 14]
OPTIONS = [
    {},
    {"norm_order": "post"},
    {"norm": "rms_norm"},
    {"norm": "rms_norm", "norm_order": "post", "activation": "swiglu"},
    {"activation": "gelu"},
    {"positions": "learned"},
    {"positions": "rotary"},
    {"positions": "none"},
    {"attention": "sigmoid"},
    {"bias": False},
    {"qk_norm": True},
    {"bias": False, "qk_norm": True, "positions": "rotary", "activation": "swiglu", "norm": "rms_norm"},
    {"attention": "sigmoid", "positions": "rotary", "activation": "swiglu", "norm": "rms_norm"},
]
ADAPTATIONS = [LoraConfig(rank=2, alpha=6.0), AdapterConfig(width=3), PrefixConfig(length=3)]


def make_config(**options) -> TransformerConfig:
    config = TransformerConfig(d_model=8, ffn_dim=12, num_heads=2, encoder_layers=2, decoder_layers=2, max_length=12)
    for name, value in options.items():
        setattr(config, name, type(getattr(config, name))(value))
    return config


def make_model(config: TransformerConfig) -> torch.nn.Module:
    torch.manual_seed(0)
    model = build_model(config, Vocabularies(20, 20, shared=True)).double().eval()
    shake(model)
    return model


@torch.no_grad()
def shake(model: torch.nn.Module) -> None:
    """Change all weights, also those that begin at zero or one."""
    for parameter in model.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))


def assert_equal(found, expected) -> None:
    # tables of positions have single precision
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_logits_and_attention_match_the_papers(options):
    config = make_config(**options)
    model = make_model(config)
    by_steps, forced = logits_by_steps(model, SOURCES, TARGET), teacher_forced(model, SOURCES, TARGET)
    for index, source in enumerate(SOURCES):
        logits, maps = transform(Weights(model), config, [*source, EOS], [BOS, *TARGET])
        assert_equal(by_steps[index], logits)
        assert_equal(forced[index][0], logits)
        assert_equal(forced[index][1], maps[-1])


class AdaptedWeights(Weights):
    """Weights with those that adaptation has put beside and behind linear layers."""

    def __init__(self, model: torch.nn.Module, *, scale: float = 0.0):
        super().__init__(model)
        self.scale = scale

    def linear(self, name, x):
        if f"{name}.linear.weight" not in self:
            return super().linear(name, x)
        result = super().linear(f"{name}.linear", x)
        if f"{name}.down.bias" in self:  # Houlsby et al. 2019, section 2.1
            return result + super().linear(f"{name}.up", np.maximum(super().linear(f"{name}.down", result), 0))
        return result + self.scale * x @ (self[f"{name}.up.weight"] @ self[f"{name}.down.weight"]).T  # Hu et al. 2022


@pytest.mark.parametrize("adaptation", ADAPTATIONS, ids=lambda config: config.method)
@pytest.mark.parametrize("options", [{}, {"attention": "sigmoid", "positions": "rotary"}], ids=str)
def test_adapted_model_matches_the_papers(adaptation, options):
    config = make_config(**options)
    model = make_model(config)
    before = set(model.state_dict())
    adapt(model, adaptation)
    model.double()
    shake(model)
    # 4 + 7 linear layers of two layers each, 2 + 3 sublayers, 1 + 2 attentions; weights of each
    added = {"lora": 2 * 11 * 2, "adapter": 4 * 5 * 2, "prefix": 3 * 3 * 2}[adaptation.method]
    assert len({name for name in model.state_dict() if name not in before and ".linear." not in name}) == added
    weights = AdaptedWeights(model, scale=3.0)  # alpha / rank
    for index, source in enumerate(SOURCES):
        expected, _ = transform(weights, config, [*source, EOS], [BOS, *TARGET])
        assert_equal(teacher_forced(model, SOURCES, TARGET)[index][0], expected)
        assert_equal(logits_by_steps(model, SOURCES, TARGET)[index], expected)
