"""Adapting a trained model: what is trained, that it is enough, and that it comes back from its file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from in_process import call_here
from small_runs import options, syllables, write_corpus
from translate.adaptation import ADAPTATIONS, AdaptConfig, AdapterConfig, Lora, LoraConfig, PrefixConfig, adapt
from translate.batch import pad_batch
from translate.checkpoint import (
    fingerprint,
    load_model,
    save_adapter,
    save_merged,
    save_model,
    weights_of,
    with_adapter,
)
from translate.errors import UserError
from translate.importing.base_model import base_model_config
from translate.models import ARCHITECTURES, Vocabularies, build_model
from translate.tokenizer import Tokenizer
from translate.tokenizer_training import TokenizerConfig, train_tokenizer

CPU = torch.device("cpu")
SENTENCES = [[5, 6, 7, 8], [9, 10], [11, 5, 12]]
METHODS = [name for name, (_, add) in ADAPTATIONS.items() if add is not None]
ADAPTED = [("transformer", "prefix")]
ADAPTED += [(name, method) for name in ARCHITECTURES for method in METHODS if method != "prefix"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(TokenizerConfig(vocab_size=35, byte_fallback=False), syllables(), syllables())


def make_config(architecture: str):
    return ARCHITECTURES[architecture][0].tiny(d_model=32, dropout=0.0, max_length=20)


def make_base(folder: Path, tokenizer: Tokenizer, architecture: str, *, seed: int = 0):
    torch.manual_seed(seed)
    config = make_config(architecture)
    size = tokenizer.source_vocab_size
    weights = weights_of(build_model(config, Vocabularies(size, size, shared=True)))
    save_model(folder, weights=weights, config=config, tokenizer=tokenizer, manifest={})
    return load_model(folder, device=CPU)


def logits(model):
    with torch.no_grad():
        return model.eval()(pad_batch(SENTENCES, SENTENCES[::-1])).logits()


def change_what_is_trained(model):
    torch.manual_seed(5)
    for weight in weights_of(model).values():
        weight.add_(0.1 * torch.randn_like(weight))


@pytest.mark.parametrize(("architecture", "method"), ADAPTED)
def test_only_added_weights_are_trained_and_round_trip_through_their_file(tmp_path, tokenizer, architecture, method):
    base = make_base(tmp_path / "base", tokenizer, architecture)
    before, config = logits(base.model), ADAPTATIONS[method][0](method=method, model="base")
    kept = {name: weight.clone() for name, weight in weights_of(base.model).items()}
    adapt(base.model, config)
    if method != "prefix":  # which takes a little attention from the start
        torch.testing.assert_close(logits(base.model), before)
    assert not set(weights_of(base.model)) & set(kept)
    change_what_is_trained(base.model)
    changed = logits(base.model)
    assert (changed - before).abs().max() > 1e-3
    manifest = {"base": fingerprint(base.directory)}
    save_adapter(tmp_path / "run" / "best", weights=weights_of(base.model), config=config, manifest=manifest)
    again = with_adapter(load_model(tmp_path / "base", device=CPU), tmp_path / "run")
    torch.testing.assert_close(logits(again.model), changed)
    files = sum(path.stat().st_size for path in (tmp_path / "run" / "best").iterdir())
    assert files < sum(weight.numel() * 4 for weight in weights_of(base.model).values()) + 8000


@pytest.mark.parametrize(("architecture", "method"), ADAPTED)
def test_adapted_model_step_equals_teacher_forcing(tmp_path, tokenizer, architecture, method):
    model = make_base(tmp_path, tokenizer, architecture).model
    adapt(model, ADAPTATIONS[method][0](method=method))
    change_what_is_trained(model)
    batch = pad_batch(SENTENCES, SENTENCES[::-1])
    expected = logits(model)
    state = model.start(model.encode(batch.source))
    with torch.no_grad():
        for position, tokens in enumerate(batch.target.ids.unbind(1)):
            step, state = model.step(tokens, state)
            real = batch.target.mask[:, position]
            torch.testing.assert_close(step[real], expected[:, position][real], rtol=1e-4, atol=1e-5)


def test_prefix_keys_are_hidden_from_attention_maps_and_ignore_padding(tmp_path, tokenizer):
    model = make_base(tmp_path, tokenizer, "transformer").model
    adapt(model, PrefixConfig(length=3))
    change_what_is_trained(model)
    batch = pad_batch(SENTENCES, SENTENCES)
    attention = model.eval()(batch, return_attention=True).attention
    assert attention.shape[-1] == batch.source.ids.shape[1]
    assert (attention.sum(-1) < 1).all()
    alone = model(pad_batch(SENTENCES[1:2], SENTENCES[1:2])).logits()
    torch.testing.assert_close(model(batch).logits()[1, : alone.shape[1]], alone[0], rtol=1e-4, atol=1e-5)


def test_lora_equals_its_low_rank_formula(tmp_path, tokenizer):
    model = make_base(tmp_path, tokenizer, "transformer").model
    adapt(model, LoraConfig(rank=2, alpha=6.0))
    change_what_is_trained(model)
    lora, x = model.encoder.layers[0].feed_forward.inner, torch.randn(5, 32)
    weight = lora.linear.weight + 6.0 / 2 * lora.up.weight @ lora.down.weight
    torch.testing.assert_close(lora(x), torch.nn.functional.linear(x, weight, lora.linear.bias))


def test_merged_lora_equals_the_adapted_model(tmp_path, tokenizer):
    base = make_base(tmp_path / "base", tokenizer, "transformer")
    adapt(base.model, LoraConfig(model="base"))
    change_what_is_trained(base.model)
    manifest = {"base": fingerprint(base.directory)}
    save_adapter(tmp_path / "run", weights=weights_of(base.model), config=LoraConfig(model="base"), manifest=manifest)
    used = with_adapter(load_model(tmp_path / "base", device=CPU), tmp_path / "run").model
    assert not any(isinstance(module, Lora) for module in used.modules())
    torch.testing.assert_close(logits(used), logits(base.model))


def test_a_merge_replaces_an_earlier_merge_and_nothing_else(tmp_path, tokenizer, monkeypatch):
    base = make_base(tmp_path / "base" / "best", tokenizer, "transformer")
    adapt(base.model, LoraConfig(model="base"))
    manifest, config = {"base": fingerprint(base.directory)}, LoraConfig(model="base")
    lora = tmp_path / "lora"
    save_adapter(lora / "best", weights=weights_of(base.model), config=config, manifest=manifest)
    (lora / "train.log").write_text("precious")
    own = tmp_path / "own" / "sub"
    own.mkdir(parents=True)
    (own / "photo").write_text("precious")

    def merge(output, model="base/best", adapter="lora") -> None:
        save_merged(load_model(tmp_path / model, device=CPU), tmp_path / adapter, tmp_path / output)

    def everything() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    merge("merged")
    merge("merged")
    load_model(tmp_path / "merged", device=CPU)
    before = everything()
    monkeypatch.chdir(tmp_path / "own")
    for output in ("own", "own/sub", "lora", "lora/best", "base", "base/best", "own/../own", "."):
        with pytest.raises(UserError, match=r"output=.* name a new folder"):
            merge(output)
    assert everything() == before
    save_adapter(
        tmp_path / "lora2",
        weights=weights_of(base.model),
        config=config,
        manifest={"base": fingerprint(tmp_path / "merged")},
    )
    with pytest.raises(UserError, match="that is an input of the merge"):
        merge("merged", model="merged", adapter="lora2")


def test_wrong_settings_raise_user_errors(tmp_path, tokenizer):
    base = make_base(tmp_path / "base", tokenizer, "lstm")
    with pytest.raises(UserError, match="adapt=prefix adds to the attention of Transformers"):
        adapt(base.model, PrefixConfig())
    other = make_base(tmp_path / "other", tokenizer, "lstm", seed=1)
    save_adapter(tmp_path / "a", weights={}, config=LoraConfig(), manifest={"base": fingerprint(other.directory)})
    with pytest.raises(UserError, match="was trained for another model"):
        with_adapter(load_model(tmp_path / "base", device=CPU), tmp_path / "a")
    with pytest.raises(UserError, match="is an adapter of a model: set model= to that, and adapter="):
        load_model(tmp_path / "a", device=CPU)
    for name, message in (("none", "no such folder"), ("a", "is an adapter of a model: set adapt.model= .*merge")):
        with pytest.raises(UserError, match=rf"adapt\.model=.*{name}.*{message}"):
            base_model_config(LoraConfig(model=str(tmp_path / name)), base.model)
    with pytest.raises(UserError, match="no adapter is there"):
        with_adapter(base, tmp_path / "base")
    (tmp_path / "a" / "checksums.json").unlink()
    (tmp_path / "a" / "adapter.yaml").write_text(yaml.safe_dump({"method": "full"}))
    with pytest.raises(UserError, match="method 'full' is none of lora, adapter, prefix"):
        with_adapter(load_model(tmp_path / "other", device=CPU), tmp_path / "a")
    for wrong in (AdaptConfig(method="full"), AdaptConfig(model="x"), LoraConfig(model="x", rank=0)):
        with pytest.raises(UserError, match=r"adapt[.=]"):
            wrong.check()
    with pytest.raises(UserError, match=r"adapt\.width"):
        AdapterConfig(model="x", width=0).check()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A corpus and a model that reverses digits."""
    folder = tmp_path_factory.mktemp("trained")
    corpus = write_corpus(folder / "corpus")
    result = call_here("train", *options(corpus, folder / "run", run__max_steps=200))
    assert result.returncode == 0, result.stderr.decode()
    return corpus, folder / "run"


