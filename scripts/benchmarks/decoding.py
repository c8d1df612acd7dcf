"""Decoding speed: sentences per second of search alone, each system at its best setting, with its BLEU."""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.protocol import AbsentError, WorkerProcess
from benchmarks.report import Report
from benchmarks.rounds import summarise
from benchmarks.session import OURS, Session, System, choose
from translate.device import Device, capabilities, choose_device
from translate.errors import UserError
from translate.evaluation.metrics import score
from translate.evaluation.scores import MetricName
from translate.evaluation.tokenizers import choose_tokenizer
from translate.model_directory import find_model, read_origin
from translate.text import normalise, read_lines, write_lines
from translate.tokenizer import Tokenizer

FP32, BF16 = {"precision": "fp32"}, {"precision": "bf16"}
NATIVE, CTRANSLATE2 = {"engine": "native"}, {"engine": "ctranslate2"}
SYSTEMS = {
    OURS: System("ours_decoding", settings=NATIVE | {"precision": "auto"}),
    "ours-fp32": System("ours_decoding", settings=NATIVE | FP32),
    "ours-bf16": System("ours_decoding", settings=NATIVE | BF16),
    "ours-ctranslate2": System("ours_decoding", settings=CTRANSLATE2 | FP32),
    "ours-ctranslate2-int8": System("ours_decoding", settings=CTRANSLATE2 | {"precision": "int8"}),
    "huggingface": System("huggingface_decoding", "huggingface", FP32),
    "huggingface-bf16": System("huggingface_decoding", "huggingface", BF16),
    "ctranslate2": System("ctranslate2_decoding", "ctranslate2", {"compute_type": "float32"}),
    "ctranslate2-int8": System("ctranslate2_decoding", "ctranslate2", {"compute_type": "int8"}),
}
_TRIED_SENTENCES = 200
_BATCH_SENTENCES = (16, 32, 64, 128)


@dataclass
class Text:
    """A model's test set: source ids of each sentence, and the references."""

    tokenizer: Tokenizer
    sentences: list[list[int]]
    references: list[str]

    def bleu(self, lines: Sequence[str]) -> float:
        references = [self.references[: len(lines)]]
        tokenize = choose_tokenizer([self.references], language="").name
        return score(lines, references, metrics=[MetricName.bleu], tokenize=tokenize)[MetricName.bleu].value


def add_options(parser: argparse.ArgumentParser) -> None:
    add_model_options(parser)
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5, help="of translating all sentences with every system")
    parser.add_argument("--limit", type=int, default=0, help="only so many sentences; 0: all")


