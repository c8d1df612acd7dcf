"""PO: message catalogues of GNU gettext, by polib.

Translations are marked fuzzy, gettext's mark for translations that nobody has reviewed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import polib

from translate.data.forms.catalogues import parse_catalogue
from translate.documents.document import DocumentOptions, decode
from translate.documents.inline import line_segments
from translate.errors import UserError

_FORMS = re.compile(r"nplurals\s*=\s*([1-6])")


class CatalogueDocument:
    """Messages without a translation; with overwrite all that are not obsolete."""

    def __init__(self, content: bytes, options: DocumentOptions) -> None:
        declared = re.search(rb"charset=([\w-]+)", content[:10_000])
        text, self._encoding = decode(content, options.name, declared[1].decode() if declared else "")
        if "msgid" not in text:
            raise UserError(f"{options.name}: no messages; is it a PO catalogue?")
        self._catalogue = parse_catalogue(text, options.name)
        if options.target_language:
            self._catalogue.metadata["Language"] = options.target_language.replace("-", "_")
        found = _FORMS.search(self._catalogue.metadata.get("Plural-Forms", ""))
        self._plurals = int(found[1]) if found else 2
        self._entries = [
            entry
            for entry in self._catalogue
            if entry.msgid and not entry.obsolete and (options.overwrite or not _is_translated(entry))
        ]
        ids = [text for entry in self._entries for text in (entry.msgid, entry.msgid_plural) if text]
        self._lines = [line_segments(text) for text in ids]
        self.segments = [line for lines in self._lines for line in lines]
        self._has_comment = text.startswith("#")

    def write(self, translations: Sequence[list[str]]) -> bytes:
        pieces = iter(translations)
        messages = iter(["".join(next(pieces)[0] for _ in lines) for lines in self._lines])
        for entry in self._entries:
            singular = next(messages)
            if entry.msgid_plural:
                plural = next(messages)
                # languages with a single form, such as Chinese, use the translation of the plural
                forms = [singular, *[plural] * (self._plurals - 1)] if self._plurals > 1 else [plural]
                entry.msgstr_plural = dict(enumerate(forms))
            else:
                entry.msgstr = singular
            if "fuzzy" not in entry.flags:
                entry.flags.append("fuzzy")
        text = str(self._catalogue).rstrip("\n") + "\n"
        return self._encoding.encode(text if self._has_comment else text.removeprefix("#\n"))


def _is_translated(entry: polib.POEntry) -> bool:
    return bool(entry.msgstr) or any(entry.msgstr_plural.values())
