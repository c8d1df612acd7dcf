"""Data sets loaded by name: test sets of sacreBLEU, and corpora in the index of mtdata.

Both libraries download a set once, into their own cache folders ($SACREBLEU, $MTDATA).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from translate.data.corpus import CorpusConfig, CorpusFormat
from translate.data.formats.language_tags import is_language
from translate.data.formats.rows import Row, as_line
from translate.errors import UserError, excerpt, import_extra

logger = logging.getLogger(__name__)


def with_sacrebleu_files(config: CorpusConfig) -> CorpusConfig:
    """Replace a test set of sacreBLEU by its text files: the source and all references. Other corpora are unchanged.

    Raises UserError, see sacrebleu_files.
    """
    if config.format is not CorpusFormat.sacrebleu:
        return config
    source, references = sacrebleu_files(config.name, config.source_language, config.target_language)
    return replace(config, format=CorpusFormat.text, source=source, target=references)


def sacrebleu_files(name: str, source_language: str, target_language: str) -> tuple[str, list[str]]:
    """Source and references of a test set of sacreBLEU, downloaded if necessary; a language may be "".

    Raises UserError for an unknown name or direction, or a set that cannot be downloaded.
    """
    from sacrebleu.dataset import DATASETS

    dataset = DATASETS.get(name)
    if dataset is None:
        raise UserError(f"sacreBLEU has no test set {excerpt(name)}: `sacrebleu --list` shows them")
    pair = _direction(name, source_language, target_language, list(dataset.langpairs))
    try:
        return dataset.get_source_file(pair), list(dataset.get_reference_files(pair))
    except (OSError, SystemExit) as error:  # sacreBLEU exits if a checksum is wrong
        raise UserError(f"sacreBLEU cannot download {name} ({pair}): {error}") from None


def _direction(name: str, source: str, target: str, pairs: list[str]) -> str:
    """The test set's name for a direction, such as en-de."""
    if not (source and target):
        raise UserError(
            f"{name} has test sets of {len(pairs)} directions ({excerpt(', '.join(pairs))}): set "
            "data.source_language=… data.target_language=…"
        )
    for pair in pairs:
        first, second = pair.split("-")
        if _is_same(source, first) and _is_same(target, second):
            return pair
    raise UserError(f"{name} has no test set {source}-{target}, only {excerpt(', '.join(pairs))}")


def _is_same(wanted: str, language: str) -> bool:
    return is_language(wanted, language) or is_language(language, wanted)


def read_mtdata(config: CorpusConfig) -> Iterator[Row]:
    """Pairs of a corpus in mtdata's index, read by mtdata's parsers."""
    entry = _entry(config.name)
    parsing = import_extra("mtdata.parser", extra="mtdata", purpose="format=mtdata")
    swapped = _is_swapped(entry, config)
    with _mtdata_errors(config.name):
        parser = parsing.Parser(_local_paths(entry), ext=entry.in_ext or None, ent=entry)
        for number, (first, second, *_) in enumerate(parser.read_segs(show_pbar=False), start=1):
            sides = as_line(first or ""), as_line(second or "")
            source, target = reversed(sides) if swapped else sides
            yield Row(config.name, number, source, target)


def mtdata_files(config: CorpusConfig) -> list[str]:
    """Downloaded files of a corpus in mtdata's index. Raises UserError if it is unknown or cannot be downloaded."""
    with _mtdata_errors(config.name):
        paths = _local_paths(_entry(config.name))
    return list(dict.fromkeys(file for path in paths for file in _files_of(path)))


def _files_of(found: Any) -> list[str]:
    """Files of an entry of mtdata's cache: a path, a member of an archive, or a data set of the hub."""
    if isinstance(found, Path):
        return [str(found)]
    if hasattr(found, "cache_files"):
        return [file["filename"] for file in found.cache_files]
    return [str(found.root)]


def mtdata_languages(config: CorpusConfig) -> list[str]:
    """The two languages in a corpus name of mtdata, GROUP-NAME-VERSION-LANGUAGE-LANGUAGE."""
    parts = config.name.split("-")
    if len(parts) != 5:
        raise UserError(
            f"{excerpt(config.name)} is not a parallel corpus of mtdata: their names, which `mtdata list` shows, are "
            "GROUP-NAME-VERSION-LANGUAGE-LANGUAGE"
        )
    return parts[3:]


def _entry(name: str) -> Any:
    """The entry of mtdata's index for a corpus name. Raises UserError for an unknown name."""
    mtdata = _import_mtdata()
    mtdata_languages(CorpusConfig(format=CorpusFormat.mtdata, name=name))  # for its error
    if not Path(mtdata.cached_index_file).exists():
        logger.info("mtdata builds its index of data sets, once: this takes half a minute")
    with _mtdata_errors(name), _root_logger_kept():
        index = import_extra("mtdata.index", extra="mtdata", purpose="format=mtdata")
        entries = import_extra("mtdata.entry", extra="mtdata", purpose="format=mtdata")
        dataset_id = entries.DatasetId.parse(name)
        if dataset_id not in index.INDEX:
            raise UserError(f"mtdata has no corpus {excerpt(name)}: `mtdata list` shows them")
        return index.INDEX[dataset_id]


def _import_mtdata() -> Any:
    with _root_logger_kept():
        return import_extra("mtdata", extra="mtdata", purpose="format=mtdata")


def _local_paths(entry: Any) -> list[Any]:
    """Files of an entry in mtdata's cache, downloaded if missing."""
    caches = import_extra("mtdata.cache", extra="mtdata", purpose="format=mtdata")
    found = caches.Cache(_import_mtdata().cache_dir).get_entry(entry)
    return list(found) if isinstance(found, list | tuple) else [found]


def _is_swapped(entry: Any, config: CorpusConfig) -> bool:
    """True if the entry's second language is the source. Raises UserError if the entry has other languages."""
    tags = import_extra("mtdata.iso.bcp47", extra="mtdata", purpose="format=mtdata")
    first, second = entry.did.langs
    for languages, swapped in (((first, second), False), ((second, first), True)):
        wanted = zip((config.source_language, config.target_language), languages, strict=True)
        # mtdata knows that en and eng are one language
        if all(not given or _is_compatible(tags.bcp47.try_parse(given), language) for given, language in wanted):
            return swapped
    raise UserError(
        f"{config.name} has text in {first} and {second}, not {config.source_language} and {config.target_language}"
    )


def _is_compatible(tag: Any, language: Any) -> bool:
    return tag is not None and bool(tag.is_compatible(language))


@contextmanager
def _mtdata_errors(name: str) -> Iterator[None]:
    """Turn errors of mtdata into UserErrors that name the corpus."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # mtdata raises Exception itself, and errors of the libraries it uses
        raise UserError(f"mtdata cannot load {excerpt(name)}: {type(error).__name__}: {excerpt(error)}") from None


@contextmanager
def _root_logger_kept() -> Iterator[None]:
    """Restore the root logger, which mtdata reconfigures when it is imported."""
    root = logging.getLogger()
    handlers, level = [*root.handlers], root.level
    try:
        yield
    finally:
        root.handlers, root.level = handlers, level
