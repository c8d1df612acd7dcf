"""The commands as a person meets them: hostile input, and mistakes answered before work starts."""

import json

import pytest

from in_process import call_here
from small_runs import call, options, write_corpus
from translate import __version__

HOSTILE = [
    b"",
    b"   \t ",
    b"1 2 3\r",
    "1 2\u00853".encode(),
    "1 2\u20283".encode(),
    b"\xef\xbb\xbf1 2 3",
    b"1 \x00 2",
    b"\x00",
    "\U0001f600 1 2 \U0001f468‍\U0001f469‍\U0001f467".encode(),
    "４ ５ é é".encode(),
    b"1 2 3 4 5 6 " * 100,
    b"9" * 5000,
    b"<unk> <s> </s> <pad> <0x0A>",
    b"\x0b\x0c\x1c\x1d\x1e",
    b"1 2 3",
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def model(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    settings = {"run__max_steps": 20, "tokenizer__byte_fallback": "true", "tokenizer__vocab_size": 280}
    result = call_here("train", *options(corpus, folder, **settings))
    assert result.returncode == 0, result.stderr.decode()
    return folder


def decode(model, *arguments, stdin=b"", run=call_here):
    result = run("decode", f"model={model}", "threads=1", "progress=false", *arguments, stdin=stdin)
    assert result.returncode == 0, result.stderr.decode()
    return result.stdout


@pytest.mark.parametrize("end", [b"\n", b""], ids=["ended", "unterminated"])
def test_output_has_as_many_line_ends_as_the_input(model, end):
    stdin = b"\n".join(HOSTILE) + end
    output = decode(model, stdin=stdin)
    assert output.count(b"\n") == stdin.count(b"\n")
    lines = output.split(b"\n")
    assert lines[0] == lines[1] == b""
    assert lines[2] == lines[14]
    # no other reader of lines finds more of them either
    assert len(output.decode().splitlines()) == len(HOSTILE)


def test_batch_size_changes_nothing(model):
    stdin = b"\n".join(HOSTILE * 3 + [b"%d %d" % (i % 10, i % 7) for i in range(40)]) + b"\n"
    outputs = {decode(model, f"batch_sentences={size}", stdin=stdin) for size in (1, 7, 64)}
    assert len(outputs) == 1


def test_files_and_pipes_give_equal_translations(model, tmp_path):
    (tmp_path / "in").write_bytes(b"\n".join(HOSTILE))
    decode(model, f"input={tmp_path / 'in'}", f"output={tmp_path / 'out'}")
    assert (tmp_path / "out").read_bytes() == decode(model, stdin=b"\n".join(HOSTILE), run=call)
    assert not (tmp_path / "out.partial").exists()


@pytest.mark.parametrize("name", ["Wörter (1)", "a=b#c", "it's; 50% {done}", "<back\\slash\\", "x, ÿ"])
def test_file_names_need_no_extra_quotes(model, tmp_path, name):
    (tmp_path / name).write_bytes(b"1 2 3\n")
    assert decode(model, f"input={tmp_path / name}") == decode(model, stdin=b"1 2 3\n")


def test_empty_input_gives_empty_output(model):
    assert decode(model, stdin=b"") == b""


def test_n_best_lists_have_scores_in_order(model):
    output = decode(model, "search.beam_size=4", "search.n_best=3", stdin=b"1 2 3\n4 5\n").decode()
    rows = [line.split(" ||| ") for line in output.strip("\n").split("\n")]
    assert [row[0] for row in rows] == ["0"] * 3 + ["1"] * 3
    for sentence in (rows[:3], rows[3:]):
        scores = [float(row[-1]) for row in sentence]
        assert scores == sorted(scores, reverse=True)


def test_evaluate_prints_scores_with_signatures_and_writes_a_report(model, corpus, tmp_path):
    result = call_here(
        "evaluate",
        f"model={model}",
        f"source={corpus / 'test.src'}",
        f"reference={corpus / 'test.tgt'}",
        f"output={tmp_path / 'report'}",
        "threads=1",
    )
    assert result.returncode == 0, result.stderr.decode()
    output = result.stdout.decode()
    assert all(name in output for name in ("BLEU", "chrF2", "TER", "tok:13a"))
    assert {path.name for path in (tmp_path / "report").iterdir()} >= {"report.md", "report.json", "hypotheses.txt"}


def refused(*arguments, module="train"):
    """The message of a command that must fail: one message, status 1, no traceback."""
    result = call_here(module, *arguments)
    message = result.stderr.decode()
    assert result.returncode == 1, message
    assert "Traceback" not in message
    assert message.rstrip("\n").split("error: ")[0].count("Error") == 0
    assert "error: " in message
    return message


def test_files_of_different_length_are_counted(corpus, tmp_path):
    short = tmp_path / "short"
    short.write_text("1\n2\n", encoding="utf-8")
    message = refused(*options(corpus, tmp_path / "run", data__valid__target=short))
    assert "30" in message
    assert "2" in message
    assert str(short) in message
    message = refused(*options(corpus, tmp_path / "run", data__train__target=short))
    assert "600" in message
    assert str(short) in message


def test_invalid_utf8_is_located(corpus, tmp_path):
    bad = tmp_path / "bad"
    bad.write_bytes(b"1 2\n\xff\xfe\n" + b"3\n" * 28)
    message = refused(*options(corpus, tmp_path / "run", data__valid__source=bad))
    assert f"{bad}, line 2, byte 1" in message
    result = call_here("decode", f"model={tmp_path}", f"input={bad}")
    assert f"{bad}, line 2" in result.stderr.decode()


def test_an_empty_corpus_is_refused(corpus, tmp_path):
    empty = tmp_path / "empty"
    empty.touch()
    assert "empty" in refused(*options(corpus, tmp_path / "run", data__train__source=empty, data__train__target=empty))


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("", "", "data.valid: none of its 20 pairs has text on both sides"),
        ("", "1 2 3", "data.valid: none of its 20 pairs has text on both sides"),
        ("1 2 3 4 5 6 " * 50, "1 2", "data.valid: none of its 20 pairs has two sides of 1 to 256 tokens"),
    ],
)
def test_a_validation_set_without_usable_pairs_is_refused_before_training(corpus, tmp_path, source, target, said):
    (tmp_path / "source").write_text(f"{source}\n" * 20, encoding="utf-8")
    (tmp_path / "target").write_text(f"{target}\n" * 20, encoding="utf-8")
    files = {f"data__valid__{side}": tmp_path / side for side in ("source", "target")}
    message = refused(*options(corpus, tmp_path / "run", **files))
    assert said in message
    assert "step" not in message


