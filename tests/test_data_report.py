"""The data report finds what was planted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from small_data import SOURCE, TARGET, TOKENIZER, make_data, write_pairs
from translate.data.corpus import CorpusConfig, CorpusFormat
from translate.data.prepare import prepare
from translate.data.report import DataReport, data_report, repeated, shared_with
from translate.data.text_profile import Profiler


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> DataReport:
    folder = tmp_path_factory.mktemp("report")
    source, target = list(SOURCE), list(TARGET)
    source[10], target[10] = "control \x85 here", "auch \x00 hier"
    source[20], target[20] = "Это совсем другой язык", "Jawohl"
    source[30], target[30] = "equal", "equal"
    source[40], target[40] = SOURCE[41], TARGET[41]
    source[50] = "long " * 200
    target[60] = "x"
    source[70] = ""
    data = make_data(folder, source, target)
    data.test = write_pairs(
        folder / "test", ["quite new", SOURCE[100], SOURCE[101]], ["ganz neu", "anders", TARGET[101]]
    )
    data.source_language, data.target_language = "xx", "yy"
    return data_report(data, prepare(data, TOKENIZER))


def lines_of(finding: dict) -> list[int]:
    return [example["line"] for example in finding["examples"]]


def test_planted_oddities_are_found_at_their_lines(report: DataReport):
    found = report.values["splits"]["train"]["findings"]
    expected = {
        "blank side": [71],
        "source = target": [31],
        "control characters in source": [11],
        "control characters in target": [11],
        "source not in Latin script": [21],
        "target not in Latin script": [],
        "source far longer than most": [51],
        "target far longer than most": [],
    }
    assert {name: lines_of(found[name]) for name in expected} == expected
    assert {name: found[name]["count"] for name in expected} == {name: len(lines) for name, lines in expected.items()}
    assert lines_of(found["lengths far from the usual ratio"])[:2] == [61, 51]


def test_duplicates_and_overlap_are_counted(report: DataReport):
    splits = report.values["splits"]
    duplicates = splits["train"]["duplicates"]
    assert {part: duplicates[part]["count"] for part in duplicates} == {"source": 1, "target": 1, "pair": 1}
    assert duplicates["pair"]["examples"][0]["times"] == 2
    assert lines_of(duplicates["pair"]) == [41]
    overlap = splits["test"]["overlap"]
    assert {part: lines_of(overlap[part]) for part in overlap} == {"source": [2, 3], "target": [3], "pair": [3]}
    assert splits["valid"]["overlap"]["pair"]["count"] == 5


def test_lengths_agree_with_counting(report: DataReport):
    side = report.values["splits"]["valid"]["target"]
    lengths = sorted(map(len, TARGET[:5]))
    words = sorted(len(line.split()) for line in TARGET[:5])
    assert side["characters"]["min"] == lengths[0]
    assert side["characters"]["median"] == lengths[2]
    assert side["characters"]["max"] == lengths[-1]
    assert side["words"]["total"] == sum(words)
    assert report.values["splits"]["train"]["source"]["tokens"]["max"] <= 256


def test_report_page_lists_the_findings(report: DataReport, tmp_path: Path):
    assert report.markdown.startswith("# Data report: xx → yy\n")
    assert "data.train line 11: `control \\x85 here`" in report.markdown
    assert "| source not in Latin script" in report.markdown
    assert "One vocabulary of 500 pieces" in report.markdown
    report.save(tmp_path)
    assert json.loads((tmp_path / "data_report.json").read_text("utf-8")) == report.values
    assert DataReport.load(tmp_path) == report


def test_profiles_agree_with_python_on_hostile_lines():
    lines = [
        "",
        " ",
        "two words",
        " led  by spaces ",
        "a\rb",
        "c\x85d",
        "\ufeffe",
        "全角 空格\u3000三",
        "naïve",
        "👩‍👩‍👧 x",
    ]
    profile = Profiler()(lines)
    assert profile.characters.tolist() == [len(line) for line in lines]
    assert profile.words.tolist() == [0, 0, 2, 3, 2, 2, 1, 3, 1, 2]
    assert profile.controls.tolist() == [0, 0, 0, 0, 1, 1, 1, 0, 0, 0]


def test_script_of_a_line_is_the_script_of_most_letters():
    profiler = Profiler()
    lines = [
        "plain English",
        "по-русски",
        "调用 os.fork() 时",
        "ひらがなとカタカナと漢字",
        "한국어 문장",
        "12:30",
        "OK",
        "ελληνικά",
        "ＦＵＬＬ width",
        "",
    ]
    names = [profiler.script_names()[index] for index in profiler(lines).script]
    assert names == ["Latin", "Cyrillic", "Han/Kana", "Han/Kana", "Hangul", "", "", "Greek", "Latin", ""]
    again = profiler(list(reversed(lines))).script
    assert [profiler.script_names()[index] for index in again] == names[::-1], "later scripts keep earlier names"


def test_duplicates_and_shared_rows_equal_a_python_set():
    random = np.random.default_rng(3)
    train, other = (random.integers(0, 300, 400).astype(np.uint64) for _ in range(2))
    values = train.tolist()
    count, common = repeated(train)
    assert count == len(values) - len(set(values))
    first, times = common[0]
    assert times == max(map(values.count, values)) == values.count(values[first])
    assert values.index(values[first]) == first
    expected = [row for row, value in enumerate(other.tolist()) if value in set(values)]
    assert shared_with(other, np.sort(train)).tolist() == expected


def report_of(folder: Path, source: list[str], target: list[str], **changes: object) -> DataReport:
    """The report of some training text beside the usual validation set."""
    data = make_data(folder, source, target)
    for name, value in changes.items():
        setattr(data, name, value)
    return data_report(data, prepare(data, TOKENIZER))


def test_reported_line_numbers_are_file_line_numbers(tmp_path: Path):
    blank = ["" if n == 210 else line for n, line in enumerate(SOURCE)]
    data = make_data(tmp_path, blank, TARGET)
    data.train.skip = 200
    report = data_report(data, prepare(data, TOKENIZER))
    assert lines_of(report.values["splits"]["train"]["findings"]["blank side"]) == [211]
    assert report.values["cleaning"]["examples"]["blank side"][0]["line"] == 211


def test_lines_of_tables_count_the_header_and_blank_lines(tmp_path: Path):
    rows = [f"{source}\t{target}" for source, target in zip(SOURCE, TARGET, strict=True)]
    for name, part in (("a", rows[:200]), ("b", [*rows[200:300], "", *rows[300:], "equal\tequal", rows[0]])):
        (tmp_path / f"{name}.tsv").write_text("\n".join(["xx\tyy", *part, ""]), encoding="utf-8")
    train = CorpusConfig(format=CorpusFormat.tsv, path=f"{tmp_path}/*.tsv", source="xx", target="yy")
    report = report_of(tmp_path, SOURCE, TARGET, train=train)
    findings = report.values["splits"]["train"]["findings"]
    found_at = {name: [(e["corpus"], e["line"]) for e in findings[name]["examples"]] for name in findings}
    assert found_at["blank side"] == [("data.train b.tsv", 102)]
    assert ("data.train b.tsv", 203) in found_at["source = target"]
    assert report.values["cleaning"]["dropped"] == {"no pair in the row": 1, "source = target": 1, "duplicate pair": 1}
    [duplicate] = report.values["cleaning"]["examples"]["duplicate pair"]
    assert (duplicate["corpus"], duplicate["line"]) == ("data.train b.tsv", 204)


def test_crlf_line_ends_are_reported_once_and_are_not_text(tmp_path: Path):
    report = report_of(tmp_path, [f"{line}\r" for line in SOURCE], [*TARGET[:-1], "Ü a \r carriage return\r"])
    train = report.values["splits"]["train"]
    assert train["findings"]["control characters in source"]["count"] == 0
    assert train["findings"]["control characters in target"]["count"] == 1
    assert train["corpora"][0]["carriage_returns"] == {"source": 400, "target": 1}
    assert report.markdown.count("CRLF line ends") == 1
    assert "data.train: CRLF line ends, 400 of 400" in report.markdown
    # the same text with other line ends is the same text
    assert report.values["splits"]["valid"]["overlap"]["pair"]["count"] == 5


def test_equal_sentences_with_different_tags_are_no_duplicates(tmp_path: Path):
    train = write_pairs(tmp_path / "de", SOURCE, TARGET)
    other = write_pairs(tmp_path / "fr", [*SOURCE, SOURCE[7]], [line[::-1] for line in [*SOURCE, SOURCE[8]]])
    train.tag, other.tag = "<de>", "<fr>"
    report = report_of(tmp_path, SOURCE, TARGET, train=train, additional=[other])
    duplicates = report.values["splits"]["train"]["duplicates"]
    assert {part: found["count"] for part, found in duplicates.items()} == {"source": 1, "target": 1, "pair": 0}
    assert "a repeat is counted where the tag is the same" in report.markdown


def test_validation_set_from_the_end_of_a_sorted_file_is_reported_as_unlike_training(tmp_path: Path):
    order = sorted(range(400), key=lambda n: len(SOURCE[n]))
    source, target = [SOURCE[n] for n in order], [TARGET[n] for n in order]
    valid = write_pairs(tmp_path / "head", source[:40], target[:40])
    [warning] = report_of(tmp_path, source[40:], target[40:], valid=valid).warnings
    lengths = sorted(map(len, source[:40]))[19], sorted(map(len, source[40:]))[179]
    assert warning.startswith("data.valid is unlike the training text: source has a median of ")
    assert f"source has a median of {lengths[0]} characters, training {lengths[1]}" in warning
    fair = write_pairs(tmp_path / "fair", source[::10], target[::10])
    others = [n for n in range(400) if n % 10]
    rest = [source[n] for n in others], [target[n] for n in others]
    assert report_of(tmp_path, *rest, valid=fair).warnings == []


def test_other_scripts_other_characters_and_known_sources_are_warned_of(tmp_path: Path):
    valid = write_pairs(tmp_path / "case", [line.upper() for line in SOURCE[:40]], TARGET[:40])
    [warning] = report_of(tmp_path, SOURCE, TARGET, valid=valid).warnings
    assert "of the characters of source never occur in training" in warning
    cyrillic = str.maketrans("abdeiklmnoprstuvz", "абдеиклмнопрстувз")
    valid = write_pairs(tmp_path / "script", [line.translate(cyrillic) for line in SOURCE[:40]], TARGET[:40])
    [warning] = report_of(tmp_path, SOURCE[40:], TARGET[40:], valid=valid).warnings
    assert "source is in Cyrillic script, training in Latin" in warning
    valid = write_pairs(tmp_path / "known", SOURCE[:40], [*TARGET[:10], *(f"{line}!" for line in TARGET[10:40])])
    report = report_of(tmp_path, SOURCE[20:], [f"{line}!" for line in TARGET[20:]], valid=valid)
    assert report.warnings == [
        "50.0% of the sources of data.valid are in the training text too (50.0% with the same target): "
        "its scores are too high for new text"
    ]
    assert f"## Warnings\n\n- {report.warnings[0]}" in report.markdown


def test_newstest_has_control_characters_and_no_wrong_script(corpora_root: Path, tmp_path: Path):
    stem = corpora_root / "wmt-newstest-de-en"
    data = make_data(tmp_path, SOURCE, TARGET)
    data.test.source, data.test.target = f"{stem}/train.de", f"{stem}/train.en"
    found = data_report(data, prepare(data, TOKENIZER)).values["splits"]["test"]["findings"]
    assert found["control characters in source"]["count"] == 132
    assert found["source not in Latin script"]["count"] == 0
