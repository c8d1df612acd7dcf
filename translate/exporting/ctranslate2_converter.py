"""Conversion of our Transformers to CTranslate2, a runtime without PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from translate.checkpoint import LoadedModel, read_config, weights_of
from translate.errors import UserError
from translate.folders import check_replaceable, replaced_directory
from translate.model_directory import EXPORTED_FILES, MANIFEST, MODEL, RUNTIME_MODEL, copy_origin, import_ctranslate2
from translate.models.attention import Norm, Weighting
from translate.models.layers import Positions, position_table
from translate.models.seq2seq import ModelConfig
from translate.models.transformer_config import Activation, NormOrder, TransformerConfig
from translate.tokenizer import BOS, EOS, UNK, Tokenizer

_ACTIVATIONS = {
    Activation.relu: "RELU",
    Activation.gelu: "GELU",
    Activation.swish: "SWISH",
    Activation.swiglu: "SWISH",
}
_LENGTH_MULTIPLE = 8  # of padded batches in fp16 and bf16 on a GPU; a position without a row is an error there
_NORMS = (Norm.layer_norm, Norm.rms_norm)
_Weights = dict[str, NDArray[np.float32]]


def export_ctranslate2(loaded: LoadedModel, directory: Path, *, quantization: str | None = None) -> None:
    """Write a folder that ctranslate2.Translator opens, with the SentencePiece models beside it.

    quantization is one of CTranslate2's names (int8, float16, bfloat16, int8_float16, …); None keeps fp32. The runtime
    adds EOS to a source sentence by itself. Raises UserError for a model that it cannot run, and for a folder that
    holds anything but an earlier export.
    """
    ctranslate2 = import_ctranslate2()
    check_replaceable(directory, complete=[RUNTIME_MODEL, MODEL, MANIFEST], owned=EXPORTED_FILES)
    accepted = ctranslate2.specs.model_spec.ACCEPTED_MODEL_TYPES
    if quantization is not None and quantization not in accepted:
        raise UserError(f"quantization={quantization} is none of {', '.join(accepted)}")
    config = read_config(loaded.directory / MODEL)
    # copies: quantisation works in place
    weights = {name: weight.float().cpu().numpy().copy() for name, weight in weights_of(loaded.model).items()}
    specification = _specification(ctranslate2.specs, config, weights)
    _describe_vocabularies(specification, loaded.tokenizer)
    specification.validate()
    specification.optimize(quantization=quantization)
    with replaced_directory(directory, owned=EXPORTED_FILES) as new:
        specification.save(str(new))
        copy_origin(loaded.directory, new)


def _specification(specs: Any, config: ModelConfig, weights: _Weights) -> Any:
    """The model in CTranslate2's terms; takes every weight out of `weights`."""
    if not isinstance(config, TransformerConfig):
        raise UserError(f"model.architecture={config.architecture}: CTranslate2 runs only transformer")
    _check(config)
    common = {
        "num_heads": config.num_heads,
        "pre_norm": config.norm_order is NormOrder.pre,
        "activation": specs.Activation[_ACTIVATIONS[config.activation]],
        "ffn_glu": config.activation is Activation.swiglu,  # with SWISH a SwiGLU
        "rms_norm": config.norm is Norm.rms_norm,
        "rotary_dim": config.head_width if config.positions is Positions.rotary else None,
        "rotary_interleave": False,  # planes of elements i and W / 2 + i, as in Rotation
        "qk_norm": config.qk_norm,
    }
    specification = specs.TransformerSpec(
        specs.TransformerEncoderSpec(config.encoder_layers, **common),
        # the attention that it returns is the mean of all heads of its last layer
        specs.TransformerDecoderSpec(config.decoder_layers, alignment_heads=config.num_heads, **common),
    )
    specification.config.layer_norm_epsilon = config.norm_epsilon  # of norms of heads as well
    specification.config.add_source_eos = True
    _set_embeddings(specification, config, weights)
    for index, layer in enumerate(specification.encoder.layer):
        _set_encoder_layer(layer, f"encoder.layers.{index}", weights)
    for index, layer in enumerate(specification.decoder.layer):
        _set_decoder_layer(layer, f"decoder.layers.{index}", weights)
    if config.norm_order is NormOrder.pre:
        _set_norm(specification.encoder.layer_norm, "encoder.norm", weights)
        _set_norm(specification.decoder.layer_norm, "decoder.norm", weights)
    # all that is converted has been popped: what remains would be missing from the result
    if weights:
        raise UserError(f"{min(weights)}: CTranslate2 has no such weight, it cannot run the model")
    return specification


def _check(config: TransformerConfig) -> None:
    if config.attention is not Weighting.softmax:
        raise UserError(f"model.attention={config.attention}: CTranslate2 runs softmax only")
    if config.positions is Positions.none:
        raise UserError(f"model.positions={config.positions}: CTranslate2 runs models with positions only")
    if config.activation not in _ACTIVATIONS:
        raise UserError(f"model.activation={config.activation}: CTranslate2 runs {', '.join(_ACTIVATIONS)} only")
    for name in ("source_prefix", "target_prefix"):
        if getattr(config, name):
            raise UserError(f"model.{name}={getattr(config, name)}: CTranslate2 runs models without prefixes only")
    if config.norm not in _NORMS:
        raise UserError(f"model.norm={config.norm}: CTranslate2 runs {', '.join(_NORMS)} only")


