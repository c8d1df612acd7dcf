"""Previous sentences of a document in front of a source line: "previous <sep> line".

The model translates the line alone, and sees what it refers to (Tiedemann and Scherrer 2017, "2+1"). A line without
context is "<sep> line": a separator in a line means that its context is there. A document ends at a blank line, and
where its name in a column of the corpus changes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from translate.errors import UserError

if TYPE_CHECKING:
    from translate.tokenizer import Tokenizer
    from translate.tokenizer_training import TokenizerConfig

SEPARATOR = "<sep>"
MOST_LINES = 100  # of context


class ContextWindow:
    """The last `size` lines of a document, which are put in front of the next one; size 0: none ever are."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._previous: deque[str] = deque(maxlen=size)
        self._document = ""

    def join(self, line: str, document: str = "") -> str:
        """The line behind its context; document: name of the one that it is from."""
        return self.context_of(line, document) + line

    def context_of(self, line: str, document: str = "") -> str:
        """The context in front of a line, "previous <sep> "; the line becomes part of the context of later ones.

        "" for a blank line, which ends a document, and for a line that has its context already.
        """
        if not self._size:
            return ""
        if document != self._document or not line.strip():
            self._previous.clear()
            self._document = document
        if not line.strip():
            return ""
        context = "".join(f"{previous} {SEPARATOR} " for previous in self._previous) or f"{SEPARATOR} "
        _, has_own, current = line.rpartition(SEPARATOR)
        self._previous.append(current.strip())
        return "" if has_own else context


def with_separator(config: TokenizerConfig) -> TokenizerConfig:
    """Settings of a tokenizer that knows the separator."""
    if SEPARATOR in config.user_symbols:
        return config
    return replace(config, user_symbols=[*config.user_symbols, SEPARATOR])


def require_separator(tokenizer: Tokenizer) -> None:
    """Raise UserError for a given tokenizer that does not know the separator."""
    if SEPARATOR not in tokenizer.user_symbols:
        raise UserError(
            f"data.context: the given vocabulary has no symbol {SEPARATOR}; leave it out to learn one that has, or "
            f"learn it with tokenizer.user_symbols=[{SEPARATOR}]"
        )
