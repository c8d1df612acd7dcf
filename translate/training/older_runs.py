"""Settings kept by runs that an older version of this program began: former presets, and former rules for options."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from translate.data.augmentation.text import AugmentationConfig
from translate.files import to_plain
from translate.models.layers import Positions
from translate.models.transformer import Activation, TransformerConfig
from translate.parsing import from_plain
from translate.training.config import TrainConfig

logger = logging.getLogger(__name__)

# ffn_dim in configs/model: now, with three matrices (gated) -> before, with two
_FORMER_FFN_DIMS = {168: 256, 672: 1024, 1344: 2048, 2688: 4096}
_FORMER_HEADS = {(512, 8): 4}  # (d_model, num_heads) in configs/model/small.yaml: now -> before


def as_begun(config: TrainConfig, before: Mapping[str, Any]) -> tuple[TrainConfig, dict[str, Any]]:
    """The configuration with the settings that an older run keeps, and the new content of the run's config.yaml.

    before  the present content. Keys that are newer than the run are left out, so that its age stays recognisable.
    """
    content = to_plain(config)
    schedule, before_schedule = config.schedule, before.get("schedule") or {}
    if "max_warmup_steps" not in before_schedule:
        # warmup_steps did not depend on the length of the run
        if schedule.warmup_steps is None:
            schedule = replace(schedule, warmup_steps=before_schedule.get("warmup_steps"))
        content["schedule"] = to_plain(schedule)
        del content["schedule"]["max_warmup_steps"]
    augmentation, before_augmentation = config.augmentation, before.get("augmentation") or {}
    if "start" not in before_augmentation:
        if augmentation.start:  # no option of the older version: an experiment has gained it
            augmentation = from_plain(AugmentationConfig, before_augmentation, "augmentation")
            logger.info("the run was begun by an older version and keeps its augmentation of text")
        content["augmentation"] = to_plain(augmentation)
        del content["augmentation"]["start"]
    model, before_model = config.model, before.get("model") or {}
    if isinstance(model, TransformerConfig) and "qk_norm" not in before_model:
        model = _of_former_preset(model, before_model)
        content["model"] = _without(to_plain(model), {"bias": True, "qk_norm": False})
    elif isinstance(model, TransformerConfig) and "fp8" not in (before.get("compute") or {}):
        model = _kept(model, _former_heads(model, before_model))
        content |= {"model": to_plain(model), "compute": _without(content["compute"], {"fp8": False})}
    return replace(config, schedule=schedule, augmentation=augmentation, model=model), content


def _of_former_preset(model: TransformerConfig, before: Mapping[str, Any]) -> TransformerConfig:
    """The model with the former presets' sinusoidal positions, ReLU and number of heads, if the run has them."""
    kept: dict[str, Any] = {}
    if model.positions is Positions.rotary and before.get("positions") == Positions.sinusoidal:
        kept["positions"] = Positions.sinusoidal
    if model.activation is Activation.swiglu and before.get("activation") == Activation.relu:
        kept["activation"] = Activation.relu
    if "activation" in kept and before.get("ffn_dim") == _FORMER_FFN_DIMS.get(model.ffn_dim):
        kept["ffn_dim"] = before["ffn_dim"]
    return _kept(model, kept | _former_heads(model, before))


def _former_heads(model: TransformerConfig, before: Mapping[str, Any]) -> dict[str, Any]:
    """The number of heads that the former preset `small` had, which is newer than its rotary positions, if kept."""
    heads = _FORMER_HEADS.get((model.d_model, model.num_heads))
    return {} if heads is None or before.get("num_heads") != heads else {"num_heads": heads}


def _kept(model: TransformerConfig, kept: Mapping[str, Any]) -> TransformerConfig:
    """The model with the settings that an older run keeps."""
    if kept:
        listing = ", ".join(f"model.{key}={value}" for key, value in kept.items())
        logger.info(f"the run was begun by an older version and keeps its model: {listing}")
    return replace(model, **kept)


def _without(content: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Content of config.yaml without the keys that have these defaults, as an older version wrote it."""
    return {key: value for key, value in content.items() if key not in defaults or value != defaults[key]}
