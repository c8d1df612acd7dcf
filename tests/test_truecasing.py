"""Lines in capitals or Title Case: translated in their usual case, and all other lines as before."""

from __future__ import annotations

import json

import pytest

from fake_models import CharacterTokenizer, EchoEngine
from fake_translators import HOSTILE
from translate.data.usual_lines import CaseCounter
from translate.decoding.case_restoring import CaseRestorer
from translate.decoding.config import SearchConfig
from translate.decoding.segmentation import Splitting
from translate.decoding.translation import Splits
from translate.decoding.translator import Translator
from translate.errors import UserError
from translate.tags import Tagging
from translate.truecasing import MAX_WORDS, Case, Truecaser, lower, upper

TRAINING = [
    "Der alte Hund schläft unter der großen Lampe.",
    "Unter der Lampe schläft ein alter Hund, und ein alter Mann liest.",
    "In Berlin kennt Anna die NATO und die große Straße.",
    "Heute sieht Anna in Berlin die Straße der NATO.",
    "Ich sah: Schläft der Hund?",
    "Eine Frau sieht die große Straße, und in der Straße schläft der Hund.",
]


def learn(lines: list[str], language: str = "de") -> Truecaser:
    counter = CaseCounter(language=language)
    for line in lines:
        counter.add(line)
    return counter.truecaser()


@pytest.fixture(scope="module")
def restorer() -> CaseRestorer:
    return CaseRestorer(truecaser=learn(TRAINING), symbols=("<SEP>",))


def test_table_has_the_usual_form_of_words_inside_of_sentences():
    words = set(learn(TRAINING).words)
    assert {"Hund", "Lampe", "Berlin", "Anna", "NATO", "Straße", "der", "die"} <= words
    # at the beginning of a sentence, also after a colon, a capital says nothing; and once is not enough
    assert not words & {"Der", "Unter", "unter", "In", "Heute", "Ich", "Schläft", "Mann", "liest"}


def test_most_frequent_form_counts_and_a_tie_is_small():
    lines = ["Ach, Weg weg Weg."] + ["Ach, Rad rad."] * 2
    assert {"Weg", "rad"} <= set(learn(lines).words)
    assert not {"weg", "Rad"} & set(learn(lines).words)


def test_table_keeps_the_most_frequent_words():
    words = [f"wort{first}{second}" for first in "abcdefghijklmnopqrstuvwxyz" for second in range(2000)]
    counter = CaseCounter(language="de")
    for line in [words, words, ["Katze", "und", "Katze", "und", "Katze"]]:
        counter.add(f"das {' '.join(line)}")
    table = counter.truecaser()
    assert len(table.words) == MAX_WORDS
    assert table.words[0] == "Katze"


def test_unknown_words_follow_those_that_were_seen_once():
    nouns = learn(["Da sind Tisch, Stuhl und Bett.", "Da sind Schrank und Regal."])
    assert nouns.unknown_with_capital
    assert CaseRestorer(truecaser=nouns).restore("DIE KATZE UND ALLE").text == "Die Katze und Alle"
    assert not learn(["the dog sees a cat", "we see one more tree"], "en").unknown_with_capital


def test_lower_cased_text_stays_lower_cased_and_chinese_has_no_table():
    lowered = learn([line.lower() for line in TRAINING])
    assert not lowered.begins_with_capital
    assert CaseRestorer(truecaser=lowered).restore("DER ALTE HUND").text == "der alte hund"
    assert learn(["我喜欢这只狗。", "他在 Berlin 工作。"], "zh").words == []


def test_lines_in_capitals_get_their_usual_case(restorer):
    for line, expected in {
        "DER HUND SCHLÄFT IN BERLIN.": "Der Hund schläft in Berlin.",
        "DIE NATO SCHLÄFT. ANNA SCHLÄFT!": "Die NATO schläft. Anna schläft!",
        "DIE GROSSE STRASSE DER NATO": "Die große Straße der NATO",
        "DIE GROẞE STRAßE": "Die große Straße",
        "<b>DER HUND</b>": "<b>Der Hund</b>",
        '<i title="SO. ES"/>DER HUND': '<i title="SO. ES"/>Der Hund',
        "%s HUND. DER HUND": "%s Hund. Der Hund",
        "DER <SEP> HUND": "Der <SEP> Hund",
        "HUND": "Hund",
        "DIE STRASSE HTTPS://A.DE/HUND": "Die Straße HTTPS://A.DE/HUND",
        "SCHLÄFT İDA?": "Schläft ida?",  # i with one dot
        "  DER HUND\u3000": "  Der Hund\u3000",
    }.items():
        assert restorer.restore(line).text == expected
        assert restorer.restore(line).in_capitals


