"""Settings that recipe=auto chooses, by the numbers of made-up texts and of a made-up device: nothing is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest

from small_runs import composed
from translate.files import to_plain
from translate.training.config import TrainConfig
from translate.training.open_options import with_choice
from translate.training.recommended import (
    Cost,
    TextStatistics,
    choose_batch_size,
    choose_settings,
    choose_vocabulary,
)

OWN = ["data.train.source=a", "data.train.target=b"]
WEIGHTS = {"tiny": 1_900_000, "mini": 7_000_000, "small": 36_000_000, "base": 60_000_000, "big": 210_000_000}
SIZES = {128: "tiny", 256: "mini", 1024: "big"}


@dataclass
class FakeDevice:
    """A device of so many multiplications of a weight by a token a second.

    room           tokens of the largest batch that fits into its memory
    asked, tried   sizes of models, and of batches, that it has measured
    """

    text: TextStatistics
    operations: float
    on_gpu: bool = False
    devices: int = 1
    room: float = math.inf
    asked: list[str] = field(default_factory=list)
    tried: list[int] = field(default_factory=list)

    def weights(self, config: TrainConfig) -> int:
        return WEIGHTS[size_of(config)]

    def fits(self, config: TrainConfig) -> bool:
        self.tried.append(config.batch.tokens)
        return config.batch.tokens <= self.room

    def cost(self, config: TrainConfig, *, validating: bool = False) -> Cost:
        self.asked.append(size_of(config))
        update_tokens = config.batch.tokens * config.batch.accumulation * self.devices
        return Cost(
            update_seconds=self.weights(config) * update_tokens / self.operations / self.devices,
            updates_per_epoch=-(-self.text.target_tokens // update_tokens),
            validation_seconds=5.0 if validating else 0.0,
        )


def size_of(config: TrainConfig) -> str:
    """Name of a size; small and base differ in their feed-forward layers alone."""
    wide = "base" if to_plain(config.model)["ffn_dim"] > 1200 else "small"
    return SIZES.get(config.model.d_model, wide)


def text_of(pairs: int, *, tokens_per_sentence: int = 15, long_length: int = 30) -> TextStatistics:
    tokens = pairs * tokens_per_sentence
    return TextStatistics(pairs=pairs, source_tokens=tokens, target_tokens=tokens, long_length=long_length)


@cache
def configured(*words: str) -> TrainConfig:
    return composed([*OWN, *words])


def chosen(pairs: int, *words: str, operations: float, on_gpu: bool = False, **numbers: int) -> TrainConfig:
    text = text_of(pairs, **numbers)
    config, choices = choose_settings(configured(*words), text, FakeDevice(text, operations, on_gpu=on_gpu))
    config.model.check()
    assert all(choice.reason for choice in choices)
    return config


SLOW, FAST = 1e10, 2e13  # two cores with AVX2: 5,000 tokens/s of tiny; a GPU: 300,000 tokens/s of base


@pytest.mark.parametrize(
    ("pairs", "size"), [(1_000, 2_000), (5_000, 4_000), (30_000, 8_000), (1_000_000, 16_000), (5_000_000, 32_000)]
)
def test_vocabulary_grows_with_the_text(pairs, size):
    values = choose_vocabulary(pairs, 100).values
    assert values == {"tokenizer.type": "unigram", "tokenizer.vocab_size": size}


def test_vocabulary_has_room_for_words_beside_thousands_of_characters():
    assert choose_vocabulary(30_000, 4_900).values["tokenizer.vocab_size"] == 10_000


@pytest.mark.parametrize(
    ("pairs", "operations", "expected"),
    [
        # size, batch, dropout, epochs of the run
        (5_000, SLOW, ("tiny", 1024, 0.3, 100)),
        (30_000, SLOW, ("mini", 1024, 0.3, 60)),
        (1_000_000, FAST, ("base", 8_192, 0.1, 15)),
        (5_000_000, FAST, ("base", 16_384, 0.1, 10)),
        (50_000_000, FAST, ("big", 32_768, 0.1, 5)),
    ],
)
def test_settings_without_a_bound_follow_the_text(pairs, operations, expected):
    config = chosen(pairs, operations=operations)
    epochs = config.run.max_steps * config.batch.tokens / (pairs * 15)
    assert (size_of(config), config.batch.tokens, config.model.dropout) == expected[:3]
    assert epochs == pytest.approx(expected[3], rel=0.02)
    assert config.run.patience == 10
    assert 15 <= config.run.max_steps / config.validation.every <= 45
    assert config.run.save_every == config.validation.every


def test_a_run_of_a_slow_machine_without_a_bound_ends_within_a_day():
    config = chosen(5_000_000, operations=SLOW)
    seconds = config.run.max_steps * WEIGHTS[size_of(config)] * config.batch.tokens / SLOW
    assert 0.5 < seconds / 86_400 <= 1


def test_ten_minutes_on_two_cores_are_for_a_small_model_with_little_dropout():
    config = chosen(30_000, "run.max_minutes=10", operations=SLOW)
    assert size_of(config) == "tiny"
    assert (config.run.max_steps, config.run.patience, config.run.max_minutes) == (0, 0, 10)
    assert config.model.dropout == 0.1
    assert config.batch.tokens == 1024


def test_weight_decay_falls_with_the_length_of_the_run():
    """The measured optima are 0.3 for 2,000 updates at a rate of 3e-3, and 0.02 to 0.03 for 33,000."""
    short, long = (
        chosen(30_000, "model=tiny", f"run.max_steps={steps}", operations=SLOW).optimizer for steps in (2_000, 33_000)
    )
    assert short.learning_rate == long.learning_rate == 3e-3
    assert short.weight_decay == 0.3
    assert long.weight_decay == pytest.approx(0.02, abs=0.002)


def test_a_model_that_the_time_cannot_feed_is_not_even_tried():
    text = text_of(1_000_000)
    device = FakeDevice(text, SLOW)
    choose_settings(configured("run.max_minutes=5"), text, device)
    assert set(device.asked) == {"tiny"}


def test_batches_hold_several_of_the_longest_sentences():
    assert chosen(10_000, operations=SLOW, long_length=300).batch.tokens == 2400


def test_updates_are_larger_on_a_gpu():
    assert chosen(50_000_000, "model=base", operations=FAST).batch.tokens == 16_384
    assert chosen(50_000_000, "model=base", operations=FAST, on_gpu=True).batch.tokens == 32_768
    assert chosen(50_000_000, operations=FAST, on_gpu=True).batch.tokens == 32_768
    assert chosen(5_000, operations=SLOW, on_gpu=True).batch.tokens == 4_096


def batch_of(*words: str, reasons: list[str] | None = None, **device: Any) -> tuple[int, int]:
    """Tokens of a batch and batches of an update, with a fixed recipe on a GPU."""
    config, text = configured("recipe=fixed", *words), text_of(5_000_000)
    trials = FakeDevice(text, FAST, **{"on_gpu": True, **device})
    choice = choose_batch_size(config, text, trials)
    if reasons is not None:
        reasons.append(choice.reason)
    batch = with_choice(config, choice).batch
    return batch.tokens, batch.accumulation


BASE = ("model=base", "batch.tokens=auto")


@pytest.mark.parametrize("devices", [1, 2, 3, 8])
@pytest.mark.parametrize("room", [math.inf, 9_000, 2_500])
@pytest.mark.parametrize("words", [BASE, (*BASE, "batch.update_tokens=100_000")])
def test_an_update_has_one_size_on_any_devices(words, devices, room):
    tokens, accumulation = batch_of(*words, devices=devices, room=room)
    update = 32_768 if words == BASE else 100_000
    assert tokens <= room
    # batches are multiples of 8 tokens
    assert update - 8 * devices * accumulation < tokens * accumulation * devices <= update


def test_batches_are_the_largest_powers_of_two_that_fit():
    reasons = []
    assert batch_of(*BASE, room=16_384, reasons=reasons) == (16_384, 2)
    assert batch_of(*BASE, room=16_383, reasons=reasons) == (8_192, 4)
    assert batch_of(*BASE, devices=8, reasons=reasons) == (4_096, 1)
    assert reasons == [
        "updates of 32,768 tokens; batches of 32,768 take too much of the free memory",
        "updates of 32,768 tokens; batches of 16,384 take too much of the free memory",
        "updates of 32,768 tokens on 8 devices together",
    ]
    assert batch_of("model=big", "batch.tokens=auto") == (32_768, 1)
    assert batch_of("model=mini", "batch.tokens=auto") == (4_096, 1)


def test_where_nothing_fits_the_smallest_batch_is_divided_by_need():
    assert batch_of(*BASE, room=0) == (512, 64)


def test_numbers_that_are_given_stay_beside_a_size_of_updates():
    assert batch_of(*BASE, "batch.accumulation=2") == (16_384, 2)
    assert batch_of(*BASE, "batch.accumulation=2", room=9_000) == (8_192, 2), "a smaller update, as asked for"
    assert batch_of("batch.tokens=4096", "batch.update_tokens=32768") == (4_096, 8)
    reasons = []
    assert batch_of("batch.tokens=4096", "batch.update_tokens=32768", devices=4, reasons=reasons) == (4_096, 2)
    assert reasons == ["updates of 32,768 tokens on 4 devices together"]
    assert batch_of("batch.tokens=4096", "batch.update_tokens=1000") == (4_096, 1)


def test_on_a_cpu_batches_are_those_of_the_table():
    device = FakeDevice(text_of(5_000_000), FAST)
    config = configured("recipe=fixed", *BASE, "batch.update_tokens=65536")
    values = choose_batch_size(config, device.text, device).values
    assert values == {"batch.tokens": 16_384, "batch.accumulation": 4}
    assert batch_of(*BASE, on_gpu=False) == (16_384, 1)
    assert batch_of(*BASE, on_gpu=False, devices=2) == (8_192, 1)
    assert not device.tried


@pytest.mark.parametrize(
    ("words", "option", "value"),
    [
        (["model=base"], "model.d_model", 512),
        (["model.d_model=64"], "model.d_model", 64),
        (["model.encoder_layers=5"], "model.encoder_layers", 5),
        (["model.dropout=0.1"], "model.dropout", 0.1),  # the default of all models
        (["model={dropout: 0.1}"], "model.dropout", 0.1),
        (["batch.tokens=2048"], "batch.tokens", 2048),  # that of recipe=fixed
        (["optimizer.learning_rate=1e-3"], "optimizer.learning_rate", 1e-3),
        (["optimizer.weight_decay=0.01"], "optimizer.weight_decay", 0.01),
        (["schedule.name=inverse_sqrt"], "schedule.name", "inverse_sqrt"),
        (["run.max_steps=70"], "run.max_steps", 70),
        (["run.patience=3"], "run.patience", 3),
        (["validation.every=7"], "validation.every", 7),
        (["recipe=auto", "experiment=shipped"], "optimizer.learning_rate", 1.5e-3),
        (["recipe=auto", "experiment=comparison"], "model.dropout", 0.1),
        (["recipe=auto", "experiment=comparison"], "model.d_model", 128),
    ],
)
def test_what_is_given_stays(words, option, value):
    config = chosen(5_000, *words, operations=SLOW)
    part, name = option.split(".")
    assert getattr(getattr(config, part), name) == value


def test_a_size_that_is_given_leaves_the_rest_to_the_recipe():
    config = chosen(5_000, "model=base", operations=FAST)
    assert (config.model.dropout, config.optimizer.learning_rate) == (0.3, 1e-3)
    assert config.model.encoder_layers == 6
