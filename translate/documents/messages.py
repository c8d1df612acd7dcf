"""PO: message catalogues of GNU gettext, by polib.

Translations are marked fuzzy, gettext's mark for unreviewed translations.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import polib

from translate.data.formats.catalogues import parse_catalogue
from translate.documents.document import DocumentOptions, Encoding, decode
from translate.documents.inline import line_segments
from translate.errors import UserError

_FORMS = re.compile(r"nplurals\s*=\s*([1-6])")


class CatalogueDocument:
    """Messages without a translation; with overwrite all that are not obsolete."""

    target_language = ""

    def __init__(self, content: bytes, options: DocumentOptions) -> None:
        declared = re.search(rb"charset=([\w-]+)", content[:10_000])
        text, self._encoding = decode(content, options.name, declared[1].decode() if declared else "")
        if "msgid" not in text:
            raise UserError(f"{options.name}: no messages; is it a PO catalogue?")
        self._line_end = "\r\n" if "\r\n" in text else "\n"
        text = text.replace("\r\n", "\n")
        self._catalogue = parse_catalogue(text, options.name)
        if max(map(len, text.split("\n"))) > self._catalogue.wrapwidth + 1:
            self._catalogue.wrapwidth = 0  # messages are on one line
        found = self._catalogue.metadata.get("Language", "").strip()
        self.target_language = found.replace("_", "-")
        if found or options.target_language:
            language = options.require_target_language(self.target_language)
            self._catalogue.metadata["Language"] = found or language.replace("-", "_")
        plural_forms = _FORMS.search(self._catalogue.metadata.get("Plural-Forms", ""))
        self._plurals = int(plural_forms[1]) if plural_forms else 2
        self._entries = [
            entry
            for entry in self._catalogue
            if entry.msgid and not entry.obsolete and (options.overwrite or not _is_translated(entry))
        ]
        ids = [text for entry in self._entries for text in (entry.msgid, entry.msgid_plural) if text]
        self._lines = [line_segments(text) for text in ids]
        self.segments = [line for lines in self._lines for line in lines]
        if self._entries and "charset=CHARSET" in self._catalogue.metadata.get("Content-Type", "charset=CHARSET"):
            self._catalogue.metadata["Content-Type"] = (
                "text/plain; charset=UTF-8"  # as in a template, or without header
            )
        self._overwrite = options.overwrite
        self._has_comment = text.startswith(("# ", "#\n"))

    def write(self, translations: Sequence[list[str]]) -> bytes:
        pieces = iter(translations)
        messages = iter(["".join(next(pieces)[0] for _ in lines) for lines in self._lines])
        for entry in self._entries:
            singular = next(messages)
            if entry.msgid_plural:
                plural = next(messages)
                # languages with a single form, such as Chinese, use the translation of the plural
                forms = [singular, *[plural] * (self._plurals - 1)] if self._plurals > 1 else [plural]
                before = {} if self._overwrite else entry.msgstr_plural
                entry.msgstr_plural = {number: before.get(number) or form for number, form in enumerate(forms)}
            else:
                entry.msgstr = singular
            if "fuzzy" not in entry.flags:
                entry.flags.append("fuzzy")
        try:
            return self._encoded(self._encoding)
        except UnicodeEncodeError:  # the translations have other characters than the messages
            self._catalogue.metadata["Content-Type"] = "text/plain; charset=UTF-8"
            return self._encoded(Encoding())

    def _encoded(self, encoding: Encoding) -> bytes:
        text = str(self._catalogue).rstrip("\n") + "\n"
        text = text if self._has_comment else text.removeprefix("#\n")
        return encoding.encode(text.replace("\n", self._line_end))


def _is_translated(entry: polib.POEntry) -> bool:
    return all(entry.msgstr_plural.values()) if entry.msgstr_plural else bool(entry.msgstr)