def test_all_other_lines_stay_as_they_are(restorer):
    others = [
        "NATO",
        "NATO, NATO!",
        "EU",
        "WHO",
        "UN EU",
        "ABC DEF GHI",
        "A B C D",
        "A1 B2 C3",
        "BX-500 A40",
        "SHORT_NAME OTHER_NAME",
    ]
    others += [
        "`CODE HERE`",
        "Der Hund",
        "Der Alte Hund Nato",
        "Anna Berlin Lampe Hund",
        "DER HUND schläft",
        "1 2 3",
        "Hund! Lampe! Die! Der!",
    ]
    for line in [*others, *TRAINING, *HOSTILE]:
        recased = restorer.restore(line)
        assert (recased.text, recased.changed) == (line, False)
        assert recased.write("Ein Wort") == "Ein Wort"


def test_title_case_is_restored_but_not_written(restorer):
    recased = restorer.restore("Der Hund Schläft In Berlin Mit Otto")
    assert recased.text == "Der Hund schläft in Berlin Mit Otto"  # an unknown word may be a name
    assert recased.write("A dog sleeps") == "A dog sleeps"


def test_name_with_a_small_first_letter_keeps_it_at_the_beginning():
    table = CaseRestorer(truecaser=learn(["Sie kennt eBay und d’Or.", "Er kennt eBay und d’Or."]))
    assert table.restore("EBAY KENNT D’OR. D’OR KENNT EBAY.").text == "eBay kennt d’Or. D’Or kennt eBay."


def test_translation_in_capitals_keeps_variables_of_the_line(restorer):
    recased = restorer.restore("LÖSCHE %s IN {name} UND <i>BERLIN</i>")
    assert recased.text == "Lösche %s in {name} und <i>Berlin</i>"
    assert recased.write("Delete %s in {name} and <i>Berlin</i>") == "DELETE %s IN {name} AND <i>BERLIN</i>"
    # the word of a variable, an address or a symbol is a word elsewhere
    assert recased.write("{name} is a name") == "{name} IS A NAME"
    recased = restorer.restore("DER ALTE HUND <SEP> LIEF AUF DER STRASSE 1 km https://in.de/der")
    assert recased.write("In 1 km der Sep https://in.de/der") == "IN 1 km DER SEP https://in.de/der"


def test_capitals_follow_the_language():
    assert upper("Straße", "de") == "STRASSE"
    assert upper("istanbul ılık", "tr-TR") == "İSTANBUL ILIK"
    assert upper("istanbul", "en") == "ISTANBUL"
    assert upper("Η λέξη μαΐου", "el") == "Η ΛΕΞΗ ΜΑΪΟΥ"
    assert lower("DIŞ İZ", "az") == "dış iz"
    table = learn(["Bu, ılık iz ve ılık iz."], "tr")
    assert CaseRestorer(truecaser=table).restore("ILIK İZ VE").text == "Ilık iz ve"
    greek = learn(["Ναι, αυτή η λέξη και αυτή η λέξη."], "el")
    assert CaseRestorer(truecaser=greek).restore("ΑΥΤΗ Η ΛΕΞΗ").text == "Αυτή η λέξη"


def test_shares_of_the_training_text_decide_what_auto_does():
    table = learn(TRAINING * 20 + ["DER HUND SCHLÄFT"] * 3)
    assert table.capitals == 3 / 123
    chosen = CaseRestorer.of_model(table, {}, Case.auto)
    assert chosen is not None
    assert (chosen.capitals, chosen.title_case) == (False, True)
    assert chosen.restore("DER HUND SCHLÄFT").text == "DER HUND SCHLÄFT"
    forced = CaseRestorer.of_model(table, {"case": "keep"}, Case.restore)
    assert forced is not None
    assert forced.capitals
    few = learn(TRAINING)
    assert CaseRestorer.of_model(few, {"case": "keep"}, Case.auto) is None
    assert CaseRestorer.of_model(few, {}, Case.keep) is None
    assert CaseRestorer.of_model(None, {}, Case.auto) is None
    with pytest.raises(UserError, match=r"case=restore: the model has no truecase\.json"):
        CaseRestorer.of_model(None, {}, Case.restore)
    with pytest.raises(UserError, match="case is 'upper', none of auto, restore, keep"):
        CaseRestorer.of_model(few, {"case": "upper"}, Case.auto)