def _set_embeddings(specification: Any, config: TransformerConfig, weights: _Weights) -> None:
    encoder, decoder = specification.encoder, specification.decoder
    source = weights.pop("source_embedding.tokens.weight")
    target = weights.pop("target_embedding.tokens.weight", source)  # tied, it is stored under its first name alone
    encoder.embeddings[0].weight = source
    decoder.embeddings.weight = target
    decoder.projection.weight = weights.pop("projection.weight", target)
    if config.output_bias:
        decoder.projection.bias = weights.pop("projection.bias")
    for side, spec in (("source", encoder), ("target", decoder)):
        spec.scale_embeddings = config.scale_embeddings
        if hasattr(spec, "position_encodings"):  # a decoder with rotary positions has none
            spec.position_encodings.encodings = _encodings(config, side, weights)


def _encodings(config: TransformerConfig, side: str, weights: _Weights) -> NDArray[np.float32]:
    """(L, D): what is added to the embeddings; an encoder with rotary positions would add sinusoids of its own.

    L is the number of positions, rounded up as the runtime rounds up the lengths of its batches.
    """
    length = -(-config.max_positions // _LENGTH_MULTIPLE) * _LENGTH_MULTIPLE
    if config.positions is Positions.learned:
        learned = weights.pop(f"{side}_embedding.positions")
        return np.pad(learned, ((0, length - len(learned)), (0, 0)))  # rows that only padding reads
    shape = length, config.d_model
    table = position_table(config.positions, *shape)
    return np.zeros(shape, np.float32) if table is None else table.numpy()


def _set_encoder_layer(spec: Any, name: str, weights: _Weights) -> None:
    _set_self_attention(spec.self_attention, name, weights)
    _set_feed_forward(spec.ffn, name, weights)


def _set_decoder_layer(spec: Any, name: str, weights: _Weights) -> None:
    _set_self_attention(spec.self_attention, name, weights)
    _set_linears(spec.attention.linear, f"{name}.cross_attention", ("query", "key_value", "output"), weights)
    for norm in {"q_norm", "k_norm"} & vars(spec.attention).keys():  # model.qk_norm is of self-attention alone
        delattr(spec.attention, norm)
    _set_norm(spec.attention.layer_norm, f"{name}.cross_norm", weights)
    _set_feed_forward(spec.ffn, name, weights)


def _set_self_attention(spec: Any, layer: str, weights: _Weights) -> None:
    name = f"{layer}.self_attention"
    _set_linears(spec.linear, name, ("query_key_value", "output"), weights)
    _set_norm(spec.layer_norm, f"{layer}.attention_norm", weights)
    if hasattr(spec, "q_norm"):
        _set_norm(spec.q_norm, f"{name}.query_norm", weights)
        _set_norm(spec.k_norm, f"{name}.key_norm", weights)


def _set_feed_forward(spec: Any, layer: str, weights: _Weights) -> None:
    if hasattr(spec, "linear_0_noact"):
        # FeedForward activates the first half, as the runtime does the output of linear_0
        for kind in ("weight", "bias"):
            if (both := weights.pop(f"{layer}.feed_forward.inner.{kind}", None)) is not None:
                gate, value = np.split(both, 2)
                setattr(spec.linear_0, kind, gate)
                setattr(spec.linear_0_noact, kind, value)
    else:
        _set_linears([spec.linear_0], f"{layer}.feed_forward", ["inner"], weights)
    _set_linears([spec.linear_1], f"{layer}.feed_forward", ["outer"], weights)
    _set_norm(spec.layer_norm, f"{layer}.ffn_norm", weights)


def _set_linears(specs: Sequence[Any], name: str, parts: Sequence[str], weights: _Weights) -> None:
    for spec, part in zip(specs, parts, strict=True):
        spec.weight = weights.pop(f"{name}.{part}.weight")
        if (bias := weights.pop(f"{name}.{part}.bias", None)) is not None:  # model.bias=false: there is none
            spec.bias = bias


def _set_norm(spec: Any, name: str, weights: _Weights) -> None:
    spec.gamma = weights.pop(f"{name}.weight")
    if hasattr(spec, "beta"):  # RMSNorm has no bias
        spec.beta = weights.pop(f"{name}.bias", np.zeros_like(spec.gamma))


def _describe_vocabularies(specification: Any, tokenizer: Tokenizer) -> None:
    """Tokens are SentencePiece's pieces: what its encode(text, out_type=str) gives is what the runtime reads."""
    target = tokenizer.target_pieces(range(tokenizer.target_vocab_size))
    specification.register_source_vocabulary(tokenizer.source_pieces(range(tokenizer.source_vocab_size)))
    specification.register_target_vocabulary(target)
    specification.config.unk_token = target[UNK]
    specification.config.bos_token = specification.config.decoder_start_token = target[BOS]
    specification.config.eos_token = target[EOS]
