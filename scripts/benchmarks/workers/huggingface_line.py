"""Translate standard input line by line with Hugging Face, as a short script would: CONVERTED MODEL THREADS."""

from __future__ import annotations

import sys
from pathlib import Path

import sentencepiece
import torch
from transformers import M2M100ForConditionalGeneration

from benchmarks.work import EOS
from benchmarks.workers.huggingface_decoding import generate, without_special
from benchmarks.workers.huggingface_model import place_positions


def main() -> None:
    converted, own, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(Path(own) / "tokenizer.model"))
    model = M2M100ForConditionalGeneration.from_pretrained(converted).eval()
    place_positions(model)
    for line in sys.stdin:
        found = generate(model, [[*tokenizer.encode(line.strip()), EOS]], beam=5)
        print(tokenizer.decode(without_special(found[0])), flush=True)


if __name__ == "__main__":
    main()