def test_a_warning_of_the_data_report_is_in_the_log(corpus, tmp_path):
    files = {f"data__valid__{side}": corpus / f"train.{end}" for side, end in (("source", "src"), ("target", "tgt"))}
    result = call_here("train", *options(corpus, tmp_path / "run", **files, data__valid__take=30, run__max_steps=2))
    assert result.returncode == 0
    warning = b"100.0% of the sources of data.valid are in the training text too (100.0% with the same target)"
    assert result.stderr.count(warning) == 1
    assert warning in (tmp_path / "run" / "train.log").read_bytes()


def test_a_missing_file_is_named(corpus, tmp_path):
    assert "nowhere" in refused(*options(corpus, tmp_path / "run", data__train__source=tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["tokenizer.vocab_sze=8000"], "did you mean tokenizer.vocab_size?"),
        (["learning_rate=1"], "did you mean optimizer.learning_rate?"),
        (["+model.d_modl=3"], "unknown option model.d_modl; did you mean model.d_model?"),
        (["flavours=1"], "unknown option flavours; --help lists them"),
        (
            ["--nbest", "5"],
            "unknown flag --nbest: options are written name=value, without dashes; did you mean search.n_best=…?",
        ),
        (["--lr=1e-3"], "did you mean optimizer.learning_rate=1e-3?"),
        (["model=runs/x"], "model=runs/x: unknown choice; to train a stored model further, set adapt=full"),
        (["hydra.job.chdir=true"], "unknown option hydra.job.chdir"),
        (["++hydra.job.chdir=true"], "unknown option hydra.job.chdir"),
        ([""], "an option is written name=value"),
        (["--config-dir"], "--config-dir needs a folder of YAML files"),
        (["--config-dir=of_nobody"], "--config-dir of_nobody: no such folder"),
        (["model=bsae"], "did you mean base?"),
        (["adapt=null"], "adapt=null: unknown choice; did you mean full?; choices: adapter,"),
        (["run.max_steps=many"], "run.max_steps=many"),
        (["data.valid=null"], "with data=text_files and no data.valid option, validation and test pairs are held out"),
        (["run.max_steps"], "run.max_steps: an option is written name=value"),
        (["data.additional=[{tag: <bt>}]"], "text in it needs quotes"),
        (["model.norm=batch_norm"], "layer_norm, rms_norm"),
        (["model.num_heads=3"], "must be a multiple of model.num_heads (3)"),
        (
            ["validation.metric=meteor"],
            "validation.metric=meteor must be one of bleu, chrf, loss",
        ),
        (["validation.tokenize=moses"], "validation.tokenize=moses is none of 13a,"),
        (["model=convolutional"], "model.ffn_dim: the choice of model does not have this option"),
        (["auxiliary=[rdrop]"], "auxiliary=rdrop: unknown choice; did you mean r_drop?"),
        (["auxiliary=[sim_cut]", "auxiliary.sim_cut.start=1"], "auxiliary.sim_cut.start (1.0) must be at least 0"),
        (["run.max_steps=0", "run.patience=0"], "the run would never end"),
        (["run.max_steps=0", "run.patience=1", "data.train.end=0.5"], "no training corpus takes part after 50%"),
        (
            ["run.max_steps=0", "run.patience=1", "auxiliary=[sim_cut]", "auxiliary.sim_cut.start=0.5"],
            "auxiliary.sim_cut.start is a share of the run: set run.max_steps",
        ),
        (["sampling.source=0.1", "sampling.start=1"], "sampling.start (1.0) must be at least 0 and below 1"),
        (
            ["run.max_steps=0", "run.patience=1", "augmentation.typos=0.1", "augmentation.start=0.5"],
            "augmentation.start is a share of the run: set run.max_steps",
        ),
        (
            ["run.max_steps=0", "run.patience=1", "sampling.source=0.1", "sampling.start=0.5"],
            "sampling.start is a share of the run: set run.max_steps",
        ),
        (["compute.device=cuda"], "finds no GPU"),
    ],
)
def test_wrong_options_are_answered_with_a_hint(corpus, tmp_path, arguments, expected):
    import torch

    if "compute.device=cuda" in arguments and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert expected in refused(*options(corpus, tmp_path / "run"), *arguments)


