"""CTranslate2 alone, over a model converted by translate.exporting: {"converted": folder, "compute_type": "int8"}."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import ctranslate2

from benchmarks.protocol import Channel, version_of
from benchmarks.workers.decoding import Setting, serve_decoding


def main() -> None:
    channel = Channel()
    settings = channel.settings
    folder = Path(settings["converted"])
    source, target = vocabulary(folder, "source"), vocabulary(folder, "target")
    target_ids = {piece: token for token, piece in enumerate(target)}

    @cache
    def translator(inter_threads: int, intra_threads: int) -> Any:
        return ctranslate2.Translator(
            settings["converted"],
            device=settings["device"],
            compute_type=settings["compute_type"],
            inter_threads=inter_threads,
            intra_threads=intra_threads,
        )

    def translate(sentences: list[list[str]], beam: int, setting: Setting) -> list[Any]:
        results: list[Any] = translator(setting["inter_threads"], setting["intra_threads"]).translate_batch(
            sentences,
            beam_size=beam,
            length_penalty=1.0,
            max_batch_size=setting.get("sentences", 0),
            max_decoding_length=2 * max(map(len, sentences)) + 12,
            disable_unk=True,
        )
        return results

    channel.ready(versions=version_of("ctranslate2") + f", {settings['compute_type']}")
    serve_decoding(
        channel,
        translate,
        read=lambda ids: [source[token] for token in ids],
        write=lambda result: [target_ids[piece] for piece in result.hypotheses[0]],
    )


def vocabulary(folder: Path, side: str) -> list[str]:
    shared, own = folder / "shared_vocabulary.json", folder / f"{side}_vocabulary.json"
    pieces: list[str] = json.loads((own if own.exists() else shared).read_text(encoding="utf-8"))
    return pieces


if __name__ == "__main__":
    main()
