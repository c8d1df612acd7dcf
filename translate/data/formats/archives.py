"""OPUS archives in Moses format: zip files with NAME.SRC-TGT.SRC and NAME.SRC-TGT.TGT, aligned line by line."""

from __future__ import annotations

import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, cast

from translate.data.corpus import CorpusConfig
from translate.data.formats.language_tags import choose_sides, find_language
from translate.data.formats.rows import Row, aligned_rows, matching_files, require_no_columns
from translate.errors import UserError, errors_naming, excerpt
from translate.opening import MAX_RATIO, MAX_SMALL_FILE
from translate.text import read_lines

_LANGUAGE = re.compile(r"[A-Za-z][\w-]*")

# UnicodeDecodeError: the name of a member
_DAMAGE_ERRORS = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, UnicodeDecodeError, OSError)


def looks_like_moses(names: Sequence[str]) -> bool:
    """True if an archive with these files contains both sides of a corpus."""
    return bool(member_pairs(names))


def member_pairs(names: Sequence[str]) -> list[dict[str, str]]:
    """Pairs of members that are the two sides of a corpus: language to file name, in the order of NAME.SRC-TGT."""
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
    """Pairs of line n of the source member and line n of the target member, for all pairs of members."""
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
    """Distinct languages of the members of a zip file."""
    with _opened(path) as archive:
        return _languages(member_pairs(archive.namelist()))


def _languages(pairs: list[dict[str, str]]) -> list[str]:
    return list(dict.fromkeys(language for members in pairs for language in members))


def _members_of(members: dict[str, str], languages: tuple[str, str]) -> tuple[str, str] | None:
    """Names of the source and the target member; None if they are in other languages."""
    source, target = (find_language(language, list(members)) for language in languages)
    if source is None or target is None:
        return None
    names = list(members.values())
    return names[source], names[target]


def require_plausible(info: zipfile.ZipInfo, path: str) -> None:
    """Raise UserError for a large member whose compression ratio is too high for text."""
    if info.file_size > max(MAX_RATIO * info.compress_size, MAX_SMALL_FILE):
        raise UserError(
            f"{path}: {excerpt(info.filename)} has {info.file_size:,} bytes, over {MAX_RATIO} times its size in the "
            "archive; if that is right, unpack it first"
        )


def _lines_of(archive: zipfile.ZipFile, path: str, names: tuple[str, str]) -> Iterator[Row]:
    for name in names:
        require_plausible(archive.getinfo(name), path)
    with archive.open(names[0]) as source_file, archive.open(names[1]) as target_file:
        source_lines, target_lines = (read_lines(cast(BinaryIO, file)) for file in (source_file, target_file))
        yield from aligned_rows(source_lines, target_lines, path=path, names=[excerpt(name) for name in names])


@contextmanager
def _opened(path: str) -> Iterator[zipfile.ZipFile]:
    """Open a zip file; errors of damaged ones become UserErrors that name the file."""
    try:
        with errors_naming(path), zipfile.ZipFile(path) as archive:
            yield archive
    except _DAMAGE_ERRORS as error:
        raise UserError(f"{path}: a damaged zip file: {excerpt(error)}") from None
    except (RuntimeError, NotImplementedError) as error:  # encrypted, or an unsupported compression method
        raise UserError(f"{path}: {excerpt(error)}: unpack it yourself and name the files") from None
