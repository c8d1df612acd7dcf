"""Two pairs joined side by side or as clauses, and tables of synonyms."""

from __future__ import annotations

from random import Random

import pytest

from translate.data.augmentation.joining import Casing, ClauseJoiner, join_pairs
from translate.data.augmentation.synonyms import read_synonyms
from translate.errors import UserError

FIRST = ("He sleeps.", "Er schläft.")
SECOND = ("The dog eats.", "Der Hund frisst.")


def casing(*lines: str) -> Casing:
    found = Casing()
    found.learn(lines)
    return found


ENGLISH = casing("I see the dog.", "So the dog and Anna sleep. The end.")
GERMAN = casing("Ich sehe der Frau den Hund.", "Da ist der Hund, und Anna schläft.")
ENGLISH_GERMAN = ClauseJoiner(("en", "de_AT"), (ENGLISH, GERMAN))


def joined(joiner: ClauseJoiner, first=FIRST, second=SECOND) -> set[tuple[str, str]]:
    return {joiner.join(first, second, Random(seed)) for seed in range(40)}


def test_pairs_side_by_side_have_a_space_between_them_except_in_scripts_without():
    assert join_pairs(("A. ", "B!"), (" C?", "D.")) == ("A. C?", "B! D.")
    assert join_pairs(("我们走。", "a。"), ("你们来。", "b")) == ("我们走。你们来。", "a。 b")


def test_clauses_have_the_same_conjunction_on_both_sides():
    assert joined(ENGLISH_GERMAN) == {
        ("He sleeps, and the dog eats.", "Er schläft, und der Hund frisst."),
        ("He sleeps, but the dog eats.", "Er schläft, aber der Hund frisst."),
    }
    assert joined(ClauseJoiner(("zh", "en"), (casing(), ENGLISH)), ("我们走。", "We go."), ("你们来。", "The dog."))== {
        ("我们走，你们来。", "We go, and the dog."),
        ("我们走，但你们来。", "We go, but the dog."),
    }  # fmt: skip


def test_words_that_are_usually_capitals_keep_them():
    names = ("Anna eats.", "Hund und Katze fressen.")
    assert ("He sleeps, and Anna eats.", "Er schläft, und Hund und Katze fressen.") in joined(
        ENGLISH_GERMAN, second=names
    )


@pytest.mark.parametrize("languages", [("", ""), ("en", ""), ("en", "ja"), ("xx", "de")])
def test_languages_without_known_conjunctions_get_a_semicolon_on_both_sides(languages):
    joiner = ClauseJoiner(languages, (ENGLISH, GERMAN))
    assert joined(joiner) == {("He sleeps; the dog eats.", "Er schläft; der Hund frisst.")}


@pytest.mark.parametrize(
    "other",
    [
        ("Does he?", "Tut er?"),
        ("He does", "Er tut es."),
        ("He does.", "Er tut es"),
        ("One. Two.", "Eins, zwei."),
        ("Wait...", "Warte..."),
        ("", ""),
    ],
)
def test_anything_but_single_statements_is_joined_side_by_side(other):
    for first, second in ((FIRST, other), (other, FIRST)):
        assert joined(ENGLISH_GERMAN, first, second) == {join_pairs(first, second)}


def test_a_table_of_synonyms_is_read_by_small_letters(tmp_path):
    table = tmp_path / "synonyms.tsv"
    table.write_text("\ufeffBig\tlarge\t great \n\nbig\thuge\tlarge\nUhr\tuhrzeit\n", encoding="utf-8")
    known = read_synonyms(str(table))
    assert list(known("big")) == ["large", "great", "huge"]
    assert (list(known("uhr")), list(known("small"))) == (["uhrzeit"], [])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("big\tlarge\nsmall\n", "line 2: expected a word, a TAB and its synonyms"),
        ("\tlarge\n", "line 1: expected a word, a TAB"),
        ("", "no synonyms; write lines"),
    ],
)
def test_other_tables_are_refused_by_their_line(content, message, tmp_path):
    table = tmp_path / "synonyms.tsv"
    table.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_synonyms(str(table))


# WordNet's format: lemmas with the byte offsets of their senses, and senses at these offsets
SENSES = [
    "00000000 03 n 02 bag 0 sack 1 000 | a container  \n",
    "00000000 03 n 02 bag 2 udder 0 000 | of a cow  \n",
    "00000000 03 n 02 set_phrase 0 idiom 0 000 | fixed words  \n",
]


def write_wordnet(folder):
    """A database of three senses of nouns."""
    senses, offsets = "", []
    for sense in SENSES:
        offsets.append(len(senses))
        senses += f"{offsets[-1]:08d}{sense[8:]}"
    lemmas = {"bag": [0, 1], "sack": [0], "udder": [1], "set_phrase": [2], "idiom": [2]}
    index = "".join(
        f"{lemma} n {len(numbers)} 0 {len(numbers)} 0 {' '.join(f'{offsets[n]:08d}' for n in numbers)}  \n"
        for lemma, numbers in lemmas.items()
    )
    folder.mkdir()
    for part in ("adj", "adv", "noun", "verb"):
        (folder / f"data.{part}").write_text(senses if part == "noun" else "")
        (folder / f"index.{part}").write_text(index if part == "noun" else "")
        (folder / f"{part}.exc").write_text("")
    (folder / "lexnames").write_text("".join(f"{i:02d}\tnoun.{i}\t1\n" for i in range(45)))
    (folder / "cntlist.rev").write_text("")


def test_wordnet_gives_the_other_words_of_the_first_sense(tmp_path):
    pytest.importorskip("nltk")
    write_wordnet(tmp_path / "wordnet")
    known = read_synonyms(str(tmp_path / "wordnet"))
    assert [list(known(word)) for word in ("bag", "sack", "idiom", "bags", "nothing")] == [
        ["sack"], ["bag"], ["set phrase"], [], [],
    ]  # fmt: skip


def test_a_folder_without_wordnet_is_refused(tmp_path):
    pytest.importorskip("nltk")
    with pytest.raises(UserError, match="not a folder of WordNet's files"):
        read_synonyms(str(tmp_path))
