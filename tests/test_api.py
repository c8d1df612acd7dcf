"""The package from Python: typed functions without side effects on the caller's process."""

from __future__ import annotations

import inspect
import logging
import os
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest

import translate
from in_process import call_here
from small_runs import options, write_corpus
from translate import UserError, load_model
from translate.api import Model, SearchConfig, evaluate, prepare, train
from translate.config.calls import option_words
from translate.decoding.config import SearchMethod


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


def as_options(corpus: Path, run: Path, **changes: object) -> dict[str, object]:
    return dict(word.split("=", 1) for word in options(corpus, run, **changes))


def state_of_process() -> list[object]:
    """Everything that a library must leave as it is."""
    loggers = [logging.getLogger(name) for name in ("", "translate", "py.warnings")]
    return [
        os.getcwd(),
        [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)],
        [(each.handlers, each.filters, each.level, each.propagate) for each in loggers],
        warnings.showwarning,
        sys.argv,
        (sys.stdout, sys.stderr),
    ]


@pytest.fixture(scope="module")
def run(corpus: Path, tmp_path_factory: pytest.TempPathFactory):
    before = state_of_process()
    trained = train(as_options(corpus, tmp_path_factory.mktemp("runs") / "a, b=c"))
    assert state_of_process() == before
    return trained


def test_a_run_from_python_is_that_of_the_command(run, corpus, tmp_path):
    assert call_here("train", *options(corpus, tmp_path / "run")).returncode == 0
    weights = "best/weights.safetensors"
    assert (run.folder / weights).read_bytes() == (tmp_path / "run" / weights).read_bytes()
    assert run.scores["test"].keys() == {"bleu", "chrf"}
    assert run.best is not None


def test_a_model_translates_as_the_command_does(run, corpus):
    lines = (corpus / "test.src").read_text().splitlines()
    found = load_model(run.folder, precision="fp32").translate(lines)
    decoded = call_here(
        "decode", f"model={run.folder}", f"input={corpus / 'test.src'}", "search=greedy", "precision=fp32"
    )
    assert found == decoded.stdout.decode().splitlines()
    assert any(found)


def test_another_search_is_of_one_call(run):
    model = load_model(run.folder)
    [translation] = model.translations(["1 2 3"], search=SearchConfig(beam_size=3, n_best=3))
    assert len(translation.n_best) == 3
    assert len(model.translations(["1 2 3"])[0].n_best) == 1
    assert model.search.method == "greedy"  # the run's
    with pytest.raises(UserError, match=r"search.n_best \(5\) must lie between 1 and the number of hypotheses"):
        model.translate(["1"], search=SearchConfig(beam_size=3, n_best=5))


def test_minimum_bayes_risk_is_a_search_of_one_call_as_well(run):
    model = load_model(run.folder)
    [drawn] = model.translations(["1 2 3"], search=SearchConfig(method="sampling", samples=4))
    [found] = model.translations(["1 2 3"], search=SearchConfig(method="mbr", samples=4, utility="bleu"))
    assert found.text in dict(drawn.n_best)


def test_given_translations_are_scored_as_the_search_scores_its_own(run):
    model = load_model(run.folder, precision="fp32")
    [translation] = model.translations(["1 2 3"], search=SearchConfig(beam_size=3))
    good, bad, blank = model.score(["1 2 3", "1 2 3", " "], [translation.text, "9 9 9 9 9 9", "1"])
    assert good == pytest.approx(translation.score, abs=1e-5)
    assert bad < good
    assert blank is None
    assert model.score(iter(["1 2 3"]), iter([translation.text])) == [pytest.approx(good)]
    assert len(model.explain(iter(["1 2 3"]))) == 1
    for line in (b"1 2", 12, None):
        with pytest.raises(UserError, match=f"a line is {line!r} where a text is expected"):
            model.translate([line])
    with pytest.raises(UserError, match="2 lines have 1 translations"):
        model.score(["1", "2"], ["1"])


def test_explanations_are_of_the_lines_in_order(run):
    model = load_model(run.folder)
    first, second = model.explain(["1 2 3", "4 5"], ["3 2 1", "5 4"])
    assert (first.source_text, first.target_text, second.target_text) == ("1 2 3", "3 2 1", "5 4")
    assert first.alignment.sum(axis=1) == pytest.approx(1.0, abs=1e-5)
    assert [each.source_text for each in model.explain(["1 2 3"])] == ["1 2 3"]
    with pytest.raises(UserError, match="line 2 is blank"):
        model.explain(["1", " "])
    with pytest.raises(UserError, match="2 lines have 1 translations"):
        model.explain(["1", "2"], ["1"])