def test_an_unknown_option_is_named_before_a_missing_one():
    result = call_here("decode", "model=runs/x", "+beam=3")
    assert result.stderr == b"error: unknown option beam; did you mean search.beam_size?\n"


def test_a_folder_of_experiments_may_have_any_name(corpus, tmp_path):
    own = tmp_path / "mine, a=1 [b]"
    (own / "experiment").mkdir(parents=True)
    (own / "experiment" / "short.yaml").write_text("# @package _global_\nrun:\n  max_steps: 7\n")
    result = call_here("train", "--config-dir", str(own), "experiment=short", "--help")
    assert result.returncode == 0, result.stderr.decode()
    assert b"max_steps: 7\n" in result.stdout


def test_a_loss_on_attention_needs_a_model_that_has_it(corpus, tmp_path):
    changes = {"model": "lstm_plain", "model__ffn_dim": None, "model__num_heads": None}
    message = refused(*options(corpus, tmp_path / "run", **changes), "auxiliary=[guided_attention]")
    assert "auxiliary=guided_attention needs attention weights, and model.architecture=lstm returns none" in message


def test_a_vocabulary_larger_than_the_text_supports_becomes_the_largest_one(corpus, tmp_path):
    run = tmp_path / "run"
    result = call_here("train", *options(corpus, run, tokenizer__vocab_size=10**9, run__max_steps=2))
    assert result.returncode == 0, result.stderr.decode()
    size = json.loads((run / "manifest.json").read_text(encoding="utf-8"))["vocabulary"]["source"]
    assert size < 1000
    assert f"the vocabulary has {size} pieces, not 1,000,000,000" in (run / "train.log").read_text(encoding="utf-8")
    assert "vocab_size: 1000000000" in (run / "config.yaml").read_text(encoding="utf-8")


def test_a_vocabulary_too_small_for_the_characters_is_explained(corpus, tmp_path):
    message = refused(*options(corpus, tmp_path / "run", tokenizer__vocab_size=10))
    assert "tokenizer.vocab_size is 10" in message
    assert "the text's characters alone need" in message


def test_an_unwritable_run_folder_is_refused(corpus, tmp_path):
    blocked = tmp_path / "file"
    blocked.touch()
    assert "cannot be written" in refused(*options(corpus, blocked / "run"))


def test_decode_and_evaluate_need_a_model(tmp_path):
    assert "model is not set" in refused(module="decode")
    assert "no such folder" in refused(f"model={tmp_path / 'nowhere'}", module="decode")


@pytest.mark.parametrize("words", [["prepare", "--version"], ["decode", "model=nowhere"], ["compare", "refrence=x"]])
def test_call_here_equals_a_command_in_a_process(words):
    """The other tests rest on it."""
    here, there = call_here(*words), call(*words)
    assert (here.returncode, here.stdout, here.stderr) == (there.returncode, there.stdout, there.stderr)


def test_version_flag_prints_the_version_of_the_project():
    result = call_here("train", "--version")
    assert result.returncode == 0
    assert result.stdout.decode() == f"translate {__version__}\n"


@pytest.mark.parametrize(
    "module", ["train", "decode", "evaluate", "compare", "prepare", "explain", "merge", "score", "convert", "monitor"]
)
def test_help_names_options_and_choices(module):
    result = call_here(module, "--help")
    assert result.returncode == 0
    output = result.stdout.decode()
    assert f"python -m translate.{module}" in output
    assert "Options" in output
    assert "schema_" not in output


def test_prepare_prints_the_data_report(corpus, tmp_path):
    arguments = [o for o in options(corpus, tmp_path) if o.startswith(("data", "tokenizer"))]
    result = call_here("prepare", *arguments, "report=true")
    assert result.returncode == 0, result.stderr.decode()
    assert "pairs read" in result.stdout.decode()
