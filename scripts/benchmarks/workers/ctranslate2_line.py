"""Translate standard input line by line with CTranslate2, as a short script would: CONVERTED MODEL THREADS."""

from __future__ import annotations

import sys
from pathlib import Path

import ctranslate2
import sentencepiece


def main() -> None:
    converted, own, threads = sys.argv[1:]
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(Path(own) / "tokenizer.model"))
    translator = ctranslate2.Translator(converted, device="cpu", intra_threads=int(threads))
    for line in sys.stdin:
        pieces = tokenizer.encode(line.strip(), out_type=str)
        found = translator.translate_batch([pieces], beam_size=5, disable_unk=True)
        print(tokenizer.decode(found[0].hypotheses[0]), flush=True)


if __name__ == "__main__":
    main()
