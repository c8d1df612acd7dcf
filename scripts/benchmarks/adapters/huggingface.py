"""Hugging Face: Marian trained by Seq2SeqTrainer, and `generate` over our weights as an M2M100 model.

Our default architecture is that of M2M100: norms before each sublayer and after the last, sinusoidal positions, scaled
and tied embeddings. (Marian, the other obvious choice, has its norms after each sublayer.)
"""

import math
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
import yaml
from safetensors.torch import load_file
from torch import Tensor

from benchmarks.protocol import AbsentError, Channel, Message, Slices, run_worker, serve_decoding, version_of
from benchmarks.work import BOS, EOS, PAD, UNK, Corpus, TrainingWork, filled_in, num_tokens, plain_batch

_VERSIONS = ("transformers", "torch")
_SENTENCES = 32  # of a batch, where the driver does not choose
_EXPECTED = {"norm": "layer_norm", "norm_order": "pre", "positions": "sinusoidal", "tying": "all"}
_JOINED = {"query_key_value": "qkv", "query": "q", "key_value": "kv"}  # our matrices, their letters for the parts


def train(settings: Message, channel: Channel) -> None:
    """Batches are a number of sentences, not of tokens: as many as hold about the work's tokens on average."""
    work = TrainingWork(**settings["work"])
    torch.set_num_threads(work.threads)
    torch.manual_seed(work.seed)
    corpus = Corpus.load(work.corpus)
    slices = Slices(channel, *_VERSIONS)

    class PausingTrainer(transformers.Seq2SeqTrainer):  # type: ignore[misc, unused-ignore]
        target_tokens = 0  # of the last update, which is over when the next one begins

        def training_step(self, model: Any, inputs: dict[str, Tensor], *arguments: Any, **keywords: Any) -> Any:
            if self.target_tokens and not slices.after_update(self.target_tokens):
                sys.exit()
            self.target_tokens = num_tokens(inputs["labels"])
            return super().training_step(model, inputs, *arguments, **keywords)

    def collate(items: list[dict[str, Any]]) -> dict[str, Tensor]:
        source, target, labels = plain_batch(corpus, np.array([item["pair"] for item in items]))
        inputs = {"input_ids": source, "attention_mask": (source != PAD).long()}
        return inputs | {"decoder_input_ids": target, "labels": labels}

    sentences = max(1, work.tokens * len(corpus.source) // int(corpus.lengths[:, 1].sum()))
    with tempfile.TemporaryDirectory() as folder:
        on_gpu = work.device != "cpu"
        chosen = {"is_bf16": work.precision == "bf16", "on_cpu": not on_gpu, "on_gpu": on_gpu}
        filled = filled_in(__file__, work, folder=folder, sentences=sentences, **chosen)
        arguments = yaml.safe_load(filled)["training"]
        PausingTrainer(
            model=transformers.MarianMTModel(marian(work)),
            args=transformers.Seq2SeqTrainingArguments(**arguments),
            # the sampler looks at the lengths of input_ids
            train_dataset=[{"input_ids": ids, "pair": pair} for pair, ids in enumerate(corpus.source)],
            data_collator=collate,
        ).train()


def marian(work: TrainingWork) -> transformers.MarianConfig:
    layers = {"encoder_layers": work.layers, "decoder_layers": work.layers, "activation": "relu"}
    rates = {"dropout": work.dropout, "attention_dropout": work.attention_dropout, "activation_dropout": work.dropout}
    return transformers.MarianConfig(**architecture(vars(work) | layers), **rates)


def architecture(ours: dict[str, Any]) -> dict[str, Any]:
    """The settings that Marian and M2M100 have in common, of a model as our model.yaml describes it."""
    theirs = {f"{side}_layers": ours[f"{side}_layers"] for side in ("encoder", "decoder")}
    for side in ("encoder", "decoder"):
        theirs |= {f"{side}_ffn_dim": ours["ffn_dim"], f"{side}_attention_heads": ours["num_heads"]}
    theirs |= {"vocab_size": ours["vocab_size"], "d_model": ours["d_model"], "activation_function": ours["activation"]}
    special = {"pad": PAD, "bos": BOS, "eos": EOS, "decoder_start": BOS, "forced_eos": None}
    return theirs | {f"{name}_token_id": token for name, token in special.items()} | {"scale_embedding": True}


def decode(settings: Message, channel: Channel) -> None:
    """Batches of sentences sorted by length."""
    torch.set_num_threads(settings["threads"])
    dtype = torch.bfloat16 if settings["precision"] == "bf16" else torch.float32
    model = converted(Path(settings["model"])).to(settings["device"], dtype)

    def translate(sentences: list[list[int]], beam: int, setting: Message) -> list[list[int]]:
        order = sorted(range(len(sentences)), key=lambda index: len(sentences[index]), reverse=True)
        size = setting.get("sentences", _SENTENCES)
        found: dict[int, list[int]] = {}
        for batch in (order[start : start + size] for start in range(0, len(order), size)):
            found.update(zip(batch, generate(model, [sentences[index] for index in batch], beam), strict=True))
        return [found[index] for index in range(len(sentences))]

    serve_decoding(settings, channel, translate, _VERSIONS, read=lambda ids: [*ids, EOS], write=without_special)


@torch.inference_mode()
def generate(model: Any, sentences: list[list[int]], beam: int) -> list[list[int]]:
    """One batch of sentences that end with EOS, with our bound on the length, of the longest one."""
    longest = max(map(len, sentences))
    source = torch.tensor([ids + [PAD] * (longest - len(ids)) for ids in sentences], device=model.device)
    found: Tensor = model.generate(
        input_ids=source,
        attention_mask=(source != PAD).long(),
        num_beams=beam,
        do_sample=False,
        length_penalty=1.0,
        max_new_tokens=2 * longest + 10,
        suppress_tokens=[PAD, UNK, BOS],
    )
    return found.tolist()


def without_special(ids: list[int]) -> list[int]:
    return [token for token in ids if token not in (PAD, BOS, EOS)]


def converted(directory: Path) -> Any:
    """A model directory of ours as M2M100, for inference. Raises AbsentError for another architecture."""
    config = yaml.safe_load((directory / "model.yaml").read_text())
    for key, value in _EXPECTED.items():
        if config[key] != value:
            raise AbsentError(f"M2M100 is model.{key}={value}, this model is {config[key]}")
    ours = load_file(directory / "weights.safetensors")
    embedding = ours.pop("source_embedding.tokens.weight")
    own = {"max_position_embeddings": config["max_length"] + 1, "encoder_layerdrop": 0.0, "decoder_layerdrop": 0.0}
    sizes = architecture(config | {"vocab_size": len(embedding)})
    model = transformers.M2M100ForConditionalGeneration(transformers.M2M100Config(**sizes, **own))
    missing, unexpected = model.load_state_dict({"model.shared.weight": embedding} | renamed(ours), strict=False)
    untied = [name for name in missing if "embed_tokens" not in name and name != "lm_head.weight"]
    assert not [*unexpected, *untied], (unexpected, untied)
    model.tie_weights()
    set_positions(model)
    return model.eval()


def renamed(ours: dict[str, Tensor]) -> dict[str, Tensor]:
    """Their tensors; ours has queries, keys and values in fewer matrices."""
    parts = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())["names"]
    theirs: dict[str, Tensor] = {}
    for name, tensor in ours.items():
        for old, new in parts.items():
            name = name.replace(old, new)
        stem, part, kind = f"model.{name}".rsplit(".", 2)
        if part in _JOINED:
            pieces = zip(_JOINED[part], tensor.chunk(len(_JOINED[part])), strict=True)
            theirs |= {f"{stem}.{letter}_proj.{kind}": piece for letter, piece in pieces}
        else:
            theirs[f"model.{name}"] = tensor
    return theirs


