"""Files of three directions, en→de, en→zh and de→en: letters, the same letters backwards, and in Chinese."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from translate.data.corpora import DataConfig
from translate.data.corpus import CorpusConfig

LETTERS, CHARACTERS = "abcdefghij", "零一二三四五六七八九"
TRANSLATE: dict[str, Callable[[list[str]], list[str]]] = {
    "en-de": lambda letters: letters[::-1],
    "en-zh": lambda letters: [CHARACTERS[LETTERS.index(letter)] for letter in letters],
    "de-en": lambda letters: letters[::-1],
}


def write_directions(folder: Path, sizes: dict[str, int], *, seed: int = 0) -> Path:
    """A TSV file of each direction with so many pairs, named by it, whose header has the languages."""
    source = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for name, count in sizes.items():
        sentences = [[source.choice(LETTERS) for _ in range(source.randint(4, 8))] for _ in range(count)]
        rows = ["\t".join(name.split("-")), *(f"{' '.join(x)}\t{' '.join(TRANSLATE[name](x))}" for x in sentences)]
        (folder / f"{name}.tsv").write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return folder


def corpora(folder: Path) -> list[str]:
    """Options that train on all three files."""
    further = ", ".join(
        f"{{path: {folder / name}.tsv, source_language: {name[:2]}, target_language: {name[3:]}}}"
        for name in ("en-zh", "de-en")
    )
    return [
        f"data.train.path={folder / 'en-de'}.tsv",
        "data.train.source_language=en",
        "data.train.target_language=de",
        f"data.additional=[{further}]",
    ]


def corpus(direction: str, **settings: object) -> CorpusConfig:
    """A corpus of text files of a direction, such as en-de."""
    source, target = direction.split("-")
    files = {"source": f"{direction}.{source}", "target": f"{direction}.{target}"}
    return CorpusConfig(**{**files, "source_language": source, "target_language": target, **settings})


def three(**settings: object) -> DataConfig:
    """Corpora of three directions."""
    settings = {"train": corpus("en-de"), "additional": [corpus("en-zh"), corpus("de-en")], **settings}
    return DataConfig(**settings)


def tags(data: DataConfig) -> dict[str, str]:
    """The tag of each corpus and each set that is given."""
    return {key: corpus.tag for key, corpus in data.training_corpora + data.evaluation_corpora}
