"""Models exported for transformers: its AutoModel and AutoTokenizer load them, and compute and cut what ours do."""

from __future__ import annotations

import pytest
import torch

import published_models as published
from ctranslate2_models import random_model, save, small_tokenizer
from published_pairs import CPU, KINDS, make_pair
from translate.batch import pad_batch
from translate.checkpoint import load_model
from translate.decoding.config import SearchConfig
from translate.errors import UserError
from translate.exporting.huggingface import export_huggingface, translate_by_transformers
from translate.models.attention import Norm
from translate.models.layers import Positions
from translate.models.seq2seq import Tying
from translate.models.transformer import Activation, NormOrder
from translate.tokenizer import BOS, EOS, Tokenizer

transformers = pytest.importorskip("transformers", reason="the extra huggingface is not installed")


@pytest.fixture(scope="module")
def joint() -> Tokenizer:
    return small_tokenizer(joint=True)


@pytest.mark.parametrize("name", KINDS)
def test_imported_model_goes_back_with_its_ids_and_logits(tmp_path, name):
    pair = make_pair(KINDS[name], tmp_path)
    export_huggingface(pair.ours, tmp_path / "back")
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "back").eval()
    assert type(model) is type(pair.theirs)
    text = published.sentences(20)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "back")
    inputs = tokenizer(text, return_tensors="pt", padding=True)
    assert inputs["input_ids"].tolist() == pair.tokenizer(text, return_tensors="pt", padding=True)["input_ids"].tolist()
    decoder = torch.randint(4, 100, (20, 7), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        found, wanted = (each(**inputs, decoder_input_ids=decoder).logits for each in (model, pair.theirs))
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)
        limits = {"num_beams": 1, "max_new_tokens": 12}
        generated = model.generate(**inputs, **limits).tolist()
    greedy = model.generation_config.to_dict()
    expected = pair.theirs.generate(
        **inputs,
        **limits,
        suppress_tokens=greedy["suppress_tokens"],
        forced_bos_token_id=greedy.get("forced_bos_token_id"),
        forced_eos_token_id=greedy["forced_eos_token_id"],
    )
    assert generated == expected.tolist()
    if name == "m2m100":  # whose tokenizer, saved by transformers, does not know its languages as special tokens
        return
    for ids in generated[:5]:
        assert tokenizer.decode(ids, skip_special_tokens=True) == pair.tokenizer.decode(ids, skip_special_tokens=True)


@pytest.mark.parametrize("tying", list(Tying))
@pytest.mark.parametrize(
    "choices",
    [
        {"norm_order": NormOrder.post},
        {"norm_order": NormOrder.post, "activation": Activation.swish, "bias": False, "output_bias": True},
        {"norm_order": NormOrder.pre, "activation": Activation.gelu},
    ],
    ids=["vaswani", "without biases", "pre-norm"],
)
def test_own_model_has_equal_logits_there(tmp_path, joint, choices, tying):
    model, config = random_model(joint, **choices, tying=tying)
    loaded = load_model(save(model, config, joint, tmp_path / "model"), device=CPU)
    if config.norm_order is NormOrder.pre and tying is not Tying.all:
        with pytest.raises(UserError, match=r"model\.tying"):
            export_huggingface(loaded, tmp_path / "exported")
        return
    export_huggingface(loaded, tmp_path / "exported")
    theirs = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "exported").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "exported")
    text = ["the cat sat on the mat", "a dog ran", "the dog"]
    source = joint.encode_source(text)
    inputs = tokenizer(text, return_tensors="pt", padding=True)
    assert inputs["input_ids"].tolist()[0] == [*source[0], EOS]
    batch = pad_batch(source, joint.encode_target(text))
    with torch.inference_mode():
        found = theirs(**inputs, decoder_input_ids=batch.target.ids).logits
        wanted = loaded.model(batch).logits()
    assert batch.target.mask is not None
    torch.testing.assert_close(found[batch.target.mask], wanted[batch.target.mask], atol=1e-4, rtol=0)
    assert theirs.config.decoder_start_token_id == BOS


def test_own_model_with_two_vocabularies_loads_there(tmp_path):
    separate = small_tokenizer(joint=False)
    model, config = random_model(separate, norm_order=NormOrder.post, tying=Tying.target)
    loaded = load_model(save(model, config, separate, tmp_path / "model"), device=CPU)
    export_huggingface(loaded, tmp_path / "exported")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "exported")
    line = "zwei Hunde laufen"
    assert tokenizer(text_target=line)["input_ids"] == [*separate.encode_target([line])[0], EOS]
    assert transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "exported").config.decoder_vocab_size == 18


@pytest.mark.parametrize(
    "choices",
    [
        {"positions": Positions.rotary},
        {"activation": Activation.swiglu},
        {"norm": Norm.rms_norm},
        {"qk_norm": True},
        {"positions": Positions.learned},
    ],
    ids=lambda choices: next(iter(choices)),
)
def test_what_no_architecture_has_is_refused_by_name(tmp_path, joint, choices):
    model, config = random_model(joint, **choices)
    loaded = load_model(save(model, config, joint, tmp_path / "model"), device=CPU)
    with pytest.raises(UserError, match=rf"model\.{next(iter(choices))}="):
        export_huggingface(loaded, tmp_path / "exported")


def test_model_card_has_metadata_of_the_hub(tmp_path, joint):
    model, config = random_model(joint, norm_order=NormOrder.post)
    directory = save(model, config, joint, tmp_path / "model")
    export_huggingface(load_model(directory, device=CPU), tmp_path / "exported")
    import huggingface_hub

    card = huggingface_hub.ModelCard.load(tmp_path / "exported" / "README.md")
    assert card.data.library_name == "transformers"
    assert card.data.pipeline_tag == "translation"


def test_a_published_model_is_not_replaced(tmp_path, joint):
    model, config = random_model(joint, norm_order=NormOrder.post)
    loaded = load_model(save(model, config, joint, tmp_path / "model"), device=CPU)
    folder = tmp_path / "published"
    folder.mkdir()
    for name in ("model.safetensors", "config.json", "README.md"):
        (folder / name).touch()
    with pytest.raises(UserError, match="this folder is not replaced"):
        export_huggingface(loaded, folder)
    export_huggingface(loaded, tmp_path / "exported")
    export_huggingface(loaded, tmp_path / "exported")  # an earlier export is


def test_lines_longer_than_the_model_reads_are_compared_as_well(tmp_path, joint):
    model, config = random_model(joint, norm_order=NormOrder.post, max_length=12)
    export_huggingface(load_model(save(model, config, joint, tmp_path / "model"), device=CPU), tmp_path / "exported")
    found = translate_by_transformers(tmp_path / "exported", ["the cat " * 30, ""], SearchConfig(beam_size=2))
    assert len(found) == 2
