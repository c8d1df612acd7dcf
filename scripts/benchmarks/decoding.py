"""Decoding: throughput of all sentences, latency of one at a time, and the start of a process to its first translation.

Search alone is timed, each system at its best setting; of start-up, everything.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.protocol import Message, version_of
from benchmarks.report import OURS, STATISTICS, summarise
from benchmarks.session import SYSTEMS, Session, System, Worker, choose
from translate.device import Device, capabilities, choose_device
from translate.errors import UserError
from translate.evaluation.metrics import score
from translate.evaluation.scores import MetricName
from translate.evaluation.tokenizers import choose_tokenizer
from translate.exporting.ctranslate2_model import converted_model
from translate.model_directory import find_model, read_origin
from translate.text import normalise, read_lines, write_lines

_BATCH_SENTENCES = (16, 32, 64, 128)
_BATCH_TOKENS = (512, 1024, 2048, 4096)

converted = cache(converted_model)  # which may hold a temporary folder


def add_options(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    parser.add_argument("--model", type=Path, required=required, help="a model directory, or a run's folder")
    parser.add_argument("--source", type=Path, required=required, help="the source side of a test set")
    parser.add_argument("--reference", type=Path, required=required, help="its other side")
    parser.add_argument("--beam", type=int, default=5, help="latency is measured with greedy search as well")
    parser.add_argument("--limit", type=int, default=0, help="only so many sentences; 0: all, for latency 100")
    parser.add_argument("--rounds", type=int, default=5)


def run(arguments: argparse.Namespace, session: Session) -> None:
    """Throughput; or latency, which is measured of one sentence at a time, with greedy search as well."""
    systems = choose("decoding", arguments.systems or default_systems(arguments.device))
    base = model_settings(arguments, session)
    one_by_one = session.part == "latency"
    unit = "median ms" if one_by_one else "sentences/s"
    session.headings = ("system", "beam", unit, *STATISTICS, "BLEU", "same lines as ours", "setting")
    with session.workers(systems, lambda system: settings_of(system, base)) as workers:
        for beam in (arguments.beam, 1) if one_by_one else (arguments.beam,):
            request = {"beam": beam, "limit": arguments.limit or 100 * one_by_one, "one_by_one": one_by_one}
            best: dict[str, Message] = {}
            for name, worker in workers.items():
                with session.leaving_out(name):
                    best[name] = best_setting(candidates(systems[name], session.threads, one_by_one), worker, request)
            _measure(session, workers, best, request, arguments)
    session.notes.append(
        "Sentences are encoded before and decoded after what is timed. The best setting of each system was chosen on "
        f"some of them; default: there was no choice. The translations are in {session.output}."
    )


def default_systems(device: str) -> list[str]:
    """All systems, without bf16 where the machine would emulate it."""
    has_bf16 = capabilities(choose_device(Device(device))).bf16_matmul
    return [name for name, system in SYSTEMS["decoding"].items() if has_bf16 or system.settings["precision"] != "bf16"]


def model_settings(arguments: argparse.Namespace, session: Session) -> Message:
    """The settings of every decoding worker; writes the token ids. Raises UserError for files that do not match."""
    model, path = find_model(arguments.model), session.output / "sentences.json"
    tokenizer, _ = read_origin(model)
    source, references = list(read_lines(arguments.source)), list(read_lines(arguments.reference))
    if len(source) != len(references):
        raise UserError(f"{arguments.source} has {len(source)} lines, {arguments.reference} has {len(references)}")
    sentences = tokenizer.encode_source([normalise(line, tokenizer.text_form).strip() for line in source])
    if [] in sentences:
        blank = f"line {sentences.index([]) + 1} is blank"
        raise UserError(f"--source {arguments.source}: {blank}; leave out blank lines, on both sides")
    path.write_text(json.dumps(sentences))
    session.results["work"] = {"model": str(model), "source": str(arguments.source), "sentences": len(sentences)}
    where = {"threads": session.threads, "device": arguments.device}
    return {"task": "decode", "model": str(model), "sentences": str(path)} | where


def settings_of(system: System, base: Message) -> Message:
    """The settings of a worker, with the model in the format of CTranslate2 for that."""
    is_converted = system.adapter == "ctranslate2"
    return base | ({"converted": str(converted(Path(base["model"])).directory)} if is_converted else {})


def candidates(system: System, threads: int, one_by_one: bool) -> list[Message]:
    """The settings from which each system's best is chosen. What ours has to know by itself is not among them."""
    if system.adapter == "ctranslate2":
        shares = {(1, 1), (1, threads)} if one_by_one else {(threads, 1), (1, threads)}
        names = ("inter_threads", "intra_threads", "sentences")
        sizes = [0] if one_by_one else _BATCH_SENTENCES  # 0: the batch as it is
        return [dict(zip(names, (*share, size), strict=True)) for share, size in product(sorted(shares), sizes)]
    if one_by_one or system.settings.get("engine") == "ctranslate2":
        return [{}]
    name, sizes = ("batch_tokens", _BATCH_TOKENS) if system.adapter == "ours" else ("sentences", _BATCH_SENTENCES)
    return [{name: size} for size in sizes]


