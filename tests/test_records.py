"""Translations as JSON lines: fields, warnings, hostile text; the same at any batch size."""

from __future__ import annotations

import io
import json
import math

import pytest

from fake_models import random_model
from fake_translators import HOSTILE, copier, translator_of
from translate.decode import DecodeConfig, open_document, translate_stream
from translate.decoding.config import SearchConfig, SearchMethod
from translate.decoding.json_records import finite, to_json
from translate.decoding.output_lines import OutputFormat
from translate.decoding.translator import Translator
from translate.decoding.warning_flags import FLAGS, is_copy, repeats
from translate.documents.document import DocumentFormat
from translate.errors import UserError
from translate.tags import Tagging


def written(translator: Translator, text: str, output_format: OutputFormat = OutputFormat.json) -> str:
    output = io.BytesIO()
    translate_stream(translator, io.BytesIO(text.encode()), output, output_format=output_format)
    return output.getvalue().decode()


def records(translator: Translator, text: str) -> list[dict]:
    return [json.loads(line) for line in written(translator, text).split("\n")[:-1]]


def test_record_has_text_scores_tokens_alignment_and_alternatives():
    first, second, third = records(copier(search=SearchConfig(beam_size=2, n_best=2)), "ab c\n\nb")
    assert first["id"] == 0
    assert first["text"] == "ab c"
    assert first["tokens"] == ["a", "b", "▁", "c", "</s>"]
    # the model copies: each token is nearly certain, and looks at its position in the source
    assert first["token_scores"] == pytest.approx([0.0] * 5, abs=1e-3)
    assert first["token_entropies"] == pytest.approx([0.0] * 5, abs=1e-3)
    assert first["alignment"] == "0-0 1-1"
    assert first["score"] == pytest.approx(sum(first["token_scores"]) / 5, abs=1e-5)
    assert first["nbest"][0] == {"text": first["text"], "score": first["score"]}
    assert len(first["nbest"]) == 2
    assert first["flags"] == []
    blank = {"id": 1, "text": "", "score": 0.0, "tokens": [], "token_scores": [], "token_entropies": []}
    assert second == {**blank, "alignment": "", "nbest": [{"text": "", "score": 0.0}] * 2, "flags": []}
    assert third["id"] == 2


def test_every_hostile_line_is_one_valid_object_at_any_batch_size():
    outputs = {written(copier(batch_sentences=size), "\n".join(HOSTILE)) for size in (1, 7, 64)}
    [output] = outputs
    assert len(output.splitlines()) == output.count("\n") == len(HOSTILE), "also for readers with other line ends"
    assert [json.loads(line)["id"] for line in output.splitlines()] == list(range(len(HOSTILE)))


def test_parts_of_a_line_are_joined_in_its_record():
    translator = copier()
    translator.max_source_length = 6
    [record] = records(translator, "abc de fgh")
    assert record["text"] == "abc de fgh"
    assert record["tokens"].count("</s>") == 2
    assert record["alignment"] == "0-0 1-1 2-2"


def test_alignment_counts_words_of_the_raw_line():
    # a control character is a space to the model, an invisible character nothing
    [record] = records(copier(), "a\x01b \u200b c")
    assert record["text"].split() == ["a", "b", "c"]
    assert record["alignment"] == "0-0 0-1 2-2"


def test_a_tag_counts_as_a_word_where_it_was_typed():
    translator = copier()
    translator.tagging = Tagging(known=("#",))
    translator.tokenizer.encode_source(["#"])  # knows the symbol
    [record] = records(translator, "# ab c")
    assert record["alignment"].startswith("1-0")
    translator.tagging = Tagging(known=("#",), tag="#")
    [record] = records(translator, "ab c")
    assert record["alignment"].startswith("0-0")


def test_numbers_that_json_lacks_are_null():
    assert [finite(x) for x in (math.nan, -math.inf, 1 / 3)] == [None, None, 0.333333]
    search = SearchConfig(beam_size=8, n_best=8, max_length=4, no_repeat_ngram=1)
    [record] = records(translator_of(random_model(vocabulary_size=6, end=-1.0), search=search), "a")
    assert {"text": "", "score": None} in record["nbest"]
    assert to_json({"text": "a\x85b\u2028\x7f"}) == r'{"text": "a\u0085b\u2028\u007f"}'


def test_flags_of_translations():
    # writes "abab…" up to the limit, whatever it reads
    translator = copier(search=SearchConfig(beam_size=1))
    translator.tokenizer.encode_source(["ab"])
    translator.engine.model.next_logits = lambda source, history: [
        20.0 * (token == 4 + len(history) % 2) for token in range(80)
    ]
    [record] = records(translator, "ba ba")
    assert record["flags"] == ["length_ratio", "repetition"]
    assert set(record["flags"]) <= set(FLAGS)
    # looks at one position alone
    translator.engine.model.next_logits = lambda source, history: [20.0 * (token == 3) for token in range(80)]
    [record] = records(translator, "baba")
    assert record["flags"] == ["little_attention"]
    assert "copied_source" in records(copier(), "every word of this line is copied")[0]["flags"]


def test_repetition_counts_only_where_the_source_has_none():
    assert repeats([("a dog", "ein Hund Hund Hund"), ("no no no no", "nein nein nein nein"), ("", "")]) == [
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("the old house by the sea", "The old house by the sea", True),
        ("the old house by the sea", "das alte Haus am Meer", False),
        ("Tom Brown", "Tom Brown", False),
        ("1 2 3 4 5", "1 2 3 4 5", False),
        ("see the old house by the sea", "sea the by house old the", False),
    ],
)
def test_copies_are_several_words_in_the_order_of_the_source(source, target, expected):
    assert is_copy(source, target) is expected


def test_formats_of_lines():
    assert written(copier(), "a\nb", OutputFormat.auto) == written(copier(), "a\nb", OutputFormat.text) == "a\nb"
    assert written(copier(), "a", OutputFormat.nbest).startswith("0 ||| a ||| -0.0")
    several = SearchConfig(beam_size=2, n_best=2)
    assert written(copier(search=several), "a", OutputFormat.text) == "a"
    assert written(copier(search=several), "a", OutputFormat.auto).count("\n") == 2
    drawn = SearchConfig(method=SearchMethod.sampling, samples=3)
    assert written(copier(search=drawn), "a\n", OutputFormat.auto) == "0 ||| a ||| -0.000000\n" * 3
    assert len(records(copier(search=drawn), "a")[0]["nbest"]) == 3


def test_documents_have_no_records(tmp_path):
    for options in ({"format": OutputFormat.json}, {"search": SearchConfig(method=SearchMethod.sampling, samples=2)}):
        config = DecodeConfig(model="m", input=str(tmp_path / "a.docx"), **options)
        with pytest.raises(UserError, match="document"):
            open_document(config, DocumentFormat.docx)