def add_model_options(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    parser.add_argument("--model", type=Path, required=required, help="a model directory, or a run's folder")
    parser.add_argument("--source", type=Path, required=required, help="the source side of a test set")
    parser.add_argument("--reference", type=Path, required=required, help="its other side")


def run(arguments: argparse.Namespace, session: Session) -> Report:
    systems = choose(SYSTEMS, arguments.systems or default_systems(arguments.device))
    text = read_text(arguments)
    base = model_settings(arguments, session, text)
    outputs: dict[str, list[list[int]]] = {}
    with session.workers(systems, lambda name: prepared_for(name, systems[name], base, session)) as workers:
        request = {"beam": arguments.beam, "limit": arguments.limit}
        best = best_settings(workers, systems, session, request)

        def measure(name: str) -> float:
            answer = workers[name].ask({**request, "setting": best[name], "outputs": name not in outputs})
            outputs.setdefault(name, answer.get("outputs", []))
            speed = answer["sentences"] / answer["seconds"]
            print(f"  {name}: {speed:.1f} sentences/s", flush=True)
            return float(speed)

        values = session.take_turns(list(best), arguments.rounds, measure)
    return _report(arguments, session, text, values, outputs, best)


def default_systems(device: str) -> list[str]:
    """All, less bf16 where the machine would only imitate it."""
    has_bf16 = capabilities(choose_device(Device(device))).bf16_matmul
    return [name for name, system in SYSTEMS.items() if has_bf16 or system.settings.get("precision") != "bf16"]


def read_text(arguments: argparse.Namespace) -> Text:
    """Raises UserError for files that do not fit each other."""
    tokenizer, _ = read_origin(find_model(arguments.model))
    source, references = list(read_lines(arguments.source)), list(read_lines(arguments.reference))
    if len(source) != len(references):
        raise UserError(f"{arguments.source} has {len(source)} lines, {arguments.reference} has {len(references)}")
    sentences = tokenizer.encode_source([normalise(line, tokenizer.text_form).strip() for line in source])
    for number, sentence in enumerate(sentences, start=1):
        if not sentence:
            raise UserError(f"{arguments.source}, line {number}: blank; the benchmark wants sentences only")
    return Text(tokenizer, sentences, references)


def model_settings(arguments: argparse.Namespace, session: Session, text: Text) -> dict[str, Any]:
    """What every decoding worker is told."""
    path = session.output.absolute() / "sentences.json"
    path.write_text(json.dumps(text.sentences))
    model = str(find_model(arguments.model).absolute())
    return {"model": model, "sentences": str(path), "threads": session.threads, "device": arguments.device}


def prepared_for(name: str, system: System, base: Mapping[str, Any], session: Session) -> dict[str, Any]:
    """The settings of a worker, with the model in its own format. Raises AbsentError if it cannot be converted."""
    if system.peer != "ctranslate2":
        return dict(base)
    converted = session.output.absolute() / "ctranslate2-model"
    session.python(system)  # so that the environment is there
    settings = {
        "model": base["model"],
        "converted": str(converted),
        "environment": str(session.environments / "ctranslate2"),
    }
    export = session.start(f"{name}-export", System("ours_export"), settings)
    export.close()
    session.versions.pop(f"{name}-export")
    return {**base, "converted": str(converted)}


def candidates(system: System, threads: int) -> list[dict[str, int]]:
    """The settings among which each system's best is looked for. What ours has to know by itself is not among them."""
    if system.module == "huggingface_decoding":
        return [{"sentences": sentences} for sentences in _BATCH_SENTENCES]
    if system.module == "ctranslate2_decoding":
        shares = sorted({(threads, 1), (1, threads)})
        return [
            {"inter_threads": inter, "intra_threads": intra, "sentences": sentences}
            for (inter, intra), sentences in itertools.product(shares, _BATCH_SENTENCES)
        ]
    if system.settings["engine"] == "native":
        return [{"batch_tokens": tokens} for tokens in (512, 1024, 2048, 4096)]
    return [{}]


def best_settings(
    workers: Mapping[str, WorkerProcess], systems: Mapping[str, System], session: Session, request: Mapping[str, Any]
) -> dict[str, dict[str, int]]:
    """Each system's fastest setting on some of the sentences; those that fail are left out."""
    best = {}
    for name, worker in workers.items():
        try:
            tried = candidates(systems[name], session.threads)
            limit = min(_TRIED_SENTENCES, request["limit"] or _TRIED_SENTENCES)
            best[name] = min(
                tried, key=lambda setting: _seconds(worker, {**request, "setting": setting, "limit": limit})
            )
            print(f"  {name}: best setting {described(best[name])}", flush=True)
        except AbsentError as reason:
            session.leave_out(name, str(reason))
    return best


def _seconds(worker: WorkerProcess, request: Mapping[str, Any]) -> float:
    return float(worker.ask(request)["seconds"])


def described(setting: Mapping[str, Any]) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in setting.items()) or "default"


def same_lines(ours: Sequence[Any], other: Sequence[Any]) -> float:
    """The share of sentences whose tokens are the same."""
    return sum(a == b for a, b in zip(ours, other, strict=True)) / len(ours)


def _report(
    arguments: argparse.Namespace,
    session: Session,
    text: Text,
    values: dict[str, list[float]],
    outputs: dict[str, list[list[int]]],
    best: dict[str, dict[str, int]],
) -> Report:
    work = {"model": str(arguments.model), "source": str(arguments.source), "beam": arguments.beam}
    work["sentences"] = arguments.limit or len(text.sentences)
    report = Report("decoding", work, session.threads, versions=session.versions, absent=session.absent)
    report.headings = (
        "system",
        "sentences/s",
        "lowest",
        "highest",
        "ours / it",
        "BLEU",
        "same lines as ours",
        "setting",
    )
    for name, summary in summarise(values, ours=OURS).items():
        lines = text.tokenizer.decode_target(outputs[name])
        write_lines(arguments.output / f"{name}.txt", lines)
        bleu = text.bleu(lines)
        same = same_lines(outputs[OURS], outputs[name]) if OURS in outputs else None
        report.rows.append(
            (
                name,
                summary.median,
                summary.low,
                summary.high,
                summary.ratio_text,
                f"{bleu:.2f}",
                None if same is None else f"{same:.1%}",
                described(best[name]),
            )
        )
        report.results[name] = {**asdict(summary), "bleu": bleu, "same_lines": same, "setting": best[name]}
        report.results[name]["rounds"] = values[name]
    report.notes.append(
        f"Beam {arguments.beam}, {work['sentences']} sentences encoded before and decoded after what is timed. "
        f"The best setting of each system was looked for on {_TRIED_SENTENCES} of them; "
        f"default: nothing was tried. What each one wrote is in {arguments.output}."
    )
    return report
