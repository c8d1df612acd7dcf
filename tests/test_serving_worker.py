"""Options that the page needs, on our engine and on CTranslate2: terms, banned words, words of both sides."""

from dataclasses import replace

import pytest

from trained_model import trained_model
from translate.decoding.config import DecodingConfig, EngineName
from translate.errors import UserError
from translate.serving.options import TranslationOptions
from translate.serving.worker import LoadedModel

LINE = "1 2 3"
NATIVE = DecodingConfig(engine=EngineName.native, threads=1)


@pytest.fixture(scope="module")
def native():
    return LoadedModel(str(trained_model()), NATIVE)


@pytest.fixture(scope="module", params=["native", "ctranslate2"])
def model(request, native):
    if request.param == "native":
        return native
    pytest.importorskip("ctranslate2")
    return LoadedModel(str(trained_model()), replace(NATIVE, engine=EngineName.ctranslate2), has_native=True)


def test_a_banned_word_after_the_prefix_leaves_the_position_to_others(model):
    usual = model.translate([LINE], TranslationOptions())[0]["text"].split()
    options = TranslationOptions(prefix=usual[0], banned=(" ".join(usual[:2]),), n_best=3)
    found = [each["text"].split() for each in model.translate([LINE], options)[0]["nbest"]]
    assert {words[0] for words in found} == {usual[0]}
    assert usual[1] not in {words[1] for words in found if len(words) > 1}


def test_details_have_the_words_of_both_sides(model):
    (record,) = model.translate([LINE], TranslationOptions(details=True))
    assert record["source_words"] == LINE.split()
    assert record["words"] == record["text"].split()
    assert sum(record["word_scores"]) == pytest.approx(sum(record["token_scores"][:-1]), abs=1e-4)


def test_terms_are_for_our_engine_where_ctranslate2_stands_for_it(model, native):
    options = TranslationOptions(terms=(("2", "9"),))
    expected = native.translate([LINE], options)[0]["text"]
    assert "9" in expected
    assert model.translate([LINE], options)[0]["text"] == expected


def test_an_export_for_ctranslate2_alone_refuses_terms():
    pytest.importorskip("ctranslate2")
    model = LoadedModel(str(trained_model()), replace(NATIVE, engine=EngineName.ctranslate2))
    with pytest.raises(UserError, match="engine=native"):
        model.translate([LINE], TranslationOptions(terms=(("2", "9"),)))
