"""Translations as JSON objects, one for each line: text, scores of tokens, alignment, alternatives and warning flags.

id               number of the input line, from 0
text, score      as in text and n-best output; null for a score that is not finite
tokens           pieces of the translation; "</s>" ends each of the parts that a line was translated in
token_scores     natural logarithm of each token's probability, by the model alone
token_entropies  of the distributions that the probabilities are taken from, in nats; null if the engine has none
alignment        words in Pharaoh form (decoding/alignment.py); null without attention
nbest            text and score of each translation that the search returns, best first; samples in their order
flags            names of warnings (decoding/warning_flags.py)
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from translate.data.context import SEPARATOR
from translate.decoding.alignment import AttendedPart, align, pharaoh, words_of
from translate.decoding.config import ForcedScore, Pair
from translate.decoding.translation import ScoredPair, Translation, perplexity
from translate.decoding.translator import Translator
from translate.decoding.warning_flags import flags, repeats
from translate.text import normalise
from translate.tokenizer import EOS

_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029]")  # line ends for some readers, though not in JSON


@dataclass(frozen=True)
class ScoredPart:
    """A segment's source tokens and the tokens of its translation, with their scores."""

    pair: Pair
    scores: ForcedScore


def json_lines(
    translator: Translator, lines: Sequence[str], translations: Sequence[Translation], *, first: int = 0
) -> Iterator[str]:
    """Lines of JSON for raw lines and their translations; `first` is the number of the first line."""
    return map(to_json, records(translator, lines, translations, first=first))


def records(
    translator: Translator, lines: Sequence[str], translations: Sequence[Translation], *, first: int = 0
) -> Iterator[dict[str, Any]]:
    """Objects for raw lines and their translations; `first` is the number of the first line."""
    # one scoring pass for the window; equal segments are scored once
    pairs = list(dict.fromkeys(pair for translation in translations for pair in translation.parts))
    scores = dict(zip(pairs, translator.engine.score(pairs, details=True), strict=True))
    repetitive = repeats([(line, translation.text) for line, translation in zip(lines, translations, strict=True)])
    for index, (line, translation) in enumerate(zip(lines, translations, strict=True)):
        parts = [ScoredPart(pair, scores[pair]) for pair in translation.parts]
        attended = attended_parts(translator, parts)
        record = {
            "id": first + index,
            "text": translation.text,
            "score": finite(translation.score),
            **token_fields(translator, parts),
            "alignment": alignment(translator, attended, source=line, target=translation.text),
            "nbest": [{"text": text, "score": finite(score)} for text, score in translation.n_best],
            "flags": flags(line, translation.text, translation.parts, attended, repetitive=repetitive[index]),
        }
        if translator.memory is not None:
            record["match"] = None if translation.match is None else asdict(translation.match)
        yield record


def to_json(record: dict[str, Any]) -> str:
    """A record on one line for every reader, whatever ends its lines."""
    text = json.dumps(record, ensure_ascii=False, allow_nan=False)
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def finite(value: float) -> float | None:
    """A number for JSON, which has neither NaN nor infinity."""
    # about as many decimals as fp32 has: files of token scores become half as large
    return round(value, 6) if math.isfinite(value) else None


def token_fields(translator: Translator, parts: Sequence[ScoredPart]) -> dict[str, Any]:
    """Pieces, scores and entropies of the tokens of all parts."""
    pieces = translator.tokenizer.target_pieces
    entropies = [part.scores.entropies for part in parts]
    return {
        "tokens": [piece for part in parts for piece in pieces([*part.pair[1], EOS])],
        "token_scores": [finite(value) for part in parts for value in part.scores.log_probs],
        "token_entropies": None if None in entropies else [finite(x) for values in entropies for x in values or ()],
    }


def attended_parts(translator: Translator, parts: Sequence[ScoredPart]) -> list[AttendedPart] | None:
    """Pieces of the parts, without tags, and the attention between them; None for a model without attention."""
    attended = []
    for part in parts:
        if part.scores.attention is None:
            return None
        source, target = part.pair
        front = _num_front_tokens(translator, source)
        attended.append(
            AttendedPart(
                translator.tokenizer.source_pieces(source[front:]),
                translator.tokenizer.target_pieces(target),
                part.scores.attention[:, front:],
            )
        )
    return attended


def _num_front_tokens(translator: Translator, source: Sequence[int]) -> int:
    """Number of tokens in front of a segment: its context, or its tag, before which older models have a space."""
    pieces = translator.tokenizer.source_pieces(source)
    if translator.context and SEPARATOR in pieces:
        return len(pieces) - pieces[::-1].index(SEPARATOR)
    known = translator.tagging.known
    return next((count for count, piece in enumerate(pieces[:2], start=1) if piece in known), 0)


def alignment(
    translator: Translator, attended: Sequence[AttendedPart] | None, *, source: str, target: str
) -> str | None:
    """Alignment of the words of a raw line with those of its translation; None without attention."""
    if attended is None:
        return None
    text, numbers = _words_read(translator, source)
    links = align(attended, text, target)
    # the text as it is read may have more words than the raw line: its last one stands for those beyond it
    return pharaoh([(numbers[min(word, len(numbers) - 1)], other) for word, other in links])


def _words_read(translator: Translator, line: str) -> tuple[str, list[int]]:
    """A raw line's text as the model reads it, without its tag; and the number, in the line, of each word of it."""
    read = translator.read(line).text
    _, text = translator.tagging.split(read)
    form = translator.tokenizer.text_form
    # a control character parts a word in two; one of invisible characters is none
    numbers = [number for number, word in enumerate(words_of(line)) for _ in words_of(normalise(word, form))]
    return text, numbers[len(words_of(read.removesuffix(text))) :]


def pair_lines(
    translator: Translator, pairs: Sequence[tuple[str, str]], scored: Sequence[ScoredPair], *, first: int = 0
) -> Iterator[str]:
    """Lines of JSON for given translations; fields that lack a score are null, with the flag too_long unless blank."""
    repetitive = repeats(pairs)
    for index, ((source, target), each) in enumerate(zip(pairs, scored, strict=True)):
        parts = [] if each.scores is None else [ScoredPart(each.pair, each.scores)]
        mean = each.scores.score() if each.scores else -math.inf
        attended = attended_parts(translator, parts)
        record = {
            "id": first + index,
            "source": source,
            "target": target,
            "score": finite(mean),
            "log_prob": finite(sum(each.scores.log_probs)) if each.scores else None,
            "perplexity": finite(perplexity(mean)),
            **token_fields(translator, parts),
            "alignment": alignment(translator, attended, source=source, target=target) if parts else None,
            "flags": flags(source, target, [part.pair for part in parts], attended, repetitive=repetitive[index]),
        }
        if each.is_too_long:
            record["flags"].append("too_long")
        yield to_json(record)
