"""Whole runs, as a person starts, kills and continues them."""

import json
import random
import re
import resource
import signal
import subprocess
import time
from contextlib import contextmanager

import pytest
import safetensors.torch
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from event_files import pictures
from forked import forked, waiting_in
from in_process import call_here
from small_runs import REPOSITORY, command, composed, environment, options, start, write_corpus
from translate.device import capabilities
from translate.errors import UserError
from translate.models import Vocabularies, build_model
from translate.text import read_lines
from translate.train import train


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def finished(corpus, tmp_path_factory):
    """The folder and the output of an undisturbed run of 120 updates."""
    folder = tmp_path_factory.mktemp("runs") / "undisturbed"
    result = call_here("train", *options(corpus, folder, validation__attention_maps=1))
    assert result.returncode == 0, result.stderr.decode()
    return folder, result.stderr.decode()


def train_here(corpus, folder, *words, **changes):
    """Train in this process; the log of all sessions."""
    train(composed([*options(corpus, folder, **changes), *words]))
    return (folder / "train.log").read_text(encoding="utf-8")


def weights(folder):
    newest = sorted((folder / "state").glob("step-*"))[-1]
    return {
        f"{name}/{key}": value
        for name in ("weights", "average")
        for key, value in safetensors.torch.load_file(newest / f"{name}.safetensors").items()
    }


def assert_identical(folder, expected):
    ours, theirs = weights(folder), weights(expected)
    assert ours.keys() == theirs.keys()
    for key in ours:
        assert torch.equal(ours[key], theirs[key]), key


