"""Numbers of a translated line that say what kind of text it was, without the text; computed without PyTorch."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from translate.data.filters.pair_rules import MARKS
from translate.data.text_profile import main_script
from translate.decoding.config import RescoringEngine
from translate.decoding.translation import Translation
from translate.decoding.translator import Translator
from translate.decoding.warning_flags import COPIED_SOURCE, FLAGS, LENGTH_RATIO, REPETITION, flags, repeats
from translate.tags import Tagging
from translate.tokenizer import UNK, Tokenizer

# the warnings of decoding/warning_flags.py that need no attention weights
MEASURED_FLAGS = (LENGTH_RATIO, REPETITION, COPIED_SOURCE)
_SPACE = "▁"  # of SentencePiece
# whatever warning_flags.repeats finds, and more: that takes a millisecond for a single line, and is rarely needed
_MAY_REPEAT = re.compile(r"(.{2,40}?)\1\1", re.DOTALL)
_MOST = 2**53  # larger integers are no lengths, and no floats
_MOST_NAME = 40  # characters of the name of a script


@dataclass(frozen=True, kw_only=True)
class LineFeatures:
    """Numbers of a line and its translation.

    source_tokens, target_tokens  without EOS; of the source with its tag and context
    segments            parts that the line was translated in; 0: it was blank
    script              Unicode script of most letters of the source, such as "Latin"; "": it has none
    unknown_characters  share of the source's characters, white space left out, that the vocabulary lacks
    byte_tokens         share of the source's tokens that are bytes of such characters, or <unk>
    capitals            capitals, as share of the source's letters that have case
    digits              share of the source's characters, white space left out
    log_prob            mean natural logarithm of the probabilities of the target tokens, EOS included; None: not known
    flags               names of warnings (decoding/warning_flags.py)
    """

    source_characters: int = 0
    source_words: int = 0
    source_tokens: int = 0
    target_characters: int = 0
    target_tokens: int = 0
    segments: int = 0
    script: str = ""
    unknown_characters: float = 0.0
    byte_tokens: float = 0.0
    capitals: float = 0.0
    digits: float = 0.0
    log_prob: float | None = None
    flags: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Values of JSON's own types."""
        values = {name: getattr(self, name) for name in _FIELDS}
        return values | {"flags": list(self.flags)}

    @classmethod
    def from_json(cls, value: Any) -> LineFeatures:
        """Read what to_json has written; further fields are ignored. Raises ValueError for anything else."""
        if not isinstance(value, dict):
            raise ValueError(f"features of a line are an object, not {type(value).__name__}")
        return cls(**{name: read(name, value.get(name)) for name, read in _READERS.items()})


def _count(name: str, value: Any) -> int:
    if type(value) is not int or not 0 <= value < _MOST:
        raise ValueError(f"{name} is no count")
    return value


