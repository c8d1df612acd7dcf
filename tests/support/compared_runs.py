"""Run folders as a comparison reads them, made without training."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, reduce
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from safetensors.numpy import save_file

from small_runs import composed
from translate.data.corpora import ParallelText
from translate.evaluation.evaluate import score_corpus
from translate.evaluation.report import write_report
from translate.evaluation.scores import MetricName
from translate.files import flatten, to_plain
from translate.text import read_lines, write_lines

WORDS = ("the", "a", "cat", "dog", "house", "sees", "likes", "old", "new", "red", "big", "very", "often", "never")
METRICS = [MetricName.bleu, MetricName.chrf]


def write_test_set(folder: Path, *, lines: int = 40, seed: int = 0) -> Path:
    """test.src, test.tgt and test.labels, of words drawn at random."""
    source = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    target = [" ".join(source.choices(WORDS, k=source.randint(4, 14))) for _ in range(lines)]
    write_lines(folder / "test.tgt", target)
    write_lines(folder / "test.src", [line.upper() for line in target])
    write_lines(folder / "test.labels", ["odd" if index % 2 else "even\tfirst" for index in range(lines)])
    return folder


def noisy(lines: Sequence[str], share: float, *, seed: int = 0) -> list[str]:
    """Lines in which this share of the words is another one."""
    chosen = random.Random(seed)
    return [" ".join("x" if chosen.random() < share else word for word in line.split(" ")) for line in lines]


@cache
def base_config() -> dict[str, Any]:
    return flatten(to_plain(composed(["recipe=fixed", "data=text_files"])))


def write_run(
    folder: Path, data: Path, hypotheses: Sequence[str], *, seed: int = 1, settings: dict[str, Any] | None = None
) -> Path:
    """A finished run that translated the test set in `data` so; settings by their dotted names, None removes one."""
    sides = {"source": data / "test.src", "target": data / "test.tgt", "labels": data / "test.labels"}
    config = base_config() | {f"data.test.{key}": str(path) for key, path in sides.items()}
    config |= {"run.seed": seed, "run.dir": str(folder), "run.max_steps": 100} | (settings or {})
    nested: dict[str, Any] = {}
    for key, value in config.items():
        *groups, name = key.split(".")
        if value is not None:
            reduce(lambda inner, group: inner.setdefault(group, {}), groups, nested)[name] = value
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(nested, sort_keys=False), encoding="utf-8")
    manifest = {"data": "d" * 64, "tokenizer": "t" * 64, "hardware": "a CPU", "threads": 1, "torch": "2.13.0"}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    text = ParallelText(
        name="test",
        source=list(read_lines(data / "test.src")),
        target=list(read_lines(data / "test.tgt")),
        labels=None,
        reference_paths=[],
    )
    evaluation = score_corpus(list(hypotheses), text, metrics=METRICS, tokenize="13a", bootstrap=0)
    evaluation = replace(evaluation, seconds=2.0, decoding={"engine": "native", "search": "beam beam_size=5"})
    write_report(evaluation, folder / "evaluation", examples=1, reference_paths=[str(data / "test.tgt")])
    write_state(folder, step=100, best=40.0)
    (folder / "best").mkdir()
    save_file({"weight": np.zeros((3, 4), np.float32)}, folder / "best" / "weights.safetensors")
    result = {"step": 100, "validation": {"metric": "bleu", "value": 40.0, "loss": 1.5}, "summary": "test BLEU"}
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
    return folder


def write_state(folder: Path, *, step: int, best: float) -> None:
    """A saved state with its progress alone."""
    state = folder / "state" / f"step-{step:08d}"
    state.mkdir(parents=True)
    progress = {"step": step, "seconds": 75.0, "best": best, "best_loss": 1.5, "session": {"hardware": "a CPU"}}
    (state / "progress.json").write_text(json.dumps(progress), encoding="utf-8")


def unfinished(folder: Path, *, step: int, best: float) -> Path:
    """The run as it was before its test set was translated, at another step."""
    for name in ("evaluation", "state", "best"):
        shutil.rmtree(folder / name)
    (folder / "result.json").unlink()
    write_state(folder, step=step, best=best)
    return folder