def test_file_holds_the_table_and_a_damaged_one_is_refused(tmp_path):
    table, path = learn([*TRAINING, f"Die {'a' * 200} {'a' * 200}."]), tmp_path / "truecase.json"
    table.save(path)
    assert Truecaser.load(path).forms == table.forms
    content = json.loads(path.read_text(encoding="utf-8"))
    for change, problem in (
        ({"words": ["two words"]}, "'two words' is no word"),
        ({"words": [5]}, "5 is no word"),
        ({"words": ["a" * 1000]}, "is no word"),
        ({"words": ["a"] * (MAX_WORDS + 1)}, "50,001 words, expected at most 50,000"),
        ({"words": "Berlin"}, "words .* must be"),
        ({"version": 2}, "version 2, expected 1"),
        ({"capitals": "many"}, "capitals .* must be"),
        ({"capitals": float("nan")}, "share nan of lines in capitals, expected 0 to 1"),
        ({"title_case": -1}, "share -1.0 of lines in Title Case, expected 0 to 1"),
        ({"more": 1}, "unknown key 'more'"),
    ):
        path.write_text(json.dumps(content | change), encoding="utf-8")
        with pytest.raises(UserError, match=problem):
            Truecaser.load(path)


def translator_of(restorer: CaseRestorer, **settings) -> Translator:
    settings = {"search": SearchConfig(beam_size=2, n_best=2), **settings}
    return Translator(EchoEngine(), CharacterTokenizer(), restorer=restorer, **settings)


def given(translator: Translator) -> list[str]:
    return translator.tokenizer.decode_target(translator.engine.given)


def test_translator_reads_the_usual_case_and_writes_capitals(restorer):
    translator = translator_of(restorer, manifest={"target_language": "tr"})
    lines = ["DER HUND SCHLÄFT IN BERLIN.", "Der Hund schläft in Berlin.", "NATO", ""]
    capitals, ordinary, acronym, blank = translations = translator.translate(lines)
    assert given(translator) == ["Der Hund schläft in Berlin.", "NATO"]  # two lines are one sentence now
    assert [text for text, _ in capitals.n_best] == ["DER HUND SCHLÄFT İN BERLİN."] * 2
    assert (ordinary.text, acronym.text, blank.text) == (lines[1], "NATO", "")
    assert [found.recased for found in translations] == [True, False, False, False]
    assert translator.splits == Splits(lines=4, recased=1)
    assert translator.describe(translator.splits) == (
        "1 of 4 lines were in capitals or Title Case: translated in their usual case"
    )


def test_tags_and_sentences_of_a_line_in_capitals(restorer):
    tagging = Tagging(known=("<2en>", "<2de>"), tag="<2en>")
    translator = translator_of(restorer, tagging=tagging, splitting=Splitting(sentences=1, language="de"))
    [typed, put] = translator.translate(["<2de> DER HUND SCHLÄFT. ANNA SCHLÄFT.", "DER HUND SCHLÄFT."])
    assert given(translator) == ["<2de> Der Hund schläft.", "<2de> Anna schläft.", "<2en> Der Hund schläft."]
    assert (typed.segments, put.segments) == (2, 1)
    assert put.text == "<2EN> DER HUND SCHLÄFT."  # the engine echoes the tag, which no model does


def test_each_line_is_written_in_capitals_of_its_language(restorer):
    directions = [
        {"source_language": "de", "target_language": language, "tag": f"<2{language}>", "bleu_tokenizer": "13a"}
        for language in ("tr", "en")
    ]
    tagging = Tagging(known=("<2tr>", "<2en>"))
    translator = translator_of(restorer, tagging=tagging, manifest={"directions": directions})
    found = translator.translate(["<2tr> DER HUND IN BERLIN", "<2en> DER HUND IN BERLIN"])
    assert [each.text for each in found] == ["<2TR> DER HUND İN BERLİN", "<2EN> DER HUND IN BERLIN"]
