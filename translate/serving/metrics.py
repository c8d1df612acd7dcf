"""Metrics of the service for Prometheus: requests, queues, batches, tokens, warnings, processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from translate.serving.batching import Record

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_LINES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """All metrics; their names are those that the alert rules and the dashboard in deploy/ use."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        of_all: dict[str, Any] = {"registry": self.registry}
        of_models: dict[str, Any] = {"registry": self.registry, "labelnames": ["model"]}
        self.requests = Counter(
            "translate_requests", "Requests that were answered", ["route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "translate_request_seconds", "Time to the end of an answer", ["route"], buckets=_SECONDS, **of_all
        )
        self.in_progress = Gauge("translate_requests_in_progress", "Requests being answered", **of_all)
        self.characters = Counter("translate_characters", "Source characters that were accepted", **of_all)
        self._queued = Gauge("translate_queue_lines", "Lines that wait", **of_models)
        self._loaded = Gauge("translate_model_loaded", "1: the model is loaded", **of_models)
        self._memory = Gauge("translate_model_memory_bytes", "Memory of a model's processes", **of_models)
        self._batches = Histogram("translate_batch_lines", "Lines of a batch", buckets=_LINES, **of_models)
        self._batch_seconds = Histogram("translate_batch_seconds", "Time of a batch", buckets=_SECONDS, **of_models)
        self._source_tokens = Counter("translate_source_tokens", "Tokens that were read", **of_models)
        self._target_tokens = Counter("translate_target_tokens", "Tokens that were written", **of_models)
        self._flags = Counter(
            "translate_flags", "Warnings about translations", ["model", "flag"], registry=self.registry
        )
        self._process_ends = Counter("translate_process_ends", "Processes of models that ended", **of_models)

    def batch_done(self, model: str, records: Sequence[Record], seconds: float) -> None:
        """Count a batch of a model."""
        self._batches.labels(model).observe(len(records))
        self._batch_seconds.labels(model).observe(seconds)
        self._source_tokens.labels(model).inc(sum(record["features"]["source_tokens"] for record in records))
        self._target_tokens.labels(model).inc(sum(record["features"]["target_tokens"] for record in records))
        for record in records:
            for flag in record["flags"]:
                self._flags.labels(model, flag).inc()

    def process_ended(self, model: str) -> None:
        """Count a model's process that has ended by itself."""
        self._process_ends.labels(model).inc()

    def set_model(self, model: str, *, queued: int, is_loaded: bool, memory: int) -> None:
        """Set the state of a model: lines that wait, and bytes of its processes."""
        self._queued.labels(model).set(queued)
        self._loaded.labels(model).set(is_loaded)
        self._memory.labels(model).set(memory if is_loaded else 0)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
