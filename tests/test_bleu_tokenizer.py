"""Words as BLEU counts them: by language, by script, and as the run that made a model counted."""

from __future__ import annotations

import json
import shutil

import pytest

from in_process import call_here
from small_runs import options, write_corpus
from translate.data.corpora import ParallelText
from translate.data.text_profile import main_script
from translate.errors import UserError
from translate.evaluate import RunScoring
from translate.evaluation import tokenizers
from translate.evaluation.metrics import score
from translate.evaluation.scores import MetricName
from translate.evaluation.tokenizers import (
    check_tokenizer,
    choose_tokenizer,
    tokenizer_of_language,
    tokenizer_of_record,
)
from translate.text import read_lines, write_lines
from translate.training.config import TrainConfig
from translate.training.validation_sets import tokenizer_of_run

# A sentence each, as it stands in Wikipedia's main pages and phrase books.
TEXTS = {
    "Han": "今天天气很好，我们明天在车站见面。",
    "Kana": "東京大学は日本の国立大学である。",
    "Hangul": "한국어는 띄어쓰기를 한다.",
    "Thai": "ภาษาไทยไม่มีช่องว่างระหว่างคำ",
    "Lao": "ພາສາລາວ",
    "Khmer": "ភាសាខ្មែរ",
    "Myanmar": "မြန်မာဘာသာစကား",
    "Tibetan": "བོད་སྐད་ནི་",
    "Cyrillic": "Погода хорошая.",
    "Arabic": "موسم اچھا ہے",
    "Devanagari": "मौसम अच्छा है",
    "Latin": "Oju ọjọ́ dára.",
    "": "1984 – 42 %!",
}


@pytest.fixture
def without_mecab(monkeypatch):
    missing = tokenizers.reason_missing
    monkeypatch.setattr(
        tokenizers,
        "reason_missing",
        lambda name: tokenizers.INSTALL_MECAB if name == "ja-mecab" else missing(name),
    )


def chosen(text, language=""):
    return choose_tokenizer([[text]], language=language)


def chosen_by_run(manifest, text):
    run = RunScoring.of(manifest)
    return tokenizer_of_record([[text]], recorded=run.tokenize, target_language=run.target_language)


@pytest.mark.parametrize(("script", "text"), TEXTS.items())
def test_script_of_a_text_is_the_script_of_most_letters(script, text):
    assert main_script([text, "", "12"]) == script
    assert main_script([text, text, "OK."] if script else [text]) == script


def test_few_foreign_words_do_not_change_the_script():
    assert main_script(["我在 Google 工作，他在 IBM 工作"]) == "Han"
    assert main_script(["He said 你好 to the whole crowd."]) == "Latin"
    assert main_script(["这是日本的の字，常见于中文广告，今天天气很好，我们明天见面"]) == "Han"
    assert main_script([]) == main_script([""]) == ""


def test_script_of_documentation_ignores_code(corpora_root):
    for language, script in {"en": "Latin", "zh": "Han"}.items():
        assert main_script(read_lines(corpora_root / "pydocs-en-zh" / f"valid.{language}")) == script


