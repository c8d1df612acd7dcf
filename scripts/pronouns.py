"""Pronouns across two lines: what a model gains from the previous sentence (data.context).

The pairs of the shipped corpus with a pronoun that refers to a noun before it, such as "The lamp is old, but it still
works.", become two lines of a document; German "it" is er, sie or es by the gender of a noun in the line before.

    python scripts/pronouns.py write FOLDER
    python -m translate.train experiment=shipped data.root=FOLDER data.context=1 augmentation.clauses=0 run.dir=RUN
    python -m translate.decode model=RUN input=FOLDER/test.en output=FOLDER/test.hyp
    python scripts/pronouns.py accuracy FOLDER/test.de FOLDER/test.hyp

data.context=0 trains without context on the same lines. One pronoun pair in five leaves the training text for the test.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from translate.text import read_lines, write_lines

CORPUS = Path(__file__).parent.parent / "data" / "en-de"
_PATTERNS = [  # first and second line of the source; the target is cut where _TARGET_CUT says
    re.compile(r"([^.?!]+,) (but (?:it|they) [^.?!]+\.)"),
    re.compile(r"([^.?!]+) (because [a-zA-Z ]+ needs? (?:it|them)\.)"),
    re.compile(
        r"(Where (?:is|are) [^.?!]+\?|(?:This is|These are) [^.?!]+\.) ([^.?!]*\b(?:it|they|them)\b[^.?!]*\.)",
        re.IGNORECASE,
    ),
]
_TARGET_CUT = re.compile(r"(?<=[,.?!]) ")
_PRONOUN = re.compile(r"\b(er|sie|es|ihn)\b", re.IGNORECASE)
_TEST_SHARE = 5
Pair = tuple[str, str]
Document = list[Pair]


def two_lines(source: str, target: str) -> Document:
    """A pair whose pronoun refers to a noun before it as two pairs; any other pair as it is."""
    found = next((match for pattern in _PATTERNS if (match := pattern.fullmatch(source))), None)
    parts = _TARGET_CUT.split(target)
    if found is None or len(parts) != 2 or not _PRONOUN.search(parts[1]):
        return [(source, target)]
    return [(found[1], parts[0]), (found[2], parts[1])]


def documents(split: str) -> Iterator[Document]:
    """The pairs of a split of the shipped corpus."""
    sides = (read_lines(CORPUS / f"{split}.{language}") for language in ("en", "de"))
    for source, target in zip(*sides, strict=True):
        yield two_lines(source, target)


def write_corpus(folder: Path) -> None:
    """Write train, valid and test files in which a blank line ends each document, as the shipped corpus names them."""
    train = list(documents("train"))
    pronouns = [document for document in train if len(document) == 2]
    test = [document for document in documents("test") if len(document) == 2] + pronouns[::_TEST_SHARE]
    left_out = {id(document) for document in pronouns[::_TEST_SHARE]}
    folder.mkdir(parents=True, exist_ok=True)
    train = [document for document in train if id(document) not in left_out]
    for split, content in (("train", train), ("valid", list(documents("valid"))), ("test", test)):
        lines = [pair for document in content for pair in (*document, ("", ""))]
        for side, language in enumerate(("en", "de")):
            write_lines(folder / f"{split}.{language}", (pair[side] for pair in lines))
    # no labels of the shipped test set belong to these lines
    write_lines(folder / "test.labels", ("pronoun" for document in test for _ in (*document, "")))
    two = len(pronouns) - len(left_out)
    print(f"{folder}: {len(train):,} training documents, {two:,} of two lines; {len(test):,} tests")


def accuracy(references: Sequence[str], hypotheses: Sequence[str]) -> tuple[int, int]:
    """Numbers of second lines whose pronouns are those of the reference, and of all second lines."""
    right, count = 0, 0
    for before, reference, hypothesis in zip(references, references[1:], hypotheses[1:], strict=False):
        if before.strip() and reference.strip():
            wanted, found = (sorted(map(str.lower, _PRONOUN.findall(line))) for line in (reference, hypothesis))
            right, count = right + (wanted == found), count + 1
    return right, count


def main(arguments: Sequence[str]) -> None:
    match arguments:
        case [*_, "--help"]:
            print(__doc__)
            sys.exit(0)
        case ["write", folder]:
            write_corpus(Path(folder))
        case ["accuracy", reference, hypothesis]:
            right, count = accuracy(list(read_lines(reference)), list(read_lines(hypothesis)))
            print(f"pronouns: {right} of {count} lines, {right / count:.1%}")
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
