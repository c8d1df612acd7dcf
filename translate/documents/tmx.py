"""TMX: add a variant in the target language to each unit, with the inline markup of the source."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

from translate import __version__
from translate.data.formats.inline_elements import TMX_CODES
from translate.data.formats.language_names import same_language
from translate.documents.document import DocumentOptions
from translate.documents.inline import Segment
from translate.documents.xml_tree import (
    Element,
    Slots,
    children,
    has_words,
    inline_slots,
    name_of_tag,
    parse_xml,
    write_xml,
)
from translate.errors import UserError, excerpt

_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
_AUTHORSHIP = ("changeid", "changedate", "creationid", "creationdate")  # of a translation that is replaced
_TOOL = {"creationtool": "translate", "creationtoolversion": __version__}


class TmxDocument:
    """Units without a variant in the target language; with overwrite all units."""

    target_language = ""

    def __init__(self, content: bytes, options: DocumentOptions) -> None:
        self._content, self._options = content, options
        self._target = options.require_target_language()
        self._tree = parse_xml(content, options.name)
        root = self._tree.getroot()
        if name_of_tag(root) != "tmx":
            raise UserError(f"{options.name}: its root element is {excerpt(root.tag)}, not tmx")
        header = next(iter(children(root, "header")), None)
        self._source = options.source_language or ("" if header is None else header.get("srclang", ""))
        self._slots: list[Slots] = []
        units = list(root.iter("{*}tu"))
        pairs = [(unit, self._find_source(unit)) for unit in units]
        if units and all(source is None for _, source in pairs):
            found = sorted({_language(variant) for unit in units for variant in children(unit, "tuv")})
            raise UserError(
                f"{options.name}: no unit has text in the source language ({self._source}); found "
                f"{excerpt(', '.join(found))}"
            )
        for unit, source in pairs:
            if source is not None:
                self._add(unit, source)
        self.segments: list[Segment] = [slots.segment() for slots in self._slots]

    def _add(self, unit: Element, source: Element) -> None:
        """Add the variant in the target language to a unit, as a copy of the source whose text is translated later."""
        variants = [each for each in children(unit, "tuv") if same_language(_language(each), self._target)]
        if any(map(has_words, _segments(variants))) and not self._options.overwrite:
            return
        variant = next(iter(variants), None)
        if variant is None:
            variant = unit.makeelement(source.tag, {_LANGUAGE: self._target})
            unit.insert(unit.index(source) + 1, variant)
            source.tail, variant.tail, variant.text = unit.text, source.tail, source.text
        for name in _AUTHORSHIP:
            variant.attrib.pop(name, None)
        variant.attrib.update(_TOOL)
        for segment in children(variant, "seg"):
            variant.remove(segment)
        segment = deepcopy(children(source, "seg")[0])
        variant.append(segment)
        self._slots.append(inline_slots(segment, role=_role))

    def _find_source(self, unit: Element) -> Element | None:
        """The variant in the source language; if that is unknown, the first that is not in the target language."""
        is_known = self._source not in ("", "*all*")
        for variant in children(unit, "tuv"):
            language = _language(variant)
            is_source = same_language(language, self._source) if is_known else not same_language(language, self._target)
            if is_source and children(variant, "seg"):
                return variant
        return None

    def write(self, translations: Sequence[list[str]]) -> bytes:
        for slots, pieces in zip(self._slots, translations, strict=True):
            slots.fill(pieces)
        return write_xml(self._tree, self._content)


def _segments(variants: list[Element]) -> list[Element]:
    return [segment for variant in variants for segment in children(variant, "seg")]


def _role(element: Element) -> str:
    return "code" if name_of_tag(element) in TMX_CODES else "text"


def _language(variant: Element) -> str:
    return str(variant.get(_LANGUAGE) or variant.get("lang") or "")  # lang: TMX 1.1
