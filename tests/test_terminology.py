"""Terms and numbers found in source lines, and lines that are translated with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from constrained_text import count_words
from in_process import call_here
from trained_model import trained_model
from translate.decoding.constraints.constraints import ConstraintConfig, Term
from translate.decoding.constraints.terminology import Terminology, find_numbers, merge_terms, term_corpus
from translate.decoding.constraints.vocabulary import find_words
from translate.errors import UserError


def found(terminology: Terminology, line: str) -> dict[str, int]:
    return {term.spellings[0]: term.most for term in terminology.find(line)}


def test_the_longest_term_counts_where_several_begin():
    terms = Terminology.of_pairs([("heat", "Wärme"), ("heat pump", "Wärmepumpe"), ("pump", "Pumpe")])
    assert found(terms, "The heat pump heats, a pump pumps heat.") == {"Wärmepumpe": 1, "Pumpe": 1, "Wärme": 1}
    assert found(terms, "heat-pump") == {"Wärme": 1, "Pumpe": 1}
    assert found(terms, "preheat pumps") == {}


def test_terms_without_capitals_are_found_in_any_case_others_as_they_are():
    terms = Terminology.of_pairs([("apple pie", "Apfelkuchen"), ("Apple", "Apple"), ("IT", "EDV")])
    assert found(terms, "Apple Pie by Apple, it is.") == {"Apfelkuchen": 1, "Apple": 1}
    assert found(Terminology.of_pairs([("IT", "EDV")], ignore_case=True), "it is IT") == {"EDV": 2}


def test_scripts_without_spaces_are_searched_by_characters():
    terms = Terminology.of_pairs([("电脑", "computer"), ("台式电脑", "desktop computer")])
    assert found(terms, "我的台式电脑和电脑") == {"desktop computer": 1, "computer": 1}


def test_several_rows_of_a_term_are_alternatives_and_may_begin_a_sentence():
    [term] = Terminology.of_pairs([("dog", "hund"), ("dog", "köter")]).find("A dog sees a dog")
    assert term == Term(("hund", "köter", "Hund", "Köter"), least=1, most=2)


def test_a_term_inside_another_occurs_once_more():
    merged = merge_terms([Term(("Haus",)), Term(("Haus am See",)), Term(("See",), most=2)])
    assert merged == (Term(("Haus",), 2, 2), Term(("Haus am See",)), Term(("See",), 2, 3))
    assert merge_terms([Term(("a",)), Term(("a", "b"))]) == (Term(("a", "b"), 1, 2),)


def test_numbers_may_change_their_separators():
    [big, small] = find_numbers("1,234.50 of 7, not x86 and 3D")
    assert big.spellings == ("1,234.50", "1.234,50", "123450")
    assert small.spellings == ("7",)


def test_words_are_found_as_a_whole():
    assert find_words("a", "a b-a xa a_ (a)") == [0, 4, 13]
    assert find_words("子", "房子子") == [1, 2]


def read(path: Path) -> Terminology:
    corpus = term_corpus(str(path), source_language="en", target_language="de")
    return Terminology.read(corpus, key="constraints.terminology")


@pytest.mark.parametrize(
    "text",
    ["dog\tHund\n", "Deutsch,English\nHund,dog\n", "de\ten\nHund\tdog\n", "a\t1\ndog\tHund\n", "dog,Hund\n7,sieben\n"],
)
def test_tables_of_terms_are_read_by_their_languages_or_by_position(tmp_path: Path, text):
    (tmp_path / "terms").write_text(text, encoding="utf-8")
    assert found(read(tmp_path / "terms"), "a dog")["Hund"] == 1


def test_rows_with_one_side_alone_are_left_out_with_a_warning(tmp_path: Path, caplog):
    (tmp_path / "terms.tsv").write_text("dog\tHund\n\ncat\t\n\tMaus\n", encoding="utf-8")
    assert found(read(tmp_path / "terms.tsv"), "a dog and a cat") == {"Hund": 1}
    assert "rows with a term on one side alone are left out: 2, the first on line 3" in caplog.text


def test_a_file_of_sentences_is_no_file_of_terms(tmp_path: Path):
    (tmp_path / "long.tsv").write_text(f"a\tb\n{'long ' * 60}\tc\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"long.tsv, line 2: a term of 299 characters, at most 200"):
        read(tmp_path / "long.tsv")
    with pytest.raises(UserError, match=r"constraints.banned_file=.*none: no such file"):
        ConstraintConfig(banned_file=str(tmp_path / "none")).check()


def decode(folder: Path, lines: str, *options: str) -> list[str]:
    process = call_here("decode", f"model={trained_model()}", *options, stdin=lines.encode())
    assert process.returncode == 0, process.stderr.decode()
    return process.stdout.decode().split("\n")[:-1]


def test_decode_takes_terms_bans_numbers_and_prefixes(tmp_path: Path):
    """Twenty updates teach the model little: what it writes is what it must."""
    (tmp_path / "terms.tsv").write_text("1 2\t9 8 9\n7\t7 7\n", encoding="utf-8")
    (tmp_path / "prefixes").write_text("5 6\n\n4\n", encoding="utf-8")
    lines = "1 2 3\n4 5\n7 1\n"
    first, second, third = decode(tmp_path, lines, f"constraints.terminology={tmp_path / 'terms.tsv'}")
    plain = decode(tmp_path, lines)
    assert (count_words(["9 8 9"], first), count_words(["7 7"], third), second) == (1, 1, plain[1])
    banned = set(" ".join(plain).split())
    assert not banned & set(" ".join(decode(tmp_path, lines, f"constraints.banned=[{','.join(banned)}]")).split())
    numbered = decode(tmp_path, lines, "constraints.numbers=true")
    assert all({*line.split()} <= {*text.split()} for line, text in zip(lines.split("\n"), numbered, strict=False))
    begun = decode(tmp_path, lines, f"constraints.prefixes={tmp_path / 'prefixes'}")
    assert [begun[0][:3], begun[1], begun[2][:1]] == ["5 6", plain[1], "4"]


def refused(folder: Path, *options: str, lines: str = "1 2\n3 4\n") -> str:
    (folder / "in").write_text(lines, encoding="utf-8")
    process = call_here("decode", f"model={trained_model()}", f"input={folder / 'in'}", *options)
    assert process.returncode == 1
    return process.stderr.decode()


def test_prefixes_are_as_many_as_lines_and_leave_room(tmp_path: Path):
    prefixes, option = tmp_path / "prefixes", f"constraints.prefixes={tmp_path / 'prefixes'}"
    for text, count in (("5 6\n", 1), ("5\n6\n7\n", 3)):
        prefixes.write_text(text, encoding="utf-8")
        assert f"has {count} lines, and {tmp_path / 'in'} has 2" in refused(tmp_path, option)
    prefixes.write_text("5\n" + "6 " * 2000 + "\n", encoding="utf-8")
    assert "line 2: a prefix of 2,000 tokens leaves no room for a translation" in refused(tmp_path, option)
    # standard input may go on: its lines are counted as they arrive
    prefixes.write_text("5 6\n", encoding="utf-8")
    process = call_here("decode", f"model={trained_model()}", option, stdin=b"1 2\n3 4\n")
    assert b"the input has more lines" in process.stderr
    prefixes.write_text("5\n6\n7\n", encoding="utf-8")
    process = call_here("decode", f"model={trained_model()}", option, stdin=b"1 2\n3 4\n")
    assert process.stderr.decode().endswith(f"{option} has more lines than the input\n")


@pytest.mark.parametrize("option", ["terminology", "banned_file", "prefixes"])
def test_errors_of_files_name_the_option(tmp_path: Path, option):
    contents = [b"\xff\xfa\x00", b"PK\3\4 no archive"] + ([b""] if option != "prefixes" else [])
    for content in contents:
        (tmp_path / "x").write_bytes(content)
        assert f"error: constraints.{option}: {tmp_path / 'x'}" in refused(
            tmp_path, f"constraints.{option}={tmp_path / 'x'}"
        )


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("constraints.banned=[[a]]", "constraints.banned: ['a'] is no text: write constraints.banned=[FIRST,SECOND]"),
        ("constraints.banned=[' ']", "one of the texts is blank"),
        ("constraints.banned_case=true", "constraints.banned_case=true has no effect without constraints.banned"),
        ("constraints.ignore_case=true", "ignore_case=true has no effect without constraints.terminology=FILE"),
        ("keep=[[a]]", "keep: ['a'] is no text"),
    ],
)
def test_options_that_cannot_work_are_errors(tmp_path: Path, option, message):
    assert message in refused(tmp_path, option)


@pytest.mark.parametrize("command", ["score", "explain"])
def test_commands_without_constraints_refuse_them(tmp_path: Path, command):
    (tmp_path / "in").write_text("1\t2\n", encoding="utf-8")
    process = call_here(command, f"model={trained_model()}", f"input={tmp_path / 'in'}", "constraints.numbers=true")
    assert b"constraints is for commands that translate lines" in process.stderr


def test_terms_and_prefixes_count_more_than_bans_but_prefer_what_is_not_banned(tmp_path: Path):
    (tmp_path / "terms").write_text("1\t9 8\n2\t7\n2\t6 6\n", encoding="utf-8")
    (tmp_path / "prefixes").write_text("\n\n5 8\n", encoding="utf-8")
    options = [f"constraints.terminology={tmp_path / 'terms'}", f"constraints.prefixes={tmp_path / 'prefixes'}"]
    process = call_here("decode", f"model={trained_model()}", *options, "constraints.banned=[8,7]", stdin=b"1\n2\n3\n")
    first, second, third = process.stdout.decode().splitlines()
    assert (count_words(["9 8"], first), count_words(["6 6"], second), third[:3]) == (1, 1, "5 8")
    assert (count_words(["7"], second), count_words(["8"], third)) == (0, 1)
    assert "2 prefixes and terms have a banned text, and count more: 9 8, 5 8" in process.stderr.decode()


def test_a_length_that_is_set_bounds_terms_too_unless_they_alone_are_longer(tmp_path: Path):
    (tmp_path / "terms").write_text("1\t9 8\n2\t4 4 4 4 4 4\n", encoding="utf-8")
    options = [f"constraints.terminology={tmp_path / 'terms'}", "search.max_length=4", "search.length_penalty=3"]
    process = call_here("decode", f"model={trained_model()}", *options, stdin=b"1 3 3\n2 3 3\n")
    first, second = process.stdout.decode().splitlines()
    assert len(first.split()) <= 4
    assert count_words(["9 8"], first) == 1
    assert second == "4 4 4 4 4 4"
    assert "1 translations exceed search.max_length by their prefix and terms" in process.stderr.decode()
