"""Translations are spelled as the training target is, whatever its Unicode form."""

from __future__ import annotations

import json
import random
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch

from fake_models import CharacterTokenizer, copy_model
from in_process import call_here
from small_data import SOURCE, TOKENIZER, make_data
from small_runs import options, write_corpus
from translate.data.corpus import CorpusConfig
from translate.data.prepare import prepare
from translate.data.report import data_report
from translate.decoding.config import SearchConfig
from translate.decoding.native_engine import NativeEngine
from translate.decoding.translator import Translator
from translate.errors import UserError
from translate.unicode_form import Form, LineForms, TargetUnicode, choose_form

VIETNAMESE = ["Tiếng Việt rất đẹp.", "Người ta nói thế.", "Anh ấy đi học.", "Plain ASCII."] * 10
KOREAN = ["안녕하세요.", "한국어는 어렵다", "값이 올랐다"] * 10
# Yoruba as NTREX spells it: letters with a dot below are composed, marks of tone follow them, sometimes before the dot
YORUBA = [
    "Ọ\u0300gbẹ\u0301ni náà sọ pé",
    "o\u0301\u0323 dára",
    "Wọ\u0301n ti lọ",
    "ó ti ṣe é",
    "e\u0300\u0323kọ\u0301",
] * 10


def nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def nfd(text: str) -> str:
    return unicodedata.normalize("NFD", text)


def chosen(lines: list[str]) -> TargetUnicode:
    forms = LineForms()
    forms.add(lines)
    return choose_form(forms, lines)


def changed(lines: list[str], target: TargetUnicode) -> int:
    return sum(target.write(nfc(line)) != line for line in lines)


@pytest.mark.parametrize("lines", [VIETNAMESE, KOREAN])
def test_text_in_one_unicode_form_keeps_it(lines: list[str]):
    for form, convert in ((Form.nfc, nfc), (Form.nfd, nfd)):
        raw = [convert(line) for line in lines]
        target = chosen(raw)
        assert target.form is form
        assert target.changed_lines[form] == changed(raw, target) == 0
        assert not target.spellings


def test_ascii_and_text_without_combining_marks_is_nfc():
    assert chosen(["plain", "漢字", "кот"]).form is Form.nfc
    assert chosen([]).form is Form.nfc


def test_text_in_neither_form_is_kept():
    raw = [line.replace("ó", "o\u0301") for line in YORUBA]
    target = chosen(raw)
    assert target.form is Form.as_found
    assert changed(raw, TargetUnicode(Form.nfc)) > 0 < changed(raw, TargetUnicode(Form.nfd))
    assert target.changed_lines == {
        "NFC": changed(raw, TargetUnicode(Form.nfc)),
        "NFD": changed(raw, TargetUnicode(Form.nfd)),
        "as found": changed(raw, target),
    }
    # both spellings of ọ́ occur, and the less frequent one is lost
    assert changed(raw, target) == 10
    assert target.write("Ọ̀gbẹ́ni") == "Ọ\u0300gbẹ\u0301ni"
    assert target.write("ẹ̀kọ́ ó") == "e\u0300\u0323kọ\u0301 o\u0301"


def test_majority_of_mixed_lines_chooses_the_form():
    lines = VIETNAMESE[:3]
    assert chosen([nfd(line) for line in lines * 3] + lines).form is Form.nfd
    assert chosen([nfd(line) for line in lines] + lines * 3).form is Form.nfc
    assert chosen([nfd(line) for line in lines] + lines).form is Form.nfc  # as many


def test_few_odd_lines_in_a_large_text_need_no_table():
    lines = ["naïve résumé", *["Señor Núñez"] * 2000, nfd("über")]
    assert chosen(lines) == TargetUnicode(Form.nfc, changed_lines={"NFC": 1, "NFD": 2001})


def test_conversion_keeps_canonical_equivalence_and_lines():
    draw = random.Random(0)
    pool = [*"aeo .\u0323\u0301\u0300\u0308\u1161\u11a8\u09be\u09c7가각ẹỌĄ한漢ñ\u0f73\u212b"]
    raw = ["".join(draw.choice(pool) for _ in range(draw.randint(1, 12))) for _ in range(500)]
    target = chosen(raw)
    assert target.form is Form.as_found
    for line in raw:
        written = target.write(line)
        assert nfc(written) == nfc(line)
        assert target.write(nfc(written)) == target.write(nfc(line)) == written


