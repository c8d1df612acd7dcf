"""python -m translate.export: a model for another runtime, and both compared on the same lines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from translate import __version__
from translate.config import run_command
from translate.console import text_table
from translate.data.corpora import ParallelText
from translate.decoding.config import DecodingConfig, EngineName, SearchConfig
from translate.decoding.search.config import describe_search, search_of
from translate.device import Device, Precision, require_threads
from translate.engines import load_translator
from translate.errors import UserError, require_at_least, require_numbers
from translate.evaluation.metrics import score
from translate.evaluation.run_scoring import RunScoring
from translate.evaluation.scores import MetricName
from translate.evaluation.tokenizers import tokenizer_of_record
from translate.exporting.lines_to_compare import given_lines, lines_of_run
from translate.files import write_json
from translate.model_directory import EXPORT_REPORT, content_hash, find_model, read_manifest
from translate.monitoring.baseline import copy_baselines

if TYPE_CHECKING:
    from translate.checkpoint import LoadedModel  # which imports PyTorch

_SHOWN_DIFFERENCES = 10  # in export.json


class ExportFormat(StrEnum):
    ctranslate2 = "ctranslate2"
    huggingface = "huggingface"
    onnx = "onnx"
    argos = "argos"


@dataclass(kw_only=True)
class ExportConfig:
    """Convert a model for another runtime; translate some lines with both, and compare.

    Example: python -m translate.export model=runs/mine output=exports/mine format=ctranslate2 quantization=int8

    model         a run's folder or a model directory
    output        folder of the export; only an earlier export is replaced
    format        ctranslate2; huggingface: for AutoModelForSeq2SeqLM and AutoTokenizer; onnx: graphs for onnxruntime;
                  argos: a package for Argos Translate and LibreTranslate
    quantization  "": 32 bits. ctranslate2, argos: int8, int16, float16 … as CTranslate2 names them; onnx: int8
    lines         number of lines to translate with both; 0: convert only
    source, reference  files of these lines and their references; "": the test set of the model's run
    source_language, target_language  codes for format=argos; "": the model's
    push          format=huggingface: publish in this repository of the Hugging Face hub, such as me/en-de; "": no
    threads       of the CPU; 0: as many as the runtimes take by themselves
    """

    model: str = "???"
    output: str = "???"
    format: ExportFormat = ExportFormat.ctranslate2
    quantization: str = ""
    lines: int = 200
    source: str = ""
    reference: str = ""
    source_language: str = ""
    target_language: str = ""
    push: str = ""
    threads: int = 0

    def check(self) -> None:
        """Raise UserError for values out of range or that do not go together, before a model is loaded."""
        require_numbers(self)
        require_at_least("lines", self.lines, 0)
        require_threads("threads", self.threads)
        if self.reference and not self.source:
            raise UserError(f"reference={self.reference} is of a source text: set source=… as well")
        if self.quantization and self.format is ExportFormat.huggingface:
            raise UserError(f"quantization={self.quantization}: format=huggingface has 32 bits only")
        if self.push and self.format is not ExportFormat.huggingface:
            raise UserError(f"push={self.push} is for format=huggingface")


@dataclass(frozen=True)
class ExportComparison:
    """Translations of the same lines by the original (before) and the export (after).

    bleu       of both; None without references
    signature  of BLEU
    """

    source: list[str]
    before: list[str]
    after: list[str]
    bleu: tuple[float, float] | None = None
    signature: str = ""

    @property
    def exact(self) -> int:
        return sum(before == after for before, after in zip(self.before, self.after, strict=True))

    def table(self) -> str:
        rows = [["exact matches", f"{self.exact:,} of {len(self.before):,} ({self.exact / len(self.before):.1%})"]]
        if self.bleu:
            before, after = self.bleu
            rows.append(["BLEU", f"{before:.2f} → {after:.2f} ({after - before:+.2f})  {self.signature}"])
        return text_table(rows)

    def report(self) -> dict[str, Any]:
        """Values for export.json, and the first lines that differ."""
        lines = zip(self.source, self.before, self.after, strict=True)
        different = [{"source": line, "model": one, "export": two} for line, one, two in lines if one != two]
        bleu = {"model": self.bleu[0], "export": self.bleu[1], "signature": self.signature} if self.bleu else None
        return {
            "lines": len(self.before),
            "exact_matches": self.exact,
            "bleu": bleu,
            "bleu_difference": self.bleu[1] - self.bleu[0] if self.bleu else None,
            "differences": different[:_SHOWN_DIFFERENCES],
        }


def export(config: ExportConfig) -> ExportComparison | None:
    """Convert a model, compare the export with it unless lines=0, and write export.json into the export."""
    config.check()
    runtime, output = RUNTIMES[config.format], Path(config.output)
    model = find_model(Path(config.model))
    text = read_lines_to_compare(config, model)  # before the conversion: a missing file must not cost it
    if config.push:
        from translate.exporting.model_card import push, require_login

        require_login(config.push)
    convert(config, runtime)
    if config.format in (ExportFormat.ctranslate2, ExportFormat.onnx):  # which translate.serve runs
        copy_baselines(model, output)
    report = {
        "format": config.format.value,
        "quantization": config.quantization,
        "model": content_hash(config.model),
        "versions": {"translate": __version__, **{name: metadata.version(name) for name in runtime.packages}},
    }
    # of the export alone: export.json is not written yet
    size = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    print(f"{config.format}: {config.output}, {size / 1e6:,.1f} MB")
    comparison = None
    if text is not None:
        search = runtime.search or search_of(read_manifest(model)) or SearchConfig()
        comparison = compare(config, runtime, text, search)
        print(f"{text.name}: {describe_search(search)}\n{comparison.table()}")
        report |= {"text": text.name, "search": describe_search(search), **comparison.report()}
    write_json(output / EXPORT_REPORT, report)
    if config.push:
        print(push(output, config.push))
    return comparison


def read_lines_to_compare(config: ExportConfig, model: Path) -> ParallelText | None:
    """The first lines of the files that are named, or of the run's test set; None for lines=0."""
    if not config.lines:
        return None
    text = given_lines(config.source, config.reference) if config.source else lines_of_run(Path(config.model))
    if text is None:
        raise UserError(
            f"model={config.model}: the test set of its run is not known here: set source=… and reference=…, or "
            "lines=0 to convert without comparing"
        )
    references = [reference[: config.lines] for reference in text.references]
    return replace(
        text, source=text.source[: config.lines], target=references[0], further_references=references[1:], labels=None
    )