@pytest.mark.parametrize("method", ["full", *METHODS])
def test_a_run_adapts_a_model_and_decode_uses_the_result(trained, tmp_path, method):
    corpus, base = trained
    changes = {"adapt": method, "adapt__model": base, "run__max_steps": 10, "tokenizer__vocab_size": None}
    run = tmp_path / "run"
    result = call_here("train", *options(corpus, run, **changes))
    assert result.returncode == 0, result.stderr.decode()
    model = [f"model={run}"] if method == "full" else [f"model={base}", f"adapter={run}"]
    decoded = call_here("decode", *model, f"input={corpus / 'test.src'}", "search=greedy", "threads=1")
    assert decoded.stdout == (run / "evaluation" / "hypotheses.txt").read_bytes(), decoded.stderr.decode()
    if method != "full":
        assert b"are trained" in result.stderr
        assert (run / "best" / "weights.safetensors").stat().st_size < (
            base / "best" / "weights.safetensors"
        ).stat().st_size
        refused = call_here("decode", *model, f"input={corpus / 'test.src'}", "engine=ctranslate2")
        assert b"use engine=native" in refused.stderr
    merged = call_here("merge", *model, f"output={tmp_path / 'merged'}") if method != "full" else None
    if method == "lora":
        alone = call_here("decode", f"model={tmp_path / 'merged'}", f"input={corpus / 'test.src'}", "search=greedy")
        assert alone.stdout == decoded.stdout, alone.stderr.decode()
    elif merged is not None:
        assert merged.returncode == 1
        assert b"only what adapt=lora made can be merged" in merged.stderr
