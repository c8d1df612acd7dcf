"""A service whose models are functions: its queues, interfaces and limits without PyTorch and processes."""

from __future__ import annotations

import asyncio
import io
import json
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, TextIO

from fastapi import FastAPI

from translate.errors import UserError
from translate.monitoring.features import LineFeatures
from translate.serving.access import Access
from translate.serving.api_keys import ApiKey
from translate.serving.app import make_app
from translate.serving.batching import BatchQueue, Record
from translate.serving.child_process import ProcessEndedError
from translate.serving.config import LimitConfig, ServingEngine
from translate.serving.detection import LanguageDetector
from translate.serving.metrics import Metrics
from translate.serving.model_pool import ModelPool
from translate.serving.model_process import ModelSettings
from translate.serving.options import TranslationOptions
from translate.serving.request_log import RequestLog
from translate.serving.served_model import ServedModel
from translate.serving.service import Service
from translate.serving.words import word_fields


class FakeProcess:
    """A process whose translation is the line in capitals, with the target language in front if there is one.

    ends_at  a line that ends it; None: none does
    batches  lines of the batches so far
    gate     batches wait until it is set
    grows_to bytes of memory after the next batch
    """

    def __init__(self, ends_at: str | None = None) -> None:
        self.facts: dict[str, Any] = {"engine": "fake", "precision": "fp32", "memory": 1 << 20}
        self.ends_at = ends_at
        self.batches: list[list[str]] = []
        self.options: list[TranslationOptions] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.has_ended = False
        self.grows_to = 1 << 20

    async def translate(self, lines: Sequence[str], options: TranslationOptions) -> list[Record]:
        self.batches.append(list(lines))
        self.options.append(options)
        await self.gate.wait()
        if self.ends_at in lines or self.has_ended:
            self.has_ended = True
            raise ProcessEndedError("killed by the test")
        self.facts["memory"] = self.grows_to
        return [record(line, options) for line in lines]

    async def kill(self) -> None:
        self.has_ended = True

    async def stop(self) -> None:
        self.has_ended = True


def record(line: str, options: TranslationOptions) -> Record:
    """The line in capitals; after a prefix, the words that follow as many of the line, of which the first differ."""
    text = f"{options.target_language} {line.strip().upper()}".strip()
    n_best = [f"{text}{n or ''}" for n in range(options.n_best)]
    if options.prefix:
        begun = options.prefix.split()
        first, *rest = [*text.split()[len(begun) :], ""]
        n_best = [" ".join([*begun, f"{first}{n or ''}", *rest]).strip() for n in range(options.n_best)]
    return {
        "text": n_best[0],
        "score": -0.5,
        "nbest": [{"text": text, "score": -0.5 - n} for n, text in enumerate(n_best)],
        "flags": [],
        "features": LineFeatures(
            source_characters=len(line), source_tokens=len(line.split()), target_tokens=len(text.split()), segments=1
        ).to_json(),
        **(details(line, n_best[0]) if options.details else {}),
    }


def details(line: str, text: str) -> dict[str, Any]:
    """Each word is a token, aligned with the one of the same number; probabilities are low at ! and lower at ?."""
    words = text.split()
    found = {
        "text": text,
        "tokens": [*(f"▁{word}" for word in words), "</s>"],
        "token_scores": [*(math.log(0.1 if "?" in word else 0.5 if "!" in word else 0.9) for word in words), -0.1],
        "token_entropies": None,
        "alignment": " ".join(f"{n}-{n}" for n in range(len(words))),
    }
    return found | word_fields(line, found)


def write_fake_model(folder: Path, *, source: str = "en", target: str = "de", **manifest: Any) -> Path:
    """A model directory of which the service reads the manifest alone."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"source_language": source, "target_language": target, "sentences_per_line": 1, **manifest}
    (folder / "manifest.json").write_text(json.dumps(content))
    (folder / "model.yaml").write_text("{}")
    (folder / "weights.safetensors").write_bytes(b"weights")
    return folder


class FakeModels:
    """Served models of folders, and the processes that they have started.

    refusal  error of each further start; None: they succeed
    """

    def __init__(
        self,
        *folders: Path,
        sentences: int = 4,
        limit: int = 100,
        processes: int = 1,
        budget: int = 0,
        ends_at: str | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self.metrics = metrics or Metrics()
        self.started: list[FakeProcess] = []
        self.ends_at = ends_at
        self.refusal: UserError | None = None
        served = [
            ServedModel(
                folder.name,
                ModelSettings(model=str(folder), engine=ServingEngine.native, decoding={}),
                queue=BatchQueue(sentences=sentences, limit=limit),
                processes=processes,
                metrics=self.metrics,
                start=self.start,  # type: ignore[arg-type]
            )
            for folder in folders
        ]
        self.models = ModelPool(served, budget=budget)

    async def start(self, settings: ModelSettings) -> FakeProcess:
        if self.refusal is not None:
            raise self.refusal
        self.started.append(FakeProcess(self.ends_at))
        return self.started[-1]


@cache
def detector_of(*languages: str) -> LanguageDetector:
    """The detector among languages, which takes a second to load."""
    return LanguageDetector(languages)


def fake_app(
    *folders: Path,
    limits: LimitConfig | None = None,
    keys: Sequence[ApiKey] = (),
    require_key: bool = False,
    origins: Sequence[str] = (),
    log: io.StringIO | None = None,
    samples: TextIO | None = None,
    **models: Any,
) -> FastAPI:
    """The application of a service of fake models."""
    limits, metrics = limits or LimitConfig(), Metrics()
    fake = FakeModels(*folders, metrics=metrics, limit=limits.queue, **models)
    service = Service(
        models=fake.models,
        access=Access(list(keys), limits, require_key=require_key),
        limits=limits,
        metrics=metrics,
        detector=detector_of(*(source for model in fake.models for source, _ in model.current.directions)),
    )

    records = RequestLog(log or io.StringIO(), samples=samples, share=1.0)
    app = make_app(service, records, origins=list(origins), reload_seconds=0, preload=True)
    app.state.fake = fake
    return app