def _share(name: str, value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value <= 1:
        raise ValueError(f"{name} is no share")
    return float(value)


def _log_prob(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if type(value) not in (int, float) or not -_MOST < value < _MOST:  # false of NaN
        raise ValueError(f"{name} is no logarithm of a probability")
    return float(value)


def _script(name: str, value: Any) -> str:
    if type(value) is not str or len(value) > _MOST_NAME:
        raise ValueError(f"{name} is no name of a script")
    return value


def _flags(name: str, value: Any) -> tuple[str, ...]:
    if type(value) is not list:
        raise ValueError(f"{name} is no list")
    return tuple(flag for flag in FLAGS if flag in value)  # those of a newer version are left out


_READERS: dict[str, Callable[[str, Any], Any]] = {
    **dict.fromkeys(("source_characters", "source_words", "source_tokens"), _count),
    **dict.fromkeys(("target_characters", "target_tokens", "segments"), _count),
    "script": _script,
    **dict.fromkeys(("unknown_characters", "byte_tokens", "capitals", "digits"), _share),
    "log_prob": _log_prob,
    "flags": _flags,
}
_FIELDS = [field.name for field in dataclasses.fields(LineFeatures)]


class FeatureExtractor:
    """Computes the features of lines that were translated with a tokenizer, in about 0.05 ms for a line of 60 letters.

    length_penalty  of the search, by which its scores become log probabilities; None: its scores are something else
    tagging         tags in front of lines, which are no text of theirs; None: none
    """

    def __init__(
        self, tokenizer: Tokenizer, *, length_penalty: float | None = 1.0, tagging: Tagging | None = None
    ) -> None:
        self._tokenizer = tokenizer
        self._tagging = tagging or Tagging()
        self._length_penalty = length_penalty
        processor = tokenizer.source_processor
        ids = range(processor.get_piece_size())
        self._byte_ids = frozenset([UNK, *(token for token in ids if processor.is_byte(token))])
        pieces = (
            processor.id_to_piece(token)
            for token in ids
            if not (token in self._byte_ids or processor.is_control(token))
        )
        self._known = frozenset("".join(pieces)) - {_SPACE}

    @classmethod
    def of_translator(cls, translator: Translator) -> FeatureExtractor:
        """The extractor for translations of a translator."""
        is_rescored = isinstance(translator.engine, RescoringEngine)
        length_penalty = None if is_rescored else translator.search.length_penalty
        return cls(translator.tokenizer, length_penalty=length_penalty, tagging=translator.tagging)

    def __call__(self, lines: Sequence[str], translations: Sequence[Translation]) -> list[LineFeatures]:
        """Features of raw lines and their translations."""
        texts = [self._tagging.split(line)[1] for line in self._tokenizer.normalise(lines)]
        pairs = zip(texts, translations, strict=True)
        repetitive = _repetitive(
            [(line, translation.text) for line, translation in zip(lines, translations, strict=True)]
        )
        return [
            self._features(line, found, repetitive=flag) for (line, found), flag in zip(pairs, repetitive, strict=True)
        ]

    def _features(self, line: str, translation: Translation, *, repetitive: bool) -> LineFeatures:
        visible = "".join(line.split())
        upper = sum(map(str.isupper, visible))
        cased = upper + sum(map(str.islower, visible))
        tokens = [token for source, _ in translation.parts for token in source]
        return LineFeatures(
            source_characters=len(line),
            source_words=len(line.split()),
            source_tokens=translation.source_tokens,
            target_characters=len(translation.text),
            target_tokens=translation.target_tokens,
            segments=translation.segments,
            script=main_script([visible]),
            unknown_characters=self._unknown_share(visible),
            byte_tokens=_rounded_share(sum(map(self._byte_ids.__contains__, tokens)), len(tokens)),
            capitals=_rounded_share(upper, cased),
            digits=_rounded_share(sum(map(str.isdecimal, visible)), len(visible)),
            log_prob=self._log_prob(translation),
            flags=tuple(flags(line, translation.text, translation.parts, None, repetitive=repetitive)),
        )

    def _unknown_share(self, visible: str) -> float:
        # in the vocabulary's own form, such as NFKC of a published model
        text = self._tokenizer.source_processor.normalize(visible).replace(_SPACE, "")
        return _rounded_share(len(text) - sum(map(self._known.__contains__, text)), len(text))

    def _log_prob(self, translation: Translation) -> float | None:
        """Mean log probability of a token; with a length penalty and several segments, as of segments equally long."""
        if self._length_penalty is None or not translation.segments or not math.isfinite(translation.score):
            return None
        length = translation.target_tokens / translation.segments + 1  # with EOS
        return round(translation.score * length ** (self._length_penalty - 1), 4)


def _rounded_share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def _repetitive(pairs: Sequence[tuple[str, str]]) -> Iterator[bool]:
    """warning_flags.repeats of the pairs, which is asked about few of them."""
    # a space ends the last word, as in the rule
    suspects = [index for index, (_, target) in enumerate(pairs) if _MAY_REPEAT.search(f"{target.rstrip(MARKS)} ")]
    found = dict(zip(suspects, repeats([pairs[index] for index in suspects]), strict=True)) if suspects else {}
    return (found.get(index, False) for index in range(len(pairs)))
