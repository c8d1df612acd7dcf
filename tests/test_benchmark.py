"""scripts/benchmark.py: that its figures are what they say, and that it runs."""

from __future__ import annotations

import importlib.util
import itertools
import json
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import benchmarks.work as work_module  # noqa: E402
from benchmark_data import made_up_lines  # noqa: E402
from benchmarks import growth, training  # noqa: E402
from benchmarks.corpus import Corpus, cut, endless_batches, plain_batch  # noqa: E402
from benchmarks.decoding import same_lines  # noqa: E402
from benchmarks.preparation import data_of, export_corpus, prepared  # noqa: E402
from benchmarks.processes import TreeWatch  # noqa: E402
from benchmarks.protocol import AbsentError  # noqa: E402
from benchmarks.reference import reference_paths  # noqa: E402
from benchmarks.report import markdown_table, readable  # noqa: E402
from benchmarks.rounds import summarise, take_turns  # noqa: E402
from benchmarks.session import Session, System, choose  # noqa: E402
from benchmarks.work import PairLengths, TrainingWork, training_flops  # noqa: E402
from benchmarks.workers.ours_training import Trainer, transformer_of  # noqa: E402
from translate import tokenizer  # noqa: E402
from translate.batch import pad_batch  # noqa: E402
from translate.checkpoint import LoadedModel, load_model, save_model, vocabularies_of  # noqa: E402
from translate.data.augmentation import PairEncoder  # noqa: E402
from translate.data.batching import BatchConfig  # noqa: E402
from translate.data.loader import UpdateStream  # noqa: E402
from translate.distributed import World  # noqa: E402
from translate.errors import UserError  # noqa: E402
from translate.models import build_model  # noqa: E402
from translate.models.seq2seq import Vocabularies  # noqa: E402

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
def data(folder: Path) -> dict[str, str]:
    return data_of(folder, source="xx", target="yy", cache=folder / "cache")


@pytest.fixture(scope="module")
def model(folder: Path, data: dict[str, str]) -> LoadedModel:
    """An untrained model of the default architecture, saved and loaded."""
    corpus = prepared(data, vocab_size=SMALL.vocab_size)
    torch.manual_seed(1)
    config = transformer_of(replace(SMALL, vocab_size=corpus.tokenizer.target_vocab_size))
    untrained = build_model(config, vocabularies_of(corpus.tokenizer))
    for parameter in untrained.parameters():  # so that biases and norms matter too
        parameter.data += 0.1 * torch.randn_like(parameter)
    weights = dict(untrained.named_parameters())
    save_model(folder / "model", weights=weights, config=config, tokenizer=corpus.tokenizer, manifest={})
    return load_model(folder / "model", device=torch.device("cpu"))


def test_ratio_is_the_median_of_the_rounds_own_ratios():
    summaries = summarise({"ours": [10.0, 20.0, 30.0], "peer": [5.0, 5.0, 10.0]}, ours="ours")
    assert summaries["peer"].ratio == 3.0, "of 2, 4 and 3; the ratio of the medians would be 4"
    assert (summaries["peer"].median, summaries["peer"].low, summaries["peer"].high) == (5.0, 5.0, 10.0)
    assert summaries["ours"].ratio == 1.0
    assert summarise({"peer": [5.0]}, ours="ours")["peer"].ratio is None


def test_every_second_round_goes_backwards():
    order = []
    values, left = take_turns(["a", "b", "c"], 3, lambda system: order.append(system) or float(len(order)))
    assert "".join(order) == "abccbaabc"
    assert values == {"a": [1.0, 6.0, 7.0], "b": [2.0, 5.0, 8.0], "c": [3.0, 4.0, 9.0]}
    assert not left


def test_system_that_fails_leaves_with_its_reason_and_the_others_stay():
    calls = []

    def measure(system: str) -> float:
        calls.append(system)
        if system == "b" and calls.count("b") == 2:
            raise AbsentError("out of memory")
        return 1.0

    values, left = take_turns(["a", "b"], 3, measure)
    assert values == {"a": [1.0, 1.0, 1.0]}
    assert left == {"b": "out of memory"}


