"""scripts/benchmark.py: its figures are what they say, and it runs."""

from __future__ import annotations

import importlib.util
import itertools
import json
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import operations, training, work
from benchmarks.adapters.ours import Trainer, prepare_corpus, transformer_of, untrained_model, update_stream
from benchmarks.decoding import same_lines
from benchmarks.made_up_text import made_up_lines
from benchmarks.memory_and_growth import Point, exponents, measure_point, points, tree_memory
from benchmarks.operations import OperationTimer, rows_of, run_operations
from benchmarks.protocol import AbsentError
from benchmarks.report import readable, summarise, table
from benchmarks.session import Session, System, choose
from benchmarks.work import (
    Corpus,
    TrainingWork,
    cut,
    endless_batches,
    filled_in,
    num_tokens,
    plain_batch,
    training_flops,
)
from small_runs import REPOSITORY
from translate import tokenizer
from translate.batch import pad_batch
from translate.checkpoint import LoadedModel, load_model, save_model, vocabularies_of
from translate.errors import UserError
from translate.models import build_model

SMALL = TrainingWork(vocab_size=400, d_model=16, ffn_dim=32, num_heads=2, layers=2, tokens=256, threads=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train and val files of 300 and 20 made-up pairs."""
    folder = tmp_path_factory.mktemp("pairs")
    for (split, count), (seed, language) in itertools.product((("train", 300), ("val", 20)), ((1, "xx"), (2, "yy"))):
        lines = made_up_lines(count, seed=seed + count)
        (folder / f"{split}.{language}").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def data(folder: Path) -> dict[str, object]:
    cache = str(folder / "cache")
    return {"folder": str(folder), "splits": ["train", "val"], "languages": ["xx", "yy"], "cache": cache}


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session("training", tmp_path, tmp_path / "environments", threads=1)


@pytest.fixture(scope="module")
def model(folder: Path, data: dict[str, object]) -> LoadedModel:
    """An untrained model of the default architecture, saved and loaded."""
    corpus = prepare_corpus(data, vocab_size=SMALL.vocab_size)
    config = transformer_of(SMALL)
    torch.manual_seed(1)
    untrained = build_model(config, vocabularies_of(corpus.tokenizer))
    for parameter in untrained.parameters():  # so that biases and norms matter too
        parameter.data += 0.1 * torch.randn_like(parameter)
    weights = dict(untrained.named_parameters())
    save_model(folder / "model", weights=weights, config=config, tokenizer=corpus.tokenizer, manifest={})
    return load_model(folder / "model", device=torch.device("cpu"))


def test_ratio_is_the_median_of_ratios_within_rounds():
    summaries = summarise({"ours": [10.0, 20.0, 30.0], "peer": [5.0, 5.0, 10.0]})
    # the rounds' ratios are 2, 4 and 3; the ratio of the medians would be 4
    assert summaries["peer"] == {"median": 5.0, "lowest": 5.0, "highest": 10.0, "ratio": 3.0}
    assert summaries["ours"]["ratio"] == 1.0
    assert summarise({"peer": [5.0]})["peer"]["ratio"] is None


def test_every_second_round_is_reversed(session: Session):
    order = []
    values = session.take_turns(["a", "b", "c"], 3, lambda system: order.append(system) or float(len(order)))
    assert "".join(order) == "abccbaabc"
    assert values == {"a": [1.0, 6.0, 7.0], "b": [2.0, 5.0, 8.0], "c": [3.0, 4.0, 9.0]}
    assert not session.absent


def test_failing_system_is_dropped_with_its_reason(session: Session):
    calls = []

    def measure(system: str) -> float:
        calls.append(system)
        if system == "b" and calls.count("b") == 2:
            raise AbsentError("out of memory")
        return 1.0

    assert session.take_turns(["a", "b"], 3, measure) == {"a": [1.0, 1.0, 1.0]}
    assert session.absent == {"b": "out of memory"}


def test_flops_equal_pytorchs_count_for_an_update():
    work = replace(SMALL, vocab_size=50)
    model = untrained_model(work)  # with dropout of attention weights: PyTorch does not count its fused kernel on a CPU
    source, target = np.full((3, 6), 5), np.full((3, 8), 7)
    batch = pad_batch(list(source), list(target))
    with FlopCounterMode(display=False) as counter:
        logits = model(batch).logits()
        F.cross_entropy(logits.flatten(0, 1), batch.labels.flatten()).backward()
    assert training_flops(work, np.array([(7, 9)] * 3)) == counter.get_total_flops()


def test_the_default_work_costs_45_megaflops_per_target_token():
    assert 45e6 < training_flops(TrainingWork(), np.array([(14, 14)])) / 14 < 46e6


def test_every_way_of_batching_counts_the_tokens_of_the_corpus(data: dict[str, object]):
    prepared = prepare_corpus(data, vocab_size=SMALL.vocab_size)
    corpus = Corpus(*prepared.train.pairs(np.arange(len(prepared.train))))
    expected = int(prepared.train.target_lengths.sum()) + len(prepared.train)
    assert corpus.lengths[:, 1].sum() == expected
    assert corpus.lengths[:, 0].sum() == int(prepared.train.source_lengths.sum()) + len(prepared.train)

    epoch = []
    with update_stream(prepared, SMALL) as stream:
        while not stream.position.epoch:
            epoch += stream.next(0.0).batches
    assert sum(batch.num_target_tokens for batch in epoch) == expected

    for by_length in (True, False):
        total = 0
        for source, target, labels in endless_batches(corpus, tokens=SMALL.tokens, by_length=by_length, seed=1):
            assert max(source.numel(), target.numel()) <= SMALL.tokens
            total += num_tokens(labels)
            if total >= expected:
                break
        assert total == expected, "the first epoch ends where all pairs have been seen once"


def test_pairs_longer_than_the_budget_are_batches_of_one():
    pieces = cut(np.arange(5), np.array([3, 4, 20, 2, 2]), 10)
    assert [piece.tolist() for piece in pieces] == [[0, 1], [2], [3, 4]]


def test_corpus_round_trips(tmp_path: Path):
    corpus = Corpus([np.array([5, 6]), np.array([7])], [np.array([8]), np.array([9, 10, 11])])
    corpus.save(tmp_path / "corpus.json")
    again = Corpus.load(tmp_path / "corpus.json")
    for side in ("source", "target"):
        assert [ids.tolist() for ids in getattr(again, side)] == [ids.tolist() for ids in getattr(corpus, side)]
    source, target, labels = plain_batch(again, np.array([0, 1]))
    assert source.tolist() == [[5, 6, 3], [7, 3, 0]]
    assert target.tolist() == [[2, 8, 0, 0], [2, 9, 10, 11]]
    assert labels.tolist() == [[8, 3, -100, -100], [9, 10, 11, 3]]
    assert num_tokens(labels) == 6


def test_special_token_ids_are_passed_to_peers():
    for name in ("PAD", "UNK", "BOS", "EOS"):
        assert getattr(work, name) == getattr(tokenizer, name)


@pytest.mark.skipif(not importlib.util.find_spec("transformers"), reason="transformers is not installed here")
def test_hugging_face_model_equals_the_native_logits(model: LoadedModel):
    from benchmarks.adapters.huggingface import converted

    sources, targets = [[5, 6, 7, 8, 9], [10, 11]], [[20, 21], [22, 23, 24, 25]]
    batch = pad_batch([np.array(ids) for ids in sources], [np.array(ids) for ids in targets])
    with torch.inference_mode():
        ours = model.model(batch).logits()
        theirs = converted(model.directory)(
            input_ids=batch.source.ids,
            attention_mask=batch.source.mask.long(),
            decoder_input_ids=batch.target.ids,
        ).logits
    torch.testing.assert_close(theirs[batch.target.mask], ours[batch.target.mask], rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not importlib.util.find_spec("ctranslate2"), reason="ctranslate2 is not installed here")
def test_ctranslate2_model_equals_the_native_log_probabilities(model: LoadedModel, tmp_path: Path):
    import ctranslate2

    from translate.exporting.ctranslate2_converter import export_ctranslate2

    export_ctranslate2(model, tmp_path / "converted")
    translator = ctranslate2.Translator(str(tmp_path / "converted"), device="cpu", intra_threads=1)
    source, target = [5, 6, 7, 8, 9], [20, 21, 22]
    pieces = model.tokenizer.source_pieces(source), model.tokenizer.target_pieces(target)
    theirs = translator.score_batch([pieces[0]], [pieces[1]])[0].log_probs
    batch = pad_batch([np.array(source)], [np.array(target)])
    with torch.inference_mode():
        log_probs = model.model(batch).logits()[0].log_softmax(-1)
    ours = log_probs.gather(1, batch.labels[0][:, None])[:, 0]
    torch.testing.assert_close(torch.tensor(theirs), ours, rtol=1e-4, atol=1e-4)


def test_fast_paths_train_like_the_reference(data: dict[str, object]):
    curves = []
    for reference in (False, True):
        trainer = Trainer.of_corpus(replace(SMALL, learning_rate=3e-3), data)
        with trainer.use_reference() if reference else nullcontext():
            for _ in range(60):
                trainer.update()
            trainer.finish()
        curves.append(trainer.losses)
    assert curves[0] == pytest.approx(curves[1], rel=1e-3)
    assert curves[0] != curves[1], "the reference must compute otherwise"
    assert curves[0][-1] < 0.9 * curves[0][0], "it must have learned something"


def test_memory_of_child_processes_is_counted():
    if not Path("/proc/self/smaps_rollup").exists():
        pytest.skip("only Linux tells what a tree of processes has in memory")
    hold = "import time; held = bytearray(60_000_000); print('ready', flush=True); time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}])"
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, start_new_session=True)
    try:
        process.stdout.readline()
        found = tree_memory(process.pid)
    finally:
        subprocess.run(["kill", "--", f"-{process.pid}"])
        process.communicate()
    assert 60e6 < found < 120e6


def test_growth_covers_the_ranges_and_its_exponents_are_slopes():
    found = points(100_000)
    for kind, axis, low, high in (
        ("training", "length", 16, 1024),
        ("decoding", "vocabulary", 4000, 64_000),
        ("decoding", "beam", 1, 32),
        ("preparing", "corpus", 10_000, 100_000),
    ):
        values = [point.value for point in found if (point.kind, point.axis) == (kind, axis)]
        assert (min(values), max(values)) == (low, high)
    before, after = (Point("decoding", "beam", beam, seconds, 5.0) for beam, seconds in ((8, 1.0), (32, 2.0)))
    assert exponents(before, after) == (0.5, 0.0)


def test_table_rounds_to_significant_digits():
    heading, _, *rows = table(("system", "speed"), [("ours", 1234.5), ("peer", None)]).split("\n")
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in (heading, *rows)]
    assert cells == [["system", "speed"], ["ours", "1,234"], ["peer", "–"]]
    assert [readable(value) for value in (0.01234, 12.34, 123.4, 7)] == ["0.0123", "12.3", "123", "7"]


def test_same_lines_counts_equal_translations():
    assert same_lines([[1], [2], [3], [4]], [[1], [2], [5], [4]]) == 0.75


def test_unknown_systems_are_named():
    with pytest.raises(UserError, match="unknown system marian; choose from ours, "):
        choose("training", ["ours", "marian"])


def test_worker_that_fails_is_absent_with_the_end_of_its_log(session: Session):
    settings = {"task": "train", "work": {"corpus": "missing.json"}}
    with session.workers({"torch": System("torch_loop")}, lambda system: settings) as workers:
        assert not workers
    assert "missing.json" in session.absent["torch"]


def test_benchmark_of_training_runs_and_reports(folder: Path, tmp_path: Path):
    sizes = {"vocab-size": 400, "d-model": 16, "ffn-dim": 32, "num-heads": 2, "layers": 1, "tokens": 256, "threads": 1}
    options = {"data": folder, "systems": "ours,torch", "languages": "xx-yy", "rounds": 1, "minutes": 0.03}
    options |= {"output": tmp_path, **sizes}
    arguments = [f"--{name}={value}" for name, value in options.items()]
    result = subprocess.run(
        [sys.executable, str(REPOSITORY / "scripts" / "benchmark.py"), "training", *arguments],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    content = json.loads((tmp_path / "results.json").read_text())
    assert not content["absent"]
    assert content["machine"]["threads"] == 1
    found = content["results"]
    assert found["torch"]["ratio"] == pytest.approx(found["ours"]["median"] / found["torch"]["median"])
    assert all(0 < found[name]["utilisation"] < 1 for name in ("ours", "torch"))
    assert sum(found["own"]["shares"].values()) == pytest.approx(1)
    assert found["own"]["losses"][-1] < found["own"]["losses"][0]
    table = (tmp_path / "table.md").read_text()
    assert table in result.stdout
    assert "| torch " in table


def test_operations_are_timed_by_name_and_shapes():
    timer = OperationTimer()
    with timer:
        for _ in range(2):
            torch.ones(3, 5) @ torch.ones(5, 7)
        torch.ones(4, 5) @ torch.ones(5, 7)
    rows = rows_of(timer, {5, 7}, updates=2)
    product = rows["mm (T x 5, 5 x 7)"]
    assert {operation.inputs[0]: calls for operation, calls in product.calls.items()} == {(3, 5): 1.0, (4, 5): 0.5}
    assert product.seconds > 0
    assert product.ceiling() > 0
    assert sum(rows["ones (5 x 7)"].calls.values()) == 1.5


def test_bytes_are_those_that_an_operation_reads_and_writes():
    x, y, rows = torch.ones(10, 4), torch.ones(4), torch.tensor([1, 2])
    full = torch.ones(1).expand(10, 4)
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(10, 4))], lr=0.1, foreach=True)
    optimizer.param_groups[0]["params"][0].grad = torch.ones(10, 4)
    for operate, expected in [
        (lambda: x + y, 160 + 16 + 160),
        (lambda: x.add_(y), 160 + 16 + 160),
        (lambda: torch.add(x, y, out=x), 160 + 16 + 160),
        (lambda: x.copy_(y), 16 + 160),
        (lambda: x.zero_(), 160),
        (lambda: x + full, 160 + 4 + 160),
        (lambda: x.view(4, 10), 0),
        (lambda: F.embedding(rows, x), 16 + 2 * 32),
        (optimizer.step, 160 + 160 + 160),
    ]:
        with OperationTimer() as timer:
            operate()
        assert sum(operation.size for operation in timer.seconds) == expected


def test_operations_are_of_a_cpu(session: Session):
    with pytest.raises(UserError, match="leave --device and --systems out"):
        run_operations(Namespace(device="cuda", systems=[]), session)


def test_operations_of_an_update_are_measured_and_reported(folder: Path, session: Session, monkeypatch):
    monkeypatch.setattr(operations, "_CEILING_SECONDS", 0.0)
    options = ["--vocab-size=400", "--d-model=16", "--ffn-dim=32", "--num-heads=2", "--layers=1", "--tokens=256"]
    options += [f"--data={folder}", "--languages=xx-yy", "--rounds=1", "--min-share=0.1", "--attention-dropout=0"]
    parser = ArgumentParser()
    operations.add_operation_options(parser)
    run_operations(parser.parse_args(options, Namespace(device="cpu", systems=[])), session)
    found = session.results
    products = [row for name, row in found.items() if name.startswith(("mm ", "addmm "))]
    assert len(products) > 5
    assert all(row["ceiling"] > 0 for row in products)
    assert any(name.startswith("_scaled_dot_product_flash_attention_for_cpu_backward") for name in found)
    assert all(0.001 * row["update"] <= row["seconds"] < row["update"] for row in found.values())
    assert [row[0] for row in session.rows[-2:]] == ["other operations", "between operations"]
    assert sum(row[2] for row in session.rows) == pytest.approx(1000 * next(iter(found.values()))["update"])


def test_folder_without_the_files_is_named(session: Session, tmp_path: Path):
    arguments = Namespace(data=tmp_path, languages="en-de")
    with pytest.raises(UserError, match=r"file train\.en is missing"):
        training.make_work(arguments, session)


def test_growth_is_measured_in_a_worker(session: Session):
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("only Linux tells the peak memory of another process")
    arguments = Namespace(device="cpu", seconds=0.0)
    costs = [measure_point(Point(kind, "length", 8), arguments, session) for kind in ("training", "decoding")]
    assert all(cost.seconds > 0 and cost.bytes > 0 for cost in costs)


def test_eole_configuration_depends_on_the_work_alone():
    """A dollar sign in a comment once kept Eole from starting."""
    adapter = str(REPOSITORY / "scripts" / "benchmarks" / "adapters" / "eole.py")
    filled = filled_in(adapter, replace(SMALL, learning_rate=1e-5), folder="work", world_size=0, gpu_ranks=[])
    configuration = yaml.safe_load(filled)
    assert configuration["training"]["learning_rate"] == 1e-5
    assert configuration["model"]["hidden_size"] == SMALL.d_model
    assert configuration["training"]["dropout"] == [SMALL.dropout]