@contextmanager
def file_size_limit(num_bytes):
    """Let longer files of this process fail with an error; Python ignores the signal that would end it."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def wait_for_step(folder, process):
    """Until the first state is on disk; the run may end sooner."""
    while process.poll() is None and not list((folder / "state").glob("step-????????")):
        time.sleep(0.02)


def test_run_folder_holds_models_logs_and_manifest(finished):
    folder, output = finished
    for name in ("best", "last", "average"):
        names = {path.name for path in (folder / name).iterdir()} - {"monitoring.json"}
        assert names == {"checksums.json", "weights.safetensors", "model.yaml", "tokenizer.model", "manifest.json"}
    assert (folder / "best" / "monitoring.json").is_file()
    for name in ("config.yaml", "manifest.json", "train.log", "tokenizer.model", "data_report.md"):
        assert (folder / name).stat().st_size > 0
    manifest = json.loads((folder / "best" / "manifest.json").read_text(encoding="utf-8"))
    assert {"commit", "torch", "seed", "data", "tokenizer", "step", "source_language"} <= manifest.keys()
    assert "pairs read" in output
    assert "valid_cross_attention/1" in pictures(folder)


def test_last_log_line_has_the_score_that_sacrebleu_prints(finished, corpus):
    folder, _ = finished
    last = list(read_lines(folder / "train.log"))[-1]
    logged = re.search(r"BLEU = ([\d.]+)", last)[1]
    hypotheses = str(folder / "evaluation" / "hypotheses.txt")
    result = subprocess.run(
        [command("train")[0], "-m", "sacrebleu", str(corpus / "test.tgt"), "-i", hypotheses, "-m", "bleu", "-b"],
        capture_output=True,
        text=True,
    )
    assert float(result.stdout) == float(logged) > 0
    assert f"sacrebleu {corpus / 'test.tgt'} -i {hypotheses}" in last


def test_decoding_the_best_model_repeats_the_scored_hypotheses(finished, corpus):
    folder, _ = finished
    result = call_here("decode", f"model={folder}", f"input={corpus / 'test.src'}", "search=greedy", "threads=1")
    assert result.stdout == (folder / "evaluation" / "hypotheses.txt").read_bytes()


def test_equal_configurations_give_equal_weights(finished, corpus, tmp_path):
    train_here(corpus, tmp_path / "run")
    assert_identical(tmp_path / "run", finished[0])


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "lstm_attention", "model__teacher_forcing_end": 0.5, "model__teacher_forcing_steps": 40},
        {"model": "convolutional"},
    ],
    ids=lambda changes: changes["model"],
)
def test_resumed_run_of_every_architecture_equals_the_uninterrupted_one(corpus, tmp_path, changes):
    changes |= {"model__ffn_dim": None, "model__num_heads": None, "run__save_every": 20, "validation__every": 40}
    changes |= {"validation__attention_maps": 1}
    changes |= {"schedule__name": "inverse_sqrt"}  # which does not depend on where a run ends
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder, steps in ((whole, 40), (parts, 20), (parts, 40)):
        train_here(corpus, folder, **changes, run__max_steps=steps)
    assert_identical(whole, parts)
    result = call_here("decode", f"model={whole}", f"input={corpus / 'test.src'}", "search=greedy", "threads=1")
    assert result.stdout == (whole / "evaluation" / "hypotheses.txt").read_bytes()


def test_seed_decides_the_initial_weights(corpus, tmp_path):
    """A learning rate of 1e-30 changes no weight by more than a unit in its last bit."""
    for seed in (1, 2):
        folder = tmp_path / str(seed)
        train_here(corpus, folder, run__seed=seed, run__max_steps=1, optimizer__learning_rate=1e-30)
        torch.manual_seed(seed)
        model = build_model(composed(options(corpus, folder)).model, Vocabularies(22, 22, shared=True))
        expected = {f"weights/{name}": weight.detach() for name, weight in model.named_parameters()}
        found = weights(folder)
        assert expected.keys() <= found.keys()
        for name, weight in expected.items():
            torch.testing.assert_close(found[name], weight, rtol=1e-6, atol=1e-20, msg=name)


def test_repeatedly_killed_run_ends_with_the_same_weights(finished, corpus, tmp_path):
    """scripts/drill.py does the same to a longer run, with other faults as well."""
    folder, moments = tmp_path / "run", random.Random(0)
    for _ in range(3):
        process = start("train", *options(corpus, folder))
        wait_for_step(folder, process)
        time.sleep(moments.uniform(0.0, 0.6))
        process.kill()
        process.communicate()
    result = call_here("train", *options(corpus, folder))
    assert result.returncode == 0, result.stderr.decode()
    assert_identical(folder, finished[0])
    assert (folder / "evaluation" / "hypotheses.txt").read_bytes() == (
        finished[0] / "evaluation" / "hypotheses.txt"
    ).read_bytes()


def test_signal_saves_a_state_and_the_resumed_run_equals_the_uninterrupted_one(finished, corpus, tmp_path):
    folder = tmp_path / "run"
    change = waiting_in("training.step", "train_step", call=32)
    with forked(tmp_path, "train", *options(corpus, folder, run__save_every=1000), before=change) as process:
        process.wait_for("here")
        process.send(signal.SIGTERM)
        assert process.end() == 128 + signal.SIGTERM, process.said()
    assert "the same command continues the run" in process.said()
    assert "Traceback" not in process.said()
    (saved,) = (int(state.name.removeprefix("step-")) for state in (folder / "state").glob("step-*"))
    events = EventAccumulator(str(folder)).Reload()
    assert events.Scalars("loss/train")[-1].step == saved // 5 * 5
    result = call_here("train", *options(corpus, folder, run__save_every=1000))
    assert b"continuing from step" in result.stderr
    assert_identical(folder, finished[0])


def test_finished_run_logs_its_score_and_trains_no_more(finished, corpus):
    folder, _ = finished
    before = (folder / "best" / "weights.safetensors").stat().st_mtime_ns
    said = train_here(corpus, folder).partition("this run is over")[2]
    assert "BLEU = " in said
    assert (folder / "best" / "weights.safetensors").stat().st_mtime_ns == before


def test_a_longer_bound_continues_a_finished_run(corpus, tmp_path):
    train_here(corpus, tmp_path / "run", run__max_steps=20)
    assert "continuing from step 20" in train_here(corpus, tmp_path / "run", run__max_steps=30)
    assert (tmp_path / "run" / "state" / "step-00000030").is_dir()


def test_subword_sampling_and_muon_resume_exactly(corpus, tmp_path):
    # a schedule that does not look at the run's end, which differs between the two parts
    sampling = {"sampling__source": 0.3, "sampling__target": 0.3}
    settings = {**sampling, "optimizer__name": "muon", "schedule__name": "inverse_sqrt", "run__max_steps": 20}
    log = train_here(corpus, tmp_path / "whole", **settings)
    assert ("Muon uses bf16" in log) is not capabilities(torch.device("cpu")).bf16_matmul
    train_here(corpus, tmp_path / "parts", **settings | {"run__max_steps": 10})
    train_here(corpus, tmp_path / "parts", **settings)
    assert_identical(tmp_path / "parts", tmp_path / "whole")


def test_auxiliary_loss_starts_at_its_configured_share(corpus, tmp_path):
    losses = ["auxiliary=[guided_attention,sim_cut]", "auxiliary.sim_cut.start=0.5"]
    train_here(corpus, tmp_path / "run", *losses, run__max_steps=40)
    events = EventAccumulator(str(tmp_path / "run")).Reload()
    curves = {
        name: [event.step for event in events.Scalars(f"train/auxiliary/{name}")]
        for name in ("guided_attention", "sim_cut")
    }
    assert curves == {"guided_attention": [5, 10, 15, 20, 25, 30, 35, 40], "sim_cut": [25, 30, 35, 40]}


def test_another_configuration_is_refused_and_the_difference_named(finished, corpus):
    with pytest.raises(UserError, match=r"model\.dropout: 0\.1 there, 0\.3 now"):
        train_here(corpus, finished[0], model__dropout=0.3)


def test_other_data_is_refused(finished, corpus, tmp_path):
    other = write_corpus(tmp_path / "other", seed=1)
    with pytest.raises(UserError, match="other data"):
        train_here(other, finished[0])


def test_diverging_run_stops_with_an_error(corpus, tmp_path):
    blown_up = {"optimizer__learning_rate": 1e30, "optimizer__clip_norm": 0, "schedule__warmup_steps": 0}
    result = call_here("train", *options(corpus, tmp_path / "run", **blown_up, run__max_skipped=3))
    assert result.returncode == 1
    # results come one update late
    assert b"not finite in 4 updates in a row (run.max_skipped)" in result.stderr
    assert b"(return 3 of 3, recovery.roll_backs)" in result.stderr
    assert b"Traceback" not in result.stderr


def test_full_disk_ends_the_run_and_keeps_the_previous_state(corpus, tmp_path):
    """A limit on file sizes stands for the full disk: writes fail in the same way."""
    train_here(corpus, tmp_path / "run", run__max_steps=10)
    with file_size_limit(40 * 1024):
        result = call_here("train", *options(corpus, tmp_path / "run"))
    assert result.returncode == 1
    assert b"cannot be written: File too large" in result.stderr
    assert b"Traceback" not in result.stderr
    assert [path.name for path in (tmp_path / "run" / "state").iterdir()] == ["step-00000010"]
    train_here(corpus, tmp_path / "run", run__max_steps=20)
    assert (tmp_path / "run" / "state" / "step-00000020").is_dir()


def test_run_limited_by_minutes_warns_that_it_is_not_reproducible(corpus, tmp_path):
    log = train_here(corpus, tmp_path / "run", run__max_minutes=0.02, run__max_steps=0)
    assert "cannot repeat exactly" in log
    assert "run.max_minutes=0.02" in log


def test_patience_ends_a_run_without_improvement(corpus, tmp_path):
    stale = {"run__patience": 2, "validation__every": 2, "optimizer__learning_rate": 1e-30}
    log = train_here(corpus, tmp_path / "run", run__max_steps=1000, **stale)
    assert "no better validation since step 2" in log


def test_a_second_command_on_the_same_run_is_refused_until_the_first_is_killed(finished, corpus, tmp_path):
    folder = tmp_path / "run"
    process = start("train", *options(corpus, folder, run__max_steps=100_000))
    wait_for_step(folder, process)
    second = call_here("train", *options(corpus, folder))
    running = process.poll() is None
    process.kill()
    process.communicate()
    assert running
    assert second.returncode == 1
    assert f"another process is at work on this run (pid {process.pid} on ".encode() in second.stderr
    assert b"Traceback" not in second.stderr
    assert "continuing from step" in train_here(corpus, folder, run__max_steps=1)


def test_two_processes_train_one_model(finished, corpus, tmp_path):
    """torchrun with two processes: the same number of updates, one run folder, a model that decodes."""
    torchrun = [command("train")[0], "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    words = options(corpus, tmp_path / "run", run__max_steps=20, validation__attention_maps=1)
    result = subprocess.run(
        [*torchrun, "-m", "translate.train", *words],
        cwd=REPOSITORY,
        env=environment(),
        capture_output=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr.decode()
    assert b"2 processes, whose update has up to " in result.stderr
    assert result.stderr.count(b"stopped at step 20") == 1
    decoded = call_here("decode", f"model={tmp_path / 'run'}", "threads=1", stdin=b"1 2 3\n")
    assert decoded.stdout.count(b"\n") == 1
