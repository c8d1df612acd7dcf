"""One model of three directions from three files: a run, its continuation, its scores, and decoding by language."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from in_process import call_here
from small_runs import options
from three_directions import corpora, write_directions
from translate.files import read_json

NAMES = ("en-de", "en-zh", "de-en")
SMALL = {
    "tokenizer__vocab_size": 34,
    "model__d_model": 16,
    "model__ffn_dim": 16,
    "validation__every": 10,
    "run__save_every": 10,
    "averaging__last": 0,
    "schedule__name": "inverse_sqrt",  # the rate does not depend on the length of the run
}


def settings(folder: Path, run: Path, steps: int, **changes: object) -> list[str]:
    files = {f"data__{split}__{side}": None for split in ("train", "valid", "test") for side in ("source", "target")}
    base = options(folder, run, **{**SMALL, **files, "run__max_steps": steps, "data__temperature": 5, **changes})
    return [*base, *corpora(folder)]


def said(process) -> str:
    assert process.returncode == 0, process.stderr.decode()
    return process.stderr.decode() + process.stdout.decode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_directions(tmp_path_factory.mktemp("corpora"), {"en-de": 400, "en-zh": 250, "de-en": 300})


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    """A run of 10 updates, which is continued for 10 more."""
    for steps in (10, 20):
        said(call_here("train", *settings(folder, folder / "run", steps)))
    return folder / "run"


def test_the_log_has_each_direction(run: Path):
    log = (run / "train.log").read_text(encoding="utf-8")
    assert re.search(
        r"direction +tag +pairs +share of an epoch\n.*en-de +<2de>.*\n.*en-zh +<2zh>.*\n.*de-en +<2en>", log
    )
    for step in (10, 20):
        means = re.search(rf"step {step}  valid BLEU ([\d.]+)  chrF2 ([\d.]+)  loss ([\d.]+)", log)
        each = re.findall(rf"step {step}  valid (..-..)  BLEU ([\d.]+)  chrF2 ([\d.]+)  loss ([\d.]+)", log)
        assert [name for name, *_ in each] == list(NAMES)
        for column, mean in enumerate(means.groups(), start=1):
            assert float(mean) == pytest.approx(sum(float(row[column]) for row in each) / 3, abs=0.011)
    assert "no tag" not in log
    assert re.findall(r"^(?:.* )?(..-..) BLEU = .*tok:(\w+)", log, re.MULTILINE)[-3:] == [
        ("en-de", "13a"),
        ("en-zh", "zh"),
        ("de-en", "13a"),
    ]


def test_results_reports_and_curves_have_each_direction(run: Path):
    result = read_json(run / "result.json")
    assert list(result["tests"]) == list(NAMES)
    assert "tok:zh" in result["tests"]["en-zh"]["bleu"]["signature"]
    reports = [run / "evaluation" / name / "report.json" for name in ("", "en-zh", "de-en")]
    assert [read_json(path)["decoding"]["tag"] for path in reports] == ["<2de>", "<2zh>", "<2en>"]
    events = EventAccumulator(str(run), size_guidance={"scalars": 0})
    events.Reload()
    values = {tag: events.Scalars(tag)[-1].value for tag in events.Tags()["scalars"]}
    for number in ("bleu", "loss"):
        each = [values[f"valid_{name}/{number}"] for name in NAMES]
        mean = {"bleu": "score/bleu", "loss": "loss/valid"}[number]
        assert values[mean] == pytest.approx(sum(each) / 3, rel=1e-5)
    # the best model is that of the best mean
    assert result["validation"]["value"] == pytest.approx(max(x.value for x in events.Scalars("score/bleu")), rel=1e-5)


def test_the_manifest_has_the_directions(run: Path):
    manifest = read_json(run / "best" / "manifest.json")
    assert [(each["target_language"], each["tag"], each["bleu_tokenizer"]) for each in manifest["directions"]] == [
        ("de", "<2de>", "13a"),
        ("zh", "<2zh>", "zh"),
        ("en", "<2en>", "13a"),
    ]
    assert (manifest["tag"], manifest["target_language"], manifest["untagged_source"]) == ("", "", False)


def test_a_continued_run_keeps_its_directions(folder: Path, run: Path):
    """The run in two parts has the weights of one in a single part."""
    said(call_here("train", *settings(folder, folder / "whole", 20)))
    first, second = ((path / "last" / "weights.safetensors").read_bytes() for path in (run, folder / "whole"))
    assert first == second
    refused = call_here("train", *settings(folder, run, 20), "data.temperature=2")
    assert b"data.temperature: 5.0 there, 2.0 now (it decides the training text)" in refused.stderr


def decode(run: Path, *words: str) -> tuple[str, str]:
    process = call_here(
        "decode", f"model={run}", "search=greedy", "threads=1", "progress=false", *words, stdin=b"a b\n"
    )
    assert process.returncode == 0, process.stderr.decode()
    return process.stdout.decode(), process.stderr.decode()


def test_the_target_language_chooses_the_tag(run: Path):
    for language, tag in (("de", "<2de>"), ("zh-CN", "<2zh>"), ("eng", "<2en>")):
        translation, warnings = decode(run, f"target_language={language}")
        assert warnings == ""
        assert translation == decode(run, f"tag={tag}")[0]
    _, warnings = decode(run)
    assert (
        "1 of 1 lines has no tag; the model knows <2de>, <2zh>, <2en>; set target_language=… (de, zh, en)" in warnings
    )
    wrong = call_here("decode", f"model={run}", "target_language=fr", stdin=b"1\n")
    assert wrong.returncode == 1
    assert b"set one of de (en-de: <2de>), zh (en-zh: <2zh>), en (de-en: <2en>)" in wrong.stderr


def test_evaluation_repeats_the_score_of_a_direction(run: Path):
    source, reference = (run / "held_out" / f"test.en-zh.{side}" for side in ("source", "target"))
    words = [f"source={source}", f"reference={reference}", "target_language=zh", "bootstrap=0", "threads=1"]
    said(call_here("evaluate", f"model={run}", f"output={run.parent / 'report'}", *words))
    found = read_json(run.parent / "report" / "report.json")["scores"]["bleu"]
    assert found["value"] == read_json(run / "result.json")["tests"]["en-zh"]["bleu"]["value"]
    forgotten = said(call_here("evaluate", f"model={run}", f"output={run.parent / 'report'}", *words[:2], *words[3:]))
    assert "lines have no tag; the model knows <2de>, <2zh>, <2en>; set target_language=…" in forgotten


XLIFF = """<xliff version="2.0" srcLang="en" trgLang="{}" xmlns="urn:oasis:names:tc:xliff:document:2.0"><file id="f">
<unit id="1"><segment><source>a b c</source></segment></unit></file></xliff>"""


def test_a_document_chooses_its_own_language(run: Path, tmp_path: Path):
    for language, tag in (("zh", "<2zh>"), ("de-AT", "<2de>")):
        (tmp_path / "in.xlf").write_text(XLIFF.format(language))
        words = ["search=greedy", "threads=1", "progress=false", f"output={tmp_path / 'out.xlf'}"]
        said(call_here("decode", f"model={run}", f"input={tmp_path / 'in.xlf'}", *words))
        [target] = re.findall("<target>(.*)</target>", (tmp_path / "out.xlf").read_text(encoding="utf-8"))
        line = call_here("decode", f"model={run}", *words[:3], f"tag={tag}", stdin=b"a b c\n").stdout.decode()
        assert target == line.strip()
    (tmp_path / "in.xlf").write_text(XLIFF.format("fr"))
    wrong = call_here("decode", f"model={run}", f"input={tmp_path / 'in.xlf'}", f"output={tmp_path / 'x.xlf'}")
    assert b"target_language=fr: the model does not translate into it" in wrong.stderr


def test_explanations_are_of_the_chosen_language(run: Path, tmp_path: Path):
    (tmp_path / "in").write_text("a b c\n")
    words = [f"input={tmp_path / 'in'}", f"output={tmp_path / 'pages'}", "threads=1"]
    said(call_here("explain", f"model={run}", *words, "target_language=zh"))
    assert "&lt;2zh&gt;" in (tmp_path / "pages" / "0001.html").read_text(encoding="utf-8")


def test_ctranslate2_translates_into_the_chosen_language(run: Path):
    pytest.importorskip("ctranslate2", reason="the extra ctranslate2 is not installed")
    for language in ("de", "zh"):
        words = [f"target_language={language}", "precision=fp32"]
        assert decode(run, *words, "engine=ctranslate2")[0] == decode(run, *words)[0]
    assert "set target_language=…" in decode(run, "engine=ctranslate2")[1]


def test_adaptation_to_one_direction_keeps_its_tag(folder: Path, run: Path):
    left_out = ("model.", "tokenizer.", "data.additional", "data.temperature")
    words = [word for word in settings(folder, folder / "adapted", 2) if not word.startswith(left_out)]
    words = [word.replace("en-de", "en-zh").replace("_language=de", "_language=zh") for word in words]
    log = said(call_here("train", *words, "adapt=lora", f"adapt.model={run}"))
    manifest = read_json(folder / "adapted" / "best" / "manifest.json")
    assert (manifest["tag"], manifest["untagged_source"], "no tag" in log) == ("<2zh>", False, False)
    assert [each["target_language"] for each in manifest["directions"]] == ["zh", "de", "en"]


def test_given_sets_are_those_of_their_directions(folder: Path, run: Path):
    held_out = run / "held_out"
    sets = [
        f"{{source: {held_out / f'valid.{name}.source'}, target: {held_out / f'valid.{name}.target'}, "
        f"source_language: {name[:2]}, target_language: {name[3:]}}}"
        for name in ("en-zh", "de-en")
    ]
    own = [f"data.valid.source={held_out}/valid.en-de.source", f"data.valid.target={held_out}/valid.en-de.target"]
    words = settings(folder, folder / "given", 2, validation__every=2)
    log = said(call_here("train", *words, *own, f"data.further_valid=[{', '.join(sets)}]"))
    assert [name for name in NAMES if f"step 2  valid {name}  BLEU" in log] == list(NAMES)
    # without a test set, the validation sets are scored
    assert list(read_json(folder / "given" / "result.json")["tests"]) == list(NAMES)
    missing = call_here("train", *words, *own, f"data.further_valid=[{sets[0]}]")
    assert b"direction de-en has no validation set" in missing.stderr
