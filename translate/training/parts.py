"""Fill in the configuration of a run from its base model; build the model and the update stream."""

from __future__ import annotations

from dataclasses import replace

from translate.adaptation import adapt
from translate.checkpoint import LoadedModel, set_weights, vocabularies_of, weights_of
from translate.data.augmentation.pair_encoder import PairEncoder
from translate.data.augmentation.text import make_text_augmentation
from translate.data.direction import with_languages
from translate.data.loader import UpdateStream
from translate.data.prepare import Prepared
from translate.distributed import World
from translate.importing.base_model import base_directions, base_model_config, for_direction
from translate.models import build_model
from translate.models.seq2seq import Seq2Seq
from translate.training.config import TrainConfig
from translate.training.parallel import TrainingDecision


def with_base_model(config: TrainConfig) -> TrainConfig:
    """Check the configuration and fill in the languages and, with adapt=, the base model's settings and directions.

    Raises UserError for a wrong setting, and for a missing or damaged base model.
    """
    config = replace(config, model=base_model_config(config.adapt, config.model))
    # check all values now: a mistake found later would waste the preparation of the data
    config.check()
    config = replace(config, data=with_languages(config.data, base_directions(config.adapt)))
    return replace(config, model=for_direction(config.adapt, config.model, config.data.languages))


def make_model(config: TrainConfig, data: Prepared, base: LoadedModel | None) -> Seq2Seq:
    """Build a new model or, with adapt=, the base model with the weights that the adaptation adds."""
    model = build_model(config.model, vocabularies_of(data.tokenizer))
    if base is not None:
        # before adapt(), which adds weights that the base model does not have
        set_weights(model, weights_of(base.model))
        adapt(model, config.adapt)
    return model


def update_stream(config: TrainConfig, data: Prepared, decision: TrainingDecision, world: World) -> UpdateStream:
    """Make the stream of this process's batches for all updates."""
    augmentation = make_text_augmentation(
        config.augmentation,
        data.train,
        data.tokenizer,
        max_tokens=config.data.cleaning.max_tokens,
        languages=config.data.languages,
    )
    encoder = PairEncoder(
        data.train,
        data.tokenizer,
        augmentation=augmentation,
        sampling=config.sampling,
        switch_out=config.switch_out,
        max_length=config.model.max_length,
    )
    return UpdateStream(
        data.train,
        encoder,
        config.batch,
        seed=config.run.seed,
        world=world,
        packed=decision.packed,
        pinned=decision.device.type == "cuda",
    )