def test_threads_may_share_a_model(run):
    model, found = load_model(run.folder), {}
    lines = [f"{number} 1 2" for number in range(10)]
    expected = model.translate(lines)

    def work(name: int) -> None:
        found[name] = model.translate(lines)

    threads = [threading.Thread(target=work, args=[name]) for name in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == dict.fromkeys(range(3), expected)


def test_a_run_continues_from_a_thread_and_is_scored_by_evaluate(run, corpus):
    before, results = state_of_process(), []
    again = as_options(corpus, run.folder, run__max_steps=130)
    thread = threading.Thread(target=lambda: results.append(train(again)))
    thread.start()
    thread.join()
    assert [result.folder for result in results] == [run.folder]
    assert "step 130" in (run.folder / "train.log").read_text()
    report = run.folder / "report"
    found = evaluate(
        {
            "model": run.folder,
            "source": corpus / "test.src",
            "reference": [corpus / "test.tgt"],
            "output": report,
            "bootstrap": 0,
            "progress": False,
        }
    )
    scores = {metric: found.scores[metric].value for metric in ("bleu", "chrf")}
    assert scores == results[0].scores["test"]
    assert (report / "report.md").exists()
    assert state_of_process() == before


def test_prepare_counts_pairs(corpus):
    data = {key: value for key, value in as_options(corpus, corpus).items() if key.startswith(("data", "tokenizer"))}
    report = prepare(data)
    assert report.kept <= report.total == 600


def test_mistakes_are_user_errors(corpus, tmp_path):
    with pytest.raises(UserError, match=r"unknown option modle.dropout; did you mean model.dropout"):
        train({"modle.dropout": 0.1})
    with pytest.raises(UserError, match="model=tinny: unknown choice; did you mean tiny"):
        train({"model": "tinny"})
    with pytest.raises(UserError, match="'--multirun' is no name of an option"):
        train({"--multirun": ""})
    with pytest.raises(UserError, match=r"run.max_steps=.*could not be converted to Integer"):
        train({"run": {"max_steps": "many"}})
    with pytest.raises(UserError, match="model=nowhere: no such folder"):
        load_model("nowhere")
    with pytest.raises(UserError, match=r"engine \('fast'\) must be one of native, ctranslate2, onnx"):
        load_model("nowhere", engine="fast")
    with pytest.raises(UserError, match=r"one text is given where a list of lines is expected: write \[text\]"):
        Model.translate(load_model_of(corpus, tmp_path), "A line.")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: train(None), "options are None, and a mapping is expected"),
        (lambda model: train({"run.dir": "a", "run": {"dir": "b"}}), "run.dir is given twice"),
        (lambda model: load_model(model.path, threads="2"), r"threads \('2'\) must be an integer"),
        (lambda model: load_model(model.path, workers=1.5), r"workers \(1.5\) must be an integer"),
        (lambda model: model.translate(None), "None is given where a list of lines is expected"),
        (lambda model: model.translate(b"A line."), r"one text is given where .*: write \[text\]"),
        (lambda model: model.score(["a"], ["\ud800"]), "half of a surrogate pair, which is no character"),
        (lambda model: model.translate(["a"], search="beam"), "search='beam' where settings are expected"),
        (lambda model: model.translate(["a"], search=SearchConfig(beam_size="3")), "beam_size .*must be an integer"),
        (lambda model: model.translate(["a"], search=SearchConfig(method="fast")), "method .*must be one of beam"),
    ],
)
def test_values_of_other_types_are_user_errors(run, call, message):
    with pytest.raises(UserError, match=message):
        call(load_model(run.folder))


def test_choices_may_be_named_by_their_text(run, corpus):
    lines = (corpus / "test.src").read_text().splitlines()[:3]
    greedy = load_model(run.folder).translate(lines, search=SearchConfig(method="greedy"))
    assert greedy == load_model(run.folder).translate(lines, search=SearchConfig(method=SearchMethod.greedy))


def load_model_of(corpus: Path, folder: Path) -> Model:
    train(as_options(corpus, folder / "run", run__max_steps=2, validation__every=2))
    return load_model(folder / "run")


def test_options_are_written_as_they_are_typed():
    words = option_words(
        {
            "model": "tiny",
            "run": {"dir": Path("runs/a,b"), "max_steps": 5, "patience": None},
            "data.train": {"path": ["one'.tsv", "two"]},
            "compute.compile": True,
            "data.additional": [{"path": "x", "weight": 0.5}],
        }
    )
    assert words == [
        "model=tiny",
        "run.dir='runs/a,b'",
        "run.max_steps=5",
        "run.patience=null",
        r"data.train.path=['one\'.tsv','two']",
        "compute.compile=true",
        "data.additional=[{path:'x',weight:0.5}]",
    ]
    with pytest.raises(UserError, match="a value of type set cannot be that of an option"):
        option_words({"run.dir": {1}})


def test_importing_starts_nothing_and_imports_neither_pytorch_nor_hydra(tmp_path):
    code = (
        "import sys, signal, logging, translate; before = signal.getsignal(signal.SIGINT); "
        "from translate import load_model; import translate.api; "
        "assert signal.getsignal(signal.SIGINT) is before; assert not logging.getLogger('translate').handlers; "
        "print(sorted({'torch', 'hydra', 'matplotlib', 'datasets'} & sys.modules.keys()))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(translate.__file__).parents[1]), *sys.path])}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert (found.stdout, found.stderr) == ("[]\n", "")
    assert list(tmp_path.iterdir()) == []


def test_the_names_of_the_package_are_typed_and_documented():
    assert set(translate.__all__) == {"Model", "UserError", "__version__", "load_model"}
    for name in translate.api.__all__:
        value = getattr(translate.api, name)
        assert inspect.getdoc(value)
        if inspect.isfunction(value):
            assert all(each.annotation is not each.empty for each in inspect.signature(value).parameters.values())
    with pytest.raises(AttributeError, match="no attribute 'translator'"):
        translate.translator  # noqa: B018
