"""XLIFF 1.2 and 2.x: add targets with the inline markup of the source, a state, and the tool that made them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy

from translate import __version__
from translate.documents.document import DocumentOptions
from translate.documents.inline import Segment
from translate.documents.xml_tree import Element, Slots, children, inline_slots, name_of_tag, parse_xml, write_xml
from translate.errors import UserError, excerpt

_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
_TEXT_ELEMENTS = {"g", "mrk", "pc"}  # inline elements that contain text; the others stand for codes
_TOOL = "translate"


class XliffDocument:
    """Units without a target; with overwrite all units. Units marked translate="no" are skipped."""

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
            language = self._options.require_target_language(file.get("target-language", ""))
            file.set("target-language", language)
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
                self._add(unit, source, state)
            if len(self._slots) > count:
                _name_tool(file)

    def _read_2(self, root: Element) -> None:
        language = self._options.require_target_language(root.get("trgLang", ""))
        root.set("trgLang", language)
        for segment in _translatable(root, {"segment"}):
            if self._add(segment, next(iter(children(segment, "source")), None), {}):
                segment.set("state", "translated")
                segment.set("subState", f"{_TOOL}:machine")

    def _add(self, unit: Element, source: Element | None, attributes: dict[str, str]) -> bool:
        """Add a target to a unit, as a copy of the source whose text is translated later; False if it keeps its own."""
        target = next(iter(children(unit, "target")), None)
        if source is None or (target is not None and _has_content(target) and not self._options.overwrite):
            return False
        if target is None:
            namespace = source.tag.rpartition("}")[0]
            target = unit.makeelement(f"{namespace}}}target" if namespace else "target")
            unit.insert(unit.index(source) + 1, target)
            source.tail, target.tail = unit.text, source.tail
        tail = target.tail
        for child in list(target):
            target.remove(child)
        target.text, target.tail = source.text, tail
        target.extend(deepcopy(child) for child in source)
        for name, value in attributes.items():
            target.set(name, value)
        segments = [mark for mark in target.iter("{*}mrk") if _is_segment(mark)]
        self._slots += [inline_slots(each, role=_role, stop=_is_segment) for each in segments or [target]]
        return True

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


def _has_content(target: Element) -> bool:
    return bool((target.text or "").strip()) or len(target) > 0


def _is_segment(element: Element) -> bool:
    return name_of_tag(element) == "mrk" and element.get("mtype") == "seg"


def _role(element: Element) -> str:
    if name_of_tag(element) not in _TEXT_ELEMENTS:
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
