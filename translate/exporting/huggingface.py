"""Our Transformers in the format of transformers: they load there without this program, where an architecture fits.

post-norm, sinusoids            Marian    vaswani_base, vaswani_big, models of OPUS-MT
pre-norm, sinusoids             Pegasus   of its architecture alone: the tokenizer is Marian's
pre-norm, sinusoids of fairseq  M2M100    M2M100 and NLLB that were imported
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from translate.checkpoint import LoadedModel, read_config, write_weights
from translate.checksums import CHECKSUMS
from translate.decoding.config import SearchConfig, SearchMethod
from translate.errors import UserError, import_extra
from translate.exporting.huggingface_tokenizer import EXPORTED_TOKENIZER_FILES, Ids, write_tokenizer
from translate.exporting.model_card import CARD, model_card
from translate.files import write_json, write_text
from translate.folders import check_replaceable, replaced_directory
from translate.importing.settings import CONFIG, GENERATION
from translate.importing.weights import LOGITS, LOGITS_BIAS, SAFETENSORS, SHARED, SOURCE, TARGET, layer_names
from translate.model_directory import EXPORT_REPORT, MODEL
from translate.models.attention import Norm, Weighting
from translate.models.layers import Positions
from translate.models.seq2seq import Tying
from translate.models.transformer_config import Activation, NormOrder, TransformerConfig
from translate.tokenizer import BOS, EOS, PAD, UNK

EXPORTED_FILES = (SAFETENSORS, CONFIG, GENERATION, CARD, *EXPORTED_TOKENIZER_FILES, EXPORT_REPORT)
_ACTIVATIONS = {Activation.relu: "relu", Activation.gelu: "gelu", Activation.swish: "swish"}
_BEAM_SIZE = 5  # of generate() without arguments: the default of search=beam
_BATCH_LINES = 32


@dataclass(frozen=True)
class _Architecture:
    """An architecture of transformers: its name in config.json, and that of its class.

    tying     which of its tables of embeddings and output layer may be one
    has_bias  of the logits
    """

    model_type: str
    name: str
    tying: tuple[Tying, ...]
    has_bias: bool


_MARIAN = _Architecture("marian", "MarianMTModel", tuple(Tying), has_bias=True)
_PEGASUS = _Architecture("pegasus", "PegasusForConditionalGeneration", (Tying.all,), has_bias=True)
# none: one table of embeddings for both sides, and an output layer of its own
_M2M100 = _Architecture("m2m_100", "M2M100ForConditionalGeneration", (Tying.all, Tying.none), has_bias=False)
_ARCHITECTURES = {
    (NormOrder.post, Positions.sinusoidal): _MARIAN,
    (NormOrder.pre, Positions.sinusoidal): _PEGASUS,
    (NormOrder.pre, Positions.fairseq): _M2M100,
}


def export_huggingface(loaded: LoadedModel, directory: Path) -> None:
    """Write a folder that AutoModelForSeq2SeqLM and AutoTokenizer load, with a model card.

    Imported models keep the ids of the published vocabulary, all others have ours. Raises UserError for a model that no
    architecture of transformers fits, and for a folder that holds anything but an earlier export.
    """
    # published models have no checksums
    check_replaceable(directory, complete=[SAFETENSORS, CONFIG, CARD, CHECKSUMS], owned=EXPORTED_FILES)
    config = read_config(loaded.directory / MODEL)
    if not isinstance(config, TransformerConfig):
        raise UserError(f"model.architecture={config.architecture}: transformers has no equal; export a transformer")
    architecture = _choose(config)
    ids = Ids.of(loaded, architecture.model_type)
    weights = _weights(loaded, config, architecture, ids)
    with replaced_directory(directory, owned=EXPORTED_FILES) as new:
        write_weights(weights, new / SAFETENSORS)
        write_json(new / CONFIG, _config(config, architecture, ids))
        write_json(new / GENERATION, _generation(config, ids))
        write_tokenizer(new, loaded, config, ids)
        write_text(new / CARD, model_card(loaded, config, architecture.name))


def translate_by_transformers(directory: Path, lines: Sequence[str], search: SearchConfig) -> list[str]:
    """Translations of lines by the beam search, or greedy search, of transformers."""
    transformers = import_extra("transformers", extra="huggingface", purpose="comparing format=huggingface")
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(directory), local_files_only=True)
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(str(directory), local_files_only=True).eval()
    found: list[str] = []
    for start in range(0, len(lines), _BATCH_LINES):
        some = list(lines[start : start + _BATCH_LINES])
        # a longer line than the model reads is cut there, not translated in parts as here
        batch = tokenizer(some, return_tensors="pt", padding=True, truncation=True)
        with torch.inference_mode():
            tokens = model.generate(
                **batch,
                num_beams=1 if search.method is SearchMethod.greedy else search.beam_size,
                length_penalty=search.length_penalty,
                do_sample=False,
            )
        found += tokenizer.batch_decode(tokens, skip_special_tokens=True)
    return found


def _choose(config: TransformerConfig) -> _Architecture:
    """The architecture that computes what the model does. Raises UserError, with the option that none has."""
    # what every architecture of the table lacks, by option
    fits = {
        "attention": config.attention is Weighting.softmax,
        "norm": config.norm is Norm.layer_norm,
        "qk_norm": not config.qk_norm,
        "activation": config.activation in _ACTIVATIONS,
        "positions": config.positions in (Positions.sinusoidal, Positions.fairseq),
    }
    for name, does_fit in fits.items():
        if not does_fit:
            raise UserError(
                f"model.{name}={getattr(config, name)}: no encoder-decoder of transformers has it; those that fit are "
                "softmax attention, layer_norm, relu, gelu or swish, and sinusoidal positions (model=vaswani_base)"
            )
    architecture = _ARCHITECTURES.get((config.norm_order, config.positions))
    if architecture is None:
        raise UserError(f"model.positions={config.positions} with norm_order={config.norm_order}: no architecture fits")
    if config.tying not in architecture.tying:
        raise UserError(f"model.tying={config.tying}: {architecture.name} has one table of embeddings: only all fits")
    if config.output_bias and not architecture.has_bias:
        raise UserError(f"model.output_bias=true: {architecture.name} has none")
    return architecture


def _weights(
    loaded: LoadedModel, config: TransformerConfig, architecture: _Architecture, ids: Ids
) -> dict[str, Tensor]:
    """All weights under the names of transformers. Raises UserError for those of an adapter."""
    ours = {name: weight.detach().float().cpu() for name, weight in loaded.model.named_parameters()}
    source = ours.pop("source_embedding.tokens.weight")
    target = ours.pop("target_embedding.tokens.weight", source)
    output, bias = ours.pop("projection.weight", target), ours.pop("projection.bias", None)
    theirs = {}
    # a table that is used several times is written once: transformers ties the others to it
    if config.tying is Tying.all:
        theirs[SHARED] = source[ids.source_rows]
    elif architecture is _MARIAN:
        theirs |= {SOURCE: source[ids.source_rows], TARGET: target[ids.target_rows], LOGITS: output[ids.target_rows]}
    else:
        theirs |= {SHARED: source[ids.source_rows], LOGITS: output[ids.target_rows]}
        if not torch.equal(source, target):
            raise UserError(f"model.tying={config.tying}: {architecture.name} has one table of embeddings")
    if architecture.has_bias:
        bias = torch.zeros(len(output)) if bias is None else bias
        theirs[LOGITS_BIAS] = bias[ids.target_rows][None]
    for name, parts in layer_names(config):
        weight = ours.pop(name, None)
        if weight is None:  # model.bias=false; the name of the weight comes before that of its bias
            weight = torch.zeros(sum(len(theirs[part.removesuffix("bias") + "weight"]) for part in parts))
        theirs |= zip(parts, (part.clone() for part in weight.chunk(len(parts))), strict=True)
    if ours:
        raise UserError(f"{min(ours)}: transformers has no weights of adapters; merge a LoRA first")
    return theirs


def _config(config: TransformerConfig, architecture: _Architecture, ids: Ids) -> dict[str, Any]:
    layers = {
        f"{side}_{key}": value
        for side in ("encoder", "decoder")
        for key, value in (
            ("layers", getattr(config, f"{side}_layers")),
            ("attention_heads", config.num_heads),
            ("ffn_dim", config.ffn_dim),
        )
    }
    content = {
        "architectures": [architecture.name],
        "model_type": architecture.model_type,
        "is_encoder_decoder": True,
        "d_model": config.d_model,
        **layers,
        "activation_function": _ACTIVATIONS[config.activation],
        "dropout": config.dropout,
        "attention_dropout": config.attention_dropout,
        "activation_dropout": config.activation_dropout,
        "scale_embedding": config.scale_embeddings,
        "tie_word_embeddings": config.tying is not Tying.none,
        # with EOS, and in M2M100 the token of the language
        "max_position_embeddings": config.max_length + (2 if architecture is _M2M100 else 1),
        "vocab_size": len(ids.source_rows),
        **_special(config, ids),
        "torch_dtype": "float32",
    }
    if architecture is _MARIAN:
        content["decoder_vocab_size"] = len(ids.target_rows)
        content["share_encoder_decoder_embeddings"] = config.tying is Tying.all
    return content


def _special(config: TransformerConfig, ids: Ids) -> dict[str, int]:
    """Ids of special tokens. Marian has no BOS: the decoder begins with PAD."""
    start = config.target_prefix[0] if config.target_prefix else BOS
    special = {"pad_token_id": ids.pad, "eos_token_id": ids.of_target(EOS)}
    bos = {"bos_token_id": ids.of_target(BOS)} if ids.has_pad else {}
    return {**special, **bos, "decoder_start_token_id": ids.of_target(start)}


def _generation(config: TransformerConfig, ids: Ids) -> dict[str, Any]:
    """Settings of the search there, by which it never generates what ours does not."""
    never = [ids.of_target(token) for token in (PAD, UNK, BOS) if ids.of_target(token) >= 0]
    forced = {"forced_bos_token_id": ids.of_target(config.target_prefix[1])} if len(config.target_prefix) > 1 else {}
    return {
        **_special(config, ids),
        **forced,
        # at the greatest length, as in our searches: a hypothesis that is cut off has the probability of EOS as well
        "forced_eos_token_id": ids.of_target(EOS),
        "suppress_tokens": never,
        "num_beams": _BEAM_SIZE,
        "length_penalty": 1.0,
        "max_length": config.max_length + 1,
    }
