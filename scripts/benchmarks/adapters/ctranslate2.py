"""CTranslate2 alone, over a model that translate.exporting has converted."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import ctranslate2

from benchmarks.protocol import Channel, Message, run_worker, serve_decoding

_TYPES = {"fp32": "float32", "int8": "int8"}


def decode(settings: Message, channel: Channel) -> None:
    folder = Path(settings["converted"])
    source, target = vocabulary(folder, "source"), vocabulary(folder, "target")
    target_ids = {piece: token for token, piece in enumerate(target)}
    fixed = {"device": settings["device"], "compute_type": _TYPES[settings["precision"]]}

    @cache
    def translator(inter: int, intra: int) -> Any:
        return ctranslate2.Translator(str(folder), inter_threads=inter, intra_threads=intra, **fixed)

    def translate(sentences: list[list[str]], beam: int, setting: Message) -> list[Any]:
        results: list[Any] = translator(setting["inter_threads"], setting["intra_threads"]).translate_batch(
            sentences,
            beam_size=beam,
            length_penalty=1.0,
            max_batch_size=setting["sentences"],
            max_decoding_length=2 * max(map(len, sentences)) + 12,
            disable_unk=True,
        )
        return results

    def read(ids: list[int]) -> list[str]:
        return [source[token] for token in ids]

    def write(result: Any) -> list[int]:
        return [target_ids[piece] for piece in result.hypotheses[0]]

    serve_decoding(settings, channel, translate, ["ctranslate2"], read=read, write=write)


def vocabulary(folder: Path, side: str) -> list[str]:
    shared, own = folder / "shared_vocabulary.json", folder / f"{side}_vocabulary.json"
    pieces: list[str] = json.loads((own if own.exists() else shared).read_text(encoding="utf-8"))
    return pieces


def translate_line(settings: Message, channel: Channel) -> None:
    """Load and translate one line, as a short script would."""
    import sentencepiece  # here alone: its import would count in the start of this task only

    tokenizer = sentencepiece.SentencePieceProcessor(model_file=f"{settings['model']}/tokenizer.model")
    translator = ctranslate2.Translator(settings["converted"], device="cpu", intra_threads=settings["threads"])
    pieces = tokenizer.encode(settings["line"].strip(), out_type=str)
    found = translator.translate_batch([pieces], beam_size=5, disable_unk=True)
    channel.send({"translation": tokenizer.decode(found[0].hypotheses[0])})


if __name__ == "__main__":
    run_worker(decode, translate_line)
