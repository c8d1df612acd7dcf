"""A model directory of ours as a Hugging Face model.

Our default architecture is what M2M100 is: norms before each sublayer and after the last, sinusoidal positions, scaled
and tied embeddings. (Marian, the other obvious choice, has its norms after each sublayer.) The tables of positions
differ in their wavelengths, so ours replaces theirs.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
import transformers
import yaml
from safetensors.torch import load_file
from torch import Tensor

from benchmarks.protocol import AbsentError
from benchmarks.work import BOS, EOS, PAD

_EXPECTED = {"norm": "layer_norm", "norm_order": "pre", "positions": "sinusoidal", "tying": "all"}

# our names -> theirs, below a layer; ours has queries, keys and values of self-attention in one matrix
_ENCODER_NAMES = {
    "self_attention": "self_attn",
    "attention_norm": "self_attn_layer_norm",
    "feed_forward.inner": "fc1",
    "feed_forward.outer": "fc2",
    "ffn_norm": "final_layer_norm",
}
_DECODER_NAMES = {
    "self_attention": "self_attn",
    "attention_norm": "self_attn_layer_norm",
    "cross_attention": "encoder_attn",
    "cross_norm": "encoder_attn_layer_norm",
    "feed_forward.inner": "fc1",
    "feed_forward.outer": "fc2",
    "ffn_norm": "final_layer_norm",
}


def convert(directory: Path) -> transformers.M2M100ForConditionalGeneration:
    """The model in evaluation mode. Raises AbsentError for an architecture that M2M100 is not."""
    config = yaml.safe_load((directory / "model.yaml").read_text())
    for key, value in _EXPECTED.items():
        if config[key] != value:
            raise AbsentError(f"M2M100 is model.{key}={value}, this model is {config[key]}")
    ours = load_file(directory / "weights.safetensors")
    embedding = ours["source_embedding.tokens.weight"]
    model = transformers.M2M100ForConditionalGeneration(_configuration(config, vocab_size=len(embedding)))
    theirs = {"model.shared.weight": embedding} | _layers(config, ours)
    missing, unexpected = model.load_state_dict(theirs, strict=False)
    untied = [name for name in missing if "embed_tokens" not in name and name != "lm_head.weight"]
    assert not unexpected, unexpected
    assert not untied, untied
    model.tie_weights()
    place_positions(model)
    return model.eval()


def place_positions(model: transformers.M2M100ForConditionalGeneration) -> None:
    """Our positions in place of M2M100's; they are not saved with a model."""
    table = position_table(model.config.max_position_embeddings, model.config.d_model)
    for side in (model.model.encoder, model.model.decoder):
        side.embed_positions.weights = table


def position_table(length: int, width: int) -> Tensor:
    """Our sinusoids where M2M100 looks for the place after the padding's."""
    wavelengths = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000) / width))
    angles = torch.arange(length)[:, None] * wavelengths
    return torch.cat([torch.zeros(PAD + 1, width), torch.cat([angles.sin(), angles.cos()], dim=-1)])


def _configuration(config: dict[str, Any], *, vocab_size: int) -> transformers.M2M100Config:
    return transformers.M2M100Config(
        vocab_size=vocab_size,
        max_position_embeddings=config["max_length"] + 1,
        d_model=config["d_model"],
        encoder_layers=config["encoder_layers"],
        decoder_layers=config["decoder_layers"],
        encoder_ffn_dim=config["ffn_dim"],
        decoder_ffn_dim=config["ffn_dim"],
        encoder_attention_heads=config["num_heads"],
        decoder_attention_heads=config["num_heads"],
        activation_function=config["activation"],
        encoder_layerdrop=0.0,
        decoder_layerdrop=0.0,
        scale_embedding=True,
        pad_token_id=PAD,
        bos_token_id=BOS,
        eos_token_id=EOS,
        decoder_start_token_id=BOS,
        forced_eos_token_id=None,
    )


def _layers(config: dict[str, Any], ours: dict[str, Tensor]) -> dict[str, Tensor]:
    theirs: dict[str, Tensor] = {}
    for side, names in (("encoder", _ENCODER_NAMES), ("decoder", _DECODER_NAMES)):
        for index in range(config[f"{side}_layers"]):
            for old, new in names.items():
                place = f"{side}.layers.{index}."
                theirs |= _renamed(ours, place + old, f"model.{place}{new}", attention=old.endswith("attention"))
        theirs |= _renamed(ours, f"{side}.norm", f"model.{side}.layer_norm", attention=False)
    return theirs


def _renamed(ours: dict[str, Tensor], old: str, new: str, *, attention: bool) -> dict[str, Tensor]:
    renamed = {}
    for kind in ("weight", "bias"):
        if not attention:
            renamed[f"{new}.{kind}"] = ours[f"{old}.{kind}"]
            continue
        names = (f"{old}.{part}.{kind}" for part in ("query_key_value", "query", "key_value"))
        query, key, value = torch.cat([ours[name] for name in names if name in ours]).chunk(3)
        parts = {"q_proj": query, "k_proj": key, "v_proj": value, "out_proj": ours[f"{old}.output.{kind}"]}
        renamed |= {f"{new}.{part}.{kind}": tensor for part, tensor in parts.items()}
    return renamed