def test_flops_are_what_pytorch_counts_in_an_update_of_the_real_model():
    work = replace(SMALL, vocab_size=50)
    model = build_model(transformer_of(work), Vocabularies(50, 50, True)).eval()
    source, target = np.full((3, 6), 5), np.full((3, 8), 7)
    batch = pad_batch(list(source), list(target))
    with FlopCounterMode(display=False) as counter:
        logits = model(batch).logits()
        F.cross_entropy(logits.flatten(0, 1), batch.labels.flatten()).backward()
    assert training_flops(work, PairLengths.of([(7, 9)] * 3)) == counter.get_total_flops()


def test_the_work_of_the_issue_costs_45_megaflops_a_target_token():
    lengths = PairLengths.of([(14, 14)])
    assert 45e6 < training_flops(TrainingWork(), lengths) / lengths.target < 46e6


def test_every_way_of_batching_counts_the_tokens_of_the_corpus(data: dict[str, str]):
    found = prepared(data, vocab_size=SMALL.vocab_size)
    corpus = export_corpus(found)
    expected = int(found.train.target_lengths.sum()) + len(found.train)
    assert corpus.lengths().target == expected
    assert corpus.lengths().source == int(found.train.source_lengths.sum()) + len(found.train)

    encoder, epoch = PairEncoder(found.train, found.tokenizer), []
    with UpdateStream(found.train, encoder, BatchConfig(tokens=SMALL.tokens), seed=1, world=World()) as stream:
        while not stream.position.epoch:
            epoch += stream.next(0.0).batches
    assert sum(batch.num_target_tokens for batch in epoch) == expected

    for by_length in (True, False):
        total = 0
        for batch in endless_batches(corpus, tokens=SMALL.tokens, by_length=by_length, seed=1):
            assert max(batch.source.size, batch.target.size) <= SMALL.tokens
            total += batch.target_tokens
            if total >= expected:
                break
        assert total == expected, "the first epoch ends where all pairs have been seen once"


def test_pairs_longer_than_the_budget_stand_alone():
    pieces = cut(np.arange(5), np.array([3, 4, 20, 2, 2]), 10)
    assert [piece.tolist() for piece in pieces] == [[0, 1], [2], [3, 4]]


def test_corpus_is_read_as_it_was_written(tmp_path: Path):
    corpus = Corpus([np.array([5, 6]), np.array([7])], [np.array([8]), np.array([9, 10, 11])])
    corpus.save(tmp_path / "corpus.npz")
    again = Corpus.load(tmp_path / "corpus.npz")
    for side in ("source", "target"):
        assert [ids.tolist() for ids in getattr(again, side)] == [ids.tolist() for ids in getattr(corpus, side)]
    batch = plain_batch(again, np.array([0, 1]))
    assert batch.source.tolist() == [[5, 6, 3], [7, 3, 0]]
    assert batch.target.tolist() == [[2, 8, 0, 0], [2, 9, 10, 11]]
    assert batch.labels.tolist() == [[8, 3, -100, -100], [9, 10, 11, 3]]
    assert batch.target_tokens == 6


def test_peers_know_our_special_tokens():
    for name in ("PAD", "UNK", "BOS", "EOS"):
        assert getattr(work_module, name) == getattr(tokenizer, name)


@pytest.mark.skipif(not importlib.util.find_spec("transformers"), reason="transformers is not installed here")
def test_hugging_face_model_gives_our_logits(model: LoadedModel):
    from benchmarks.workers.huggingface_model import convert

    sources, targets = [[5, 6, 7, 8, 9], [10, 11]], [[20, 21], [22, 23, 24, 25]]
    batch = pad_batch([np.array(ids) for ids in sources], [np.array(ids) for ids in targets])
    with torch.inference_mode():
        ours = model.model(batch).logits()
        theirs = convert(model.directory)(
            input_ids=batch.source.ids,
            attention_mask=batch.source.mask.long(),
            decoder_input_ids=batch.target.ids,
        ).logits
    torch.testing.assert_close(theirs[batch.target.mask], ours[batch.target.mask], rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not importlib.util.find_spec("ctranslate2"), reason="ctranslate2 is not installed here")
