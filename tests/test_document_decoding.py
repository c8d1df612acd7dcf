"""The decode command on documents: the format is found, the output complete, lines as they were."""

from __future__ import annotations

import gzip
import io
import json
import shutil
from pathlib import Path

import docx
import pytest
from lxml import etree

from document_formats import word_file
from fake_translators import copier
from in_process import call_here
from trained_model import trained_model
from translate.decode import DecodeConfig, check_files, open_document, translate_document
from translate.decoding.config import SearchConfig
from translate.documents import ENDINGS, FORMATS, find_format
from translate.documents.document import DocumentFormat
from translate.documents.plain_text import is_wrapped
from translate.errors import UserError

WRAPPED = """\
This is a paragraph of which the lines are full, so that
the next word would not have fitted into any one of them.

Here is the second one, which has as many words in all of
its lines as they can hold, and that is how it is found.
It has a third line too, so that there are enough of them,
and then a fourth one.
"""


def decode(folder: Path, source: str, output: str, **options: object) -> bytes:
    config = DecodeConfig(
        model=str(folder), input=str(folder / source), output=str(folder / output), progress=False, **options
    )
    translate_document(copier(), open_document(config, check_files(config)), config)
    return (folder / output).read_bytes()


def test_every_form_has_a_class_and_an_ending():
    assert set(FORMATS) == set(ENDINGS.values()) == set(DocumentFormat) - {DocumentFormat.auto, DocumentFormat.none}


def test_the_form_is_that_of_the_ending(tmp_path):
    for ending, file_format in ENDINGS.items():
        for name in (f"a{ending}", f"a{ending.upper()}", f"a{ending}.gz"):
            (tmp_path / name).write_bytes(gzip.compress(WRAPPED.encode()) if name.endswith(".gz") else WRAPPED.encode())
            assert find_format(str(tmp_path / name), DocumentFormat.auto) is file_format
            assert find_format(str(tmp_path / name), DocumentFormat.none) is DocumentFormat.none
    for name in ("a.en", "a", "html", "a.tsv"):
        (tmp_path / name).write_text(WRAPPED, encoding="utf-8")
        assert find_format(str(tmp_path / name), DocumentFormat.auto) is DocumentFormat.none
    assert find_format("-", DocumentFormat.auto) is DocumentFormat.none
    assert find_format("-", DocumentFormat.html) is DocumentFormat.html


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\n\nb\n",
        WRAPPED.replace("\n\n", "\n"),  # no paragraphs: it may be one sentence a line
        "A sentence.\nAnother one, which is longer.\n\nShort.\nThis is the longest of all of them.\nYes.\nNo.\nWell.\n",
        "\n".join(f"line {number} of a list\n" for number in range(20)),
        "x " * 200 + "\n" + "y " * 200 + "\n\n" + "z " * 200 + "\n",
    ],
)
def test_text_that_is_not_wrapped_is_translated_line_by_line(text):
    assert is_wrapped(WRAPPED)
    assert is_wrapped(WRAPPED.replace("\n", "\r\n"))
    assert not is_wrapped(text)


def test_documents_are_translated_whole(tmp_path):
    (tmp_path / "a.html").write_text("<p>ab <b>cd</b>!", encoding="utf-8")
    assert decode(tmp_path, "a.html", "b.html") == b"<p>ab <b>cd</b>!"
    (tmp_path / "a.docx").write_bytes(word_file(None, "ab", "cd"))
    found = docx.Document(io.BytesIO(decode(tmp_path, "a.docx", "b.docx")))
    assert [paragraph.text for paragraph in found.paragraphs] == ["ab", "cd"]
    with gzip.open(tmp_path / "a.srt.gz", "wb") as file:
        file.write(b"1\n00:00:01,000 --> 00:00:02,000\nab\n")
    assert gzip.decompress(decode(tmp_path, "a.srt.gz", "b.srt.gz")).endswith(b"\nab\n")


