"""XLIFF 1.2 and 2.x: add targets with the inline markup of the source, a state, and the tool that made them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy

from translate import __version__
from translate.data.formats.inline_elements import XLIFF_TEXT
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
_TOOL = "translate"


class XliffDocument:
    """Units whose target has no text; with overwrite all units. Units marked translate="no" are skipped.

    In a unit with a segmented source, only segments without a translation are translated.
    """

    target_language = ""

    def __init__(self, content: bytes, options: DocumentOptions) -> None:
        self._content, self._options = content, options
        self._tree = parse_xml(content, options.name)
        root = self._tree.getroot()
        version = root.get("version", "")
        if name_of_tag(root) != "xliff" or version[:1] not in ("1", "2"):
            raise UserError(
                f"{options.name}: its root element is {excerpt(name_of_tag(root))}, version {excerpt(version)!r}, "
                "not xliff of version 1.2 or 2.x"
            )
        self._slots: list[Slots] = []
        if version.startswith("1"):
            self._read_1(root)
        else:
            self._read_2(root)
        self.segments: list[Segment] = [slots.segment() for slots in self._slots]

    def _read_1(self, root: Element) -> None:
        for file in children(root, "file"):
            self._options.require_source_language(file.get("source-language", ""))
            language = self._options.require_target_language(file.get("target-language", ""))
            file.set("target-language", language)
            if self.target_language and not same_language(self.target_language, language):
                raise UserError(
                    f"{self._options.name} wants translations into {excerpt(self.target_language)} and "
                    f"{excerpt(language)}: divide it into one file for each language"
                )
            self.target_language = language
            state = {
                _LANGUAGE: language,
                "state": "needs-review-translation",
                "state-qualifier": "mt-suggestion",
                "phase-name": _TOOL,
            }
            count = len(self._slots)
            for unit in _translatable(file, {"trans-unit"}):
                # a segmented source is given in both elements
                source = next(iter(children(unit, "seg-source") or children(unit, "source")), None)
                if self._add(unit, source, state) and unit.get("approved") == "yes":
                    unit.set("approved", "no")  # a person had approved of another translation
            if len(self._slots) > count:
                _name_tool(file)

    def _read_2(self, root: Element) -> None:
        self._options.require_source_language(root.get("srcLang", ""))
        language = self._options.require_target_language(root.get("trgLang", ""))
        root.set("trgLang", language)
        self.target_language = language
        for segment in _translatable(root, {"segment"}):
            if self._add(segment, next(iter(children(segment, "source")), None), {}):
                segment.set("state", "translated")
                segment.set("subState", f"{_TOOL}:machine")

    def _add(self, unit: Element, source: Element | None, attributes: dict[str, str]) -> bool:
        """Add a target to a unit, as a copy of the source whose text is translated later; False if it keeps its own."""
        target = next(iter(children(unit, "target")), None)
        if source is None:
            return False
        if target is not None and has_words(target) and not self._options.overwrite:
            return self._add_segments(source, target, attributes)
        if target is None:
            namespace = source.tag.rpartition("}")[0]
            target = unit.makeelement(f"{namespace}}}target" if namespace else "target")
            unit.insert(unit.index(source) + 1, target)
            source.tail, target.tail = unit.text, source.tail
        tail = target.tail
        _copy_content(source, target)
        target.tail = tail
        target.attrib.update(attributes)
        segments = [mark for mark in target.iter("{*}mrk") if _is_segment(mark)]
        self._slots += [inline_slots(each, role=_role, stop=_is_segment) for each in segments or [target]]
        return True

    def _add_segments(self, source: Element, target: Element, attributes: dict[str, str]) -> bool:
        """Copy the segments that have no translation in a target yet; False where there are none."""
        _insert_missing_segments(source, target)
        sources = {mark.get("mid"): mark for mark in source.iter("{*}mrk") if _is_segment(mark)}
        is_added = False
        for mark in [each for each in target.iter("{*}mrk") if _is_segment(each) and not has_words(each)]:
            found = sources.get(mark.get("mid"))
            if found is not None and has_words(found):
                _copy_content(found, mark)
                self._slots.append(inline_slots(mark, role=_role, stop=_is_segment))
                is_added = True
        if is_added:
            target.attrib.update(attributes)
        return is_added

    def write(self, translations: Sequence[list[str]]) -> bytes:
        for slots, pieces in zip(self._slots, translations, strict=True):
            slots.fill(pieces)
        return write_xml(self._tree, self._content)


def _translatable(root: Element, names: set[str]) -> Iterator[Element]:
    """Elements with these names, in order, outside of elements marked translate="no"."""
    stack = [(root, True)]
    while stack:
        element, wanted = stack.pop()
        wanted = {"yes": True, "no": False}.get(element.get("translate", ""), wanted)
        if name_of_tag(element) in names:
            if wanted:
                yield element
            continue
        stack += [(child, wanted) for child in reversed(element) if isinstance(child.tag, str)]


def _copy_content(source: Element, target: Element) -> None:
    for child in list(target):
        target.remove(child)
    target.text = source.text
    target.extend(deepcopy(child) for child in source)


def _insert_missing_segments(source: Element, target: Element) -> None:
    """Add empty marks for the segments of a source that a segmented target lacks, in the order of the source."""
    marks = {mark.get("mid"): mark for mark in target.iter("{*}mrk") if _is_segment(mark)}
    if not marks:  # the unit was translated as a whole
        return
    first, before, space = next(iter(marks.values())), None, None
    for found in [mark for mark in source.iter("{*}mrk") if _is_segment(mark) and mark.get("mid")]:
        mark = marks.get(found.get("mid"))
        if mark is None and has_words(found):
            mark = target.makeelement(found.tag, dict(found.attrib))
            if before is None:
                first.addprevious(mark)
                mark.tail = _space_behind(found)
            else:
                behind, before.tail = before.tail, None
                before.addnext(mark)
                before.tail, mark.tail = space, behind
        if mark is not None:
            before, space = mark, _space_behind(found)


def _space_behind(element: Element) -> str | None:
    return element.tail if element.tail and element.tail.isspace() else None


def _is_segment(element: Element) -> bool:
    return name_of_tag(element) == "mrk" and element.get("mtype") == "seg"


def _role(element: Element) -> str:
    if name_of_tag(element) not in XLIFF_TEXT:  # an unknown element is kept like a code
        return "code"
    is_protected = element.get("mtype") == "protected" or element.get("translate") == "no"
    return "kept" if is_protected else "text"


def _name_tool(file: Element) -> None:
    """Describe this program in a file's header, as the phase that the targets name."""
    namespace = file.tag.rpartition("}")[0] + "}" if "}" in file.tag else ""
    header = next(iter(children(file, "header")), None)
    if header is None:
        header = file.makeelement(f"{namespace}header")
        file.insert(0, header)
    phases = next(iter(children(header, "phase-group")), None)
    if phases is None:
        phases = header.makeelement(f"{namespace}phase-group")
        header.insert(len(children(header, "skl")), phases)
    if all(phase.get("phase-name") != _TOOL for phase in phases):
        phase = {"phase-name": _TOOL, "process-name": "machine translation", "tool-id": _TOOL}
        phases.append(phases.makeelement(f"{namespace}phase", phase))
    if all(tool.get("tool-id") != _TOOL for tool in children(header, "tool")):
        tool = {"tool-id": _TOOL, "tool-name": _TOOL, "tool-version": __version__}
        header.append(header.makeelement(f"{namespace}tool", tool))
