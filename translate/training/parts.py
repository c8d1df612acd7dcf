"""Parts of a run that are made from its whole configuration: the model, and the batches of its updates."""

from __future__ import annotations

from translate.adaptation import adapt
from translate.checkpoint import LoadedModel, set_weights, vocabularies_of, weights_of
from translate.data.augmentation.pair_encoder import PairEncoder
from translate.data.augmentation.text import make_text_augmentation
from translate.data.loader import UpdateStream
from translate.data.prepare import Prepared
from translate.distributed import World
from translate.models import build_model
from translate.models.seq2seq import Seq2Seq
from translate.training.config import TrainConfig
from translate.training.parallel import TrainingDecision


def make_model(config: TrainConfig, data: Prepared, base: LoadedModel | None) -> Seq2Seq:
    """A new model, or one with the weights of its base and those that adaptation adds."""
    model = build_model(config.model, vocabularies_of(data.tokenizer))
    if base is not None:
        # before adapt(), which freezes or adds weights that the base lacks
        set_weights(model, weights_of(base.model))
        adapt(model, config.adapt)
    return model


def update_stream(config: TrainConfig, data: Prepared, decision: TrainingDecision, world: World) -> UpdateStream:
    """The batches of all updates of this process."""
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
