"""OPUS's archives in Moses' form: a zip with NAME.SRC-TGT.SRC and NAME.SRC-TGT.TGT, lines of which are pairs."""

from __future__ import annotations

import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from typing import BinaryIO, cast

from translate.data.corpus import CorpusConfig
from translate.data.forms.language_tags import choose_sides, find
from translate.data.forms.rows import Row, matching_files, require_no_columns
from translate.errors import UserError, errors_naming, excerpt
from translate.opening import MAX_RATIO, MAX_SMALL_FILE
from translate.text import read_lines

_LANGUAGE = re.compile(r"[A-Za-z][\w-]*")

_DAMAGES = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, UnicodeDecodeError)  # the last of a name


def looks_like_moses(names: Sequence[str]) -> bool:
    """True if an archive with these files has the two sides of a corpus."""
    return bool(member_pairs(names))


def member_pairs(names: Sequence[str]) -> list[dict[str, str]]:
    """The pairs of members that are the two sides of a corpus: language to name, in the order of NAME.SRC-TGT."""
    known = set(names)
    pairs = []
    # NAME.SRC-TGT.LANGUAGE; beside them are README, LICENSE and .ids or .xml files
    for name in names:
        stem, _, first = name.rpartition(".")
        corpus, _, second = stem.rpartition(f".{first}-")
        # once for each pair, at its first side; a language may have a dash itself
        if corpus and first != second and _LANGUAGE.fullmatch(first) and _LANGUAGE.fullmatch(second):
            sides = {first: name, second: f"{stem}.{second}"}
            if known.issuperset(sides.values()):
                pairs.append(sides)
    return pairs


def read_moses(config: CorpusConfig) -> Iterator[Row]:
    """Line n of one member and line n of the other, of each pair of members of zip files."""
    for path in matching_files(config):
        require_no_columns(config, path, "an archive of OPUS")
        with _opened(path) as archive:
            pairs = member_pairs(archive.namelist())
            asked = config.source_language, config.target_language
            languages = choose_sides(_languages(pairs), *asked, name="the archive")
            chosen = list(filter(None, (_members_of(members, languages) for members in pairs)))
            if not chosen:
                listing = excerpt(", ".join(name for members in pairs for name in members.values()))
                raise UserError(f"no two of its files ({listing}) are {' and '.join(languages)}")
            for members in chosen:
                yield from _lines_of(archive, path, members)


def moses_languages(path: str) -> list[str]:
    """Languages of the members of a zip file, each once."""
    with _opened(path) as archive:
        return _languages(member_pairs(archive.namelist()))


def _languages(pairs: list[dict[str, str]]) -> list[str]:
    return list(dict.fromkeys(language for members in pairs for language in members))


def _members_of(members: dict[str, str], languages: tuple[str, str]) -> tuple[str, str] | None:
    """Names of the source and the target member; None if they are in other languages."""
    source, target = (find(language, list(members)) for language in languages)
    if source is None or target is None:
        return None
    names = list(members.values())
    return names[source], names[target]


def require_plausible(info: zipfile.ZipInfo, path: str) -> None:
    """Raise UserError for a large member that is too well compressed to be text."""
    if info.file_size > max(MAX_RATIO * info.compress_size, MAX_SMALL_FILE):
        raise UserError(
            f"{path}: {excerpt(info.filename)} has {info.file_size:,} bytes, over {MAX_RATIO} times its size in the "
            "archive; if that is right, unpack it first"
        )


def _lines_of(archive: zipfile.ZipFile, path: str, names: tuple[str, str]) -> Iterator[Row]:
    for name in names:
        require_plausible(archive.getinfo(name), path)
    counts = [0, 0]
    with archive.open(names[0]) as source_file, archive.open(names[1]) as target_file:
        lines = (read_lines(cast(BinaryIO, file)) for file in (source_file, target_file))
        for source, target in zip_longest(*lines):
            counts[0] += source is not None
            counts[1] += target is not None
            # where one member has ended, the other is read on to count its lines for the error
            if counts[0] == counts[1]:
                yield Row(path, counts[0], source, target)
    if counts[0] != counts[1]:
        numbers = " and ".join(f"{excerpt(name)} has {count:,}" for name, count in zip(names, counts, strict=True))
        raise UserError(f"the two sides must have the same number of lines, but {numbers}")


@contextmanager
def _opened(path: str) -> Iterator[zipfile.ZipFile]:
    """A zip file, whose damage is a UserError that names it."""
    try:
        with errors_naming(path), zipfile.ZipFile(path) as archive:
            yield archive
    except (*_DAMAGES, OSError) as error:
        raise UserError(f"{path}: a damaged zip file: {excerpt(error)}") from None
    except (RuntimeError, NotImplementedError) as error:  # encrypted, or compressed by an unusual method
        raise UserError(f"{path}: {excerpt(error)}: unpack it yourself and name the files") from None
