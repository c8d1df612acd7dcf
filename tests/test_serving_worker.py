"""Options that the page needs, on our engine and on CTranslate2: terms, banned words, words of both sides."""

from dataclasses import replace

import pytest

from trained_model import trained_model
from translate.decoding.config import DecodingConfig, EngineName
from translate.errors import UserError
from translate.serving.options import TranslationOptions
from translate.serving.worker import WorkerModel

LINE = "1 2 3"
NATIVE = DecodingConfig(engine=EngineName.native, threads=1)


@pytest.fixture(scope="module")
def native():
    return WorkerModel(str(trained_model()), NATIVE)


@pytest.fixture(scope="module", params=["native", "ctranslate2"])
def model(request, native):
    if request.param == "native":
        return native
    pytest.importorskip("ctranslate2")
    return WorkerModel(str(trained_model()), replace(NATIVE, engine=EngineName.ctranslate2), has_native=True)


def beginnings(model, **options):
    """The first two words of each alternative that begins with 3."""
    (record,) = model.translate([LINE], TranslationOptions(prefix="3", n_best=3, **options))
    return [" ".join(each["text"].split()[:2]) for each in record["nbest"]]


def test_a_banned_word_after_the_prefix_leaves_the_position_to_others(model):
    usual = next(each for each in beginnings(model) if " " in each)
    others = beginnings(model, banned=(usual,))
    assert all(each.startswith("3") for each in others)
    assert usual not in others


def test_details_have_the_words_of_both_sides(model):
    (record,) = model.translate([LINE], TranslationOptions(details=True, prefix="3 4 5"))
    assert record["source_words"] == LINE.split()
    assert record["words"] == record["text"].split()
    assert record["words"][:2] == ["3", "4"]
    assert len(record["word_scores"]) == len(record["words"])
    assert sum(record["token_scores"]) < sum(record["word_scores"]) < 0  # that of the end belongs to no word


def test_terms_are_for_our_engine_where_ctranslate2_stands_for_it(model, native):
    options = TranslationOptions(terms=(("2", "9"),))
    expected = native.translate([LINE], options)[0]["text"]
    assert "9" in expected
    assert model.translate([LINE], options)[0]["text"] == expected


def test_an_export_for_ctranslate2_alone_refuses_terms():
    pytest.importorskip("ctranslate2")
    model = WorkerModel(str(trained_model()), replace(NATIVE, engine=EngineName.ctranslate2))
    with pytest.raises(UserError, match="engine=native"):
        model.translate([LINE], TranslationOptions(terms=(("2", "9"),)))
