"""Where sentences end, and that nothing of a line is lost between them."""

from __future__ import annotations

import random
import re
import time

import pytest

from translate import sentences
from translate.sentences import sentence_language, split_sentences

ABBREVIATIONS = [
    ("en", ["Dr. Smith met Mr. Jones at 5 p.m. in Washington.", "They talked."]),
    ("en", ["The U.S. government vs. Prof. Miller et al. is over.", "He won."]),
    ("en", ["It costs $3.50, e.g. in the shop of J. R. Tolkien.", "Buy it!"]),
    ("de", ["Am 3. Mai kam Dr. Müller.", "Er blieb."]),
    ("de", ["Vieles ist teuer, z. B. Brot.", "Er zahlt bzw. sie zahlt."]),
    ("de", ["Prof. Dr. med. Meier kommt ca. 5 Minuten zu spät.", "Wir warten."]),
    ("de", ["Ludwig XIV. war König.", "Das war am 14. Mai."]),
    ("fr", ["M. Dupont est là.", "Il parle."]),
    ("en", ["1. The first item.", "2. The second one."]),
]


@pytest.mark.parametrize(("language", "pieces"), ABBREVIATIONS)
def test_abbreviations_and_ordinals_do_not_end_sentences(language, pieces):
    assert [piece.strip() for piece in split_sentences(" ".join(pieces), language)] == pieces


@pytest.mark.parametrize(
    "pieces",
    [
        ["你好。", "我走了！", "真的？", "好"],
        ["こんにちは。", "元気ですか？", "はい"],
        ["مرحبا. ", "كيف حالك؟ ", "بخير"],
        ["یہ ہے۔ ", "وہ ہے؟ ", "ہاں۔"],
        ["यह है। ", "वह है। ", "क्या?"],
        ["ሰላም። ", "ነው።"],
        ["שלום. ", "מה שלומך? ", "טוב."],
        ["Τι κάνει εκεί. ", "Καλά είναι."],
        ["Sí. ", "¿Qué? ", "¡No!"],
        ["On y va ? ", "Oui ! ", "Non."],
        ["សួស្តី។ ", "អ្នកជានរណា? ", "មានឆ្មា ឆ្កែ ។ល។ និងគោ។", "ល្អណាស់៕"],
        ["བཀྲ་ཤིས། ", "བདེ་ལེགས།། ", "ང་།"],
    ],
)
def test_sentence_marks_of_every_script_are_known_without_a_language(pieces):
    assert split_sentences("".join(pieces)) == pieces


@pytest.mark.parametrize(
    "pieces",
    [
        ["ich bin hier . ", "du bist dort ? ", "am 3 . ", "20 leute ! ", "ja"],  # lower-cased and tokenised
        ["3 4 5 ! ", "6 7 . ", "8"],
        ["ich weiß ... nicht . ", "so ist es."],
        ["ich bin hier. ", "du bist dort. ", "und wir gehen."],
        ['He said: "This is it. ', 'It is good." ', "Then he left."],
        ["„Ich gehe. ", "Du bleibst.“ ", "Er ging. ", "»Ja. ", "Nein.« ", "Gut."],
        ["他说：“你好。", "我走了。”", "然后走了。"],
        ["“One here. ", "Two here. ", "Three here.”"],
        ["'I came home. ", "It was late.' ", "It's the dogs' house."],
        ["(" + "This is more than a remark. ", "It goes on and on. " * 4 + "It ends.)"],
        ["Sad :( today. ", "It " + "is not what it was before, " * 6 + "and it ends. ", "All good :)"],
        ['"Really?" she asked. ', "Yes."],
        ["He came (see p. 3. It is there). ", "He left."],
    ],
)
def test_quotations_lower_case_and_tokenised_text_are_split(pieces):
    joined = "".join(pieces)
    found = split_sentences(joined, "de" if joined[0] in "i3„" else "")
    assert "".join(found) == joined
    if "It goes on" in joined:
        assert len(found) == 6
    else:
        assert found == pieces


def test_punctuation_alone_is_no_sentence():
    assert split_sentences(" . . . ") == [" . . . "]
    assert split_sentences("... Well. ... !") == ["... Well. ... !"]
    assert split_sentences("") == [""]
    assert split_sentences("  ") == ["  "]


def test_language_codes_with_any_length_and_region_are_accepted():
    assert [sentence_language(code, "x") for code in ("de", "DE_at", "deu", "ger", "zh-Hant", "yor")] == [
        *["de"] * 4,
        "zh",
        "yor",
    ]
    assert [sentence_language(code, "Ещё раз") for code in ("", "Russian", "x")] == ["ru"] * 3
    texts = ["Hello", "Größe", "我走了", "これは本です", "नमस्ते", "سلام", "한국어", "123 🙂"]
    assert [sentence_language("", text) for text in texts] == ["en", "en", "zh", "ja", "hi", "ar", "ko", "en"]


# a full stop between no-break or ideographic spaces makes sentencex 1.0.32 panic
HOSTILE = [
    "B\xa0.\xa0x",
    "\u3000B\xa0.·。。}۔",
    "a\x00. \x00B",
    "\x85.\x85",
    "a\n\n. B",
    "👩‍👩‍👧. 🙂! Ok",
    "İ. ß. ŉ. x",
]


@pytest.mark.parametrize("language", ["", "en", "de", "zh", "kk", "hy", "nonsense"])
def test_sentences_concatenate_to_the_line(language):
    generator = random.Random(7)
    alphabet = [
        *"aB1 .?!…,\"'“”„«»()[]<>\t\x00。！？「」।۔؟éßİ·։\xa0\u3000\u200b",
        "Dr. ",
        "z. B. ",
        "a@b.de",
        "[12]",
        " . ",
    ]
    lines = HOSTILE + ["".join(generator.choices(alphabet, k=generator.randrange(80))) for _ in range(2000)]
    for line in lines:
        found = split_sentences(line, language)
        assert "".join(found) == line
        assert len(found) == 1 or all(re.search(r"\w", sentence) for sentence in found), line


def test_text_loss_or_panic_of_the_library_splits_nothing(monkeypatch):
    class PanicException(BaseException):
        pass

    def panic(language, text):
        raise PanicException

    for broken in (panic, lambda language, text: [text[:3]], lambda language, text: []):
        monkeypatch.setattr(sentences.sentencex, "segment", broken)
        assert split_sentences("One here. Two here.") == ["One here. Two here."]


def test_windows_equal_one_call(monkeypatch):
    line = "This is one sentence, of Dr. Smith. And this, e.g. by J. R. Tolkien, is one more! Is it? " * 30
    found = split_sentences(line)
    assert len(found) == 90
    monkeypatch.setattr(sentences, "_WINDOW", 10**6)
    assert split_sentences(line) == found


def test_hostile_lines_take_milliseconds():
    units = [
        ".",
        " .",
        "a",
        "。",
        "没有。",
        "«",
        "(",
        '"',
        "'",
        "`",
        "a. ",
        "A. ",
        "word ",
        '"a. B." ',
        "\xa0.",
        "\x00",
        "שלום. ",
    ]
    for unit in units:
        line = (unit * 65_000)[:65_000]
        start = time.process_time()
        assert "".join(split_sentences(line)) == line
        assert time.process_time() - start < 3, unit
    usual = "This is a sentence of some length, as there are many. " * 37
    start = time.process_time()
    for _ in range(20):
        split_sentences(usual)
    assert (time.process_time() - start) / 20 < 0.01
