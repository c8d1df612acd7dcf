"""python -m translate.serve: a translation service over HTTP, with LibreTranslate's interface and our own."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from translate.config import run_command
from translate.console import print_notes, start_log
from translate.data.corpus import one_or_several
from translate.device import Device, Precision, require_threads
from translate.errors import UserError, import_extra, require_at_least, require_between, require_numbers
from translate.serving.addresses import require_proxies
from translate.serving.config import LimitConfig, ServingEngine
from translate.signals import stop_signals

if TYPE_CHECKING:
    from translate.serving.service import Service  # which needs an extra


@dataclass(kw_only=True)
class ServeConfig:
    """Serve models over HTTP: LibreTranslate's interface, our own under /v1, and metrics.

    Examples: python -m translate.serve model=runs/mine
              python -m translate.serve model=[runs/de-en,runs/en-de] keys=keys.yaml require_key=true
              python -m translate.serve new_key=alice keys=keys.yaml

    model         folders of runs, model directories or exports; of several with one direction, the first is preferred
    host, port    address; 0.0.0.0 is every one of the machine
    engine        auto: ctranslate2 where it is installed and shown equal, else native
    device, precision, threads   as in translate.decode; threads are those of one process
    processes     of each model, which translate batches side by side
    beam_size     of the search; 0: that of the model's run
    batch_sentences   most lines that are translated in one batch
    memory        MiB of all models together; models beyond it are loaded when they are wanted, and those not used for
                  the longest time are unloaded. 0: unlimited
    preload       load models at the start
    reload_seconds    between looks at the files of models and keys, which may be replaced while it serves; 0: never
    keys          YAML file of API keys: a list of name:, sha256:, and limits of their own
    new_key       make a key of this name, print it, append its hash to the file, and end
    require_key   refuse requests without a key
    origins       of pages elsewhere that may use the service from a browser (CORS), such as https://example.org
    proxies       addresses of proxies whose header X-Forwarded-For names the client
    log           file of requests, an object a line, without any text (docs/monitoring.md); "-" is standard output, ""
                  none
    samples       file of texts and translations for people to judge; "": no text is kept
    sample_share  of requests that are sampled
    redact        replace e-mail addresses and numbers in samples
    limits        of requests
    """

    model: Any = ""  # str, or list[str]
    host: str = "127.0.0.1"
    port: int = 5000
    engine: ServingEngine = ServingEngine.auto
    device: Device = Device.auto
    precision: Precision = Precision.auto
    threads: int = 0
    processes: int = 1
    beam_size: int = 0
    batch_sentences: int = 32
    memory: int = 0
    preload: bool = True
    reload_seconds: float = 10.0
    keys: str = ""
    new_key: str = ""
    require_key: bool = False
    origins: list[str] = field(default_factory=list)
    proxies: list[str] = field(default_factory=list)
    log: str = "-"
    samples: str = ""
    sample_share: float = 0.01
    redact: bool = True
    limits: LimitConfig = field(default_factory=LimitConfig)

    def check(self) -> None:
        """Raise UserError for values out of range or that do not go together."""
        require_numbers(self)
        self.limits.check()
        if self.new_key:
            if not self.keys:
                raise UserError(f"new_key={self.new_key}: name the file that its hash is written to: keys=FILE")
            return
        if not self.model:
            raise UserError("name a model: model=runs/mine")
        if not self.host:  # which sockets take for all addresses
            raise UserError("host is empty: 127.0.0.1 is this machine alone, 0.0.0.0 every address of it")
        if self.log and self.log == self.samples:
            raise UserError(f"log={self.log}: samples names that file, too, and the log has no texts; name another one")
        require_proxies(self.proxies)
        require_between("port", self.port, 0, 65535)
        require_threads("threads", self.threads)
        for name in ("processes", "batch_sentences"):
            require_at_least(name, getattr(self, name), 1)
        for name in ("beam_size", "memory", "reload_seconds"):
            require_at_least(name, getattr(self, name), 0)
        require_between("sample_share", self.sample_share, 0, 1)
        if self.require_key and not self.keys:
            raise UserError("require_key=true needs keys=FILE")


def serve(config: ServeConfig) -> None:
    """Serve until a stop signal; requests that were accepted are answered before the end."""
    config.check()
    from translate.serving.api_keys import new_key

    if config.new_key:
        print(new_key(config.new_key, config.keys))
        return
    for name in ("fastapi", "uvicorn"):
        import_extra(name, extra="serve", purpose="translate.serve")
    from translate.serving.app import make_app
    from translate.serving.connections import raise_file_limit
    from translate.serving.request_log import RequestLog
    from translate.serving.server import Server, listen

    start_log()
    raise_file_limit(config.limits.connections)
    service = make_service(config)
    with (
        listen(config.host, config.port) as listener,
        open_log(config.log) as log,
        open_log(config.samples, mode=0o600) as samples,
        stop_signals.deferred("answering the requests that were accepted"),
    ):
        requests = RequestLog(log, samples=samples, share=config.sample_share, redacts=config.redact)
        app = make_app(
            service, requests, origins=config.origins, reload_seconds=config.reload_seconds, preload=config.preload
        )
        print_notes(describe(service, listener))
        Server(app, service, proxies=config.proxies).run(sockets=[listener])
    if service.failure is not None:
        raise service.failure


def describe(service: Service, listener: socket.socket) -> str:
    """The line at the start: models, directions, address."""
    host, port = listener.getsockname()[:2]
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    models = [
        f"{model.name} ({', '.join(f'{source} → {target}' for source, target in model.current.directions)})"
        for model in service.models
    ]
    return f"serving {', '.join(models)} at http://{address}"


def make_service(config: ServeConfig) -> Service:
    """The service of a configuration, its models not loaded yet."""
    from translate.serving.access import Access
    from translate.serving.api_keys import read_keys
    from translate.serving.batching import BatchQueue
    from translate.serving.detection import LanguageDetector
    from translate.serving.metrics import Metrics
    from translate.serving.model_pool import ModelPool
    from translate.serving.model_process import ModelSettings
    from translate.serving.served_model import ServedModel
    from translate.serving.service import Service

    metrics = Metrics()
    decoding = {"device": config.device.value, "precision": config.precision.value, "threads": config.threads}
    models = [
        ServedModel(
            name,
            ModelSettings(model=path, engine=config.engine, decoding=decoding, beam_size=config.beam_size),
            queue=BatchQueue(sentences=config.batch_sentences, limit=config.limits.queue),
            processes=config.processes,
            metrics=metrics,
        )
        for name, path in by_folder_name(one_or_several(config.model, key="model")).items()
    ]
    try:
        languages = [source for model in models for source, _ in model.current.directions]
        detector = LanguageDetector(languages)
    except UserError as error:
        print_notes(str(error))
        detector = None
    keys = read_keys(config.keys, config.limits) if config.keys else []
    return Service(
        models=ModelPool(models, budget=config.memory << 20),
        access=Access(keys, config.limits, require_key=config.require_key, file=config.keys),
        limits=config.limits,
        metrics=metrics,
        detector=detector,
    )


def by_folder_name(paths: list[str]) -> dict[str, str]:
    """Paths of models by the names of their folders, which clients see; the second of one name is NAME-2."""
    found: dict[str, str] = {}
    for path in paths:
        name = _folder_name(Path(path))
        numbered = (f"{name}-{number}" for number in count(2))
        found[next(each for each in chain([name], numbered) if each not in found)] = path
    return found


def _folder_name(path: Path) -> str:
    resolved = path.resolve()
    return resolved.parent.name if resolved.name == "best" else resolved.name


@contextmanager
def open_log(path: str, *, mode: int = 0o666) -> Iterator[TextIO | None]:
    """The stream that a log is appended to: "-" is standard output, "" none; mode: permissions of a new file."""
    if path in ("", "-"):
        yield sys.stdout if path else None
        return
    try:
        stream = open(  # noqa: SIM115 errors of the body are others
            path, "a", encoding="utf-8", opener=partial(os.open, mode=mode)
        )
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    with stream:
        yield stream


if __name__ == "__main__":
    run_command("serve", ServeConfig, serve)
