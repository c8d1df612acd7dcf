"""Several references: sacreBLEU's numbers, from the score function to the report of a run."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from in_process import call_here
from small_runs import options, write_corpus
from translate.data.corpora import DataConfig, ParallelText
from translate.data.corpus import CorpusConfig
from translate.data.readers import read_parallel_text
from translate.decoding.translation import BLANK
from translate.errors import UserError
from translate.evaluation.evaluate import evaluate_corpus, scoring_notes
from translate.evaluation.metrics import SACREBLEU, command, p_value, score, sentence_chrf
from translate.evaluation.report import reference_files, write_report
from translate.evaluation.scores import MetricName
from translate.text import read_lines, write_lines
from translate.training.back_translation import reverse_of
from translate.training.config import TrainConfig

HYPOTHESES = [
    "Die Katze schläft auf dem roten Stuhl.",
    "Wir treffen uns morgen am Bahnhof, früh.",
    'Sie sagt zu jeder Frage "Ja" \xa0',
    "",
    "ein Wort",
]
REFERENCES = [
    [
        "Die Katze schläft auf dem alten roten Stuhl.",
        "Wir treffen uns morgen früh am Bahnhof.",
        'Sie sagt zu fast jeder Frage "Ja".',
        "Leer?",
        "",
    ],
    [
        "Auf dem alten roten Stuhl schläft die Katze.",
        "Morgen früh treffen wir uns am Bahnhof.",
        'Fast jede Frage beantwortet sie mit "Ja".',
        "",
        "ein Wort",
    ],
    ["Katze, Stuhl, rot.", "Bis morgen, am Bahnhof, ganz früh und mit Gepäck!", "Ja sagt sie.", "Nein", "Wort"],
]
CHINESE = (
    ["今天天气很好。", "我们在车站见面。"],
    [["今天的天气很好。", "我们明天在车站见。"], ["天气今天好。", "车站见。"]],
)


class Echo:
    """A translator that gives what it was made with."""

    def __init__(self, hypotheses):
        self.hypotheses = hypotheses

    def describe(self, splits):
        return ""

    def translate(self, lines, *, progress=None):
        return [replace(BLANK, text=text) for text in self.hypotheses]


def write_references(folder: Path, references) -> list[str]:
    for number, lines in enumerate(references):
        write_lines(folder / f"ref{number} (ü).txt", lines)
    return [str(folder / f"ref{number} (ü).txt") for number in range(len(references))]


def run_command_line(line: str, *more: str) -> list[dict]:
    """The answers of the sacrebleu command, in a process of its own."""
    words = shlex.split(line)
    assert words[0] == "sacrebleu"
    run = subprocess.run([sys.executable, "-m", "sacrebleu", *words[1:], *more], capture_output=True, check=True)
    answer = json.loads(run.stdout)
    return answer if isinstance(answer, list) else [answer]


@pytest.mark.parametrize(
    ("hypotheses", "references", "tokenize"),
    [
        (HYPOTHESES, REFERENCES[:2], "13a"),
        (HYPOTHESES, REFERENCES, "13a"),
        (*CHINESE, "zh"),
        (["東京は日本の首都です。"], [["東京が日本の首都である。"], ["日本の首都は東京です。"]], "ja-mecab"),
    ],
)
def test_scores_and_signatures_equal_the_printed_sacrebleu_command(tmp_path, hypotheses, references, tokenize):
    if tokenize == "ja-mecab":
        pytest.importorskip("MeCab")
    write_lines(tmp_path / "hyp", hypotheses)
    paths = write_references(tmp_path, references)
    line = command(list(SACREBLEU), tokenize, references=paths, hypotheses=str(tmp_path / "hyp"))
    theirs = {answer["name"]: (answer["score"], answer["signature"]) for answer in run_command_line(line, "-w", "9")}
    ours = score(hypotheses, references, tokenize=tokenize)
    assert {found.name: (round(found.value, 9), found.signature) for found in ours.values()} == theirs
    assert all(f"nrefs:{len(references)}|" in found.signature for found in ours.values())


def test_interval_with_several_references_equals_sacrebleu(tmp_path):
    write_lines(tmp_path / "hyp", HYPOTHESES)
    paths = write_references(tmp_path, REFERENCES)
    line = command([MetricName.bleu], "13a", references=paths, hypotheses=str(tmp_path / "hyp"))
    [answer] = run_command_line(line, "--confidence", "-w", "6")
    found = score(HYPOTHESES, REFERENCES, metrics=[MetricName.bleu], bootstrap=1000)[MetricName.bleu]
    assert round(found.interval, 6) == answer["confidence_var"]


def test_systems_that_equal_one_reference_each_do_not_differ():
    first, second, _ = (reference[:3] * 10 for reference in REFERENCES)
    one = p_value(MetricName.bleu, second, first, [first], resamples=100)
    assert one < 0.05
    assert p_value(MetricName.bleu, second, first, [first, second], resamples=100) == 1


def test_one_of_four_references_is_perfect():
    references = [*REFERENCES, [line[::-1] for line in REFERENCES[0]]]
    for reference in references:
        lines = [reference[:3], [other[:3] for other in references]]
        assert [round(found.value, 6) for found in score(*lines).values()] == [100.0, 100.0, 0.0]


def test_answer_scores_take_the_best_reference_or_alternative():
    hypotheses, references = ["Rome", "in Oslo", "x"], [["Paris\tLyon", "Bergen", "y"], ["London\trome", "Oslo", "z"]]
    found = score(hypotheses, references, metrics=[MetricName.exact_match, MetricName.f1])
    assert found[MetricName.exact_match].value == pytest.approx(100 / 3)
    assert found[MetricName.f1].value == pytest.approx(100 * (1 + 2 / 3) / 3)
    assert found[MetricName.f1].signature == "nrefs:2|squad:1.1"


def test_rouge_takes_the_best_reference():
    pytest.importorskip("rouge_score")
    [found] = score(["the cat"], [["a dog"], ["the cat"], ["x"]], metrics=[MetricName.rougeL]).values()
    assert found.value == 100
    assert found.signature.startswith("nrefs:3|stemmer:porter")


def evaluation_of(hypotheses, references, **settings):
    config = {"name": "demo", "source": ["s"] * len(hypotheses), "target": references[0], "labels": None}
    text = ParallelText(**config, reference_paths=[], further_references=references[1:])
    return evaluate_corpus(Echo(hypotheses), text, **settings)


def test_exact_matches_lengths_and_groups_use_all_references():
    evaluation = evaluation_of(["abcd", "xy", "q"], [["abc", "xy", "abcdef"], ["abcd!", "x", "r"]])
    assert evaluation.exact == pytest.approx(1 / 3)
    # closest in length: 3 (the shorter of abc and abcd!), 2 and 1
    assert evaluation.length_ratio == pytest.approx(7 / 6)
    assert evaluation.by_length[0].exact == evaluation.exact
    assert "nrefs:2" in evaluation.by_length[0].scores[MetricName.bleu].signature


def test_the_worst_lines_are_far_from_every_reference(tmp_path):
    hypotheses = ["same words here", "other words there", "wrong"]
    references = [["completely different", "other words there", "right"], ["same words here", "x", "correct"]]
    assert [round(value) for value in sentence_chrf(hypotheses, references)][:2] == [100, 100]
    write_report(evaluation_of(hypotheses, references), tmp_path, examples=5, reference_paths=["a b", "c"])
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert [example["line"] for example in report["worst"]] == [3]
    assert report["worst"][0]["further_references"] == ["correct"]
    assert report["references"] == 2
    assert report["command"].startswith("sacrebleu 'a b' c -i ")


def test_references_in_columns_are_a_warning_for_text_metrics_only():
    tabs = ["right\talso right", "yes\tindeed", "one"]
    [note] = scoring_notes([tabs], [MetricName.bleu, MetricName.exact_match], hypotheses=["right", "yes", "one"])
    assert note.startswith("67% of the reference lines hold a TAB")
    assert "reference=[FIRST,SECOND]" in note
    assert not scoring_notes([tabs], [MetricName.exact_match, MetricName.f1])
    assert not scoring_notes([tabs], [MetricName.bleu], hypotheses=["right\tx", "yes", "one"])
    assert not scoring_notes([["a\tb", "c", "d"]], [MetricName.bleu])


def test_compare_and_evaluate_take_one_reference_or_a_list(tmp_path):
    paths = write_references(tmp_path, [lines[:3] for lines in REFERENCES])
    result = call_here("compare", f"reference=[{','.join(paths)}]", f"baseline={paths[1]}")
    assert result.returncode == 0, result.stderr.decode()
    lines = result.stdout.decode().splitlines()
    assert "100.0" in lines[1]
    assert "nrefs:3" in result.stdout.decode()
    one = call_here("compare", f"reference={paths[0]}", f"baseline={paths[1]}")
    assert "nrefs:1" in one.stdout.decode()
    listed = call_here("compare", f"reference=[{paths[0]}]", f"baseline={paths[1]}")
    assert listed.stdout == one.stdout

    write_lines(tmp_path / "short", REFERENCES[0][:2])
    refused = call_here("compare", f"reference=[{paths[0]},{tmp_path / 'short'}]", f"baseline={paths[1]}")
    assert b"has 3 lines, but" in refused.stderr
    refused = call_here("compare", "reference=a.txt,b.txt", f"baseline={paths[1]}")
    assert b"error: reference=a.txt,b.txt: a list is written reference=[a.txt,b.txt]" in refused.stderr
    refused = call_here("compare", "reference=[]", f"baseline={paths[1]}")
    assert b"reference=[]: neither a name nor a list of names" in refused.stderr


def test_references_that_differ_from_their_file_are_written_out(tmp_path):
    paths = write_references(tmp_path, REFERENCES)
    assert reference_files(paths, REFERENCES, tmp_path / "report") == paths
    assert not (tmp_path / "report").exists()
    Path(paths[1]).write_bytes(b"\xef\xbb\xbf" + Path(paths[1]).read_bytes())
    written = reference_files(paths, REFERENCES, tmp_path / "report")
    assert [Path(path).name for path in written] == ["references.txt", "references.1.txt", "references.2.txt"]
    assert [list(read_lines(path)) for path in written] == REFERENCES
    compressed = str(tmp_path / "ref.gz")
    write_lines(compressed, REFERENCES[0])
    assert reference_files([compressed], REFERENCES[:1], tmp_path / "other") == [compressed]


def table(path: Path, rows) -> Path:
    write_lines(path, ["\t".join(row) for row in rows])
    return path


def test_columns_of_every_format_are_references(tmp_path):
    rows = [("a", "b", "c"), ("d", "e", "f")]
    tsv = CorpusConfig(format="tsv", path=str(table(tmp_path / "x.tsv", rows)), source="1", target=[2, 3])
    named = table(tmp_path / "y.tsv", [("s", "t", "u"), *rows])
    header = CorpusConfig(format="tsv", path=str(named), source="s", target=["t", "u"])
    records = [json.dumps({"s": s, "t": {"0": t, "1": u}}) for s, t, u in rows]
    write_lines(tmp_path / "z.jsonl", records)
    jsonl = CorpusConfig(format="jsonl", path=str(tmp_path / "z.jsonl"), source="s", target=["t.0", "t.1"])
    for config in (tsv, header, jsonl):
        text = read_parallel_text(config, key="data.test")
        assert text.source == ["a", "d"]
        assert text.references == [["b", "e"], ["c", "f"]]
        assert text.reference_paths == []


def test_yaml_values_of_targets_are_kept_as_text():
    assert CorpusConfig(target=2).target == "2"
    assert CorpusConfig(target=["a"]).target == "a"
    assert CorpusConfig(target=["a", 3]).targets == ["a", "3"]
    for nonsense in (None, [], {"a": "b"}, [["a"]]):
        with pytest.raises(UserError, match="neither a name nor a list of names"):
            CorpusConfig(target=nonsense)


def test_references_of_other_lengths_are_refused_with_both_counts(tmp_path):
    write_lines(tmp_path / "s", ["1", "2"])
    write_lines(tmp_path / "r0", ["1", "2"])
    write_lines(tmp_path / "r1", ["1", "2", "3"])
    config = CorpusConfig(source=str(tmp_path / "s"), target=[str(tmp_path / "r0"), str(tmp_path / "r1")])
    with pytest.raises(UserError, match=r"data\.test: .*s has 2 and .*r1 has 3"):
        read_parallel_text(config, key="data.test")


def test_training_text_has_one_target():
    data = DataConfig(train=CorpusConfig(source="s", target=["a", "b"]))
    with pytest.raises(UserError, match=r"data\.train\.target names 2: a, b; training text has one target"):
        data.check()


def test_the_reverse_run_reads_the_first_reference(tmp_path):
    data = DataConfig(valid=CorpusConfig(source="s", target=["a", "b"]))
    swapped = reverse_of(TrainConfig(data=data), tmp_path).data.valid
    assert (swapped.source, swapped.targets) == ("a", ["s"])


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[Path, Path]:
    """A run whose validation set has three files of references, and whose test set two columns of them."""
    corpus = write_corpus(tmp_path_factory.mktemp("corpus"), pairs=300)
    target = list(read_lines(corpus / "valid.tgt"))
    write_lines(corpus / "valid.tgt1", [line[2:] for line in target])
    write_lines(corpus / "valid.tgt2", ["0 " + line for line in target])
    source, target = (list(read_lines(corpus / f"test.{end}")) for end in ("src", "tgt"))
    table(corpus / "test.tsv", [(s, t, t[2:]) for s, t in zip(source, target, strict=True)])
    folder = tmp_path_factory.mktemp("runs") / "run"
    changes = {
        "data__valid__target": f"[{corpus}/valid.tgt,{corpus}/valid.tgt1,{corpus}/valid.tgt2]",
        "data__test__format": "tsv",
        "data__test__path": corpus / "test.tsv",
        "data__test__source": 1,
        "data__test__target": "[2,3]",
        "run__max_steps": 60,
    }
    result = call_here("train", *options(corpus, folder, **changes))
    assert result.returncode == 0, result.stderr.decode()
    return corpus, folder


def test_run_scores_use_all_references_and_the_printed_command_repeats_them(run):
    _, folder = run
    report = json.loads((folder / "evaluation" / "report.json").read_text(encoding="utf-8"))
    assert report["scores"]["bleu"]["signature"].startswith("nrefs:2|")
    answers = run_command_line(report["command"], "-w", "9")
    assert [answer["score"] for answer in answers] == [
        round(report["scores"][metric]["value"], 9) for metric in ("bleu", "chrf")
    ]
    written = [list(read_lines(folder / "evaluation" / name)) for name in ("references.txt", "references.1.txt")]
    assert [line[2:] for line in written[0]] == written[1]
    assert "references.txt" in (folder / "train.log").read_text(encoding="utf-8").splitlines()[-1]


def test_evaluate_on_the_validation_files_repeats_the_runs_score(run):
    corpus, folder = run
    paths = ",".join(str(corpus / name) for name in ("valid.tgt", "valid.tgt1", "valid.tgt2"))
    result = call_here(
        "evaluate",
        f"model={folder}",
        f"source={corpus}/valid.src",
        f"reference=[{paths}]",
        "threads=1",
        "progress=false",
        f"output={folder}/again",
    )
    assert result.returncode == 0, result.stderr.decode()
    scores = json.loads((folder / "again" / "report.json").read_text(encoding="utf-8"))["scores"]
    log = (folder / "train.log").read_text(encoding="utf-8")
    best = [line for line in log.splitlines() if "best so far" in line][-1]
    assert f"BLEU {scores['bleu']['value']:.2f}  chrF2 {scores['chrf']['value']:.2f}  " in best
    assert scores["bleu"]["signature"].startswith("nrefs:3|")
