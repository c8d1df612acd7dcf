"""Near-duplicates: of an exhaustive comparison, and in the preparation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from small_data import SOURCE, TARGET, TOKENIZER, make_data, write_pairs
from translate.data.filters import near_duplicates
from translate.data.filters.config import FILTER_REASONS
from translate.data.prepare import prepare

SENTENCES = [
    ("The children are playing in the garden behind the house.", "Die Kinder spielen im Garten hinter dem Haus."),
    ("A man with a red hat is waiting for the train.", "Ein Mann mit einem roten Hut wartet auf den Zug."),
]


def near(line: str) -> str:
    return line.replace("playing", "playing there").replace("Haus", "Hause").replace("waiting", "waiting here")


def test_near_duplicates_of_earlier_pairs_are_dropped_in_all_corpora(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(near_duplicates, "_PAIRS_AT_ONCE", 7)
    data = make_data(tmp_path, [*SOURCE, SENTENCES[0][0]], [*TARGET, SENTENCES[0][1]])
    extra = [near(SENTENCES[0][0]), SENTENCES[1][0].upper(), SENTENCES[1][0], SENTENCES[0][0]]
    other = [near(SENTENCES[0][1]), SENTENCES[1][1], SENTENCES[1][1], "Etwas ganz anderes als zuvor steht hier."]
    data.additional = [write_pairs(tmp_path / "extra", extra, other)]
    data.cleaning.filters.near_duplicates = 0.7
    report = prepare(data, TOKENIZER).cleaning
    reason = FILTER_REASONS["near_duplicates"]
    assert report.dropped == {reason: 2}
    # with the same source alone, or another tag, a pair is no duplicate
    assert {e.corpus for e in report.examples[reason]} == {"data.additional[0]"}
    assert [e.line for e in report.examples[reason]] == [1, 3]
    data.additional[0].tag = "<x>"
    report = prepare(data, TOKENIZER).cleaning
    assert [e.line for e in report.examples[reason]] == [3]


def test_near_duplicates_are_those_of_an_exhaustive_comparison():
    # each line, then with a word less, then with half of its words in another order
    words = [line.split() for line in SOURCE[:200]]
    texts = [" ".join(each) for line in words for each in (line, line[1:], line[::-2] + line[::2])]
    grams = [{text[i : i + 4] for i in range(len(text) - 3)} for text in (f"{line} | x".casefold() for line in texts)]
    similar = [any(len(g & e) / len(g | e) >= 0.8 for e in grams[:n]) for n, g in enumerate(grams)]
    assert 100 < sum(similar) < 200

    class Lines:
        def __init__(self, lines: list[str]) -> None:
            self.lines = lines

        def texts(self, rows: np.ndarray) -> list[str]:
            return [self.lines[row] for row in rows]

        def release(self) -> None:
            pass

    found = near_duplicates.NearDuplicates()
    found.add(texts, ["x"] * 600, first_row=0, least=0.8, tag="")
    rows = found.find(np.ones(600, bool), Lines(texts), Lines(["x"] * 600))  # type: ignore[arg-type]
    assert rows.tolist() == np.flatnonzero(similar).tolist()
