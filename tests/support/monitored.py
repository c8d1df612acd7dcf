"""Features of the shipped test set, and logs of a service, without a model: references stand for translations."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from small_runs import REPOSITORY
from translate.decoding.json_records import to_json
from translate.decoding.translation import Translation
from translate.monitoring.features import FeatureExtractor, LineFeatures
from translate.monitoring.log import LogEntry
from translate.text import read_lines
from translate.tokenizer import Tokenizer
from translate.tokenizer_training import TokenizerConfig, train_tokenizer

SHIPPED = REPOSITORY / "data" / "en-de"
START = datetime(2026, 3, 1, 8, tzinfo=UTC)


@cache
def shipped_tokenizer() -> Tokenizer:
    """Learned from a part of the shipped training text, with bytes for other characters."""
    sides = [list(read_lines(SHIPPED / f"train.{side}"))[::10] for side in ("en", "de")]
    return train_tokenizer(TokenizerConfig(vocab_size=1000), *sides)


def features(sources: Sequence[str], targets: Sequence[str], *, seed: int = 1) -> list[LineFeatures]:
    """Features of lines and translations; log probabilities are drawn at random."""
    tokenizer, drawing = shipped_tokenizer(), random.Random(seed)
    tokens = zip(tokenizer.encode_source(sources), tokenizer.encode_target(targets), strict=True)
    translations = [
        translation(text, source, target, score=-drawing.expovariate(10))
        for text, (source, target) in zip(targets, tokens, strict=True)
    ]
    return FeatureExtractor(tokenizer)(sources, translations)


def translation(text: str, source: Sequence[int], target: Sequence[int], *, score: float = -0.1) -> Translation:
    """The translation of a line in one part."""
    return Translation(
        text=text,
        score=score,
        n_best=[(text, score)],
        source_tokens=len(source),
        target_tokens=len(target),
        segments=int(bool(source)),
        parts=((tuple(source), tuple(target)),) if source else (),
    )


@cache
def shipped_features() -> list[LineFeatures]:
    """Features of the shipped test set."""
    return features(*(list(read_lines(SHIPPED / f"test.{side}")) for side in ("en", "de")))


def entries(
    lines: Sequence[LineFeatures], *, start: datetime = START, per_request: int = 4, **fields
) -> list[LogEntry]:
    """Requests of a service, one a minute."""
    parts = [lines[first : first + per_request] for first in range(0, len(lines), per_request)]
    common = {"model": "en-de", "source": "en", "target": "de", "status": 200} | fields
    return [LogEntry(time=start + timedelta(minutes=number), lines=part, **common) for number, part in enumerate(parts)]


def line_of(entry: LogEntry) -> str:
    """An entry as one line of the log, without its end."""
    return to_json(vars(entry) | {"time": entry.time.isoformat(), "lines": [line.to_json() for line in entry.lines]})


def write_log(path: Path, requests: Sequence[LogEntry | str]) -> Path:
    """A log of entries and of other lines, compressed if its name ends so."""
    text = "".join(f"{each if isinstance(each, str) else line_of(each)}\n" for each in requests)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def sample_file(path: Path, texts: Sequence[str], *, log_probs: Sequence[float] = ()) -> Path:
    """A service's samples of texts and of their characters backwards."""
    log_probs = log_probs or [-0.1] * len(texts)
    rows = [
        {"text": text, "translation": text[::-1], "features": LineFeatures(segments=1, log_prob=value).to_json()}
        for text, value in zip(texts, log_probs, strict=True)
    ]
    common = {"time": START.isoformat(), "source": "en", "target": "de"}
    return write_log(path, [json.dumps({**common, "request": f"r{n}", "lines": [row]}) for n, row in enumerate(rows)])
