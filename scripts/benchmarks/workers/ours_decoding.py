"""Our own engines: {"engine": "native"} and {"engine": "ctranslate2"}."""

from __future__ import annotations

from functools import cache

from benchmarks.protocol import Channel, version_of
from benchmarks.workers.decoding import Ids, Setting, serve_decoding
from translate.decoding.config import DecodingConfig, Engine, EngineName, Hypothesis, SearchConfig, SearchMethod
from translate.device import Device, Precision, tune_process
from translate.engines import load_translator


def main() -> None:
    channel = Channel()
    settings = channel.settings
    tune_process(settings["threads"])

    @cache
    def engine(batch_tokens: int) -> Engine:
        config = DecodingConfig(
            engine=EngineName(settings["engine"]),
            batch_tokens=batch_tokens,
            precision=Precision(settings["precision"]),
            device=Device(settings["device"]),
            threads=settings["threads"],
        )
        return load_translator(settings["model"], config).engine

    def translate(sentences: list[tuple[int, ...]], beam: int, setting: Setting) -> list[list[Hypothesis]]:
        method = SearchMethod.greedy if beam == 1 else SearchMethod.beam
        return engine(setting.get("batch_tokens", 0)).search(sentences, SearchConfig(method=method, beam_size=beam))

    def write(hypotheses: list[Hypothesis]) -> Ids:
        return list(hypotheses[0].tokens)

    engine(0)
    extra = ["ctranslate2"] if settings["engine"] == "ctranslate2" else []
    channel.ready(versions=version_of("translate-seq2seq", "torch", *extra))
    serve_decoding(channel, translate, read=tuple, write=write)


if __name__ == "__main__":
    main()