def test_a_failed_translation_leaves_no_document(tmp_path, monkeypatch):
    (tmp_path / "a.html").write_text("<p>ab", encoding="utf-8")
    monkeypatch.setattr("translate.documents.web_page.WebPage.write", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        decode(tmp_path, "a.html", "b.html")
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]


def test_options_for_lines_are_refused_for_documents(tmp_path):
    (tmp_path / "a.html").write_text("<p>ab", encoding="utf-8")
    with pytest.raises(UserError, match="resume=true continues after a line"):
        decode(tmp_path, "a.html", "b.html", resume=True)
    with pytest.raises(UserError, match=r"search.n_best \(2\): a document has one translation"):
        decode(tmp_path, "a.html", "b.html", search=SearchConfig(n_best=2))


def test_options_for_documents_are_refused_for_lines(tmp_path):
    (tmp_path / "a.en").write_text("ab\n", encoding="utf-8")
    for options in ({"overwrite": True}, {"source_column": "a"}, {"target_column": "b"}):
        with pytest.raises(UserError, match="are for documents"):
            check_files(DecodeConfig(model="m", input=str(tmp_path / "a.en"), **options))


def test_a_damaged_document_is_refused_before_the_model_is_loaded(tmp_path):
    (tmp_path / "a.xliff").write_text("<xliff>", encoding="utf-8")
    process = call_here("decode", "model=missing", f"input={tmp_path / 'a.xliff'}", f"output={tmp_path / 'b.xliff'}")
    assert process.returncode == 1
    assert process.stderr.decode().count("\n") == 1
    assert "a.xliff, line 1: the file ends before its XML does" in process.stderr.decode()


def test_a_trained_model_translates_documents(tmp_path):
    (tmp_path / "a.tmx").write_text(
        '<tmx version="1.4"><header srclang="en"/><body><tu><tuv xml:lang="en"><seg>Do <hi>1 2 3</hi> now</seg></tuv>'
        "</tu></body></tmx>",
        encoding="utf-8",
    )
    files = [f"input={tmp_path / 'a.tmx'}", f"output={tmp_path / 'b.tmx'}"]
    process = call_here("decode", f"model={trained_model()}", *files, "target_language=de", "threads=1")
    assert process.returncode == 0, process.stderr.decode()
    assert "a.tmx: tmx document, 1 text to translate" in process.stderr.decode()
    [source, target] = etree.parse(tmp_path / "b.tmx").findall(".//seg")
    assert source.find("hi").text == "1 2 3"
    line = call_here("decode", f"model={trained_model()}", "threads=1", stdin=b"Do 1 2 3 now")
    assert "".join(target.itertext()).split() == line.stdout.decode().split()
    assert target.find("hi") is not None
    # the same name line by line: nine lines of tags would be nine lines
    process = call_here("decode", f"model={trained_model()}", *files, "document=none", "threads=1")
    assert process.returncode == 0
    assert (tmp_path / "b.tmx").read_bytes().count(b"\n") == (tmp_path / "a.tmx").read_bytes().count(b"\n")


@pytest.mark.parametrize("name", ["a.html", "a.txt"])
def test_another_language_than_that_of_the_model_is_refused(tmp_path, name):
    model = tmp_path / "model"
    shutil.copytree(trained_model() / "best", model, ignore=shutil.ignore_patterns("checksums.json"))
    manifest = json.loads((model / "manifest.json").read_text())
    (model / "manifest.json").write_text(json.dumps({**manifest, "source_language": "en", "target_language": "de"}))
    (tmp_path / name).write_text("Do 1 2 3 now")
    words = [f"model={model}", f"input={tmp_path / name}", "threads=1"]
    process = call_here("decode", *words, "target_language=fr")
    assert process.returncode == 1
    assert "target_language=fr: the model translates into de; leave the option out" in process.stderr.decode()
    assert call_here("decode", *words, "target_language=de-AT").returncode == 0
