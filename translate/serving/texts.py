"""Texts divided into jobs, and their translations joined again: lines, sentences of lines, white space around."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from translate.decoding.segmentation import Segment, Splitting, join_translations
from translate.errors import UserError
from translate.sentences import split_sentences
from translate.serving.batching import Record
from translate.serving.model_pool import ModelPool
from translate.serving.options import TranslationOptions
from translate.serving.request_log import RequestRecord
from translate.serving.served_model import ServedModel

_LONGEST = 1000  # characters of a sentence; what is longer is no sentence, and would hold up its batch
_WHOLE = Segment([])  # of a sentence: the next one begins a word


@dataclass(frozen=True)
class Part:
    """A sentence, or a run of lines, of a text that is translated in one job.

    line    number of its first line in the text
    source  lines
    """

    line: int
    source: tuple[str, ...]


def divide(text: str, splitting: Splitting, *, by_lines: bool, as_one: bool) -> list[Part]:
    """Parts of a text, without blank lines.

    by_lines  lines are whole; the model divides those that are too long
    as_one    all lines, blank ones too, are one part: each is the context of the next
    """
    lines = text.split("\n")
    if as_one:
        return [Part(0, tuple(lines))] if text.strip() else []
    parts = []
    for number, line in enumerate(lines):
        runs = [line] if by_lines or not splitting.by_sentences else sentence_runs(line, splitting)
        if not by_lines:
            runs = [piece for run in runs for piece in _pieces(run)]
        parts += [Part(number, (run,)) for run in runs if run.strip()]
    return parts


def sentence_runs(line: str, splitting: Splitting) -> list[str]:
    """The sentences of a line, as many together as the lines had that the model was trained on."""
    sentences = split_sentences(line, splitting.language)
    size = splitting.sentences
    return ["".join(sentences[start : start + size]) for start in range(0, len(sentences), size)]


def _pieces(run: str) -> list[str]:
    """Parts of a text of at most _LONGEST characters, cut at its last space where there is one."""
    pieces = []
    while len(run) > _LONGEST:
        end = run.rfind(" ", 0, _LONGEST) + 1 or _LONGEST
        pieces.append(run[:end])
        run = run[end:]
    return [*pieces, run]


def join(text: str, parts: Sequence[Part], translations: Sequence[Sequence[str]]) -> str:
    """The translations of all parts of a text, in its lines, with the white space around each."""
    found: dict[int, list[str]] = {}
    for part, translated in zip(parts, translations, strict=True):
        for offset, translation in enumerate(translated):
            found.setdefault(part.line + offset, []).append(translation)
    lines = [
        _around(line, join_translations(found[number], [_WHOLE] * len(found[number]))) if number in found else line
        for number, line in enumerate(text.split("\n"))
    ]
    return "\n".join(lines)


def _around(line: str, translation: str) -> str:
    """A translation with the white space around the line; a blank line stays as it is."""
    stripped = line.strip()
    start = line.index(stripped)
    return line[:start] + translation + line[start + len(stripped) :] if stripped else line


def _space(former: str, translation: str) -> str:
    """The white space between two translations of one line."""
    joined = join_translations([former, translation], [_WHOLE, _WHOLE])
    return joined[len(former) : len(joined) - len(translation)]


class TextTranslation:
    """The translation of texts by one model, for the request of a record, which notes all lines."""

    def __init__(
        self, models: ModelPool, model: ServedModel, options: TranslationOptions, record: RequestRecord
    ) -> None:
        self._models, self._model, self._options, self._record = models, model, options, record

    async def translate(self, texts: Sequence[str]) -> list[tuple[str, list[Record]]]:
        """Translation and records of each text; the latter are those of its lines if the options are for whole lines.

        Raises OverloadedError, ModelFailedError, UserError.
        """
        divided = [self._divide(text, by_lines=self._options.for_whole_lines) for text in texts]
        futures = await self._submit([part for parts in divided for part in parts])
        try:
            done = iter(await asyncio.gather(*futures))
        finally:
            _cancel(futures)
        results = []
        for text, parts in zip(texts, divided, strict=True):
            found = [next(done) for _ in parts]
            for part, records in zip(parts, found, strict=True):
                self._record.add(part.source, records)
            translated = join(text, parts, [[record["text"] for record in records] for records in found])
            results.append((translated, [record for records in found for record in records]))
        return results

    async def stream(self, text: str, seconds: float) -> AsyncIterator[dict[str, Any]]:
        """Parts of a text's translation as they are done, in their order. Raises TimeoutError after so many seconds.

        line, source  number of the line, and what the part is the translation of
        space         white space between this and the former part of the line
        and the fields of its record
        """
        parts = self._divide(text, by_lines=False)
        futures = await self._submit(parts)
        deadline = asyncio.get_running_loop().time() + seconds
        former = (-1, "")  # line and translation
        try:
            for part, future in zip(parts, futures, strict=True):
                # not around the whole: each part may be awaited by another task
                async with asyncio.timeout_at(deadline):
                    records = await future
                self._record.add(part.source, records)
                for line, (source, record) in enumerate(zip(part.source, records, strict=True), start=part.line):
                    space = _space(former[1], record["text"]) if line == former[0] else ""
                    former = line, record["text"]
                    yield {"line": line, "source": source, "space": space, **record}
        finally:
            _cancel(futures)

    def _divide(self, text: str, *, by_lines: bool) -> list[Part]:
        if by_lines and self._options.terms and (longest := max(map(len, text.split("\n")))) > _LONGEST:
            raise UserError(
                f"terms with details, n_best or prefix: a line of {longest:,} characters; at most {_LONGEST:,}"
            )
        version = self._model.current
        return divide(text, version.splitting, by_lines=by_lines, as_one=bool(version.context))

    async def _submit(self, parts: Sequence[Part]) -> list[asyncio.Future[list[Record]]]:
        lines = [part.source for part in parts]
        return await self._models.translate(self._model, lines, self._options, self._record.request)


async def unchanged_parts(text: str) -> AsyncIterator[dict[str, Any]]:
    """The lines of a text that is in the target language already, as TextTranslation.stream gives parts."""
    for number, line in enumerate(text.split("\n")):
        if line.strip():
            record: Record = {"text": line.strip(), "score": None, "nbest": [], "flags": []}
            yield {"line": number, "source": line, "space": "", **record}


def _cancel(futures: Sequence[asyncio.Future[list[Record]]]) -> None:
    """Cancel the jobs of a request that has ended; finished ones stay as they are."""
    for future in futures:
        future.cancel()
