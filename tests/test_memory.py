"""Memory is estimated before it is taken: models and beams that cannot fit are refused, batches become smaller."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from fake_models import random_model
from small_runs import REPOSITORY, environment
from translate import memory
from translate.decoding import native_engine
from translate.decoding.config import SearchConfig, SearchMethod
from translate.decoding.native_engine import NativeEngine
from translate.decoding.search.base import sentences_in_memory
from translate.errors import UserError
from translate.models import ARCHITECTURES, Vocabularies, build_model
from translate.training.config import AveragingConfig, TrainConfig
from translate.training.optimizer import check_memory

VOCABULARY = 8000


def test_a_container_limits_the_memory(monkeypatch, tmp_path):
    whole = memory.machine_memory()
    assert whole > 2**28
    (tmp_path / "none").write_text("max\n")
    (tmp_path / "limit").write_text("123456789\n")
    monkeypatch.setattr(memory, "_CONTAINER_LIMITS", (str(tmp_path / "none"), str(tmp_path / "missing")))
    assert memory.machine_memory() >= whole
    monkeypatch.setattr(memory, "_CONTAINER_LIMITS", (str(tmp_path / "none"), str(tmp_path / "limit")))
    assert memory.machine_memory() == 123456789


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_memory_of_training_is_that_of_the_weights_and_their_copies(name):
    config = TrainConfig(model=ARCHITECTURES[name][0](), search=SearchConfig(method=SearchMethod.greedy))
    model = build_model(config.model, Vocabularies(VOCABULARY, VOCABULARY, shared=True))
    size = sum(weight.nbytes for weight in model.parameters())
    # weights, gradients, two moments of AdamW and the running average
    check_memory(config, 5 * size)
    with pytest.raises(UserError, match=rf"of {size // 4:,} weights, .* model\.d_model=512, .* tokenizer\.vocab_size="):
        check_memory(config, 5 * size - 1)
    check_memory(replace(config, averaging=AveragingConfig(ema_decay=0.0)), 4 * size)
    check_memory(config, 0)  # unknown


def test_a_beam_for_one_sentence_must_fit():
    config = SearchConfig(beam_size=1000)
    with pytest.raises(UserError, match=r"search\.beam_size=1000: one sentence, .* needs 412\.0 MiB of memory"):
        sentences_in_memory(config, 300_000_000, vocabulary_size=32_000, cached=0)
    assert sentences_in_memory(config, 2_000_000_000, vocabulary_size=32_000, cached=0) == 4
    assert sentences_in_memory(config, 2_000_000_000, vocabulary_size=32_000, cached=100_000) == 1
    assert sentences_in_memory(config, 0, vocabulary_size=32_000, cached=0) == sys.maxsize


def test_less_memory_makes_smaller_batches_and_equal_translations(monkeypatch):
    sentences = [(4 + number % 7, 5, 6 + number % 3) for number in range(12)]
    config = SearchConfig(beam_size=2, max_length=6)
    found, largest = [], []
    for size in (0, 60_000, 20_000):
        monkeypatch.setattr(native_engine, "machine_memory", lambda size=size: size)
        model = random_model(vocabulary_size=12, end=1.0)
        found.append(NativeEngine(model=model, device=torch.device("cpu")).search(sentences, config))
        largest.append(max(map(len, model.batches)))
    assert found[0] == found[1] == found[2]
    assert largest[0] == len(sentences) > largest[1] > largest[2] >= 1


WRITE = """
import resource, sys, torch
from pathlib import Path
from translate.checkpoint import write_weights
from translate.memory import is_out_of_memory
weights = {"weight": torch.zeros(1 << 24)}
pages = int(Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (100 << 20), resource.RLIM_INFINITY))
try:
    write_weights(weights, Path(sys.argv[1]))
except RuntimeError as error:
    print(is_out_of_memory(error))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc, and Linux alone keeps to RLIMIT_AS")
def test_weights_without_room_for_their_copies_are_an_error(tmp_path):
    """64 MiB in the 100 MiB that `ulimit -v` leaves: safetensors would panic at the second copy, or hang."""
    words = [sys.executable, "-c", WRITE, str(tmp_path / "weights")]
    process = subprocess.run(words, capture_output=True, cwd=REPOSITORY, env=environment(), timeout=60)
    assert (process.stdout, process.stderr, process.returncode) == (b"True\n", b"", 0)