def test_ctranslate2_model_gives_our_log_probabilities(model: LoadedModel, tmp_path: Path):
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


def test_fast_paths_learn_as_the_reference_does(data: dict[str, str]):
    work = replace(SMALL, vocab_size=prepared(data, vocab_size=SMALL.vocab_size).tokenizer.target_vocab_size)
    curves = []
    for paths in (nullcontext(), reference_paths()):
        trainer = Trainer.build(replace(work, learning_rate=3e-3), data)
        with paths:
            for _ in range(60):
                trainer.update()
            trainer.settle()
        curves.append(trainer.losses)
    assert curves[0] == pytest.approx(curves[1], rel=1e-3)
    assert curves[0][-1] < 0.9 * curves[0][0], "it must have learned something"


def test_memory_of_children_is_seen():
    if not Path("/proc/self/smaps_rollup").exists():
        pytest.skip("only Linux tells what a tree of processes has in memory")
    hold = "import time; held = bytearray(60_000_000); print('ready', flush=True); time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}])"
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, start_new_session=True)
    try:
        process.stdout.readline()
        with TreeWatch(process.pid) as watch:
            pass
    finally:
        subprocess.run(["kill", "--", f"-{process.pid}"])
        process.communicate()
    assert 60e6 < watch.peak < 120e6


def test_growth_covers_the_ranges_and_its_exponents_are_slopes():
    points = growth.points(100_000)
    for kind, axis, low, high in (
        ("training", growth.LENGTH, 16, 1024),
        ("decoding", growth.VOCABULARY, 4000, 64_000),
        ("decoding", growth.BEAM, 1, 32),
        ("preparing", growth.PAIRS, 10_000, 100_000),
    ):
        places = [point.place for point in points if (point.kind, point.axis) == (kind, axis)]
        assert (min(places), max(places)) == (low, high)
    measured = [
        (growth.Point("decoding", growth.BEAM, beam=beam), {"seconds": seconds, "bytes": size})
        for beam, seconds, size in ((1, 9.0, 1.0), (8, 1.0, 5.0), (32, 2.0, 5.0))
    ]
    assert growth.exponents(measured) == {("decoding", growth.BEAM): {"seconds": 0.5, "bytes": 0.0}}


def test_table_is_aligned_and_rounds_to_what_is_known():
    assert markdown_table(("system", "speed"), [("ours", 1234.5), ("peer", None)]) == [
        "| system | speed |",
        "|--------|------:|",
        "| ours   | 1,234 |",
        "| peer   |     – |",
    ]
    assert [readable(value) for value in (0.01234, 12.34, 123.4, 7)] == ["0.0123", "12.3", "123", "7"]


def test_same_lines_counts_equal_translations():
    assert same_lines([[1], [2], [3], [4]], [[1], [2], [5], [4]]) == 0.75


def test_unknown_systems_are_named():
    with pytest.raises(UserError, match="marian is none of ours, "):
        choose(training.SYSTEMS, ["ours", "marian"])


def test_worker_that_fails_is_absent_with_its_own_last_words(tmp_path: Path):
    session = Session(tmp_path, tmp_path / "environments", threads=1)
    with session.workers({"torch": System("torch_training")}, lambda name: {"corpus": "missing.npz"}) as workers:
        assert not workers
    assert "missing.npz" in session.absent["torch"]


def test_benchmark_of_training_runs_and_reports(folder: Path, tmp_path: Path):
    sizes = {"vocab-size": 400, "d-model": 16, "ffn-dim": 32, "num-heads": 2, "layers": 1, "tokens": 256, "threads": 1}
    options = {"data": folder, "systems": "ours,torch", "languages": "xx-yy", "rounds": 1, "minutes": 0.03}
    options |= {"output": tmp_path, **sizes}
    arguments = [f"--{name}={value}" for name, value in options.items()]
    result = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "benchmark.py"), "training", *arguments],
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


def test_folder_without_the_files_is_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"there is no file train\.en"):
        data_of(tmp_path, source="en", target="de", cache=tmp_path)
