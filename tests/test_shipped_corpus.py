"""The corpus in data/en-de: its files are those that data/README.md names, its splits are what they claim."""

import hashlib
import itertools
import re
from collections import Counter

import pytest

from small_runs import REPOSITORY

DATA = REPOSITORY / "data" / "en-de"
README = (REPOSITORY / "data" / "README.md").read_text(encoding="utf-8")
# Words for numbers that are put together from others: forty-five, fünfundvierzig, siebenhundertzwei
COMPOUND_NUMBER = re.compile(r"[a-z]+ty-[a-z]+|[a-zäöü]+und[a-zäöü]+(zig|ßig)|[a-zäöü]+hundert[a-zäöüß]*")


def sentences_of(line: str) -> list[str]:
    """Split a line: "Where is the key? It is here." has two sentences, "Mr. Weber, come!" one."""
    return re.split(r"(?<=[.?!])(?<!Mr\.)(?<!Mrs\.)(?<!\d\.) ", line)


def read(name: str) -> list[str]:
    text = (DATA / name).read_text(encoding="utf-8")
    assert text.endswith("\n")
    assert "\r" not in text
    return text.removesuffix("\n").split("\n")


@pytest.fixture(scope="module")
def train() -> list[tuple[str, str]]:
    return list(zip(read("train.en"), read("train.de"), strict=True))


@pytest.fixture(scope="module")
def labelled() -> list[tuple[str, str, str, str]]:
    rows = zip(read("test.en"), read("test.de"), read("test.labels"), strict=True)
    return [(source, target, *label.split("\t")) for source, target, label in rows]


# The files


def test_the_files_are_those_of_the_readme():
    digests = dict(re.findall(r"^\| `([\w.]+)` \| `([0-9a-f]{64})` \|$", README, re.MULTILINE))
    assert digests == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in DATA.iterdir()}


def test_the_corpus_is_small_and_large_enough(train):
    assert sum(path.stat().st_size for path in DATA.iterdir()) <= 3_000_000
    assert len(train) >= 20_000
    assert len(read("valid.en")) == len(read("valid.de")) >= 500


def test_no_test_line_is_a_line_or_sentence_of_train_or_valid(train, labelled):
    for side, language in enumerate(("en", "de")):
        known = set(itertools.chain((pair[side] for pair in train), read(f"valid.{language}")))
        known |= {sentence for line in known for sentence in sentences_of(line)}
        assert [row[side] for row in labelled if row[side] in known] == []


def test_every_line_has_one_translation(train, labelled):
    pairs = [*train, *zip(read("valid.en"), read("valid.de"), strict=True), *(row[:2] for row in labelled)]
    german_of = dict(pairs)
    assert [pair for pair in pairs if german_of[pair[0]] != pair[1]] == []


def test_lines_are_tidy(train, labelled):
    for line in itertools.chain.from_iterable([*train, *(row[:2] for row in labelled)]):
        assert re.fullmatch(r"[A-ZÄÖÜ]\S*( \S+)*[.?!]", line), line
        assert not re.search(r",,| [,.?!]|\. [a-zäöü]", line), line


def test_every_phenomenon_has_at_least_twenty_test_lines(labelled):
    counts = Counter(phenomenon for _, _, phenomenon, _ in labelled)
    assert len(counts) == 33
    assert min(counts.values()) >= 20


def test_every_test_word_occurs_ten_times_in_train(train, labelled):
    counts = Counter(word.strip(".,!?") for pair in train for line in pair for word in line.split())
    words = {word.strip(".,!?") for row in labelled for line in row[:2] for word in line.split()}
    figures = {word for word in words if any(sign.isdigit() for sign in word) or COMPOUND_NUMBER.fullmatch(word)}
    assert sorted(word for word in words - figures if counts[word] < 10) == []


def test_the_readme_gives_the_sizes_and_true_examples(labelled):
    table_rows = [row for row in README.splitlines() if row.startswith("| `") and row.count("|") > 3]
    rows = {row.split("`")[1]: row for row in table_rows}
    for name in ("train", "valid", "test"):
        sizes = [
            len(read(f"{name}.en")),
            *((DATA / f"{name}.{side}").stat().st_size for side in ("en", "de")),
        ]
        assert re.findall(r"[\d,]+(?= \|)", rows[f"{name}.en"]) == [f"{size:,}" for size in sizes]
    for phenomenon, count in Counter(row[2] for row in labelled).items():
        _, _, lines, example, _ = rows[phenomenon].split("|")
        assert int(lines) == count
        assert example.strip() in [f"{row[0]} → {row[1]}" for row in labelled if row[2] == phenomenon]


# The splits


WITHIN_A_LINE = r"\b(?:{})\b.*\b(?:{})\b|\b(?:{})\b.*\b(?:{})\b"
VERBS_AND_OBJECTS = (
    ("read|reads|reading|Read|Reading", "letter|letters"),
    ("wash|washes|washing|washed|Wash", "cup|cups"),
    ("photograph|photographs|photographing|photographed|Photograph", "dog|dogs"),
    ("write|writes|writing|wrote|written|Write", "article|articles"),
)
FIGURES = (
    "forty-five", "forty-five years", "87", "three hundred and eighteen", "on the third of July", "on 3 July",
    "a quarter past nine", "at twelve o'clock", "8.20 euros", "12.30 euros",
)  # fmt: skip


@pytest.mark.parametrize(("verb", "noun"), VERBS_AND_OBJECTS)
def test_held_out_objects_by_plain_search(train, verb, noun):
    """No line holds both words, in any order; many hold either."""
    lines = [source for source, _ in train]
    assert not [line for line in lines if re.search(WITHIN_A_LINE.format(verb, noun, noun, verb), line)]
    assert sum(bool(re.search(rf"\b({verb})\b", line)) for line in lines) >= 100
    assert sum(bool(re.search(rf"\b({noun})\b", line)) for line in lines) >= 100


@pytest.mark.parametrize(("adjective", "noun"), [("old", "man"), ("red", "bus"), ("big", "horse"), ("small", "dog")])
def test_held_out_descriptions_by_plain_search(train, adjective, noun):
    lines = [source for source, _ in train]
    assert not [line for line in lines if re.search(rf"\b{adjective} {noun}s?\b", line)]
    assert sum(f"{adjective} " in line for line in lines) >= 100
    assert sum(noun in line for line in lines) >= 100


@pytest.mark.parametrize("figure", FIGURES)
def test_held_out_figures_by_plain_search(train, figure):
    assert not [source for source, _ in train if re.search(rf"(?<![\w.])(?<!and ){re.escape(figure)}(?![\w.])", source)]


def test_longer_lines_are_longer_than_any_sentence_of_train(train, labelled):
    seen = [source for source, _ in train] + read("valid.en")
    longest = max(len(sentence.split()) for line in seen for sentence in sentences_of(line))
    lengths = [len(source.split()) for source, _, _, split in labelled if split == "longer"]
    assert len(lengths) >= 100
    assert longest * 1.25 <= min(lengths)
    assert max(lengths) <= longest * 1.6
    assert all(len(sentences_of(row[0])) == 1 for row in labelled if row[3] == "longer")


@pytest.mark.parametrize(
    ("english", "expected"),
    [
        (" arrives at half past ", " um halb "),
        ("must not ", r"\b[Dd](arf|arfst|ürfen)\b.* nicht"),
        ("likes to ", " gern"),
        (" is hungry", " hat "),
    ],
)
def test_idiomatic_differences_of_the_languages_are_rendered(train, english, expected):
    targets = [target for source, target in train if english in source]
    assert len(targets) >= 5
    assert all(re.search(expected, target) for target in targets)
