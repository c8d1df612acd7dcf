"""The sizes in configs/model: as many weights as those of the earlier recipe, and the paper's architecture by name."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from small_runs import composed
from translate.models import Vocabularies, build_model
from translate.models.layers import Positions
from translate.models.transformer import Activation, NormOrder, TransformerConfig

# before rotary positions and gated layers: sinusoids and ReLU, norms before the sublayers
EARLIER = {
    "tiny": TransformerConfig(d_model=128, ffn_dim=256, num_heads=4, encoder_layers=4, decoder_layers=4, dropout=0.3),
    "mini": TransformerConfig(d_model=256, ffn_dim=1024, num_heads=4, encoder_layers=3, decoder_layers=3),
    "small": TransformerConfig(d_model=512, ffn_dim=1024, num_heads=8, dropout=0.3),
    "base": TransformerConfig(d_model=512, ffn_dim=2048, num_heads=8),
    "big": TransformerConfig(d_model=1024, ffn_dim=4096, num_heads=16, dropout=0.3),
}
RECIPE = {"positions": Positions.rotary, "activation": Activation.swiglu}


def preset(name: str) -> TransformerConfig:
    config = composed([f"model={name}"]).model
    assert isinstance(config, TransformerConfig)
    return config


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def size(config: TransformerConfig, pieces: int) -> int:
    with torch.device("meta"):  # without memory for the weights
        return count(build_model(config, Vocabularies(pieces, pieces, shared=True)))


@pytest.mark.parametrize("name", EARLIER)
def test_preset_has_as_many_weights_as_that_of_the_earlier_recipe(name):
    new, old = preset(name), EARLIER[name]
    for pieces in (4_000, 32_000):
        assert size(new, pieces) == pytest.approx(size(old, pieces), rel=0.02)
    assert vars(new) == vars(old) | RECIPE | {"ffn_dim": new.ffn_dim}


def test_vaswani_presets_are_the_earlier_sizes_with_norms_after_the_sublayers():
    for name in ("base", "big"):
        assert vars(preset(f"vaswani_{name}")) == vars(EARLIER[name]) | {"norm_order": NormOrder.post}


@pytest.mark.parametrize("name", ["vaswani_base", "vaswani_big"])
def test_vaswani_presets_have_the_weights_of_pytorch_s_transformer(name):
    config, pieces = preset(name), 100
    with torch.device("meta"):
        theirs = count(nn.Transformer(config.d_model, config.num_heads, 6, 6, config.ffn_dim))
    # PyTorch adds a final norm on each side, which layers that end with one do without
    assert size(config, pieces) == theirs - 4 * config.d_model + pieces * config.d_model
