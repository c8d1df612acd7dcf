"""A process of the service with one model: reads requests from standard input, writes replies to standard output.

    {"model": …, "engine": …, …}      → {"ready": …} or {"error": …}
    {"lines": […], "options": {…}}    → {"translations": [{…}, …], "memory": …} or {"error": …}

It ends with its standard input. Started by model_process.py.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from translate.console import start_log
from translate.decoding.config import DecodingConfig, EngineName
from translate.decoding.constraints.constraints import ConstraintConfig
from translate.decoding.constraints.line_constraints import LineConstraints
from translate.decoding.json_records import finite, records
from translate.decoding.search.config import SearchConfig, SearchMethod, search_of
from translate.decoding.translator import Translator
from translate.engines import make_translator, open_engine
from translate.errors import UserError
from translate.model_directory import RUNTIME_MODEL
from translate.monitoring.features import FeatureExtractor
from translate.parsing import from_plain
from translate.serving import messages
from translate.serving.config import ServingEngine
from translate.serving.engine_choice import choose_engine
from translate.serving.faults import log_faults_briefly
from translate.serving.options import TranslationOptions
from translate.serving.words import word_fields

_KEPT_TRANSLATORS = 32  # of different options
_WARM_UP = 32  # lines


class WorkerModel:
    """A model that translates lines with options of their own.

    beam_size   of the search; 0: that of the model's run
    has_native  our own engine can open it too, and does for options that CTranslate2 lacks
    """

    def __init__(self, path: str, config: DecodingConfig, *, beam_size: int = 0, has_native: bool = False) -> None:
        config.check()
        self._beam_size, self._has_native = beam_size, has_native
        self._config = config
        self._engine, self._tokenizer, self._manifest = open_engine([path], config)
        self._path = path
        recorded = search_of(self._manifest) or SearchConfig()
        self._search = replace(recorded, beam_size=beam_size) if beam_size else recorded
        self._translator = lru_cache(_KEPT_TRANSLATORS)(self._make_translator)
        # Errors of the model, and the time that engines take for their first sentence and their first batch, come now
        # and not with the first requests.
        for count in (1, _WARM_UP):
            self.translate([str(number) for number in range(count)], TranslationOptions())

    def describe(self) -> dict[str, Any]:
        """Facts about the loaded model, for its operators."""
        return {
            "engine": self._config.engine.value,
            "precision": self._engine.precision.value,
            "memory": memory_of_process(),
            # after a comparison of engines or a conversion of the model
            "has_needless_torch": self._config.engine is not EngineName.native and "torch" in sys.modules,
        }

    def translate(self, lines: Sequence[str], options: TranslationOptions) -> list[dict[str, Any]]:
        """A record for each line, with its features. Raises UserError for options that engine or model lack."""
        if options.terms and self._has_native:
            return self._native.translate(lines, options)
        translator, extractor = self._translator(options)
        translations = translator.translate(lines)
        features = extractor(lines, translations)
        if options.details:
            found = list(records(translator, lines, translations))
            for line, record in zip(lines, found, strict=True):
                record |= word_fields(line, record)
        else:
            found = [
                {
                    "text": each.text,
                    "score": finite(each.score),
                    "nbest": [{"text": text, "score": finite(score)} for text, score in each.n_best],
                    "flags": list(numbers.flags),
                }
                for each, numbers in zip(translations, features, strict=True)
            ]
        return [{**record, "features": each.to_json()} for record, each in zip(found, features, strict=True)]

    @cached_property
    def _native(self) -> WorkerModel:
        """The model on our engine, which can require terms; opened for the first request that has some."""
        config = replace(self._config, engine=EngineName.native, workers=1)
        return WorkerModel(self._path, config, beam_size=self._beam_size)

    def _make_translator(self, options: TranslationOptions) -> tuple[Translator, FeatureExtractor]:
        search = self._search
        if options.n_best > 1:
            search = replace(search, method=SearchMethod.beam, n_best=options.n_best)
            search = replace(search, beam_size=max(search.beam_size, options.n_best))
        elif options.terms and not search.is_beam:
            search = replace(search, method=SearchMethod.beam)
        search.check()
        config = replace(self._config, search=search, target_language=options.target_language)
        constraints = None
        if options.terms or options.prefix or options.banned:
            constraints = LineConstraints(
                ConstraintConfig(banned=list(options.banned), banned_case=True),
                self._tokenizer,
                self._manifest,
                max_length=self._engine.max_length,
                terms=options.terms,
                prefix=options.prefix,
            )
        translator = make_translator(
            [self._path], self._engine, self._tokenizer, self._manifest, config, constraints=constraints
        )
        return translator, FeatureExtractor.of_translator(translator)


def open_model(settings: Mapping[str, Any]) -> WorkerModel:
    """The model of a process's settings (model_process.ModelSettings)."""
    path, engine, beam_size = settings["model"], settings["engine"], settings["beam_size"]
    config = from_plain(DecodingConfig, settings["decoding"], "decoding")
    # an export has no weights for our engine
    is_auto, is_export = engine == ServingEngine.auto, (Path(path) / RUNTIME_MODEL).is_file()

    @cache
    def opened(name: EngineName) -> WorkerModel:
        return WorkerModel(
            path,
            # our engine would fork this process for each batch: the service has processes= for that
            replace(config, engine=name, workers=1 if name is EngineName.native else 0),
            beam_size=beam_size,
            has_native=is_auto and name is EngineName.ctranslate2 and not is_export,
        )

    def translate(name: EngineName, lines: Sequence[str]) -> list[str]:
        return [record["text"] for record in opened(name).translate(lines, TranslationOptions())]

    if not is_auto:
        return opened(EngineName(engine))
    return opened(choose_engine(path, config, beam_size=beam_size, translate=translate))


def memory_of_process() -> int:
    """The most bytes that this process has had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def answer_requests(requests: BinaryIO, replies: BinaryIO) -> None:
    """Load the model that the first request names, then answer the others until the stream ends."""
    first = messages.read(requests)
    if first is None:
        return
    try:
        model = open_model(first)
    except UserError as error:
        messages.write(replies, {"error": str(error)})
        return
    messages.write(replies, {"ready": model.describe()})
    while (request := messages.read(requests)) is not None:
        try:
            options = TranslationOptions.from_plain(request["options"])
            translations = model.translate(request["lines"], options)
            messages.write(replies, {"translations": translations, "memory": memory_of_process()})
        except UserError as error:
            messages.write(replies, {"error": str(error)})


def main() -> None:
    requests, replies = messages.standard_streams()
    start_log()
    log_faults_briefly()
    answer_requests(requests, replies)


if __name__ == "__main__":
    main()
