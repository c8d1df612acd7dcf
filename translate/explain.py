"""python -m translate.explain: pages and pictures of what a model attends to, sentence by sentence."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from translate.config import run_command
from translate.console import Progress, print_notes, start_log
from translate.decoding.config import DecodingConfig, EngineName, SearchMethod
from translate.decoding.native_engine import NativeEngine
from translate.decoding.segmentation import Segment
from translate.decoding.translator import Translator
from translate.engines import load_translator
from translate.errors import UserError, require_at_least
from translate.explanation import Explanation, Map, explain_pair, save_picture
from translate.files import write_text
from translate.folders import claimed
from translate.html_pages import render
from translate.text import normalise, read_lines

logger = logging.getLogger("translate.explain")
Pair = tuple[list[int], list[int]]  # source and target tokens, without EOS


@dataclass(kw_only=True)
class ExplainConfig(DecodingConfig):
    """Write a page and a picture for each line with attention maps and token probabilities.

    Example: python -m translate.explain model=runs/mine input=FILE lines=10

    Lines in capitals or Title Case are shown as the model gets them, in their usual case (case=keep: as they are), and
    so are their translations.

    model       a run's folder or a model directory; of several, model=[FIRST,SECOND], the mean of their attention
    input       a file of source sentences
    target      a file of translations to explain instead of the model's own; "": none
    output      folder for the pages, with index.html
    lines       number of lines to read from the input; 0: all
    max_pieces  longer sentences are skipped, since their maps would be unreadable
    """

    model: Any = "???"  # OmegaConf's mark of a required value
    input: str = "???"
    target: str = ""
    output: str = "explanations"
    lines: int = 50
    max_pieces: int = 60

    def check(self) -> None:
        """Raise UserError for a value out of its range, before a model is loaded."""
        super().check()
        if self.engine is not EngineName.native:
            raise UserError(f"engine={self.engine}: only engine=native shows its attention")
        if self.search.method is SearchMethod.mbr or self.rerank.models:
            option = "rerank" if self.rerank.models else "search.method=mbr"
            raise UserError(
                f"{option} compares whole translations; write them by decode, and explain them by target=FILE"
            )
        self.refuse_constraints("write such translations by decode, and explain them by target=FILE")
        require_at_least("lines", self.lines, 0)
        require_at_least("max_pieces", self.max_pieces, 1)


def explain(config: ExplainConfig) -> None:
    """Explain the translations of a file's first lines in the folder config.output."""
    start_log()
    config.check()
    explanations = explain_files(load_translator(config.model, config), config)
    ignoring = sum(bool(each.ignored) for each in explanations)
    pages = Path(config.output) / "index.html"
    noun = "sentence" if len(explanations) == 1 else "sentences"
    print(f"{len(explanations):,} {noun}, {ignoring:,} with ignored source tokens: {pages}")


def explain_files(translator: Translator, config: ExplainConfig) -> list[Explanation]:
    """Write a page and a picture for every sentence, and an index.

    Raises UserError for files without a line to explain, and for a model without attention.
    """
    engine, folder = translator.engine, Path(config.output)
    assert isinstance(engine, NativeEngine), "ExplainConfig.check() refuses others"
    with claimed(folder, ["index.html", page_name(1), "0001.png"], kind="explanations", option="output"):
        pairs = read_pairs(translator, config)
        progress = Progress("lines", total=len(pairs))
        explanations = []
        for number, (source, target) in enumerate(pairs, start=1):
            explanation = explain_pair(engine.model, translator.tokenizer, source, target)
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


