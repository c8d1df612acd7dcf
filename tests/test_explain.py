"""Explanations of a sentence, against numbers worked out otherwise, and the pages of explain."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from in_process import call_here
from small_runs import syllables
from trained_model import trained_model
from translate.batch import pad_batch
from translate.explain import index_page, sentence_page
from translate.explanation import explain_pair
from translate.models import ARCHITECTURES, Vocabularies, build_model
from translate.models.recurrent_attention import RecurrentAttention
from translate.tokenizer import EOS, Tokenizer
from translate.tokenizer_training import TokenizerConfig, train_tokenizer

SOURCE, TARGET = [5, 6, 7, 8], [9, 10, 11]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(TokenizerConfig(vocab_size=35, byte_fallback=False), syllables(), syllables())


def make_model(architecture: str, tokenizer: Tokenizer, **settings: object):
    torch.manual_seed(0)
    config = ARCHITECTURES[architecture][0].tiny(d_model=32, max_length=20, **settings)
    size = tokenizer.source_vocab_size
    return build_model(config, Vocabularies(size, size, shared=True))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_probabilities_entropies_and_alignment_match_the_model(tokenizer, architecture):
    model = make_model(architecture, tokenizer)
    found = explain_pair(model, tokenizer, SOURCE, TARGET)
    with torch.no_grad():
        output = model.eval()(pad_batch([np.array(SOURCE)], [np.array(TARGET)]), return_attention=True)
        probabilities = output.logits()[0].softmax(-1)
    for position, (word, label) in enumerate(zip(found.words, [*TARGET, EOS], strict=True)):
        p = probabilities[position]
        assert word.probability == pytest.approx(float(p[label]), rel=1e-4)
        assert word.entropy == pytest.approx(float(-(p * p.log()).sum()), rel=1e-4)
        assert word.alternatives[0][1] == pytest.approx(float(p.max()), rel=1e-4)
        assert word.aligned == int(output.attention[0, :, position].mean(0).argmax())
    np.testing.assert_allclose(found.alignment, output.attention[0].mean(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.coverage.sum(), len(TARGET) + 1, rtol=1e-4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_attention_head_is_shown(tokenizer, architecture):
    explanation = explain_pair(make_model(architecture, tokenizer), tokenizer, SOURCE, TARGET)
    heads = {each.kind: each for each in explanation.heads}
    shapes = {kind: [layer.shape for layer in each.layers] for kind, each in heads.items()}
    expected = {
        "transformer": {"encoder": [(4, 5, 5)] * 2, "decoder": [(4, 4, 4)] * 3, "cross": [(4, 4, 5)] * 3},
        "lstm": {"cross": [(1, 4, 5)]},
        "convolutional": {"cross": [(1, 4, 5)] * 3},
    }
    assert shapes == expected.get(architecture, shapes)
    for each in heads.values():
        for layer in each.layers:
            np.testing.assert_allclose(layer.sum(-1), 1, rtol=1e-4)
            assert layer.shape[1:] == (len(each.queries), len(each.keys))
    if "decoder" in heads:
        assert all(np.triu(head, 1).max() == 0 for layer in heads["decoder"].layers for head in layer)
        assert heads["decoder"].keys[0] == "<s>"


def test_capturing_attention_changes_no_logits(tokenizer):
    model = make_model("transformer", tokenizer).eval()
    batch = pad_batch([np.array(SOURCE)], [np.array(TARGET)])
    with torch.no_grad():
        before = model(batch).logits()
        captured, _ = model.forward_with_attention(batch)
        torch.testing.assert_close(captured.logits(), before)
        assert torch.equal(model(batch).logits(), before)


def test_model_without_attention_has_no_explanation(tokenizer):
    assert (
        explain_pair(make_model("lstm", tokenizer, attention=RecurrentAttention.none), tokenizer, SOURCE, TARGET)
        is None
    )


def test_an_ignored_source_token_is_flagged_and_markup_is_text(tokenizer):
    found = explain_pair(make_model("transformer", tokenizer), tokenizer, SOURCE, TARGET)
    weights = np.full_like(found.alignment, 0.25)
    weights[:, 1] = 0.01
    object.__setattr__(found, "alignment", weights)
    object.__setattr__(found, "source_text", "<script>alert(1)</script>")
    found.source[1] = "<b>"  # a piece, which is in every drawing; other pieces have no markup
    assert found.ignored == [1]
    page = sentence_page(found, number=1, count=2, picture="0001.png")
    assert "Ignored source tokens: &lt;b&gt;" in page
    assert "→ &lt;b&gt;: " in page
    # red in the drawing of links, outlined among the tokens
    assert len(re.findall("<text [^>]*class=ignored>&lt;b&gt;</text>", page)) == 1
    assert page.count("<span class=ignored") == 1
    assert re.findall(r'href="(\d+\.html)"', page) == ["0002.html"]
    index = index_page([found])
    assert "<td class=wrong>&lt;b&gt;</td>" in index
    for written in (page, index):
        assert not re.search("<(script|b)>", written)
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in written


def test_pages_and_pictures_are_written_for_every_readable_line(tmp_path):
    (tmp_path / "input").write_text("1 2 3\n\n4 5\n" + "6 " * 100 + "\n")
    common = [f"model={trained_model()}", f"input={tmp_path / 'input'}", "threads=1"]
    result = call_here("explain", *common, f"output={tmp_path / 'pages'}")
    assert result.returncode == 0, result.stderr.decode()
    assert b"2 of 4 lines are left out" in result.stderr
    names = sorted(path.name for path in (tmp_path / "pages").iterdir())
    assert names == ["0001.html", "0001.png", "0002.html", "0002.png", "index.html"]
    index = (tmp_path / "pages" / "index.html").read_text()
    assert re.findall(r'href="(\d+\.html)"', index) == ["0001.html", "0002.html"]
    (tmp_path / "target").write_text("3 2 1\n\n5 4\n1\n")
    result = call_here("explain", *common, f"output={tmp_path / 'given'}", f"target={tmp_path / 'target'}")
    assert "<p>5 4</p>" in (tmp_path / "given" / "0002.html").read_text(), result.stderr.decode()


def test_wrong_settings_raise_user_errors(tmp_path):
    (tmp_path / "blank").write_text("\n")
    (tmp_path / "two").write_text("1\n2\n")
    for arguments, message in (
        ([f"input={tmp_path / 'blank'}"], b"has no line to explain"),
        ([f"input={tmp_path / 'two'}", f"target={tmp_path / 'blank'}"], b"has 2 lines, but"),
        ([f"input={tmp_path / 'two'}", "engine=ctranslate2"], b"only engine=native shows its attention"),
    ):
        result = call_here("explain", f"model={trained_model()}", *arguments, f"output={tmp_path / 'pages'}")
        assert result.returncode == 1
        assert message in result.stderr
