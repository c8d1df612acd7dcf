"""config.json of a published model, as the configuration of our Transformer."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from translate.errors import UserError, errors_naming, excerpt
from translate.files import read_json
from translate.models.layers import Positions
from translate.models.seq2seq import Tying
from translate.models.transformer_config import Activation, NormOrder, TransformerConfig
from translate.parsing import from_plain

CONFIG, GENERATION = "config.json", "generation_config.json"
MARIAN, M2M100 = "marian", "m2m_100"
_SUPPORTED = f"Marian ({MARIAN}), M2M100 and NLLB ({M2M100})"
_ACTIVATIONS = {
    "relu": Activation.relu,
    "gelu": Activation.gelu,
    "swish": Activation.swish,
    "silu": Activation.swish,
}
_FAIRSEQ_PAD = 1  # fairseq numbers positions from pad + 1 on, and our Positions.fairseq from 2


@dataclass(kw_only=True)
class Settings:
    """The keys of config.json that describe a model; -1: the key is missing."""

    model_type: str = ""
    vocab_size: int = -1
    decoder_vocab_size: int = -1
    d_model: int = -1
    encoder_layers: int = -1
    decoder_layers: int = -1
    encoder_attention_heads: int = -1
    decoder_attention_heads: int = -1
    encoder_ffn_dim: int = -1
    decoder_ffn_dim: int = -1
    max_position_embeddings: int = -1
    activation_function: str = ""
    dropout: float = 0.1
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    scale_embedding: bool = False
    tie_word_embeddings: bool = True
    share_encoder_decoder_embeddings: bool = True
    pad_token_id: int = -1
    bos_token_id: int = -1
    eos_token_id: int = -1
    decoder_start_token_id: int = -1

    @property
    def target_vocab_size(self) -> int:
        return self.vocab_size if self.share_encoder_decoder_embeddings else self.decoder_vocab_size


# transformers leaves out keys with the defaults of an architecture: these are its defaults, where they are not ours
_DEFAULTS = {
    MARIAN: {"eos_token_id": 0, "scale_embedding": False},
    M2M100: {
        "scale_embedding": True,
        "pad_token_id": _FAIRSEQ_PAD,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "decoder_start_token_id": 2,
    },
}


def read_settings(directory: Path) -> Settings:
    """The settings of a model of a supported architecture. Raises UserError for any other, and names it."""
    path = directory / CONFIG
    content = read_json(path)
    model_type = content.get("model_type")  # not architectures, which files may lack or name by a subclass
    if not isinstance(model_type, str) or model_type not in _DEFAULTS:
        classes = excerpt(content.get("architectures") or model_type)
        raise UserError(f"{path}: an architecture that cannot be converted ({classes}); those that can: {_SUPPORTED}")
    names = {field.name for field in fields(Settings)}
    # recent versions of transformers move ids such as decoder_start_token_id to generation_config.json
    generation = read_json(directory / GENERATION) if (directory / GENERATION).is_file() else {}
    given = {
        key: value
        for source in (generation, content)  # the second has the last word
        for key, value in source.items()
        if key in names and value is not None
    }
    settings = from_plain(Settings, _DEFAULTS[model_type] | given, path)
    with errors_naming(path):
        _check(settings)
    return settings


def _check(settings: Settings) -> None:
    """Raise UserError for missing keys, and for models that have no equivalent here."""
    required = ["vocab_size", "d_model", "max_position_embeddings", "pad_token_id", "eos_token_id"]
    required += ["decoder_start_token_id"]
    required += [] if settings.share_encoder_decoder_embeddings else ["decoder_vocab_size"]
    for name in required:
        if getattr(settings, name) < 0:
            raise UserError(f"{name} is missing")
    for name in ("attention_heads", "ffn_dim"):
        both = getattr(settings, f"encoder_{name}"), getattr(settings, f"decoder_{name}")
        if both[0] != both[1]:
            raise UserError(
                f"encoder_{name} ({both[0]}) and decoder_{name} ({both[1]}) differ: a model has one size here"
            )
    if settings.activation_function not in _ACTIVATIONS:
        raise UserError(
            f"activation_function={excerpt(settings.activation_function)} is none of {', '.join(_ACTIVATIONS)}"
        )
    if settings.model_type == M2M100 and settings.pad_token_id != _FAIRSEQ_PAD:
        raise UserError(f"pad_token_id ({settings.pad_token_id}) of M2M100 must be {_FAIRSEQ_PAD}: it sets positions")


def transformer_config(settings: Settings) -> TransformerConfig:
    """Our configuration of the model. Raises UserError for values out of range."""
    is_marian = settings.model_type == MARIAN
    shared, tied = settings.share_encoder_decoder_embeddings, settings.tie_word_embeddings
    fixed: dict[str, Any] = (
        {"norm_order": NormOrder.post, "positions": Positions.sinusoidal, "output_bias": True}
        if is_marian
        else {"norm_order": NormOrder.pre, "positions": Positions.fairseq}
    )
    config = TransformerConfig(
        d_model=settings.d_model,
        ffn_dim=settings.encoder_ffn_dim,
        num_heads=settings.encoder_attention_heads,
        encoder_layers=settings.encoder_layers,
        decoder_layers=settings.decoder_layers,
        activation=_ACTIVATIONS[settings.activation_function],
        dropout=settings.dropout,
        attention_dropout=settings.attention_dropout,
        activation_dropout=settings.activation_dropout,
        scale_embeddings=settings.scale_embedding,
        tying=Tying.none if not tied else Tying.all if shared else Tying.target,
        # of the positions, one is EOS's, and with tokens of languages another is theirs
        max_length=settings.max_position_embeddings - (1 if is_marian else 2),
        **fixed,
    )
    config.check()
    return config
