"""python -m translate.decode: translate files, or standard input as its lines come."""

from __future__ import annotations

import errno
import io
import os
import queue
import stat
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TextIO

from translate.config import is_given, run_command
from translate.console import Progress, print_notes
from translate.decoding.config import DecodingConfig, search_note, search_of
from translate.decoding.translator import WINDOW, Translation, Translator
from translate.engines import open_model
from translate.errors import UserError
from translate.files import atomic_file, follow_links
from translate.tags import TagCount
from translate.text import compressing, count_lines, normalise, read_ended_lines, read_lines


def decode(config: DecodeConfig) -> None:
    check_files(config)
    opened = open_model(config.model, config)
    if not is_given("search") and (note := search_note(search_of(opened.manifest), config.search)):
        print(note, file=sys.stderr)
    translate_files(opened.translator, config)


STANDARD = "-"
Line = tuple[str, str]  # the text, and its end: "\n" or nothing


@dataclass(kw_only=True)
class DecodeConfig(DecodingConfig):
    """The decode command.

    model          a run's folder or a model directory
    input, output  files; "-" is standard input and output. A file appears under its name once it is complete:
                   until then it has a name of its own that ends in .partial
    progress       whether stderr shows how far the work is
    """

    model: str = "???"
    input: str = STANDARD
    output: str = STANDARD
    progress: bool = True


def check_files(config: DecodeConfig) -> None:
    """Raise UserError, before a model is loaded, for unreadable input or output with nowhere to go."""
    if config.input != STANDARD and Path(config.input).is_dir():
        raise UserError(f"input={config.input}: that is a folder; name a file, or - for standard input")
    if config.input != STANDARD and stat.S_ISREG(_mode(config.input)):
        for _ in read_lines(config.input):
            pass
    if config.output != STANDARD:
        output, _ = follow_links(Path(config.output))
        if output.is_dir():
            raise UserError(f"output={config.output}: that is a folder; name a file in it")
        if not output.parent.is_dir():
            raise UserError(f"output={config.output}: there is no folder {output.parent}; make it first")
    read, written = _status(config.input, sys.stdin), _status(config.output, sys.stdout)
    if read and written and stat.S_ISREG(read.st_mode) and os.path.samestat(read, written):
        raise UserError(f"output={config.output}: that is the input itself; choose another file")


def _status(path: str, standard: TextIO) -> os.stat_result | None:
    """Status of a file, or of standard input or output for "-"; None where there is none."""
    try:
        return os.stat(path) if path != STANDARD else os.fstat(standard.fileno())
    except (OSError, ValueError):  # also of a stream that is closed or no file
        return None


def translate_files(translator: Translator, config: DecodeConfig) -> int:
    """Translate config.input into config.output; how many lines that were.

    A reader of standard output that leaves early (`| head`) ends the work without a complaint.
    """
    source = _open_input(config.input)
    print_notes(translator.tagging.note)
    progress = _progress(config, source)
    try:
        with _writing(config.output) as output:
            done = translate_stream(translator, source, output, progress=progress)
    except BrokenPipeError:
        # what Python still holds for standard output, it would try to write at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if progress:
        progress.finish(done)
    print_notes(translator.describe(translator.splits))
    return done


def translate_stream(
    translator: Translator, source: str | BinaryIO, output: BinaryIO, *, progress: Progress | None = None
) -> int:
    """Translate every line of a file or binary stream, flushing each window; how many there were.

    Warnings about the lines' tags come first where all lines are available, else at the end.
    """
    done = 0
    known_before = isinstance(source, str) and bool(translator.tagging.known) and _is_complete(source)
    if known_before:
        print_notes(warning=translator.tagging.check(map(normalise, read_lines(source))))
    count = TagCount(translator.tagging)
    lines = read_ended_lines(source)
    for window in _windows(lines) if _is_complete(source) else _arrivals(lines):
        started, size = done, len(window)
        if not known_before:
            count.add_all(normalise(text) for text, _ in window)
        translations = translator.translate(
            [text for text, _ in window],
            progress=(lambda share: progress.show(started + share * size)) if progress else None,  # noqa: B023
        )
        for translation, (_, end) in zip(translations, window, strict=True):
            output.write(_formatted(translation, done, end, n_best=translator.search.n_best))
            done += 1
        output.flush()
        if progress:
            progress.show(done)
    print_notes(warning=count.warning())
    return done


