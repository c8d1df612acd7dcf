"""Published models in the format of transformers: found or downloaded, converted, and kept in the cache."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from translate.checkpoint import save_model, vocabularies_of
from translate.errors import UserError, errors_naming, excerpt
from translate.files import sha256
from translate.folders import building
from translate.importing.m2m100 import read_m2m100
from translate.importing.marian import read_marian
from translate.importing.settings import CONFIG, MARIAN, Settings, read_settings, transformer_config
from translate.importing.vocabulary import NO_TOKEN, PublishedVocabulary, Side
from translate.importing.weights import (
    LOGITS_BIAS,
    Weights,
    converted_embeddings,
    converted_layers,
    read_published,
    require_no_other,
    weight_files,
    weights_file,
)
from translate.model_directory import CACHE, MODEL, cache_folder
from translate.models import build_model
from translate.models.seq2seq import MOST_LAYERS
from translate.models.transformer_config import TransformerConfig
from translate.tensor_files import require_shapes, shapes_of
from translate.text import TEXT_FORM
from translate.tokenizer import BOS

CONVERTER_VERSION = 1  # raise it when the same model is converted to something else: older conversions are made again
_NAME = re.compile(r"(?P<repository>[\w-][\w.-]*/[\w-][\w.-]*)(@(?P<revision>[\w.-]+))?")
_NEVER = -100.0  # logit of ids that stand for no published token: its probability is 0 in fp32
# all files that a conversion reads; no pickle where there is also a safetensors file
_SETTINGS = ["*.json", "*.spm", "sentencepiece.bpe.model"]
_WEIGHTS = ["*.safetensors"], ["pytorch_model*.bin"]

logger = logging.getLogger(__name__)


def local_model(name: str) -> Path:
    """The model directory or run that `name` means, or the conversion of a published model, in the cache.

    name  a path; a folder in the format of transformers; or REPOSITORY/NAME of the Hugging Face hub, with @REVISION

    Raises UserError for a published model that cannot be downloaded or converted.
    """
    path = Path(name)
    if not is_published(path):
        # a misspelt path is not looked for on the hub where its first folder exists
        if path.exists() or path.parent.exists() or not (found := _NAME.fullmatch(name)):
            return path
        path = _download(found["repository"], found["revision"])
    kept = cache_folder() / f"huggingface-{_fingerprint(path)[:32]}"
    with building(kept, option=CACHE, waiting_for="convert the same model") as folder:
        if folder is not None:
            logger.info(f"converting {name} into {kept}")
            convert(path, folder, name=name)
    with suppress(OSError):  # a shared cache may be read-only
        os.utime(kept)  # the time of the last use
    return kept


def is_published(path: Path) -> bool:
    """True for a folder in the format of transformers, and not one of ours."""
    return (path / CONFIG).is_file() and not (path / MODEL).exists()


def convert(published: Path, output: Path, *, name: str = "") -> None:
    """Convert a folder in the format of transformers into a model directory; name: of the model, for the manifest.

    Raises UserError for other architectures, damaged files, and files that do not belong together.
    """
    settings = read_settings(published)
    with errors_naming(f"{published / CONFIG}, as options of a model of this program"):
        config = transformer_config(settings)
    weights, file = read_published(published)
    _check_sizes(settings, weights, file)
    read = read_marian if settings.model_type == MARIAN else read_m2m100
    vocabulary = read(published, settings)
    # M2M100 begins translations with EOS: the decoder reads that instead of BOS
    if vocabulary.start != BOS:
        config.target_prefix = [vocabulary.start]
    converted = converted_weights(config, weights, vocabulary, file)
    build = partial(build_model, config, vocabularies_of(vocabulary.tokenizer))
    require_shapes({key: tuple(weight.shape) for key, weight in converted.items()}, shapes_of(build), file)
    manifest = {**vocabulary.manifest, **_origin(settings, vocabulary, name or str(published))}
    save_model(output, weights=converted, config=config, tokenizer=vocabulary.tokenizer, manifest=manifest)


def converted_weights(
    config: TransformerConfig, published: Weights, vocabulary: PublishedVocabulary, path: Path
) -> Weights:
    """All weights under our names, with embeddings in the order of our ids. Raises UserError for weights left over."""
    embeddings = converted_embeddings(config, published, path)
    layers = converted_layers(config, published, path)
    # M2M100 has no bias of the logits, though a file may hold one: transformers ignores it as well
    published.pop(LOGITS_BIAS, None)
    require_no_other(published, path)
    weights = {}
    for name, weight in embeddings.items():
        side = vocabulary.source if name.startswith("source") else vocabulary.target
        weights[name] = _in_our_order(weight, side, path)
    if config.output_bias:
        # never generated, and without a share of the probability
        is_token = torch.tensor(vocabulary.target.is_token())
        weights["projection.bias"] = weights["projection.bias"].masked_fill(~is_token, _NEVER)
    return weights | layers


def _in_our_order(weight: Tensor, side: Side, path: Path) -> Tensor:
    """Rows (V, …) of published tokens as rows of ours; zeros for NO_TOKEN."""
    if len(weight) != side.size:
        raise UserError(f"{path}: a weight of {len(weight):,} tokens, but the vocabulary has {side.size:,}")
    rows = torch.tensor(side.rows())
    ordered = weight[rows.clamp(min=0)]
    ordered[rows == NO_TOKEN] = 0
    return ordered


def _check_sizes(settings: Settings, weights: Mapping[str, Tensor], path: Path) -> None:
    """Raise UserError for sizes that the weights cannot have, before lists of as many names are made."""
    largest = max((size for weight in weights.values() for size in weight.shape), default=0)
    for name in ("vocab_size", "decoder_vocab_size", "d_model", "encoder_ffn_dim"):
        if getattr(settings, name) > largest:
            raise UserError(
                f"{path.parent / CONFIG}: {name} ({getattr(settings, name):,}) does not fit {path.name}, where no "
                f"dimension is above {largest:,}"
            )
    if max(settings.encoder_layers, settings.decoder_layers) > min(len(weights), MOST_LAYERS):
        raise UserError(f"{path.parent / CONFIG}: more layers than {path.name} has weights ({len(weights):,})")


def _origin(settings: Settings, vocabulary: PublishedVocabulary, name: str) -> dict[str, Any]:
    """Entries of the manifest: origin of the model, and the order of published ids, by which it is exported again."""
    source, target = vocabulary.source, vocabulary.target
    return {
        "text_form": TEXT_FORM,
        "imported": name,
        "huggingface": {
            "model_type": settings.model_type,
            "source": {"front": source.front, "size": source.size},
            "target": {"front": target.front, "size": target.size},
        },
    }


def _fingerprint(directory: Path) -> str:
    """SHA-256 of everything that a conversion is made from."""
    digest = hashlib.sha256(f"converter {CONVERTER_VERSION}".encode())
    files = [path for pattern in _SETTINGS for path in sorted(directory.glob(pattern)) if path.is_file()]
    for file in [*files, *weight_files(weights_file(directory))]:
        status = file.stat()
        digest.update(f"{file.name} {_hash(file, status.st_size, status.st_mtime_ns)}\n".encode())
    return digest.hexdigest()


@lru_cache
def _hash(file: Path, size: int, modified: int) -> str:
    """SHA-256 of a file; of one of gigabytes only once in a process."""
    return sha256(file)


def _download(repository: str, revision: str | None) -> Path:
    """Download the files of a model from the Hugging Face hub, or find them in its cache. Raises UserError."""
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        for patterns in _WEIGHTS:  # the second is for models without safetensors
            path = Path(
                huggingface_hub.snapshot_download(repository, revision=revision, allow_patterns=_SETTINGS + patterns)
            )
            if any(any(path.glob(pattern)) for pattern in patterns):
                break
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"{repository}: no such folder, and it cannot be downloaded from the Hugging Face hub: {excerpt(reason)}"
        ) from None
    return path
