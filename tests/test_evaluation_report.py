"""Evaluation of a test set through the translator, its breakdown, and the report's files."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from unicodedata import normalize

import pytest
import torch

from fake_models import CharacterTokenizer, copy_model
from in_process import call_here
from translate.data.corpora import ParallelText
from translate.decoding.config import SearchConfig
from translate.decoding.native_engine import NativeEngine
from translate.decoding.translation import BLANK
from translate.decoding.translator import Translator
from translate.errors import UserError
from translate.evaluate import EvaluateConfig, claimed_output, evaluate_files, read_evaluation_text
from translate.evaluation.evaluate import count_words, evaluate_corpus
from translate.evaluation.metrics import score
from translate.evaluation.report import terminal_text, write_report
from translate.evaluation.scores import MetricName
from translate.text import read_lines, write_lines

SOURCE = ["one two three four", "a b c d", "", "one two three five", "w " * 12 + "w"]
TARGET = ["one two three four", "a b c e", "", "one two three five", "w " * 12 + "w"]
LABELS = [["numbers", "short"], ["letters"], [], ["numbers"], ["letters"]]


def copier() -> Translator:
    engine = NativeEngine(model=copy_model(vocabulary_size=40), device=torch.device("cpu"), batch_tokens=200, workers=1)
    return Translator(engine, CharacterTokenizer(), SearchConfig(beam_size=2))


def parallel(**changes) -> ParallelText:
    fields = {"name": "demo", "source": SOURCE, "target": TARGET, "labels": LABELS, "reference_paths": []}
    return ParallelText(**fields | changes)


def test_corpus_is_translated_and_scored_against_the_raw_references():
    evaluation = evaluate_corpus(copier(), parallel(), metrics=list(MetricName))
    assert evaluation.hypotheses == SOURCE
    assert evaluation.scores == score(SOURCE, [TARGET], metrics=list(MetricName))
    assert evaluation.exact == 4 / 5
    assert evaluation.length_ratio == 1.0


def test_groups_hold_the_lines_of_their_label_and_length():
    evaluation = evaluate_corpus(copier(), parallel())
    assert [(g.name, g.size, g.exact) for g in evaluation.by_label] == [
        ("letters", 2, 0.5),
        ("numbers", 2, 1.0),
        ("short", 1, 1.0),
    ]
    assert [(g.name, g.size, g.exact) for g in evaluation.by_length] == [("0–10", 4, 0.75), ("11–20", 1, 1.0)]
    letters = score([SOURCE[1], SOURCE[4]], [[TARGET[1], TARGET[4]]], metrics=[MetricName.bleu, MetricName.chrf])
    assert evaluation.by_label[0].scores == letters


def test_words_are_counted_in_scripts_with_and_without_spaces():
    assert [count_words(line) for line in ("", "two words", "我们去 Paris 看塔。", "はい")] == [0, 2, 7, 2]


def test_report_folder_holds_everything_and_nothing_half_written(tmp_path):
    evaluation = evaluate_corpus(copier(), parallel(), metrics=list(MetricName), bootstrap=50)
    write_report(evaluation, tmp_path / "deep" / "report", examples=2, reference_paths=["test.en"])
    folder = tmp_path / "deep" / "report"
    assert sorted(path.name for path in folder.iterdir()) == ["hypotheses.txt", "report.json", "report.md"]
    assert list(read_lines(folder / "hypotheses.txt")) == SOURCE
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert report["scores"]["bleu"]["value"] == evaluation.scores[MetricName.bleu].value
    assert report["scores"]["bleu"]["signature"] == evaluation.scores[MetricName.bleu].signature
    assert report["command"].startswith("sacrebleu test.en -i ")
    assert [example["line"] for example in report["worst"]] == [2]
    assert [example["line"] for example in report["best"]] == [5, 4]
    markdown = (folder / "report.md").read_text(encoding="utf-8")
    assert r"nrefs:1\|case:mixed\|" in markdown
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines()]
    assert ["numbers", "2", "100.0", "100.0", "100.0%"] in rows


def test_terminal_text_is_aligned():
    lines = terminal_text(evaluate_corpus(copier(), parallel())).splitlines()
    assert lines[1].startswith("BLEU   ")
    assert "nrefs:1|case:mixed" in lines[1]
    table = lines[lines.index(next(line for line in lines if line.startswith("label"))) :]
    assert len({line.rindex("%") if "%" in line else len(line) - 1 for line in table}) == 1


def test_markdown_report_renders_lines_unchanged(tmp_path):
    text = parallel(source=["a|b\u2028*c*", "x"], target=["another", "x"], labels=None)
    write_report(evaluate_corpus(copier(), text), tmp_path, examples=1)
    assert r"- source: a\|b\\u2028\*c\*" in (tmp_path / "report.md").read_text(encoding="utf-8")


YORUBA = ["Ojú ọjọ́ dára lónìí.", "Ẹ káàárọ̀, ṣé dáadáa ni?", "Mo fẹ́ràn ìwé yìí gan-an."]


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_equal_text_in_another_unicode_form_scores_100_beside_the_raw_score(forms, tmp_path):
    hypotheses, target = ([normalize(form, line) for line in [*YORUBA, "abc"]] for form in forms)
    text = parallel(source=hypotheses, target=target, labels=None)
    translator = copier()
    translator.translate = lambda lines, progress=None: [replace(BLANK, text=line) for line in lines]
    evaluation = evaluate_corpus(translator, text)
    assert evaluation.scores[MetricName.bleu].value < 50
    assert evaluation.scores == score(hypotheses, [target], metrics=[MetricName.bleu, MetricName.chrf])
    composed = evaluation.normalised
    assert {name: round(found.value, 6) for name, found in composed.scores.items()} == {"bleu": 100, "chrf": 100}
    assert (composed.hypotheses, composed.references) == ((0, 0.75) if forms[0] == "NFC" else (0.75, 0))
    assert "with both sides in NFC: BLEU 100.0, chrF2 100.0" in terminal_text(evaluation)
    write_report(evaluation, tmp_path, examples=1)
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert report["nfc"]["scores"] == {"bleu": pytest.approx(100), "chrf": pytest.approx(100)}
    assert report["nfc"]["references_not_nfc"] == composed.references
    assert "in NFC: BLEU 100.0" in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_text_that_is_nfc_has_one_score():
    evaluation = evaluate_corpus(copier(), parallel())
    assert evaluation.normalised is None
    assert "NFC" not in terminal_text(evaluation)


def test_compare_reports_the_score_with_both_sides_normalised(tmp_path):
    write_lines(tmp_path / "ref", [normalize("NFD", line) for line in YORUBA])
    write_lines(tmp_path / "hyp", YORUBA)
    result = call_here("compare", f"reference={tmp_path / 'ref'}", f"baseline={tmp_path / 'hyp'}", "metrics=[bleu]")
    assert "100.0% of reference lines and 0.0% of translations are not Unicode NFC" in result.stderr.decode()
    assert "hyp: " in result.stderr.decode()
    assert "with both sides in NFC: BLEU 100.0" in result.stderr.decode()


@pytest.mark.parametrize("end", ["", "\r"])
def test_files_are_read_evaluated_and_reported(end, tmp_path):
    write_lines(tmp_path / "src", SOURCE)
    write_lines(tmp_path / "ref", [line + end for line in TARGET])
    write_lines(tmp_path / "labels", ["\t".join(labels) + end for labels in LABELS])
    config = EvaluateConfig(
        model=str(tmp_path / "model"),
        source=str(tmp_path / "src"),
        reference=str(tmp_path / "ref"),
        labels=str(tmp_path / "labels"),
        bootstrap=10,
        progress=False,
    )
    evaluation = evaluate_files(copier(), read_evaluation_text(config), config)
    assert [group.name for group in evaluation.by_label] == ["letters", "numbers", "short"]
    assert (evaluation.exact, evaluation.length_ratio) == (4 / 5, 1.0)
    assert (tmp_path / "model" / "evaluation" / "src" / "report.json").exists()


def test_files_of_different_length_are_refused_with_both_counts(tmp_path):
    write_lines(tmp_path / "src", SOURCE)
    write_lines(tmp_path / "ref", TARGET[:3])
    config = EvaluateConfig(model="", source=str(tmp_path / "src"), reference=str(tmp_path / "ref"))
    with pytest.raises(UserError, match=r"src has 5 lines, but .*ref has 3"):
        read_evaluation_text(config)


def test_empty_translations_are_reported(tmp_path):
    class Silent:
        def __init__(self, texts):
            self.texts = texts

        def translate(self, lines, *, progress=None):
            return [SimpleNamespace(text=text, segments=1, recased=False) for text in self.texts]

        def describe(self, splits):
            return ""

    def note(texts, source):
        text = parallel(source=source, target=["x"] * len(source), labels=None)
        return evaluate_corpus(Silent(texts), text)

    evaluation = note([""] * 30, ["a b"] * 30)
    assert evaluation.empty_note == "30 of 30 translations are empty"
    write_report(evaluation, tmp_path, examples=0)
    assert "30 of 30 translations are empty" in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "30 of 30 translations are empty" in terminal_text(evaluation)
    assert note(["", " "] + ["x"] * 18, ["a"] * 20).empty_note == "2 of 20 translations are empty"
    assert note([""] + ["x"] * 19, ["a"] * 20).empty_note == ""
    # nothing is right where there is nothing to translate
    assert note([""] * 10 + ["x"] * 10, [""] * 10 + ["a"] * 10).empty_note == ""


def test_report_overwrites_neither_input_nor_foreign_files(tmp_path):
    write_lines(tmp_path / "src", SOURCE)
    write_lines(tmp_path / "ref", TARGET)
    config = EvaluateConfig(model="", source=str(tmp_path / "src"), reference=str(tmp_path / "ref"))
    config.output, config.bootstrap, config.progress = str(tmp_path / "report"), 0, False

    def evaluate() -> None:
        with claimed_output(config):
            evaluate_files(copier(), read_evaluation_text(config), config)

    evaluate()
    evaluate()
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == [
        "hypotheses.txt",
        "report.json",
        "report.md",
    ]
    config.reference = str(tmp_path / "report" / "hypotheses.txt")
    with pytest.raises(UserError, match=r"hypotheses\.txt is evaluated here and would be overwritten"):
        evaluate()
    config.reference, config.output = str(tmp_path / "ref"), str(tmp_path / "own")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "report.md").write_text("precious")
    with pytest.raises(UserError, match=r"output=.*own: report\.md exists in that folder"):
        evaluate()
    assert (tmp_path / "own" / "report.md").read_text() == "precious"
