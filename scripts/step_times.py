"""CPU time of decoding by cause: in the native engine by precision, and in total in CTranslate2, one thread each.

    python scripts/step_times.py --model runs/mine/best --source test.en --lines 300 --rounds 3

Engines take turns. Prints a Markdown table: milliseconds of CPU time per sentence, medians over the rounds.
--batch-sentences 1 --search greedy is one sentence at a time, as a person waits for it.
"""

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

from torch import nn

from translate.console import markdown_table
from translate.decoding.config import DecodingConfig, EngineName, SearchConfig, SearchMethod, Sentence
from translate.decoding.native_engine import SEARCHES, NativeEngine
from translate.decoding.translator import Translator
from translate.device import Precision
from translate.engines import load_translator
from translate.text import read_lines

CAUSES = ["encoder", "embedding", "self-attention", "cross-attention", "feed-forward", "output", "search"]
SYSTEMS = [
    (EngineName.native, Precision.fp32),
    (EngineName.native, Precision.fp16),
    (EngineName.native, Precision.int8),
    (EngineName.ctranslate2, Precision.fp32),
    (EngineName.ctranslate2, Precision.int8),
]


class Stopwatch:
    """Seconds of CPU time by cause."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._started = 0.0

    def start(self) -> None:
        self._started = time.thread_time()

    def stop(self, cause: str) -> None:
        self.seconds[cause] += time.thread_time() - self._started

    def watch(self, module: Any, cause: str) -> None:
        assert isinstance(module, nn.Module)
        module.register_forward_pre_hook(lambda *_: self.start())
        module.register_forward_hook(lambda *_: self.stop(cause))

    def watched(self, function: Callable[..., Any], cause: str) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            self.start()
            result = function(*arguments, **keywords)
            self.stop(cause)
            return result

        return call

    def watch_engine(self, engine: NativeEngine) -> None:
        """Charge the parts of an engine's Transformer to their causes."""
        model: Any = engine.arithmetic.for_search(engine.model)
        model.encode = self.watched(model.encode, "encoder")
        self.watch(model.target_embedding, "embedding")
        self.watch(model.projection, "output")
        for layer in model.decoder.layers:
            self.watch(layer.self_attention, "self-attention")
            self.watch(layer.cross_attention, "cross-attention")
            self.watch(layer.feed_forward, "feed-forward")


def translator_of(engine: EngineName, precision: Precision, options: argparse.Namespace) -> Translator:
    config = DecodingConfig(
        engine=engine,
        precision=precision,
        search=SearchConfig(method=options.search),
        batch_sentences=options.batch_sentences,
        threads=1,
        workers=1,
    )
    config.check()
    return load_translator(options.model, config)


def milliseconds(translator: Translator, sentences: list[Sentence], stopwatch: Stopwatch) -> dict[str, float]:
    """CPU time per sentence by cause, and in total."""
    stopwatch.seconds.clear()
    start = time.process_time()
    translator.engine.search(sentences, translator.search)
    seconds = {"total": time.process_time() - start, **stopwatch.seconds}
    return {cause: 1000 * each / len(sentences) for cause, each in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--lines", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-sentences", type=int, default=0)
    parser.add_argument("--search", type=SearchMethod, default=SearchMethod.beam)
    options = parser.parse_args()

    stopwatch = Stopwatch()
    search = SEARCHES[options.search]
    search.advance = stopwatch.watched(search.advance, "search")  # type: ignore[method-assign]
    translators = {system: translator_of(*system, options) for system in SYSTEMS}
    for translator in translators.values():
        if isinstance(translator.engine, NativeEngine):
            stopwatch.watch_engine(translator.engine)
    lines = list(islice(read_lines(options.source), options.lines))
    sentences = [tuple(ids) for ids in translators[SYSTEMS[0]].tokenizer.encode_source(lines)]

    rounds: dict[tuple[EngineName, Precision], list[dict[str, float]]] = {system: [] for system in SYSTEMS}
    for number in range(options.rounds + 1):
        for system, translator in translators.items():
            measured = milliseconds(translator, sentences, stopwatch)
            if number:  # the first round warms up
                rounds[system].append(measured)
    print(times_table(rounds))


def times_table(rounds: dict[tuple[EngineName, Precision], list[dict[str, float]]]) -> str:
    """Medians over the rounds, and the range of the totals, in milliseconds."""
    rows = []
    for (engine, precision), measured in rounds.items():
        parts = [statistics.median(each.get(cause, 0.0) for each in measured) for cause in CAUSES]
        totals = [each["total"] for each in measured]
        total = statistics.median(totals)
        # CTranslate2 has a total alone
        cells = [f"{part:.2f}" for part in [*parts, total - sum(parts)]] if sum(parts) else [""] * (len(CAUSES) + 1)
        rows.append([f"{engine} {precision}", *cells, f"{total:.2f}", f"{min(totals):.2f} to {max(totals):.2f}"])
    return markdown_table(["engine", *CAUSES, "rest", "total", "lowest to highest"], rows)


if __name__ == "__main__":
    main()
