"""Settings of translation memories, and what they find."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from translate.data.corpus import one_or_several
from translate.errors import UserError, require_between
from translate.files import require_regular
from translate.text import STANDARD


@dataclass(kw_only=True)
class MemoryConfig:
    """A translation memory.

    path            file with pairs, such as a TMX, in any format of corpora; a list: several files; "": none
    min_similarity  of a match: 1 - edit distance / length of the longer source, in words; 1: equal words
    exact           the target of an equal source is the translation
    symbol          in front of a match's target behind the source line, for a model that was trained with such lines;
                    "": the model does not read matches
    report          file to write with the matches of all lines: number of the line, similarity, source and target
    """

    path: Any = ""  # str, or list[str]
    min_similarity: float = 0.7
    exact: bool = True
    symbol: str = ""
    report: str = ""

    @property
    def paths(self) -> list[str]:
        return [path for path in one_or_several(self.path, key="memory.path") if path]

    def check(self) -> None:
        """Raise UserError for values out of range, files that do not exist, and options without a memory."""
        # below 0.3 most pairs of a memory are candidates of every line, and matches are of no use
        require_between("memory.min_similarity", self.min_similarity, 0.3, 1.0)
        for path in self.paths:
            require_regular(path, option="memory.path")
        if self.report == STANDARD:
            raise UserError("memory.report=-: a report has a file of its own; name one")
        if not self.paths and (self.symbol or self.report):
            raise UserError("memory.symbol and memory.report are for a translation memory: set memory.path=FILE")


@dataclass(frozen=True)
class Match:
    """A pair of a translation memory that is similar to a line.

    similarity  0 to 1
    is_used     its target is the translation of the line
    """

    source: str
    target: str
    similarity: float
    is_used: bool = False