def read_pairs(translator: Translator, config: ExplainConfig) -> list[Pair]:
    """Token ids of the sentences to explain and of their translations, without blank and too long ones.

    Raises UserError where none is left, or where config.target has not as many lines as config.input.
    """
    lines = _first_lines(config.input, config)
    print_notes(translator.tagging.note, warning=translator.tagging.check(_normalised(lines, translator)))
    # the picture and the model both have a limit
    max_length = min(config.max_pieces, translator.engine.max_length)
    if config.target:
        pairs = _given_pairs(lines, translator, config)
    else:
        pairs = _translated_pairs(lines, translator, max_length)
    readable = [pair for pair in pairs if pair[0] and max(map(len, pair)) <= max_length]
    if left_out := len(pairs) - len(readable):
        logger.info(f"{left_out:,} of {len(pairs):,} lines are left out: blank, or over {config.max_pieces} pieces")
    if not readable:
        raise UserError(f"{config.input} has no line to explain")
    return readable


def _given_pairs(lines: list[str], translator: Translator, config: ExplainConfig) -> list[Pair]:
    """Each line with the translation in config.target."""
    targets = _first_lines(config.target, config)
    if len(targets) != len(lines):
        raise UserError(f"{config.input} has {len(lines):,} lines, but {config.target} has {len(targets):,}")
    written = translator.tokenizer.encode_target(_normalised(targets, translator))
    return list(zip(translator.encode_whole(lines), written, strict=True))


def _translated_pairs(lines: list[str], translator: Translator, max_length: int) -> list[Pair]:
    """Each segment that decoding would translate, with the model's translation; [] for one that is not explained."""
    # a blank line counts as one segment without tokens
    sources = [segment.tokens for segments in translator.split(lines) for segment in segments or [Segment([])]]
    readable = [tuple(source) for source in sources if 0 < len(source) <= max_length]
    # one call for all sentences keeps the batches full
    found = dict(zip(readable, translator.engine.search(readable, translator.search), strict=True))
    return [(source, found[tuple(source)][0].tokens if tuple(source) in found else []) for source in sources]


def _normalised(lines: list[str], translator: Translator) -> list[str]:
    return [normalise(line, translator.tokenizer.text_form).strip() for line in lines]


def _first_lines(path: str, config: ExplainConfig) -> list[str]:
    lines = list(read_lines(path))
    return lines[: config.lines] if config.lines else lines


_TITLES = {"encoder": "Encoder self-attention", "decoder": "Decoder self-attention", "cross": "Cross-attention"}


def sentence_page(explanation: Explanation, *, number: int, count: int, picture: str) -> str:
    """The page of one sentence; number counts from 1, picture is the name of its PNG file."""
    source_x, source_width = _centres(explanation.source)
    target_x, target_width = _centres(explanation.target)
    return render(
        "sentence.html.jinja",
        explanation=explanation,
        number=number,
        count=count,
        picture=picture,
        page_name=page_name,
        titles=_TITLES,
        visible_weights=_visible_weights,
        source_x=source_x,
        target_x=target_x,
        links_width=max(source_width, target_width),
    )


def index_page(explanations: Sequence[Explanation]) -> str:
    """The page of all sentences, each with its score and ignored source tokens."""
    return render("index.html.jinja", explanations=explanations, page_name=page_name)


def page_name(number: int) -> str:
    """File name of a sentence's page; number counts from 1."""
    return f"{number:04d}.html"


def _visible_weights(weights: Map, least: float) -> list[tuple[int, int, str]]:
    """Row, column and value, with two decimals, of each weight of at least `least`."""
    rows, columns = np.nonzero(weights >= least)
    values = [f"{weight:.2f}" for weight in weights[rows, columns].tolist()]
    return list(zip(rows.tolist(), columns.tolist(), values, strict=True))


def _centres(pieces: Sequence[str]) -> tuple[list[float], int]:
    """Pixels of the centres of pieces in a row, and its width; a letter takes 9 pixels."""
    widths = [max(24, 9 * len(piece) + 12) for piece in pieces]
    return [end - width / 2 for end, width in zip(accumulate(widths), widths, strict=True)], sum(widths)


if __name__ == "__main__":
    run_command("explain", ExplainConfig, explain)
