"""Small random models in the format of transformers, with SentencePiece models of the shipped corpus."""

from __future__ import annotations

import io
import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from torch import nn

REPOSITORY = Path(__file__).parents[2]
SIZES = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": 128,
}
LANGUAGES = ["deu_Latn", "eng_Latn", "isl_Latn"]


@cache
def lines(language: str) -> tuple[str, ...]:
    text = (REPOSITORY / "data" / "en-de" / f"train.{language}").read_text(encoding="utf-8")
    return tuple(dict.fromkeys(text.splitlines()))[:1500]


@cache
def pieces(languages: tuple[str, ...], size: int, kind: str) -> bytes:
    model = io.BytesIO()
    text = [line for language in languages for line in lines(language)]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text), model_writer=model, vocab_size=size, model_type=kind, minloglevel=2
    )
    return model.getvalue()


def sentences(count: int, *, seed: int = 0) -> list[str]:
    """Lines of different lengths: some words of some lines."""
    source = random.Random(seed)
    words = [source.choice(lines("en")).split() for _ in range(count)]
    return [" ".join(line[: source.randint(1, len(line))]) for line in words]


def _names(model: bytes) -> list[str]:
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    return [processor.id_to_piece(token) for token in range(3, processor.get_piece_size())]


def _save(directory: Path, model: Any, *, end: float) -> None:
    """Save the model with norms, biases and embeddings that all differ, and ends of translations that are likely.

    end  is added to the logit of EOS
    """
    _scatter(model)
    _add_to_end(model, end)
    model.save_pretrained(directory)


def _scatter(model: Any) -> None:
    for weight in model.eval().parameters():
        weight.data += 0.2 * torch.randn_like(weight)


def _add_to_end(model: Any, amount: float) -> None:
    """Add to the logit of EOS, by the bias of the last norm."""
    decoder, config = model.model.decoder, model.config
    last = decoder.layer_norm if hasattr(decoder, "layer_norm") else decoder.layers[-1].final_layer_norm
    direction = model.lm_head.weight[config.eos_token_id].detach()
    last.bias.data += amount * direction / direction.square().sum()


def _add_until_some_end(model: Any, sources: list[list[int]]) -> None:
    """Raise the logit of EOS until beam search ends ten translations; what that takes depends on the weights."""
    config = model.config
    ids = nn.utils.rnn.pad_sequence([torch.tensor(source) for source in sources], True, config.pad_token_id)
    options = {"num_beams": 3, "max_new_tokens": 21, "length_penalty": 0.0, "early_stopping": False}
    for _ in range(40):
        _add_to_end(model, 0.25)
        found = model.generate(input_ids=ids, attention_mask=(ids != config.pad_token_id).long(), **options)
        if (found[:, 1:21] == config.eos_token_id).any(dim=1).sum() >= 10:
            return


def make_marian(directory: Path, *, separate: bool = False, tags: tuple[str, ...] = (), **settings: Any) -> Path:
    """A model like those of OPUS-MT: two SentencePiece models, whose pieces one file numbers, or two."""
    from transformers import MarianConfig, MarianMTModel, MarianTokenizer

    torch.manual_seed(0)
    directory.mkdir(parents=True)
    names = []
    for side, language in (("source", "en"), ("target", "de")):
        model = pieces((language,), 150, "unigram")
        (directory / f"{side}.spm").write_bytes(model)
        names.append(_names(model))
    # in no order of either model
    both = list(dict.fromkeys(names[0] + names[1]))
    vocabularies = [names[0], names[1]] if separate else [both[::-1]]
    files = []
    for file, own in zip(("vocab.json", "target_vocab.json"), vocabularies, strict=False):
        own = ["</s>", "<unk>", *own[:40], *tags, *own[40:], "<pad>"]
        (directory / file).write_text(json.dumps({name: token for token, name in enumerate(own)}), encoding="utf-8")
        files.append(own)
    if separate:  # PAD has one id
        size = max(map(len, files))
        for file, own in zip(("vocab.json", "target_vocab.json"), files, strict=True):
            numbers = {name: size - 1 if name == "<pad>" else token for token, name in enumerate(own)}
            (directory / file).write_text(json.dumps(numbers), encoding="utf-8")
    sizes = [size, size] if separate else [len(files[0])] * 2
    config = MarianConfig(
        vocab_size=sizes[0],
        decoder_vocab_size=sizes[1],
        share_encoder_decoder_embeddings=not separate,
        pad_token_id=sizes[0] - 1,
        decoder_start_token_id=sizes[0] - 1,
        **SIZES | {"scale_embedding": True, "activation_function": "swish"} | settings,
    )
    model = MarianMTModel(config)
    model.final_logits_bias += torch.randn_like(model.final_logits_bias)
    _scatter(model)
    _add_until_some_end(model, _marian_ids(files[0]))
    model.save_pretrained(directory)
    tokenizer = MarianTokenizer.from_pretrained(
        directory, separate_vocabs=separate, source_lang="en", target_lang="de", local_files_only=True
    )
    tokenizer.save_pretrained(directory)
    return directory


def _marian_ids(vocabulary: list[str]) -> list[list[int]]:
    """Ids of some English lines, each ended by EOS, whose id is 0."""
    processor = sentencepiece.SentencePieceProcessor(model_proto=pieces(("en",), 150, "unigram"))
    ids = {piece: token for token, piece in enumerate(vocabulary)}
    found = processor.encode(sentences(50, seed=2), out_type=str)
    return [[*(ids[piece] for piece in line if piece in ids), 0] for line in found]


def make_m2m100(directory: Path, **settings: Any) -> Path:
    from transformers import M2M100Config, M2M100ForConditionalGeneration, M2M100Tokenizer

    torch.manual_seed(0)
    directory.mkdir(parents=True)
    model = pieces(("de", "en"), 200, "bpe")
    (directory / "sentencepiece.bpe.model").write_bytes(model)
    names = ["<s>", "<pad>", "</s>", "<unk>", *_names(model)[::-1]]
    vocabulary = directory / "vocab.json"
    vocabulary.write_text(json.dumps({name: token for token, name in enumerate(names)}), encoding="utf-8")
    tokenizer = M2M100Tokenizer(
        str(vocabulary), str(directory / "sentencepiece.bpe.model"), src_lang="en", tgt_lang="de"
    )
    tokenizer.save_pretrained(directory)
    config = M2M100Config(vocab_size=len(names) + 108, **SIZES | settings)
    _save(directory, M2M100ForConditionalGeneration(config), end=3.0)
    return directory


def make_nllb(directory: Path, *, as_on_hub: bool = True, **settings: Any) -> Path:
    """as_on_hub: with the SentencePiece model, which transformers no longer saves."""
    from transformers import M2M100Config, M2M100ForConditionalGeneration, NllbTokenizer

    torch.manual_seed(0)
    directory.mkdir(parents=True)
    (directory / "sentencepiece.bpe.model").write_bytes(pieces(("de", "en"), 200, "bpe"))
    tokenizer = NllbTokenizer.from_pretrained(directory, local_files_only=True)
    tokenizer.add_tokens(LANGUAGES, special_tokens=True)
    tokenizer.src_lang, tokenizer.tgt_lang = "eng_Latn", "deu_Latn"
    tokenizer.save_pretrained(directory)
    if not as_on_hub:
        (directory / "sentencepiece.bpe.model").unlink()
    config = M2M100Config(vocab_size=len(tokenizer) + 2, **SIZES | settings)
    _save(directory, M2M100ForConditionalGeneration(config), end=3.0)
    return directory