def best_setting(settings: Sequence[Message], worker: Worker, request: Message) -> Message:
    """The fastest of the settings on some of the sentences."""
    most = 20 if request["one_by_one"] else 200

    def cost(setting: Message) -> float:
        worker.ask({**request, "setting": setting, "limit": 4})  # warms up
        return _seconds(worker.ask({**request, "setting": setting, "limit": min(most, request["limit"] or most)}))

    return min(settings, key=cost)


def _measure(
    session: Session,
    workers: Mapping[str, Worker],
    settings: Mapping[str, Message],
    request: Message,
    arguments: argparse.Namespace,
) -> None:
    """With one beam size: measure all systems in turns, each at its setting, and score their translations."""
    outputs: dict[str, list[list[int]]] = {}

    def measure(name: str) -> float:
        answer = workers[name].ask({**request, "setting": settings[name], "outputs": name not in outputs})
        outputs.setdefault(name, answer.get("outputs", []))
        return 1000 * _seconds(answer) if request["one_by_one"] else answer["sentences"] / _seconds(answer)

    values = session.take_turns(settings, arguments.rounds, measure)
    tokenizer, _ = read_origin(find_model(arguments.model))
    references = list(read_lines(arguments.reference))
    tokenize = choose_tokenizer([references], language="").name
    for name, summary in summarise(values).items():
        lines = tokenizer.decode_target(outputs[name])
        write_lines(session.output / f"{name}.beam-{request['beam']}.txt", lines)
        scores = score(lines, [references[: len(lines)]], metrics=[MetricName.bleu], tokenize=tokenize)
        same = same_lines(outputs[OURS], outputs[name]) if OURS in values else None
        found = {"bleu": scores[MetricName.bleu].value, "same_lines": same, "setting": described(settings[name])}
        cells = (f"{found['bleu']:.2f}", None if same is None else f"{same:.1%}", found["setting"])
        session.rows.append((name, request["beam"], *summary.values(), *cells))
        session.results[f"{name}, beam {request['beam']}"] = summary | found | {"rounds": values[name]}


def _seconds(answer: Message) -> float:
    """Seconds of the batch of all sentences, or of a typical one if each was a batch."""
    return float(median(answer["seconds"]))


def described(setting: Mapping[str, Any]) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in setting.items()) or "default"


def same_lines(ours: Sequence[Any], other: Sequence[Any]) -> float:
    """The share of sentences with the same tokens."""
    return sum(a == b for a, b in zip(ours, other, strict=True)) / len(ours)


def run_startup(arguments: argparse.Namespace, session: Session) -> None:
    """Seconds from the start of a process to its first translation on standard output."""
    systems = choose("startup", arguments.systems)
    base = model_settings(arguments, session) | {"task": "translate_line", "line": next(read_lines(arguments.source))}
    settings: dict[str, Message] = {}
    said: dict[str, str] = {}

    def measure(name: str) -> float:
        started = time.perf_counter()
        worker, said[name] = first_translation(name, systems[name], settings[name], session)
        seconds = time.perf_counter() - started
        worker.close()
        return seconds

    for name, system in systems.items():
        with session.leaving_out(name):
            settings[name] = settings_of(system, base)
            if name == "huggingface":
                settings[name] |= {"converted": str(session.output / "huggingface-model")}
                session.start(name, system, settings[name] | {"task": "convert"})[0].close()
            measure(name)  # afterwards all files are in memory
    session.headings = ("system", "seconds", *STATISTICS, "translation")
    values = session.take_turns(said, arguments.rounds, measure)
    for name, summary in summarise(values).items():
        session.rows.append((name, *summary.values(), said[name]))
        session.results[name] = summary | {"rounds": values[name], "translation": said[name]}
    session.notes.append("Beam 5, one line, imports and loading included; every file had been read once before.")


def first_translation(name: str, system: System, settings: Message, session: Session) -> tuple[Worker, str]:
    """A new process and its translation. It gets one line and no end of input, which it must not wait for."""
    if system.peer:
        worker, ready = session.start(name, system, settings)
        return worker, ready["translation"]
    options = {"model": settings["model"], "threads": session.threads, **system.settings}
    command = [sys.executable, "-m", "translate.decode", *(f"{key}={value}" for key, value in options.items())]
    worker = session.process(name, command, ours=True)
    session.versions[name] = f"{version_of('translate-seq2seq', 'torch')}; {system.note}"
    return worker, worker.exchange(settings["line"])
