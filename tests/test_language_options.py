"""Languages, tags and sets of several directions that do not go together."""

from __future__ import annotations

import pytest

from three_directions import corpus, tags, three
from translate.data.corpora import DataConfig
from translate.data.corpus import CorpusConfig
from translate.data.direction import with_languages
from translate.errors import UserError


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"additional": [corpus("en-zh"), CorpusConfig(source="a", target="b")]},
            r"data.additional\[1\]: its target lan",
        ),
        (
            {"valid": corpus("en-de"), "further_valid": [corpus("en-zh")]},
            "direction de-en has no validation set: add one",
        ),
        (
            {"valid": corpus("en-de"), "further_valid": [corpus("en-de")]},
            r"data.valid and data.further_valid\[0\] are both",
        ),
        (
            {"valid": corpus("zh-en")},
            "data.valid is of direction zh-en, and the training corpora are of en-de, en-zh, de",
        ),
        ({"further_tests": [corpus("en-fr")]}, r"data.further_tests\[0\] is of direction en-fr"),
        (
            {"test": corpus("en-de"), "further_tests": [corpus("en-zh", name="en-de")]},
            "'en-de' is the name of another set",
        ),
        ({"further_tests": [corpus("en-zh", name="en-zh")]}, "'en-zh' is the name of another set"),
        ({"further_tests": [corpus("en-zh", name="valid.de-en")]}, "'valid.de-en' is the name of another set"),
        ({"train": corpus("en-../x")}, r"data.train.target_language \('../x'\) must be the code of a language"),
        ({"train": corpus("en-z h")}, r"data.train.target_language \('z h'\) must be the code of a language"),
        (
            {"train": corpus("en-de", source_language="en-de", target_language="zh", source="a")}
            | {"additional": [corpus("en-de", target_language="de-zh")]},
            r"data.additional\[0\]: another direction is called en-de-zh as well",
        ),
        (
            {"train": corpus("en-de", tag="<2zh>")},
            r"data.train and data.additional\[0\] have the tag <2zh> for two target languages, de and zh",
        ),
        (
            {"train": CorpusConfig(source="a", target="b"), "additional": [corpus("en-zh")], "temperature": 5.0},
            "unknown",
        ),
    ],
)
def test_directions_and_sets_that_do_not_go_together(settings, message):
    with pytest.raises(UserError, match=message):
        with_languages(three(**settings))


def test_sets_of_one_direction_are_of_its_languages():
    for settings in (
        {"valid": corpus("en-zh")},
        {"valid": corpus("de-en")},
        {"test": corpus("de-en")},
        {"further_tests": [corpus("en-fr")]},
    ):
        with pytest.raises(UserError, match=r"data\.\S+ is of direction \S+, and the training corpora are of en-de"):
            with_languages(DataConfig(train=corpus("en-de"), **settings))
    sets = {"valid": corpus("en-de_AT"), "test": corpus("eng-deu"), "further_tests": [corpus("fr-de")]}
    data = DataConfig(train=corpus("en-de"), **sets)
    assert with_languages(data) == data
    unknown = DataConfig(train=CorpusConfig(source="a", target="b"), valid=corpus("en-de"))
    assert with_languages(unknown) == unknown


def test_one_tag_may_be_of_two_languages_that_have_different_sources():
    data = three(train=corpus("en-de", tag="<bt>"))
    data.additional[1] = corpus("de-en", tag="<bt>")
    assert list(tags(with_languages(data)).values()) == ["<bt>", "<2zh>", "<bt>"]
