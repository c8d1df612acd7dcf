"""Tags: symbols of a model's tokenizer, such as <2de> or <bt>, that count in front of a source line only.

They are configured by data.*.tag. A tag is put in front by the program, or typed before a line's text with a space
behind it; anywhere else its characters are ordinary text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

from translate.errors import UserError
from translate.text import normalise

# PAD, UNK, BOS, EOS and bytes as SentencePiece writes them
_RESERVED = re.compile("<pad>|<unk>|</?s>|<0x[0-9A-F]{2}>")
_LISTED = 3  # words that a warning names
_FRAMED = re.compile(r"([\W_]+)([^\W_][\w.+-]*?)([\W_]+)")  # <2de>, >>deu<<, __de__


def check_tag(key: str, tag: str) -> None:
    """Raise UserError for a tag that cannot be told from text: one character, or what SentencePiece changes or has."""
    if tag and (len(tag) < 2 or tag != normalise(tag).strip() or _RESERVED.fullmatch(tag)):
        raise UserError(f"{key}={tag!r}: a tag has two or more characters and no space around, such as <2de>")


def split_tag(line: str, tags: Sequence[str]) -> tuple[str, str]:
    """The tag in front of a normalised line and the text after it; "" and the line where there is none."""
    found = _in_front(tuple(tags)).match(line) if tags else None
    return (found[1], line[found.end() :]) if found else ("", line)


@lru_cache
def _in_front(tags: tuple[str, ...]) -> re.Pattern[str]:
    # a tag may be the beginning of another
    longest_first = sorted(tags, key=len, reverse=True)
    return re.compile(rf"\s*({'|'.join(map(re.escape, longest_first))}) ")


@dataclass(frozen=True, kw_only=True)
class Tagging:
    """The tags that a model knows, and how its source lines get theirs.

    known     symbols that are read as a tag in front of a line
    tag       put in front of lines without a tag; "" for none
    of_all    put tag in front of every line, also of one with another tag, which becomes text
    expected  the model was trained on lines with a tag only
    symbols   user symbols of the tokenizer, which are not tags
    languages target languages of a model of several, for messages
    note      for the user, about the choice of tag; "" for none
    """

    known: tuple[str, ...] = ()
    tag: str = ""
    of_all: bool = False
    expected: bool = False
    symbols: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    note: str = ""

    def split(self, line: str) -> tuple[str, str]:
        """The tag of a normalised line, typed or put in front, and the text behind it."""
        typed, text = split_tag(line, self.known)
        # a typed tag counts unless all lines get the same one
        if not self.tag or typed == self.tag or (typed and not self.of_all):
            return typed, text
        return self.tag, line

    def put_in_front(self, line: str) -> str:
        """A raw line with its tag in front, if that is not there yet."""
        normalised = normalise(line)
        return line if self.split(normalised)[0] == split_tag(normalised, self.known)[0] else f"{self.tag} {line}"

    def tagged(self, line: str) -> str:
        """A normalised line with its tag in front; "" if it is blank."""
        tag, text = self.split(line)
        return f"{tag} {text.strip()}" if tag and text.strip() else text.strip()

    def check(self, lines: Iterable[str], *, option: str = "tag") -> str:
        """Warning about the tags of normalised lines, "" if there is none; option: the one that sets a tag for them."""
        count = TagCount(self)
        count.add_all(lines)
        return count.warning(option=option)


class HasSymbols(Protocol):
    """The part of a tokenizer that tagging_of needs."""

    tags: tuple[str, ...]
    user_symbols: tuple[str, ...]


def tagging_of(
    manifest: Mapping[str, Any],
    tokenizer: HasSymbols,
    *,
    requested: str = "",
    as_validated: bool = False,
    languages: tuple[str, ...] = (),
) -> Tagging:
    """The tagging of a model by its manifest; manifests of older models name no tags.

    requested     tag to put in front of every line; "": that of a model that has only one and was always given it
    as_validated  without `requested`, use the validation set's tag if it had one
    languages     target languages of a model of several

    Raises UserError for a tag that the model does not know.
    """
    known = tuple(manifest.get("tags", tokenizer.tags))
    expected = bool(known) and not manifest.get("untagged_source", True)
    common: dict[str, Any] = {"expected": expected, "symbols": tokenizer.user_symbols, "languages": languages}
    if requested:
        # older manifests do not say which user symbols are tags
        accepted = known if "tags" in manifest or known else tokenizer.user_symbols
        if requested not in accepted:
            known_ones = f"it knows {', '.join(accepted)}" if accepted else "it was trained without tags"
            raise UserError(f"tag={requested}: the model has no such tag; {known_ones}")
        return Tagging(known=known or (requested,), tag=requested, of_all=True, **common)
    validated = manifest.get("tag", "")
    if as_validated and validated:
        note = f"tag={validated}, as the run's validation set had it; set tag=… for another"
        return Tagging(known=known, tag=validated, note=note, **common)
    if expected and len(known) == 1 and not as_validated:
        note = f"tag={known[0]}, the only one the model was trained with, is put in front of lines that have none"
        return Tagging(known=known, tag=known[0], note=note, **common)
    return Tagging(known=known, **common)


@dataclass
class TagCount:
    """Counts of lines, and of those without a tag, with an unknown one, or with one that another replaces."""

    tagging: Tagging
    lines: int = 0
    untagged: int = 0
    unknown: Counter[str] = field(default_factory=Counter)
    overruled: Counter[str] = field(default_factory=Counter)

    def add_all(self, lines: Iterable[str]) -> None:
        """Count normalised lines; a blank one lacks nothing."""
        for line in lines:
            self._add(line)

    def _add(self, line: str) -> None:
        self.lines += 1
        typed, text = split_tag(line, self.tagging.known)
        if typed:
            if self.tagging.split(line)[0] != typed:
                self.overruled[typed] += 1
        elif self.tagging.expected and (words := text.split(maxsplit=1)):
            # a line that gets a tag lacks none
            self.untagged += not self.tagging.tag
            if self._looks_like_tag(words[0]):
                self.unknown[words[0]] += 1

    def warning(self, *, option: str = "tag") -> str:
        """The counts as one line; "" if nothing is unusual."""
        tagging, parts = self.tagging, []
        if self.untagged:
            parts.append(f"{self._share(self.untagged)} no tag")
        if self.unknown:
            unknown = f"a tag that the model does not know ({_list(self.unknown)})"
            parts.append(f"{self._share(self.unknown.total())} {unknown}")
        if self.overruled:
            overruled = f"another tag ({_list(self.overruled)}), which {option}={tagging.tag} makes ordinary text"
            parts.append(f"{self._share(self.overruled.total())} {overruled}")
        if not parts:
            return ""
        if option == "tag" and tagging.languages:
            option, known = "target_language", f" ({', '.join(tagging.languages)})"
        else:
            known = ""
        hint = "" if tagging.tag else f"; set {option}=…{known}"
        return f"{', '.join(parts)}; the model knows {', '.join(tagging.known)}{hint}"

    def _share(self, count: int) -> str:
        return f"{count:,} of {self.lines:,} lines {'has' if count == 1 else 'have'}"

    def _looks_like_tag(self, word: str) -> bool:
        # a word framed like a known tag, or in angle brackets, is probably meant as one
        frames = {_frame(tag) for tag in self.tagging.known} | {("<", ">")}
        return word not in self.tagging.symbols and _frame(word) in frames - {None}


def _frame(word: str) -> tuple[str, str] | None:
    """The characters around a tag's name."""
    found = _FRAMED.fullmatch(word)
    return (found[1], found[3]) if found else None


def _list(words: Counter[str]) -> str:
    listed = ", ".join(word for word, _ in words.most_common(_LISTED))
    return f"{listed}, …" if len(words) > _LISTED else listed
