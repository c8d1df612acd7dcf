"""Texts divided into jobs, and their translations joined again."""

import pytest

from translate.decoding.segmentation import Splitting
from translate.serving.texts import Part, divide, join

SENTENCES = Splitting(sentences=1, language="en")
PAIRS = Splitting(sentences=2, language="en")


def upper(text: str, splitting: Splitting, *, by_lines: bool = False, as_one: bool = False) -> str:
    parts = divide(text, splitting, by_lines=by_lines, as_one=as_one)
    return join(text, parts, [[line.strip().upper() for line in part.source] for part in parts])


@pytest.mark.parametrize(
    "text",
    ["", " ", "\n", "a", " a ", "a\n\n b\n", "One is here. Two is there.\nThree.", "\tx\r\ny\r\n", "a\n \n\t\n"],
)
@pytest.mark.parametrize("splitting", [SENTENCES, PAIRS, Splitting()])
@pytest.mark.parametrize("whole", [{}, {"by_lines": True}, {"as_one": True}])
def test_lines_and_the_white_space_around_them_stay(text, splitting, whole):
    assert upper(text, splitting, **whole) == text.upper()


def test_lines_are_divided_into_as_many_sentences_as_the_model_has_learned():
    text = "One is here. Two is there. Three is away.\n\nFour."
    assert [part.source for part in divide(text, SENTENCES, by_lines=False, as_one=False)] == [
        ("One is here. ",),
        ("Two is there. ",),
        ("Three is away.",),
        ("Four.",),
    ]
    runs = divide(text, PAIRS, by_lines=False, as_one=False)
    assert runs == [
        Part(0, ("One is here. Two is there. ",)),
        Part(0, ("Three is away.",)),
        Part(2, ("Four.",)),
    ]
    assert divide(text, PAIRS, by_lines=True, as_one=False)[0] == Part(
        0, ("One is here. Two is there. Three is away.",)
    )


def test_chinese_sentences_are_joined_without_spaces():
    text = "One. Two."
    parts = divide(text, SENTENCES, by_lines=False, as_one=False)
    assert join(text, parts, [["一。"], ["二。"]]) == "一。二。"
