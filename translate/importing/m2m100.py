"""Vocabularies of the architecture M2M100: one SentencePiece model for all languages, and a token for each language.

The models M2M100 and NLLB have this architecture. M2M100 numbers its pieces in vocab.json, followed by the tokens of
languages; NLLB numbers them in other files (nllb.py). A source begins with the token of its language, and a translation
with that of its own (Fan et al. 2021, "Beyond English-Centric Multilingual Machine Translation").
"""

from __future__ import annotations

import re
from pathlib import Path

from translate.errors import UserError, excerpt
from translate.importing.nllb import read_nllb_pieces
from translate.importing.pieces import PIECES, read_pieces, reordered, text_pieces
from translate.importing.settings import CONFIG, Settings
from translate.importing.vocabulary import (
    TOKENIZER_SETTINGS,
    PublishedVocabulary,
    Side,
    is_placeholder,
    names_after_eos,
    read_names,
    require_ids,
    special_ids,
    tokenizer_settings,
)
from translate.model_directory import LANGUAGE_TOKENS
from translate.text import TEXT_FORM
from translate.tokenizer import Tokenizer

VOCABULARY = "vocab.json"
_M2M100_TOKEN, _NLLB_TOKEN = re.compile(r"__(\w+)__"), re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")
# Languages in the order of their ids, by the key language_codes of the tokenizer's settings: no file of a model lists
# them, the tokenizer of transformers has them in its code.
_CODES = {
    "m2m100": (
        "af am ar ast az ba be bg bn br bs ca ceb cs cy da de el en es et fa ff fi fr fy ga gd gl gu ha he hi hr ht hu "
        "hy id ig ilo is it ja jv ka kk km kn ko lb lg ln lo lt lv mg mk ml mn mr ms my ne nl no ns oc or pa pl ps pt "
        "ro ru sd si sk sl so sq sr ss su sv sw ta th tl tn tr uk ur uz vi wo xh yi yo zh zu"
    ),
    "wmt21": "en ha is ja cs ru zh de",
}


def read_m2m100(directory: Path, settings: Settings) -> PublishedVocabulary:
    """The vocabulary of an M2M100 or NLLB model. Raises UserError for missing files and other kinds of ids."""
    if (directory / VOCABULARY).is_file():
        model, names = read_pieces(directory / PIECES), _names(directory, settings.vocab_size)
    else:
        model, names = read_nllb_pieces(directory, settings.vocab_size)
    config = directory / CONFIG
    unknown, pad, bos, eos = special_ids(names, settings, "pad", "bos", "eos", path=directory, config=config)
    require_ids({"decoder_start_token_id": settings.decoder_start_token_id}, len(names), config)
    front = [pad, unknown, bos, eos]
    texts, known = set(text_pieces(model)), set(names)
    side = Side(front, len(names), sorted(texts - known))
    others = names_after_eos(side, names)
    # a piece of ordinary text may look like a token of a language: it is none
    languages = {
        language: token
        for token, name in enumerate(others, start=len(front))
        if name not in texts and (language := _language(name))
    }
    controls = {name for name in others if name not in texts and (_language(name) or is_placeholder(name))}
    return PublishedVocabulary(
        Tokenizer(reordered(model, others, controls=controls), text_form=TEXT_FORM),
        side,
        side,
        start=side.rows().index(settings.decoder_start_token_id),
        manifest={"tags": [], LANGUAGE_TOKENS: languages},
    )


def _names(directory: Path, size: int) -> list[str]:
    """Names by id: those of vocab.json, then the tokens of languages."""
    names = read_names(directory / VOCABULARY, size)
    key = tokenizer_settings(directory).get("language_codes", "m2m100")
    if not isinstance(key, str) or key not in _CODES:
        path = directory / TOKENIZER_SETTINGS
        raise UserError(f"{path}: language_codes={excerpt(key)} is none of {', '.join(_CODES)}")
    # vocab.json has the ids from 0 without a gap, so that the number of names is the first free id
    first = sum(map(bool, names))
    for token, code in enumerate(_CODES[key].split(), start=first):
        if token < size and not names[token]:
            names[token] = f"__{code}__"
    return names


def _language(name: str) -> str:
    """The language that a token stands for; "" for other tokens."""
    if found := _M2M100_TOKEN.fullmatch(name):
        return found[1]
    return name if _NLLB_TOKEN.fullmatch(name) else ""