def test_without_a_language_the_script_chooses_the_tokenizer_with_a_log_line():
    pytest.importorskip("MeCab")
    names = {script: chosen(text).name for script, text in TEXTS.items()}
    assert names == {"Han": "zh", "Kana": "ja-mecab"} | dict.fromkeys(
        ["Hangul", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan"], "char"
    ) | dict.fromkeys(["Cyrillic", "Arabic", "Devanagari", "Latin", ""], "13a")
    assert chosen(TEXTS["Han"]).note == (
        "the references are written in Han script: BLEU counts by tok:zh; set target_language or tokenize to choose"
    )
    assert not chosen(TEXTS["Latin"]).note


def test_language_takes_precedence_over_the_script():
    pytest.importorskip("MeCab")
    for language in ("zh", "zh-CN", "zh_Hans", "zh-TW", "zho_Hant", "cmn", "yue", "yue_Hant", "Cantonese", "lzh"):
        assert chosen(TEXTS["Han"], language) == tokenizers.TokenizerChoice("zh")
    for language in ("ja", "jpn_Jpan", "ja-JP", "Japanese"):
        assert chosen(TEXTS["Kana"], language) == tokenizers.TokenizerChoice("ja-mecab")
        assert chosen("東京都", language).note == ""  # a line of Japanese without Kana
    assert chosen(TEXTS["Hangul"], "ko") == tokenizers.TokenizerChoice("char")
    assert chosen(TEXTS["Tibetan"], "bo") == tokenizers.TokenizerChoice("char")
    assert chosen(TEXTS["Latin"], "yo") == tokenizers.TokenizerChoice("13a")
    assert chosen(TEXTS[""], "zh") == tokenizers.TokenizerChoice("zh")


def test_language_that_contradicts_the_script_is_kept_with_a_warning():
    choice = chosen(TEXTS["Han"], "en")
    assert choice.name == "13a"
    assert choice.note.startswith("target_language=en, but the references are written in Han script: BLEU counts by")
    assert "Latin script" in chosen(TEXTS["Latin"], "zh").note


def test_japanese_without_mecab_uses_characters_and_names_the_package(without_mecab):
    for choice in (chosen(TEXTS["Kana"]), chosen(TEXTS["Kana"], "ja")):
        assert choice.name == "char"
        assert "pip install 'translate-seq2seq[ja]'" in choice.note
    with pytest.raises(UserError, match=r"tokenize=ja-mecab needs an extra package: pip install"):
        check_tokenizer("ja-mecab", key="tokenize")


def test_missing_package_of_a_tokenizer_is_named_in_one_line(monkeypatch):
    def missing(**_: object) -> None:
        raise RuntimeError("It needs more.\nInstall it.\n\n    pip install it\n")

    monkeypatch.setattr(tokenizers, "BLEU", missing)
    tokenizers.reason_missing.cache_clear()
    with pytest.raises(UserError, match=r"extra package: It needs more\. Install it\. pip install it$"):
        check_tokenizer("ko-mecab", key="tokenize")
    tokenizers.reason_missing.cache_clear()


def test_runs_without_a_recorded_tokenizer_keep_the_earlier_rule():
    languages = ("zh", "zh-CN", "zh_Hans", "cmn", "ja", "de", "en-GB", "", "bo")
    assert [tokenizer_of_language(language) for language in languages] == ["zh"] * 4 + ["char"] + ["13a"] * 4
    assert chosen_by_run({"target_language": "ja"}, TEXTS["Kana"]) == tokenizers.TokenizerChoice("char")


def test_evaluate_uses_the_tokenizer_of_the_run():
    run = {"target_language": "en", "bleu_tokenizer": "zh"}
    assert chosen_by_run(run, TEXTS["Han"]) == tokenizers.TokenizerChoice("zh")
    latin = {"target_language": "", "bleu_tokenizer": "13a"}
    assert chosen_by_run(latin, TEXTS["Latin"]).note == ""
    assert "written in Thai script" in chosen_by_run(latin, TEXTS["Thai"]).note


def test_evaluate_warns_when_the_tokenizer_of_the_run_is_missing(without_mecab):
    choice = chosen_by_run({"bleu_tokenizer": "ja-mecab"}, TEXTS["Kana"])
    assert choice.name == "char"
    assert "which is not installed here (pip install" in choice.note
    assert "cannot be compared with the run's" in choice.note


def test_ter_of_japanese_uses_characters_with_any_bleu_tokenizer():
    pytest.importorskip("MeCab")
    signatures = {
        score([TEXTS["Kana"]], [[TEXTS["Kana"]]], metrics=[MetricName.ter], tokenize=tokenize)[MetricName.ter].signature
        for tokenize in ("char", "ja-mecab", "zh")
    }
    assert len(signatures) == 1
    assert "asian:yes" in signatures.pop()


def test_identical_chinese_files_score_100(tmp_path):
    write_lines(tmp_path / "zh", ["今天天气很好。", "我们明天在车站见面。", "他不喜欢喝咖啡。"])
    result = call_here("compare", f"reference={tmp_path / 'zh'}", f"baseline={tmp_path / 'zh'}")
    assert result.returncode == 0, result.stderr.decode()
    assert result.stdout.decode().splitlines()[1].split()[1] == "100.0"
    assert "tok:zh" in result.stdout.decode()
    assert "written in Han script" in result.stderr.decode()
    result = call_here("compare", f"reference={tmp_path / 'zh'}", f"baseline={tmp_path / 'zh'}", "target_language=en")
    assert "tok:13a" in result.stdout.decode()
    assert "target_language=en, but the references are written in Han script" in result.stderr.decode()


def test_tokenizer_is_recorded_and_kept_by_older_runs(tmp_path):
    corpus = write_corpus(tmp_path / "corpus", pairs=100)
    digits = str.maketrans("0123456789", "零一二三四五六七八九")
    for split in ("train", "valid", "test"):
        path = corpus / f"{split}.tgt"
        path.write_text(path.read_text(encoding="utf-8").translate(digits).replace(" ", ""), encoding="utf-8")
    changes = {"run__max_steps": 4, "validation__every": 2, "run__save_every": 2, "tokenizer__vocab_size": 30}
    run = tmp_path / "run"
    result = call_here("train", *options(corpus, run, **changes))
    assert result.returncode == 0, result.stderr.decode()
    log = (run / "train.log").read_text(encoding="utf-8")
    assert "written in Han script: BLEU counts by tok:zh; set data.target_language or validation.tokenize" in log
    for folder in (run, run / "best", run / "last"):
        assert json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["bleu_tokenizer"] == "zh"
    report = (run / "evaluation" / "report.md").read_text(encoding="utf-8")
    assert "tok:zh" in report
    assert "written in Han script" in report

    # a run of before the key began with 13a, which its best score was counted by
    older = shutil.copytree(run, tmp_path / "older")
    manifest = json.loads((older / "manifest.json").read_text(encoding="utf-8"))
    del manifest["bleu_tokenizer"]
    (older / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    result = call_here("train", *options(corpus, older, **changes | {"run__max_steps": 6}))
    assert result.returncode == 0, result.stderr.decode()
    report = (older / "evaluation" / "report.md").read_text(encoding="utf-8")
    assert "tok:13a" in report
    assert "as when this run began; a new run takes tok:zh" in report


def test_a_run_continues_only_where_its_tokenizer_is_installed(without_mecab, monkeypatch):
    monkeypatch.setattr("translate.training.validation_sets.reason_missing", tokenizers.reason_missing)
    text = ParallelText("valid", ["a"], [TEXTS["Kana"]], labels=None, reference_paths=[])
    config = TrainConfig()
    with pytest.raises(UserError, match=r"began with BLEU by tok:ja-mecab, which is not installed here \(pip install"):
        tokenizer_of_run(config, text, {"bleu_tokenizer": "ja-mecab"})
    assert tokenizer_of_run(config, text, {"bleu_tokenizer": "char"}).name == "char"
    assert tokenizer_of_run(config, text, {}).name == "13a"
    config.validation.tokenize = "intl"
    assert tokenizer_of_run(config, text, {"bleu_tokenizer": "char"}).name == "intl"
