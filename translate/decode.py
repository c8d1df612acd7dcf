"""python -m translate.decode: translate a file, a document, or standard input line by line."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from translate import __version__
from translate.config import is_given, run_command
from translate.console import Progress, print_notes
from translate.data.corpus import one_or_several
from translate.data.languages import choose_direction, require_target_language
from translate.decoding.config import DecodingConfig, deciding_options
from translate.decoding.output_lines import OutputFormat, format_window
from translate.decoding.search.config import search_note, search_of
from translate.decoding.translator import Translator
from translate.documents import find_format, read_document
from translate.documents.document import Document, DocumentConfig, DocumentFormat, DocumentOptions
from translate.documents.marked_lines import TranslateLines, line_translation
from translate.documents.translation import translate_segments
from translate.engines import load_translator
from translate.errors import UserError
from translate.files import sha256
from translate.model_directory import content_hash, read_manifest
from translate.output import check_output, is_file, open_output, open_pieces
from translate.streams import discard_output, require_stream
from translate.tags import TagCount
from translate.text import STANDARD, WINDOW, count_lines, is_complete, normalise, open_input, read_lines, read_windows


@dataclass(kw_only=True)
class DecodeConfig(DecodingConfig, DocumentConfig):
    """Translate a file, a document, or standard input.

    Examples: python -m translate.decode model=runs/mine input=FILE output=FILE
              python -m translate.decode model=runs/mine input=letter.docx output=brief.docx

    model          a run's folder or a model directory; several of one vocabulary decode together: model=[FIRST,SECOND]
    input, output  files; "-" is standard input and output. The output file appears under its name when it is complete;
                   until then its name ends in .partial
    format         text: one translation a line; nbest: INDEX ||| TEXT ||| SCORE for each of the translations that the
                   search returns; json: an object a line, with scores of tokens, alignment and warnings
                   (docs/decoding.md). auto: text, but nbest where the search returns several
    progress       show progress on stderr
    resume         keep finished translations in a folder OUTPUT.resume, from which the same command continues after it
                   was killed; for files only. The folder is removed when the output is complete

    document       format of the input, whose markup is kept. auto: by file name extension (.csv, .docx, .html, .po,
                   .srt, .tmx, .xliff; .txt if hard-wrapped); none: translate line by line
    overwrite      replace translations that a document already has
    source_column, target_column   of a table: names in its header, or numbers from 1; "": found by usual names
    markup         of lines: tags, URLs, e-mail addresses and variables stay as they do in documents
    keep           regular expressions of further text that stays, such as '[A-Z]{2}-[0-9]+', of lines
    """

    model: Any = "???"  # str, or list[str]
    input: str = STANDARD
    output: str = STANDARD
    format: OutputFormat = OutputFormat.auto
    progress: bool = True
    resume: bool = False


def decode(config: DecodeConfig) -> None:
    """Translate config.input into config.output: line by line, or as a document that keeps its markup."""
    config.check()
    # before a model is loaded
    file_format = check_files(config)
    document = open_document(config, file_format) if file_format is not DocumentFormat.none else None
    if document is not None and not (config.target_language or config.tag):
        config = replace(config, target_language=document.target_language)
    translator = load_translator(config.model, config)
    require_target_language(translator.manifest, config.target_language, tag=config.tag)
    if not is_given("search"):
        print_notes(search_note(search_of(translator.manifest), config.search))
    print_notes(translator.tagging.note)
    if document is None:
        translate_files(translator, config)
    else:
        translate_document(translator, document, config)
    if translator.memory is not None:
        translator.memory.write_report()


def translate_files(translator: Translator, config: DecodeConfig) -> None:
    """Translate one file or stream into another, line by line.

    If the reader of standard output exits early (`| head`), the command ends without an error.
    """
    source = open_input(config.input)
    progress = make_progress(config, source)
    translate = line_translation(translator, config) if config.markup or config.keep else translator.translate
    try:
        if config.resume:
            with open_pieces(config.output, resume_key(translator, config)) as pieces:
                num_lines = translate_stream(
                    translator,
                    source,
                    pieces,
                    translate,
                    output_format=config.format,
                    progress=progress,
                    skip=pieces.count,
                )
        else:
            with open_output(config.output) as output:
                num_lines = translate_stream(
                    translator, source, output, translate, output_format=config.format, progress=progress
                )
    except BrokenPipeError:
        if config.output != STANDARD:
            raise UserError(f"output={config.output}: the reader of this pipe has left") from None
        discard_output(sys.stdout)
        return
    if progress:
        progress.finish(num_lines)
    print_notes(translator.describe(translator.splits))


def translate_stream(
    translator: Translator,
    source: str | BinaryIO,
    output: BinaryIO,
    translate: TranslateLines | None = None,
    *,
    output_format: OutputFormat = OutputFormat.auto,
    progress: Progress | None = None,
    skip: int = 0,
) -> int:
    """Translate every line of a file or binary stream, flushing each window; returns the number of lines.

    translate  of lines; None: translator.translate
    skip       number of windows that an earlier process has translated
    """
    # A file can be read twice, so that warnings about its tags come first; lines of a pipe are counted as they arrive.
    is_checked = bool(translator.tagging.known) and isinstance(source, str) and is_complete(source)
    if is_checked:
        print_notes(warning=translator.tagging.check(map(normalise, read_lines(source))))
    tags, done = TagCount(translator.tagging), 0
    windows = read_windows(source)  # 2,000 lines of a file; of a pipe, the lines that have arrived
    previous = deque[str](maxlen=translator.context)  # lines that the model reads as context
    if skip:
        for window in islice(windows, skip):
            done += len(window)
            previous.extend(line.text for line in window)
        print_notes(f"continuing after {done:,} lines that were translated before")
        if progress:
            progress.begin_at(done)
    for window in windows:
        texts = [line.text for line in window]
        if not is_checked:
            tags.add_all(map(normalise, texts))
        shown = within(progress, done, len(window))
        translations = (translate or translator.translate)(texts, previous=list(previous), progress=shown)
        previous.extend(texts)
        output.writelines(format_window(translator, window, translations, output_format, first=done))
        # the other end of a pipe may wait for these lines before it sends the next ones
        output.flush()
        done += len(window)
        if progress:
            progress.show(done)
    print_notes(warning=tags.warning())
    return done


def open_document(config: DecodeConfig, file_format: DocumentFormat) -> Document:
    """Read the input as a document. Raises UserError for an invalid document, or options that are only for lines."""
    if config.resume:
        raise UserError("resume=true continues after a line, and a document is written whole: set resume=false")
    if config.constraints.prefixes or config.memory.report or config.keep:
        raise UserError(
            "constraints.prefixes, memory.report and keep are for lines, and the input is a document: set document=none"
        )
    if config.search.returned > 1:
        option = "n_best" if config.search.n_best > 1 else "samples"
        raise UserError(
            f"search.{option} ({config.search.returned}): a document has one translation: set search.{option}=1"
        )
    if config.format in (OutputFormat.json, OutputFormat.nbest):
        raise UserError(f"format={config.format} is for lines, and a document is written as a document: leave it out")
    manifest = read_manifest(Path(one_or_several(config.model, key="model")[0]))
    manifest = choose_direction(manifest, target_language=config.target_language, tag=config.tag)
    require_target_language(manifest, config.target_language, tag=config.tag)
    options = DocumentOptions(
        name=config.input if config.input != STANDARD else "standard input",
        source_language=manifest.get("source_language", ""),
        target_language=config.target_language or manifest.get("target_language", ""),
        overwrite=config.overwrite,
        source_column=config.source_column,
        target_column=config.target_column,
    )
    document = read_document(open_input(config.input), file_format, options)
    count = len(document.segments)
    print_notes(f"{options.name}: {file_format} document, {count:,} text{'' if count == 1 else 's'} to translate")
    return document


def translate_document(translator: Translator, document: Document, config: DecodeConfig) -> None:
    """Translate the segments of a document and write it."""
    is_shown = config.progress and not (config.output == STANDARD and sys.stdout.isatty())
    progress = Progress("texts", total=len(document.segments)) if is_shown else None
    tags, pieces = TagCount(translator.tagging), list[list[str]]()
    previous = deque[str](maxlen=translator.context)

    def translate(texts: list[str]) -> list[str]:
        tags.add_all(map(normalise, texts))
        shown = within(progress, len(pieces), sum(map(bool, texts)))
        return [found.text for found in translator.translate(texts, previous=list(previous), progress=shown)]

    try:
        with open_output(config.output) as output:  # a path that cannot be written is refused before the work
            for start in range(0, len(document.segments), WINDOW):
                segments = document.segments[start : start + WINDOW]
                pieces += translate_segments(segments, translate)
                previous.extend(segment.text for segment in segments if segment.is_translatable)
            output.write(document.write(pieces))
            output.flush()
    except BrokenPipeError:
        discard_output(sys.stdout)
        return
    if progress:
        progress.finish(len(pieces))
    print_notes(translator.describe(translator.splits), warning=tags.warning())


def resume_key(translator: Translator, config: DecodeConfig) -> dict[str, Any]:
    """Everything that determines the output; stored with unfinished output to detect other options."""
    models = [*one_or_several(config.model, key="model"), *config.rerank.models.values()]
    return {
        "version": __version__,
        "lines in a piece": WINDOW,
        "model": content_hash(models, config.adapter),
        "input": sha256(config.input),
        # newer than the keys of unfinished translations
        **({} if config.format is OutputFormat.auto else {"format": config.format.value}),
        **{name: getattr(config, name) for name in ("markup", "keep") if getattr(config, name)},
        **deciding_options(config),
        "precision": translator.engine.precision.value,  # auto resolved on this machine
    }


def check_files(config: DecodeConfig) -> DocumentFormat:
    """The format of the input. Raises UserError for input that cannot be read and output that cannot be written."""
    for option in ("model", "input", "output"):
        if not getattr(config, option):
            raise UserError(f"{option} is empty: leave it out, or write {option}=…")
    if config.input == STANDARD:
        require_stream(sys.stdin, "standard input", "name a file: input=FILE")
    if config.output == STANDARD:
        require_stream(sys.stdout, "standard output", "name a file: output=FILE")
    if config.resume and not (is_file(config.input) and is_file(config.output)):
        raise UserError("resume=true continues from one file into another, not from or into a pipe or a device")
    if config.input != STANDARD and Path(config.input).is_dir():
        raise UserError(f"input={config.input}: that is a folder; name a file, or - for standard input")
    file_format = find_format(config.input, config.document)
    if file_format is DocumentFormat.none and (config.overwrite or config.source_column or config.target_column):
        raise UserError("overwrite, source_column and target_column are for documents, and the input is lines of text")
    for option, given in (
        ("constraints.prefixes", config.constraints.prefixes),
        ("memory.report", config.memory.report),
    ):
        if config.resume and given:
            raise UserError(f"resume=true continues after a line, and {option} begins with the first: leave one out")
    if config.format is OutputFormat.json and (config.markup or config.keep):
        raise UserError("format=json describes what the model has written: leave out markup and keep")
    if file_format is DocumentFormat.none and config.input != STANDARD and is_complete(config.input):
        # finds a line that is not UTF-8 now, not after hours
        config.constraints.require_lines(sum(1 for _ in read_lines(config.input)), config.input)
    others = [*config.memory.paths, *config.constraints.files]
    check_output(config.output, [config.input, *others])
    if report := config.memory.report:
        if Path(report).resolve() == Path(config.output).resolve():
            raise UserError(f"memory.report={report}: that is the output; choose another file")
        check_output(report, [config.input, *others], option="memory.report")
    return file_format


def make_progress(config: DecodeConfig, source: str | BinaryIO) -> Progress | None:
    """Progress display on stderr; None if it is off, or would mix with lines on a terminal."""
    is_typed = not isinstance(source, str) and source.isatty()
    if not config.progress or is_typed or (config.output == STANDARD and sys.stdout.isatty()):
        return None
    # counting reads the whole input, which is impossible for a pipe
    is_countable = isinstance(source, str) and is_complete(source)
    return Progress("lines", total=count_lines(source) if is_countable else None)


def within(progress: Progress | None, done: int, size: int) -> Callable[[float], None] | None:
    """Callback that shows the progress within a window of `size` lines after `done` lines."""
    return None if progress is None else lambda share: progress.show(done + share * size)


if __name__ == "__main__":
    run_command("decode", DecodeConfig, decode)
