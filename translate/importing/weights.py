"""Weights of published models: their files, and the names of weights in transformers and here.

Names differ, and our layers have one matrix for several projections of one input: query, key and value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from translate.errors import UserError, excerpt
from translate.files import read_json
from translate.models.seq2seq import Tying
from translate.models.transformer_config import NormOrder, TransformerConfig
from translate.tensor_files import load_pickle, read_shapes

SAFETENSORS, PICKLE = "model.safetensors", "pytorch_model.bin"
_FILES = (SAFETENSORS, f"{SAFETENSORS}.index.json", PICKLE, f"{PICKLE}.index.json")
_SHARD = re.compile(r"[\w-][\w.-]*\.(safetensors|bin)")
Weights = dict[str, Tensor]

# our module -> modules of transformers whose weights, concatenated by rows, are its weights
_SELF_ATTENTION = {
    "self_attention.query_key_value": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    "self_attention.output": ["self_attn.out_proj"],
    "attention_norm": ["self_attn_layer_norm"],
}
_CROSS_ATTENTION = {
    "cross_attention.query": ["encoder_attn.q_proj"],
    "cross_attention.key_value": ["encoder_attn.k_proj", "encoder_attn.v_proj"],
    "cross_attention.output": ["encoder_attn.out_proj"],
    "cross_norm": ["encoder_attn_layer_norm"],
}
_FEED_FORWARD = {
    "feed_forward.inner": ["fc1"],
    "feed_forward.outer": ["fc2"],
    "ffn_norm": ["final_layer_norm"],
}
# their names of one table of embeddings, of which a file may have any
SHARED, LOGITS, LOGITS_BIAS = "model.shared.weight", "lm_head.weight", "final_logits_bias"
SOURCE, TARGET = "model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"
_POSITIONS = ("embed_positions.weight", "embed_positions.weights")  # sinusoids, which follow from their size


def layer_names(config: TransformerConfig) -> Iterator[tuple[str, list[str]]]:
    """Our name of each weight of the layers, and their names of its parts, in order of the first dimension."""
    sides = {
        "encoder": (config.encoder_layers, _SELF_ATTENTION | _FEED_FORWARD),
        "decoder": (config.decoder_layers, _SELF_ATTENTION | _CROSS_ATTENTION | _FEED_FORWARD),
    }
    for side, (layers, modules) in sides.items():
        names = {
            f"{side}.layers.{layer}.{ours}": [f"model.{side}.layers.{layer}.{part}" for part in parts]
            for layer in range(layers)
            for ours, parts in modules.items()
        }
        if config.norm_order is NormOrder.pre:
            names[f"{side}.norm"] = [f"model.{side}.layer_norm"]
        for ours, parts in names.items():
            for kind in ("weight", "bias"):
                yield f"{ours}.{kind}", [f"{part}.{kind}" for part in parts]


def converted_layers(config: TransformerConfig, published: Weights, path: Path) -> Weights:
    """Our weights of the layers; takes their parts out of `published`. Raises UserError for missing ones."""
    converted = {}
    for ours, parts in layer_names(config):
        tensors = [take(published, [part], path) for part in parts]
        if len({tensor.shape[1:] for tensor in tensors}) > 1:
            shapes = ", ".join(str(tuple(tensor.shape)) for tensor in tensors)
            raise UserError(f"{path}: {parts[0]} and the projections beside it have the shapes {shapes}")
        converted[ours] = torch.cat(tensors)
    return converted


def converted_embeddings(config: TransformerConfig, published: Weights, path: Path) -> Weights:
    """Embeddings and output layer under our names, with their rows; takes them out of `published`."""
    shared = config.tying is Tying.all
    # a file holds a table that is used several times under one of its names, or under all
    everywhere = [SHARED, SOURCE, TARGET, LOGITS]
    found = {name: published.pop(name) for name in everywhere if name in published}
    wanted = {"source_embedding.tokens.weight": everywhere if shared else [SOURCE, SHARED]}
    if not shared:
        tied = config.tying is Tying.target
        wanted["target_embedding.tokens.weight"] = [TARGET, LOGITS, SHARED] if tied else [TARGET, SHARED]
        if not tied:
            wanted["projection.weight"] = [LOGITS]
    converted = {ours: take(dict(found), names, path) for ours, names in wanted.items()}
    if config.output_bias:
        bias = published.pop(LOGITS_BIAS, None)
        size = len(next(reversed(converted.values())))
        converted["projection.bias"] = torch.zeros(size) if bias is None else bias.flatten()
    return converted


def take(weights: Weights, names: Sequence[str], path: Path) -> Tensor:
    """Remove and return the weight of the first of the names that is there. Raises UserError for none.

    What is left over at the end belongs to no part of the model: see require_no_other.
    """
    for name in names:
        if name in weights:
            return weights.pop(name)
    raise UserError(f"{path}: the weight {names[0]} is missing; the file is damaged, or of another architecture")


def require_no_other(weights: Weights, path: Path) -> None:
    """Raise UserError for a weight that no part of the model has taken."""
    if others := [name for name in weights if not name.endswith(_POSITIONS)]:
        raise UserError(f"{path}: {excerpt(others[0])} is no weight of this architecture")


def read_published(directory: Path) -> tuple[Weights, Path]:
    """All weights of a model in fp32, and the file that holds or lists them.

    Raises UserError where there is no such file, or where one is damaged.
    """
    path = weights_file(directory)
    weights: Weights = {}
    for file in weight_files(path):
        for name, tensor in _load(file).items():
            if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
                raise UserError(f"{file}: {excerpt(name)} is not a tensor of floating-point numbers")
            weights[str(name)] = tensor.detach().float()
    return weights, path


def weights_file(directory: Path) -> Path:
    """The file that holds or lists the weights: safetensors rather than a pickle."""
    for name in _FILES:
        if (directory / name).is_file():
            return directory / name
    raise UserError(f"{directory}: no weights are there (looked for {', '.join(_FILES)})")


def weight_files(path: Path) -> list[Path]:
    """The files of weights: this one, or those that it lists. Raises UserError for a list of other files."""
    if path.suffix != ".json":
        return [path]
    listed = read_json(path).get("weight_map")
    if not isinstance(listed, dict) or not listed:
        raise UserError(f"{path}: weight_map is missing, the names of the files of each weight")
    names = sorted({str(name) for name in listed.values()})
    for name in names:
        # plain names: a path could leave the folder
        if not _SHARD.fullmatch(name):
            raise UserError(f"{path}: {excerpt(repr(name))} is not the name of a file of weights in this folder")
        if not (path.parent / name).is_file():
            raise UserError(f"{path.parent}: {name} is missing, which {path.name} lists")
    return [path.parent / name for name in names]


def _load(file: Path) -> Weights:
    if file.suffix == ".safetensors":
        read_shapes(file)  # before a tensor is allocated
        try:
            return safetensors.torch.load_file(file)
        except SafetensorError as error:
            raise UserError(f"{file}: the weights cannot be read: {excerpt(error)}") from None
    weights = load_pickle(file, legacy=True)
    if not isinstance(weights, dict):
        raise UserError(f"{file}: not a dictionary of weights")
    return weights
