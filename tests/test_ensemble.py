"""Several models of one vocabulary decode together: the mean of their probabilities, whatever searches over it."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import pytest
import torch

from fake_models import random_model
from in_process import call_here
from searches import exhaustive, greedy, search
from small_models import make_model
from small_runs import options
from trained_model import trained_model
from translate.batch import pad_batch
from translate.decoding.config import SearchConfig
from translate.decoding.native_engine import NativeEngine, search_batch
from translate.device import Precision
from translate.models.ensemble import Ensemble, mean_log_probs
from translate.models.recurrent_attention import RecurrentAttention
from translate.models.seq2seq import Seq2Seq

SENTENCES = [tuple(4 + (i * j) % 26 for j in range(1 + i % 7)) for i in range(20)]


def mixed() -> list[Seq2Seq]:
    return [make_model("transformer"), make_model("lstm"), make_model("convolutional")]


def test_the_mean_is_that_of_probabilities():
    logits = [torch.randn(3, 7, generator=torch.Generator().manual_seed(seed)) * 4 for seed in range(3)]
    expected = torch.stack([each.softmax(-1) for each in logits]).mean(0).log()
    assert torch.allclose(mean_log_probs(logits), expected, atol=1e-6)


def test_one_sure_member_keeps_a_token_that_another_excludes():
    sure, blind = torch.tensor([[50.0, 0.0]]), torch.tensor([[-50.0, 0.0]])
    assert mean_log_probs([sure, blind]).exp()[0, 0] == pytest.approx(0.5)


def test_an_ensemble_of_one_model_is_that_model():
    for model in mixed():
        for config in (SearchConfig(beam_size=3, n_best=3), greedy()):
            alone, doubled = (search_batch(each, SENTENCES, config) for each in (model, Ensemble([model, model])))
            for own, other in zip(alone, doubled, strict=True):
                assert [each.tokens for each in own] == [each.tokens for each in other]
                assert [each.score for each in own] == pytest.approx([each.score for each in other], abs=1e-6)


def test_decoded_steps_have_the_probabilities_of_the_teacher_forced_pass():
    ensemble = Ensemble(mixed()).eval()
    [found] = search_batch(ensemble, SENTENCES[5:6], SearchConfig(length_penalty=0.0))
    batch = pad_batch([torch.tensor(SENTENCES[5]).numpy()], [torch.tensor(found[0].tokens).numpy()])
    with torch.no_grad():
        log_probs = ensemble(batch).logits().log_softmax(-1)
    forced = log_probs[0].gather(1, batch.labels[0][:, None])[:, 0].sum()
    assert float(forced) == pytest.approx(found[0].score, abs=1e-5)
    # and these are the members' own, averaged
    with torch.no_grad():
        members = torch.stack([member(batch).logits().softmax(-1) for member in ensemble.members]).mean(0)
    assert torch.allclose(log_probs.exp(), members, atol=1e-9)


def test_wide_beam_over_an_ensemble_finds_the_exhaustive_best():
    members = [random_model(vocabulary_size=6, seed=seed) for seed in (1, 2)]
    together = random_model(vocabulary_size=6)
    together.next_logits = lambda *read: mean_log_probs(
        torch.tensor(member.next_logits(*read)) for member in members
    ).tolist()
    config = SearchConfig(beam_size=50, max_length=3)
    for source in ([4], [5, 4]):
        [[found]] = search(Ensemble(members), [source], config)
        best = exhaustive(together, source, [4, 5], 3, 1.0)[0]
        assert (found.tokens, found.score) == (best.tokens, pytest.approx(best.score, abs=1e-5))


@pytest.mark.parametrize("precision", [Precision.fp32, Precision.fp16])
def test_batches_that_refill_change_no_translation(precision):
    models = [model.float() for model in mixed()]
    config = SearchConfig(beam_size=4, n_best=2)
    found = []
    for order, batch_sentences in itertools.product((models, models[::-1]), (3, 20)):
        engine = NativeEngine(
            model=Ensemble(order),
            device=torch.device("cpu"),
            batch_sentences=batch_sentences,
            precision=precision,
            workers=1,
        )
        found.append([[each.tokens for each in own] for own in engine.search(SENTENCES, config)])
    assert found == found[:1] * 4
    assert len({tuple(own[0]) for own in found[0]}) > 10, "the sentences have different translations"


def test_attention_is_the_mean_of_all_members_or_none():
    batch = pad_batch([torch.tensor([4, 5, 6]).numpy()], [torch.tensor([7, 8]).numpy()])
    members = [make_model("transformer"), make_model("lstm")]
    with torch.no_grad():
        maps = [member(batch, return_attention=True).attention.mean(1) for member in members]
        together = Ensemble(members)(batch, return_attention=True).attention
        plain = make_model("lstm", attention=RecurrentAttention.none)
        assert Ensemble([*members, plain])(batch, return_attention=True).attention is None
    assert torch.allclose(together[:, 0], (maps[0] + maps[1]) / 2)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs of one vocabulary, a Transformer and an LSTM."""
    first = trained_model()
    second = tmp_path_factory.mktemp("ensemble") / "second"
    changes = {"tokenizer__path": first, "run__max_steps": 20, "validation__every": 20, "run__seed": 2}
    changes |= {"tokenizer__vocab_size": None, "tokenizer__byte_fallback": None}
    words = options(first.parent / "corpus", second, **changes)
    process = call_here("train", *words)
    assert process.returncode == 0, process.stderr.decode()
    return [first, second]


