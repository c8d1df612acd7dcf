"""Hugging Face `generate` over the same weights, sentences sorted by length."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers

from benchmarks.protocol import Channel, version_of
from benchmarks.work import BOS, EOS, PAD, UNK
from benchmarks.workers.decoding import Ids, Setting, serve_decoding
from benchmarks.workers.huggingface_model import convert

_SENTENCES = 32


def main() -> None:
    channel = Channel()
    settings = channel.settings
    torch.set_num_threads(settings["threads"])
    dtype = torch.bfloat16 if settings["precision"] == "bf16" else torch.float32
    model = convert(Path(settings["model"])).to(settings["device"], dtype)

    def translate(sentences: list[Ids], beam: int, setting: Setting) -> list[Ids]:
        order = sorted(range(len(sentences)), key=lambda place: len(sentences[place]), reverse=True)
        size = setting.get("sentences", _SENTENCES)
        found: dict[int, Ids] = {}
        for start in range(0, len(order), size):
            places = order[start : start + size]
            found.update(zip(places, generate(model, [sentences[place] for place in places], beam), strict=True))
        return [found[place] for place in range(len(sentences))]

    channel.ready(versions=version_of("transformers", "torch") + ", architecture M2M100")
    serve_decoding(channel, translate, read=lambda ids: [*ids, EOS], write=without_special)


@torch.inference_mode()
def generate(model: transformers.PreTrainedModel, sentences: list[Ids], beam: int) -> list[Ids]:
    """One batch; sentences end with EOS. Our bound on the length, of the longest sentence."""
    longest = max(map(len, sentences))
    source = torch.tensor([ids + [PAD] * (longest - len(ids)) for ids in sentences], device=model.device)
    found: torch.Tensor = model.generate(
        input_ids=source,
        attention_mask=(source != PAD).long(),
        num_beams=beam,
        do_sample=False,
        length_penalty=1.0,
        max_new_tokens=2 * longest + 10,
        suppress_tokens=[PAD, UNK, BOS],
    )
    return found.tolist()


def without_special(ids: Ids) -> Ids:
    """What stands between BOS and EOS."""
    return [token for token in ids if token not in (PAD, BOS, EOS)]


if __name__ == "__main__":
    main()
