"""UTF-8, YAML and JSON of untrusted files: YAML and JSON within bounds of size and depth, and without tags.

Errors name the file, and the line where it is known.
"""

from __future__ import annotations

import codecs
import dataclasses
import json
import os
import stat
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode

from translate.errors import UserError, excerpt

_MAX_YAML_BYTES, _MAX_JSON_BYTES = 1 << 22, 1 << 25
_MAX_DEPTH = 50
_MAX_NODES = 1_000_000  # with every alias written out
_MAX_DIGITS = 100
_TYPES = {bool: "true or false", int: "an integer", float: "a number", str: "text"}
Settings = TypeVar("Settings")
# UTF-32's mark begins with that of UTF-16, so it comes first
_OTHER_ENCODINGS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


class _Loader(yaml.SafeLoader):
    """PyYAML's loader of plain data, with bounds on what a few bytes can stand for."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth, self._sizes = 0, dict[str, int]()
        self._count = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        """Compose one node. Raises YAMLError beyond the bounds, before anything is made of the node."""
        event = self.peek_event()
        is_alias = isinstance(event, yaml.AliasEvent)
        if not is_alias and getattr(event, "tag", None):
            raise _error(f"the tag {excerpt(event.tag)}: none is used here", event)
        if is_alias and event.anchor in self.anchors and event.anchor not in self._sizes:
            raise _error(f"the alias *{excerpt(event.anchor)} inside of what it stands for", event)
        if self._depth >= _MAX_DEPTH:
            raise _error(f"nested more than {_MAX_DEPTH} deep", event)
        self._depth += 1
        before = self._count
        node = super().compose_node(parent, index)
        # an alias costs as much as what it repeats: nested ones would multiply without end
        self._count += self._sizes.get(event.anchor, 1) if is_alias else 1
        if self._count > _MAX_NODES:
            raise _error(f"more than {_MAX_NODES:,} values, aliases written out", event)
        if not is_alias and event.anchor is not None:
            self._sizes[event.anchor] = self._count - before
        self._depth -= 1
        return node

    def compose_scalar_node(self, anchor: Any) -> ScalarNode:
        node: ScalarNode = super().compose_scalar_node(anchor)
        is_number = node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
        if is_number and len(node.value) > _MAX_DIGITS:  # in base 60 its value takes quadratic time
            raise _error(f"a number of more than {_MAX_DIGITS} digits", node)
        return node

    def compose_mapping_node(self, anchor: Any) -> MappingNode:
        node: MappingNode = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, ScalarNode):
                if (key.tag, key.value) in seen:  # PyYAML would take the last one
                    raise _error(f"the key {excerpt(key.value)} a second time", key)
                seen.add((key.tag, key.value))
        return node


def _error(problem: str, part: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=part.start_mark)


def read_yaml(path: str | Path) -> Any:
    """Plain data of a YAML file. Raises UserError for a file that holds anything else, OSError where it is missing."""
    text = read_small(path, max_bytes=_MAX_YAML_BYTES)
    try:
        return valid_text(_Loader(text).get_single_data())
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark is not None else ""
        reason = ", ".join(filter(None, (error.context, error.problem)))
        raise UserError(f"{path}{line}: not a configuration: {excerpt(reason)}") from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # NUL, a 99th month, "\UFFFFFFFF"
        raise UserError(f"{path}: not a configuration: {excerpt(str(error).partition(chr(10))[0])}") from None


def read_json_value(path: str | Path) -> Any:
    """The value in a JSON file. Raises UserError for a file that holds anything else, OSError where it is missing."""
    text = read_small(path, max_bytes=_MAX_JSON_BYTES)
    try:
        return valid_text(parse_json(text))
    except ValueError as error:
        raise UserError(f"{path}: not JSON, the file is damaged: {excerpt(error)}") from None


def from_plain(kind: type[Settings], values: Mapping[str, Any], where: object) -> Settings:
    """A dataclass of plain values, such as a file holds; where: the file, for errors.

    Raises UserError for a key that is no field, and for a value of another type than the field's default, which is
    never converted (except an integer for a float, and the text of a choice).
    """
    # the types of the fields, by their defaults; annotations are text
    defaults = {field.name: getattr(kind(), field.name) for field in dataclasses.fields(cast(Any, kind))}
    for key in values:
        if key not in defaults:
            raise UserError(f"{where}: unknown key {excerpt(repr(key))}; it was written by another version")
    return kind(**{key: _read_value(value, defaults[key], f"{where}: {key}") for key, value in values.items()})


def _read_value(value: Any, default: Any, where: str) -> Any:
    """A value of the type of a field's default; a number or none where that is None. Raises UserError for any other."""
    if dataclasses.is_dataclass(default) and isinstance(value, dict):
        return from_plain(type(default), value, where)
    if isinstance(default, StrEnum):
        if value not in list(type(default)):
            raise UserError(f"{where} ({excerpt(repr(value))}) must be one of {', '.join(type(default))}")
        return type(default)(value)
    if default is None and value is None:
        return None
    kind = float if default is None else type(default)
    # not isinstance: true is an int in Python
    if type(value) is int and -(2**63) <= value < 2**63 and kind in (int, float):
        return kind(value)  # YAML reads 1 as an integer where 1.0 is meant
    if type(value) is not kind or kind is int:
        raise UserError(f"{where} ({excerpt(repr(value))}) must be {_TYPES.get(kind, kind.__name__)}")
    return value


