"""PO files: message catalogues of gettext, parsed by polib."""

from __future__ import annotations

import re
from collections.abc import Iterator

import polib

from translate.data.corpus import CorpusConfig
from translate.data.formats.language_tags import choose_sides, find_language
from translate.data.formats.rows import Row, as_line, matching_files
from translate.errors import UserError, excerpt
from translate.text import open_bytes

SIDES = ("msgid", "msgstr")
_MAX_BYTES = 1 << 26  # polib keeps all entries in memory, about ten times the size of the file
_ENTRY = re.compile(rb'^(msgctxt|msgid)[ \t]+"', re.MULTILINE)
# polib would take off the last character of a text without its second quotation mark
_UNCLOSED = re.compile(r'[^"#]*+"(?:[^"\\]|\\.)*+\\?[ \t\r]*')


class _Catalogue(str):
    """Content of a PO file, split into lines only at \\n: polib's splitlines would also split at U+2028 and others."""

    def splitlines(self, keepends: bool = False) -> list[str]:
        assert not keepends
        return self.split("\n")


def looks_like_po(head: bytes) -> bool:
    """True for the beginning of a PO file: comments, then an entry."""
    head = head.removeprefix(b"\xef\xbb\xbf")
    entry = _ENTRY.search(head)
    before = head[: entry.start()].split(b"\n") if entry else [head]
    return entry is not None and all(line.startswith(b"#") or not line.strip() for line in before)


def read_po(config: CorpusConfig) -> Iterator[Row]:
    """Messages of PO files with their translations; fuzzy, obsolete and untranslated ones are rows with a problem."""
    for path in matching_files(config):
        catalogue = _parse(path)
        swapped = _is_swapped(config, catalogue, path)
        # entries without a message are headers: catalogues put end to end have several
        for entry in (entry for entry in catalogue if entry.msgid):
            problem = _reason_to_skip(entry)
            for message, translation in _pairs(entry):
                sides = as_line(message), as_line(translation)
                source, target = reversed(sides) if swapped else sides
                # polib does not number the first entry
                yield Row(path, max(entry.linenum - 1, 1), source, target, problem)


def po_languages(path: str) -> list[str]:
    """Languages of the messages and of their translations; "" for a language that the header does not name."""
    return _languages(_parse(path))


def _languages(catalogue: polib.POFile) -> list[str]:
    # gettext itself defines only Language; several translation tools write X-Source-Language
    return [catalogue.metadata.get(key, "").strip() for key in ("X-Source-Language", "Language")]


def _is_swapped(config: CorpusConfig, catalogue: polib.POFile, path: str) -> bool:
    """True if the translations are the source side of the corpus, and the messages its target."""
    if config.source or config.target:
        if (config.source, config.target) not in (SIDES, SIDES[::-1]):
            given = f"source={config.source} target={config.target}"
            raise UserError(f"{given}: the sides of PO files are {' and '.join(SIDES)}")
        return config.source == SIDES[1]
    languages = _languages(catalogue)
    source, target = choose_sides(languages, config.source_language, config.target_language, name=path)
    return find_language(source, languages) == 1 and find_language(target, languages) == 0


def _parse(path: str) -> polib.POFile:
    with open_bytes(path) as stream:
        raw = stream.read(_MAX_BYTES + 1)
    if len(raw) > _MAX_BYTES:
        raise UserError(f"{path}: more than {_MAX_BYTES:,} bytes in one PO file; split it")
    encoding = polib.detect_encoding(b"\n" + raw)  # with a line break polib cannot take it for a file name
    try:
        text = raw.decode(encoding).removeprefix("\ufeff")
    except (UnicodeDecodeError, LookupError) as error:
        raise UserError(f"{path}: not {excerpt(encoding)}, the charset in its header: {excerpt(error)}") from None
    return parse_catalogue(text, path)


def parse_catalogue(text: str, path: str) -> polib.POFile:
    """The messages in the text of a PO file, with line numbers one higher. Raises UserError for anything else."""
    for number, line in enumerate(text.split("\n"), start=1):
        if _UNCLOSED.fullmatch(line):
            raise UserError(f"{path}: cannot be read as PO: no second quotation mark in line {number}: {excerpt(line)}")
    try:
        # with a line break polib cannot take the text for a file name
        return polib.pofile(_Catalogue(f"\n{text}"))
    except (OSError, ValueError, LookupError) as error:  # polib's own errors are OSErrors
        raise UserError(f"{path}: cannot be read as PO: {excerpt(error)}") from None


def _reason_to_skip(entry: polib.POEntry) -> str:
    if entry.obsolete:
        return "an obsolete message"
    if entry.fuzzy:
        return "a translation marked as fuzzy"
    return "" if entry.translated() else "no translation"


def _pairs(entry: polib.POEntry) -> Iterator[tuple[str, str]]:
    """A message with its translation; for plurals, the singular with the first form and the plural with the last."""
    if not entry.msgid_plural:
        yield entry.msgid, entry.msgstr
        return
    forms = [entry.msgstr_plural[number] for number in sorted(entry.msgstr_plural)] or [""]
    if len(forms) > 1:
        yield entry.msgid, forms[0]
    yield entry.msgid_plural, forms[-1]