def convert(config: ExportConfig, runtime: Runtime) -> None:
    """Write the export."""
    import torch  # here alone: --help needs none

    from translate.checkpoint import load_model

    runtime.convert(load_model(config.model, device=torch.device("cpu")), config)


def compare(config: ExportConfig, runtime: Runtime, text: ParallelText, search: SearchConfig) -> ExportComparison:
    """Translate the lines with the model in fp32, as engine=native does, and with the export; score both."""
    native = DecodingConfig(precision=Precision.fp32, device=Device.cpu, threads=config.threads, search=search)
    translator = load_translator(config.model, native)
    # the tag of the model's direction, which other runtimes do not add by themselves
    source = [translator.tagging.put_in_front(line) for line in text.source]
    before = [translation.text for translation in translator.translate(source)]
    comparison = ExportComparison(source, before, runtime.translate(config, source, search))
    if not text.target:
        return comparison
    run = RunScoring.of(translator.manifest)
    choice = tokenizer_of_record(text.references, recorded=run.tokenize, target_language=run.target_language)
    bleu = [
        score(lines, text.references, metrics=[MetricName.bleu], tokenize=choice.name)[MetricName.bleu]
        for lines in (before, comparison.after)
    ]
    return replace(comparison, bleu=(bleu[0].value, bleu[1].value), signature=bleu[0].signature)


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """A runtime to convert for.

    convert    writes the export
    translate  decodes lines with the export, by a search
    search     the only search of the runtime; None: it has the search of the run
    packages   distributions whose versions are recorded
    """

    convert: Callable[[LoadedModel, ExportConfig], None]
    translate: Callable[[ExportConfig, list[str], SearchConfig], list[str]]
    packages: tuple[str, ...]
    search: SearchConfig | None = None


def to_ctranslate2(loaded: LoadedModel, config: ExportConfig) -> None:
    from translate.exporting.ctranslate2_converter import export_ctranslate2

    export_ctranslate2(loaded, Path(config.output), quantization=config.quantization or None)


def to_huggingface(loaded: LoadedModel, config: ExportConfig) -> None:
    from translate.exporting.huggingface import export_huggingface

    export_huggingface(loaded, Path(config.output))


def to_onnx(loaded: LoadedModel, config: ExportConfig) -> None:
    from translate.exporting.onnx_converter import export_onnx

    export_onnx(loaded, Path(config.output), quantization=config.quantization or None)


def to_argos(loaded: LoadedModel, config: ExportConfig) -> None:
    from translate.exporting.argos_package import export_argos

    export_argos(
        loaded,
        Path(config.output),
        quantization=config.quantization or None,
        source_language=config.source_language,
        target_language=config.target_language,
    )


def by_engine(engine: EngineName) -> Callable[[ExportConfig, list[str], SearchConfig], list[str]]:
    """Decoding of an export by an engine of this package."""

    def translate(config: ExportConfig, lines: list[str], search: SearchConfig) -> list[str]:
        # int8_float16 and the like have products of 8 bits; weights of other kinds are computed with in fp32 here
        is_int8 = config.quantization.startswith("int8")
        precision = Precision.int8 if is_int8 else Precision.fp32
        settings = DecodingConfig(
            engine=engine, precision=precision, device=Device.cpu, threads=config.threads, search=search
        )
        return [found.text for found in load_translator(config.output, settings).translate(lines)]

    return translate


def by_argos(config: ExportConfig, lines: list[str], search: SearchConfig) -> list[str]:
    from translate.exporting.argos_package import package_in, translate_like_argos

    return translate_like_argos(package_in(Path(config.output)), lines, search, threads=config.threads)


def by_transformers(config: ExportConfig, lines: list[str], search: SearchConfig) -> list[str]:
    from translate.exporting.huggingface import translate_by_transformers

    return translate_by_transformers(Path(config.output), lines, search)


RUNTIMES: dict[ExportFormat, Runtime] = {
    ExportFormat.ctranslate2: Runtime(
        convert=to_ctranslate2, translate=by_engine(EngineName.ctranslate2), packages=("ctranslate2",)
    ),
    ExportFormat.huggingface: Runtime(
        convert=to_huggingface, translate=by_transformers, packages=("transformers", "tokenizers")
    ),
    ExportFormat.onnx: Runtime(
        convert=to_onnx, translate=by_engine(EngineName.onnx), packages=("onnx", "onnxruntime", "onnxscript")
    ),
    ExportFormat.argos: Runtime(
        convert=to_argos,
        translate=by_argos,
        packages=("ctranslate2",),
        search=SearchConfig(beam_size=4, length_penalty=0.2, min_length=1),  # of which only the beam can be set
    ),
}


if __name__ == "__main__":
    run_command("export", ExportConfig, export)
