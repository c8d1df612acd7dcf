"""Rule on the language of both sides, identified by py3langid, offline (Lui and Baldwin 2012)."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from translate.data.filters.pair_rules import Mask, Pairs
from translate.errors import UserError, import_extra

_MIN_BYTES = 20  # in UTF-8: shorter lines are not judged
_MIN_RELATIVE_PROBABILITY = 0.1  # of the usual language, relative to the most probable one
_MIN_SAMPLE = 20  # lines that are long enough to be judged
logger = logging.getLogger(__name__)


class LanguageRule:
    """Drops pairs with a side that is far more probably in another language than most lines of that side in the sample.

    languages  most frequent language of source and of target, independent of the run's: a corpus may be reversed
    """

    def __init__(self, sample: Pairs, *, key: str) -> None:
        self._identifier = load_identifier()
        self.languages = self._usual(sample.sources, f"{key}.source"), self._usual(sample.targets, f"{key}.target")
        logger.info("%s: the usual languages are %s → %s", key, *self.languages)

    def __call__(self, pairs: Pairs) -> Mask:
        dropped = np.zeros(len(pairs.sources), bool)
        for lines, language in zip((pairs.sources, pairs.targets), self.languages, strict=True):
            dropped |= np.fromiter((self._is_foreign(line, language) for line in lines), bool, len(lines))
        return dropped

    def _is_foreign(self, line: str, language: str) -> bool:
        if not _is_judged(line):
            return False
        # cheap test first: most lines are in the usual language
        if self._identifier.classify(line)[0] == language:
            return False
        ranked = self._identifier.rank(line)
        # relative, since all probabilities are small for lines of names or markup
        return bool(dict(ranked)[language] < _MIN_RELATIVE_PROBABILITY * ranked[0][1])

    def _usual(self, lines: Sequence[str], key: str) -> str:
        counts = Counter(self._identifier.classify(line)[0] for line in lines if _is_judged(line))
        if counts.total() < _MIN_SAMPLE:
            raise UserError(
                f"{key}: only {counts.total()} lines are long enough to identify their language ({_MIN_SAMPLE} are "
                "needed): set filters.language=false for this corpus"
            )
        return counts.most_common(1)[0][0]


def _is_judged(line: str) -> bool:
    return len(line.encode()) >= _MIN_BYTES


def load_identifier(purpose: str = "data.cleaning.filters.language") -> Any:
    """py3langid with its own model. Raises UserError where it is missing."""
    module = import_extra("py3langid.langid", extra="cleaning", purpose=purpose)
    # normalised probabilities do not depend on the length of a line
    return module.LanguageIdentifier.from_model_file(module.MODEL_FILE, norm_probs=True)
