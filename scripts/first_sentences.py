"""A baseline for summaries, questions and answers: the first sentence of every source line, as it stands.

    python scripts/first_sentences.py < valid.dialogue > baseline.txt

Of a conversation that is its first turn; of a question with its passage, the passage's first sentence.
"""

from __future__ import annotations

import re
import sys

from translate.data.readers import SEPARATOR
from translate.text import read_lines

_END = re.compile(r"(?<=[.!?])\s+(?=\S)| ?<nl> ?")


def first_sentence(line: str) -> str:
    return _END.split(line.rpartition(SEPARATOR)[2].strip(), maxsplit=1)[0]


if __name__ == "__main__":
    for line in read_lines(sys.stdin.buffer):
        sys.stdout.buffer.write(f"{first_sentence(line)}\n".encode())