def set_positions(model: Any) -> None:
    """Replace M2M100's sinusoids, which are not saved with a model: their wavelengths differ from ours."""
    length, width = model.config.max_position_embeddings, model.config.d_model
    wavelengths = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000) / width))
    angles = torch.arange(length)[:, None] * wavelengths
    # M2M100 counts positions from the index after padding
    table = torch.cat([torch.zeros(PAD + 1, width), torch.cat([angles.sin(), angles.cos()], dim=-1)])
    for side in (model.model.encoder, model.model.decoder):
        side.embed_positions.weights = table


def convert(settings: Message, channel: Channel) -> None:
    """Write a model directory of ours as from_pretrained reads it."""
    converted(Path(settings["model"])).save_pretrained(settings["converted"])
    channel.send({"versions": version_of(*_VERSIONS)})


def translate_line(settings: Message, channel: Channel) -> None:
    """Load and translate one line, as a short script would."""
    import sentencepiece

    torch.set_num_threads(settings["threads"])
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=f"{settings['model']}/tokenizer.model")
    model = transformers.M2M100ForConditionalGeneration.from_pretrained(settings["converted"]).eval()
    set_positions(model)
    found = generate(model, [[*tokenizer.encode(settings["line"].strip()), EOS]], beam=5)
    channel.send({"translation": tokenizer.decode(without_special(found[0]))})


if __name__ == "__main__":
    run_worker(train, decode, convert, translate_line)