def decode(models: list[Path], *more: str) -> list[str]:
    source = trained_model().parent / "corpus/test.src"
    named = ",".join(map(str, models))
    words = [f"model=[{named}]", f"input={source}", "threads=1", "workers=1", "search.n_best=2", *more]
    process = call_here("decode", *words)
    assert process.returncode == 0, process.stderr.decode()
    return process.stdout.decode().splitlines()


def same_hypotheses(found: list[str], expected: list[str]) -> bool:
    """Equal lines but for the last digit of scores: a mean of equal probabilities may be rounded otherwise."""
    split = [[line.rpartition(" ||| ") for line in lines] for lines in (found, expected)]
    texts = [[text for text, *_ in lines] for lines in split]
    scores = [[float(score) for *_, score in lines] for lines in split]
    return texts[0] == texts[1] and scores[0] == pytest.approx(scores[1], abs=2e-6)


def test_the_commands_take_several_models(pair, tmp_path):
    together, alone = decode(pair), [decode([model]) for model in pair]
    assert together == decode(pair[::-1])
    assert together not in alone
    assert same_hypotheses(decode([pair[0], pair[0]]), alone[0])
    named = f"model=[{pair[0]},{pair[1]}]"
    files = [f"{side}={pair[0].parent}/corpus/test.{end}" for side, end in (("source", "src"), ("reference", "tgt"))]
    process = call_here("evaluate", named, *files, "threads=1", "workers=1", "bootstrap=0")
    assert b"set output=" in process.stderr
    process = call_here(
        "evaluate", named, *files, "threads=1", "workers=1", "bootstrap=0", f"output={tmp_path / 'out'}"
    )
    assert process.returncode == 0, process.stderr.decode()
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["decoding"]["engine"] == "native, ensemble of 2 models"
    process = call_here(
        "explain", named, f"input={pair[0].parent}/corpus/test.src", "lines=2", f"output={tmp_path / 'x'}"
    )
    assert process.returncode == 0, process.stderr.decode()


def test_models_of_other_text_are_refused_by_name(pair, tmp_path):
    other = shutil.copytree(pair[1] / "best", tmp_path / "other")
    manifest = json.loads((other / "manifest.json").read_text())
    (other / "checksums.json").unlink()
    (other / "manifest.json").write_text(json.dumps({**manifest, "reverse_target": True}))
    source = f"input={pair[0].parent}/corpus/test.src"
    process = call_here("decode", f"model=[{pair[0]},{other}]", source)
    assert process.returncode == 1
    assert b"reverse_target is True in its manifest, and None in that of" in process.stderr
    for words, message in (
        (["engine=ctranslate2"], b"CTranslate2 decodes with one model"),
        ([f"adapter={pair[1]}"], b"belongs to one model"),
    ):
        process = call_here("decode", f"model=[{pair[0]},{pair[1]}]", source, *words)
        assert process.returncode == 1
        assert message in process.stderr