def _formatted(translation: Translation, index: int, end: str, *, n_best: int) -> bytes:
    if n_best == 1:
        return f"{translation.text}{end}".encode()
    return "".join(f"{index} ||| {text} ||| {score:.6f}\n" for text, score in translation.n_best).encode()


def _windows(lines: Iterable[Line]) -> Iterator[list[Line]]:
    remaining = iter(lines)
    while window := list(islice(remaining, WINDOW)):
        yield window


def _arrivals(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Windows of the lines that have arrived since the last one, at most WINDOW; a thread waits for them."""
    arrived: queue.Queue[Line | BaseException | None] = queue.Queue(maxsize=WINDOW)

    def read() -> None:
        try:
            for line in lines:
                arrived.put(line)
            arrived.put(None)
        except BaseException as error:
            arrived.put(error)

    threading.Thread(target=read, daemon=True, name="reader").start()
    window: list[Line] = []
    while True:
        if window and (len(window) == WINDOW or arrived.empty()):
            yield window
            window = []
        item = arrived.get()
        if isinstance(item, tuple):
            window.append(item)
            continue
        if window:
            yield window
        if item is None:
            return
        raise item


def _is_complete(source: str | BinaryIO) -> bool:
    """True if all lines are available: of a file or bytes in memory, but not of a pipe or a terminal."""
    if isinstance(source, str):
        return stat.S_ISREG(_mode(source))
    try:
        return stat.S_ISREG(os.fstat(source.fileno()).st_mode)
    except OSError:  # also what a stream without a file descriptor raises
        return True


def _mode(path: str) -> int:
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file (looked from {Path.cwd()})") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None


def _progress(config: DecodeConfig, source: str | BinaryIO) -> Progress | None:
    """None also where a person types or reads: it would be in the way."""
    typed = not isinstance(source, str) and source.isatty()
    if not config.progress or typed or (config.output == STANDARD and sys.stdout.isatty()):
        return None
    known = isinstance(source, str) and _is_complete(source)
    return Progress("lines", total=count_lines(source) if known else None)


def _open_input(path: str) -> str | BinaryIO:
    """The path, or standard input as a stream of its own.

    The reader thread may still wait in it when the program ends, and sys.stdin must not be locked then.
    """
    if path != STANDARD:
        return path
    raw = io.FileIO(sys.stdin.fileno(), closefd=False)
    raw.name = "standard input"
    return io.BufferedReader(raw)


@contextmanager
def _writing(path: str) -> Iterator[BinaryIO]:
    """Standard output, a device or pipe as it is, or a file that gets its name when all has been written."""
    if path == STANDARD:
        yield sys.stdout.buffer
        return
    kept: list[Path] = []

    def keep(partial: Path) -> None:
        """Keep an unfinished output: translating takes long."""
        if partial.stat().st_size:
            kept.append(partial)
        else:
            partial.unlink()

    try:
        with atomic_file(path, on_error=keep) as file, compressing(file, path) as stream:
            yield stream
    except PermissionError as error:
        raise UserError(f"{error.filename}: cannot be written: {error.strerror}") from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        where = f"; what was translated so far is in {kept[0]}" if kept else ""
        raise UserError(f"{path}: {error.strerror}{where}") from None
    except BaseException:
        if kept:
            print(f"what was translated so far is in {kept[0]}", file=sys.stderr)
        raise


if __name__ == "__main__":
    run_command("decode", DecodeConfig, decode)
