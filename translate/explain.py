"""python -m translate.explain: pages and pictures of what a model attends to, sentence by sentence."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from translate.checkpoint import LoadedModel
from translate.config import run_command
from translate.console import Progress, print_notes, start_log
from translate.decoding.config import DecodingConfig
from translate.decoding.native_engine import NativeEngine
from translate.decoding.segmentation import Segment
from translate.decoding.translator import Translator
from translate.engines import open_native
from translate.errors import UserError
from translate.explaining.explanation import Explanation, explain_pair
from translate.explaining.rendering import index_page, page_name, save_picture, sentence_page
from translate.files import write_text
from translate.folders import claimed
from translate.tags import Tagging, tagging_of
from translate.text import normalise, read_lines


def explain(config: ExplainConfig) -> None:
    start_log()
    config.search.check()
    if config.engine != "native":
        raise UserError(f"engine={config.engine}: only engine=native shows its attention")
    loaded, engine = open_native(config.model, config)
    explanations = explain_files(loaded, engine, config)
    ignoring = sum(bool(each.ignored) for each in explanations)
    pages = Path(config.output) / "index.html"
    print(f"{len(explanations):,} sentences, {ignoring:,} with ignored source tokens: {pages}")


logger = logging.getLogger("translate.explain")


@dataclass(kw_only=True)
class ExplainConfig(DecodingConfig):
    """The explain command: a page and a picture for every line, of what the model attends to and how sure it is.

    model       a run's folder or a model directory
    input       a file of source sentences
    target      a file of translations to be explained in the place of the model's own; "" for none
    output      the folder of the pages, index.html among them
    lines       how many lines of the input; 0: all
    max_pieces  longer sentences are left out: nobody can read their maps
    """

    model: str = "???"
    input: str = "???"
    target: str = ""
    output: str = "explanations"
    lines: int = 50
    max_pieces: int = 60


def explain_files(loaded: LoadedModel, engine: NativeEngine, config: ExplainConfig) -> list[Explanation]:
    """Write the pages. Raises UserError for files or a model that have nothing to be explained."""
    with claimed(Path(config.output), ["index.html", page_name(1), "0001.png"], kind="explanations", option="output"):
        return _write_pages(loaded, engine, config)


def _write_pages(loaded: LoadedModel, engine: NativeEngine, config: ExplainConfig) -> list[Explanation]:
    pairs = _pairs(loaded, engine, config)
    folder = Path(config.output)
    progress = Progress("lines", total=len(pairs))
    explanations = []
    for number, (source, target) in enumerate(pairs, start=1):
        explanation = explain_pair(loaded.model, loaded.tokenizer, source, target)
        if explanation is None:
            raise UserError(f"model={config.model} has no attention to look at")
        picture = Path(page_name(number)).with_suffix(".png")
        save_picture(explanation, folder / picture)
        page = sentence_page(explanation, number=number, count=len(pairs), picture=picture.name)
        write_text(folder / page_name(number), page)
        explanations.append(explanation)
        progress.show(number)
    progress.finish(len(pairs))
    write_text(folder / "index.html", index_page(explanations))
    return explanations


def _pairs(loaded: LoadedModel, engine: NativeEngine, config: ExplainConfig) -> list[tuple[list[int], list[int]]]:
    """Token ids of each line and of its translation, those apart that are blank or too long."""
    lines = _first_lines(config.input, config.lines)
    tagging = tagging_of(loaded.manifest, loaded.tokenizer, requested=config.tag)
    normalised = _normalised(lines, loaded)
    print_notes(tagging.note, warning=tagging.check(normalised))
    if config.target:
        sources = loaded.tokenizer.encode_source([tagging.tagged(line) for line in normalised])
        texts = _first_lines(config.target, config.lines)
        if len(texts) != len(lines):
            raise UserError(f"{config.input} has {len(lines):,} lines, but {config.target} has {len(texts):,}")
        targets = loaded.tokenizer.encode_target(_normalised(texts, loaded))
        pairs = list(zip(sources, targets, strict=True))
    else:
        sources = _segments(lines, loaded, engine, config, tagging)
        readable = [source for source in sources if 0 < len(source) <= min(config.max_pieces, engine.max_length)]
        found = engine.search([tuple(source) for source in readable], config.search)
        pairs = [(source, hypotheses[0].tokens) for source, hypotheses in zip(readable, found, strict=True)]
    chosen = [pair for pair in pairs if pair[0] and max(map(len, pair)) <= min(config.max_pieces, engine.max_length)]
    if left_out := len(sources) - len(chosen):
        logger.info(f"{left_out:,} of {len(sources):,} lines are left out: blank, or over {config.max_pieces} pieces")
    if not chosen:
        raise UserError(f"{config.input} has no line to explain")
    return chosen


def _segments(
    lines: list[str], loaded: LoadedModel, engine: NativeEngine, config: ExplainConfig, tagging: Tagging
) -> list[list[int]]:
    """Source tokens of each segment that decoding would translate; a blank line has one segment without tokens."""
    translator = Translator.of_model(
        engine,
        loaded.tokenizer,
        config.search,
        loaded.manifest,
        tagging=tagging,
        split=config.split,
        max_source_length=config.max_source_length,
    )
    return [segment.tokens for segments in translator.split(lines) for segment in segments or [Segment([])]]


def _normalised(lines: list[str], loaded: LoadedModel) -> list[str]:
    return [normalise(line, loaded.tokenizer.text_form).strip() for line in lines]


def _first_lines(path: str, count: int) -> list[str]:
    lines = list(read_lines(path))
    return lines[:count] if count else lines


if __name__ == "__main__":
    run_command("explain", ExplainConfig, explain)