def test_unicode_form_round_trips_through_the_manifest():
    target = chosen(YORUBA)
    entry = json.loads(json.dumps({"target_unicode": target.as_manifest()}))
    assert TargetUnicode.of_manifest(entry) == target
    assert TargetUnicode.of_manifest({}) == TargetUnicode(Form.nfc)
    damaged = ({}, {"form": "NFKC"}, {"form": "as found", "spellings": {"é": "x"}}, [], {"form": "NFC", "spellings": 3})
    for entry in damaged:
        with pytest.raises(UserError, match="target_unicode in the manifest is damaged"):
            TargetUnicode.of_manifest({"target_unicode": entry})


def test_preparation_chooses_the_unicode_form_and_the_report_counts_both_sides(tmp_path: Path):
    target = [nfd(f"Ü {line.upper()}") for line in SOURCE[:-40]] + [f"Ü {line.upper()}" for line in SOURCE[-40:]]
    source = [nfd(f"ü {line}") if number < 3 else line for number, line in enumerate(SOURCE)]
    data = make_data(tmp_path, source, target)
    prepared = prepare(data, TOKENIZER)
    assert prepared.target_unicode.form is Form.nfd
    assert prepare(data, TOKENIZER).target_unicode == prepared.target_unicode
    assert prepared.target_unicode.changed_lines["NFC"] == len(SOURCE) - 40
    assert all(unicodedata.is_normalized("NFC", line) for line in prepared.train.texts(np.array([0, 1]))[1])
    report = data_report(data, prepared)
    found = report.values["splits"]["train"]["findings"]
    assert found["source not in Unicode NFC"]["count"] == 3
    assert found["target not in Unicode NFC"]["count"] == len(SOURCE) - 40
    assert "| target not in Unicode NFC " in report.markdown
    assert "NFC 360 (90.0%), NFD 40 (10.0%)" in report.markdown
    assert report.values["target_unicode"]["form"] == "NFD"


def test_share_of_changed_lines_includes_held_out_lines(tmp_path: Path):
    data = make_data(tmp_path, SOURCE, [nfd(f"Ü {line}") for line in SOURCE])
    data.valid = CorpusConfig()
    prepared = prepare(data, TOKENIZER)
    assert prepared.held_out is not None
    assert "NFC 400 (100.0%), NFD –" in data_report(data, prepared).markdown


def test_every_hypothesis_is_written_in_the_form_of_the_target():
    engine = NativeEngine(model=copy_model(vocabulary_size=80), device=torch.device("cpu"), workers=1)
    lines = ["thế nào", "", "đẹp"]
    search = SearchConfig(beam_size=3, n_best=2)
    as_before = Translator(engine, CharacterTokenizer(), search).translate(lines)
    written = Translator(engine, CharacterTokenizer(), search, written=TargetUnicode(Form.nfd)).translate(lines)
    assert [line.text for line in as_before] == lines
    assert [line.text for line in written] == [nfd(line) for line in lines]
    for before, after in zip(as_before, written, strict=True):
        assert [(nfd(text), score) for text, score in before.n_best] == after.n_best


def test_run_on_decomposed_text_scores_like_one_on_composed_text(tmp_path: Path):
    letters = dict(zip("0123456789", "áàảãạếềểễệ", strict=True))
    scores, texts = {}, {}
    for form in ("NFC", "NFD"):
        corpus = write_corpus(tmp_path / form, pairs=300)
        for path in corpus.glob("*.tgt"):
            line = path.read_text(encoding="utf-8").translate(str.maketrans(letters))
            path.write_text(unicodedata.normalize(form, line), encoding="utf-8")
        run = tmp_path / f"run-{form}"
        process = call_here("train", *options(corpus, run, tokenizer__vocab_size=40))
        assert process.returncode == 0, process.stderr.decode()
        manifest = json.loads((run / "best" / "manifest.json").read_text(encoding="utf-8"))
        assert manifest["target_unicode"]["form"] == form
        assert manifest["text_form"] == 2
        report = json.loads((run / "evaluation" / "report.json").read_text(encoding="utf-8"))
        scores[form] = report["scores"]["bleu"]["value"]
        texts[form] = (run / "evaluation" / "hypotheses.txt").read_text(encoding="utf-8")
    decoded = call_here("decode", f"model={run}", f"input={corpus / 'test.src'}", "search=greedy")
    assert decoded.stdout.decode() == texts["NFD"]
    assert texts["NFD"] == nfd(texts["NFC"]) != texts["NFC"]
    assert scores["NFD"] == scores["NFC"] > 0