def parse_json(text: str | bytes) -> Any:
    """A JSON value. Raises ValueError also for nesting too deep for Python and for a key that an object has twice."""
    try:
        return json.loads(text, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def valid_text(value: Any) -> Any:
    """The value. Raises ValueError where a text in it holds half a surrogate pair, which cannot be written as UTF-8."""
    json.dumps(value, ensure_ascii=False, skipkeys=True, default=str).encode("utf-8")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):  # json would take the last one
        key, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise ValueError(f"the key {excerpt(key)} twice in one object")
    return found


def read_small(path: str | Path, *, max_bytes: int) -> str:
    """Text of a file of settings. Raises UserError for one that is not UTF-8 or too large."""
    if stat.S_ISFIFO(os.stat(path).st_mode):  # opening it would wait for a writer
        raise UserError(f"{path}: that is a pipe, and a file of settings is expected")
    with open(path, "rb") as file:
        raw = file.read(max_bytes + 1)  # a name may be a link to an endless device
    if len(raw) > max_bytes:
        raise UserError(f"{path}: more than {max_bytes:,} bytes, this is no file of settings")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}, line {line}: 0x{raw[error.start]:02x} is not UTF-8, the file is damaged") from None


def decode_line(raw: bytes, *, name: str, number: int) -> str:
    """One line's bytes as text; UserError with the position of the first byte that is not UTF-8.

    name, number  of the file and, from 1, of the line
    """
    if number == 1:
        _require_no_other_encoding(raw, name)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{name}, line {number}, byte {error.start + 1}: 0x{raw[error.start]:02x} is not UTF-8 here; "
            f"convert the file to UTF-8 first: {_conversion(raw, error.start)}"
        ) from None


def _conversion(raw: bytes, position: int) -> str:
    """The command that makes UTF-8 of a line, which the commonest other encoding may explain."""
    start = max(0, position - 20)
    try:
        text = raw[start : position + 20].decode("windows-1252")
    except UnicodeDecodeError:
        return "iconv -f ENCODING -t UTF-8"
    return f"iconv -f WINDOWS-1252 -t UTF-8, if {excerpt(text)!r} is right there, else with another -f"


def _require_no_other_encoding(raw: bytes, name: str) -> None:
    """Raise UserError for a first line that is UTF-16 or UTF-32."""
    for mark, encoding in _OTHER_ENCODINGS.items():
        if raw.startswith(mark):
            raise UserError(
                f"{name} is {encoding}, by the byte order mark at its beginning; convert it to UTF-8 first: "
                f"iconv -f {encoding} -t UTF-8"
            )
    # Latin letters in two or four bytes each, all but one of them 0: valid UTF-8, but no text
    for width in (2, 4):
        columns = [raw[start::width] for start in range(width)]
        letters = [index for index, column in enumerate(columns) if any(column)]
        if len(raw) >= 2 * width and len(letters) == 1 and all(columns[letters[0]]):
            encoding = f"UTF-{8 * width}{'BE' if letters[0] else 'LE'}"
            raise UserError(
                f"{name} is {encoding}, by the zeros between the bytes of line 1; convert it to UTF-8 first: "
                f"iconv -f {encoding} -t UTF-8"
            )
