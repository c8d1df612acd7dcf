"""Translations by transformers alone, of an export in its format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from translate.decoding.config import SearchConfig, SearchMethod
from translate.errors import import_extra

_BATCH_LINES = 32


def translate_by_transformers(directory: Path, lines: Sequence[str], search: SearchConfig) -> list[str]:
    """Translations of lines by the beam search, or greedy search, of transformers."""
    transformers = import_extra("transformers", extra="huggingface", purpose="comparing format=huggingface")
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(directory), local_files_only=True)
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(str(directory), local_files_only=True).eval()
    found: list[str] = []
    for start in range(0, len(lines), _BATCH_LINES):
        some = list(lines[start : start + _BATCH_LINES])
        # a longer line than the model reads is cut there, not translated in parts as here
        batch = tokenizer(some, return_tensors="pt", padding=True, truncation=True)
        with torch.inference_mode():
            tokens = model.generate(
                **batch,
                num_beams=1 if search.method is SearchMethod.greedy else search.beam_size,
                length_penalty=search.length_penalty,
                do_sample=False,
            )
        found += tokenizer.batch_decode(tokens, skip_special_tokens=True)
    return found
