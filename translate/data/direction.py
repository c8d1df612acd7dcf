"""The direction of translation: both languages, taken from the files where they are not set, and its reverse."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from translate.data.corpora import DataConfig, KeyedCorpora, is_validation
from translate.data.corpus import CorpusConfig, CorpusFormat
from translate.data.formats.archives import moses_languages
from translate.data.formats.catalogues import SIDES, po_languages
from translate.data.formats.language_names import language_of_name
from translate.data.formats.language_tags import choose_sides, find_language, is_language, normalised_tag
from translate.data.formats.markup import markup_languages
from translate.data.formats.named_sets import mtdata_languages, with_sacrebleu_files
from translate.data.formats.recognition import recognise
from translate.data.formats.records import json_keys, jsonl_keys, parquet_keys
from translate.data.formats.rows import matching_files
from translate.data.formats.tables import table_columns, tsv_columns
from translate.data.formats.workbooks import workbook_columns
from translate.data.languages import (
    Direction,
    TrainedDirection,
    directions_of,
    name_of_direction,
    tag_of_language,
    target_languages,
)
from translate.errors import UserError, errors_naming, excerpt

_CODE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
# Names of columns, or keys of records, which may be those of languages
COLUMNS: dict[CorpusFormat, Callable[[str], list[str]]] = {
    CorpusFormat.csv: table_columns,
    CorpusFormat.tsv: tsv_columns,
    CorpusFormat.xlsx: workbook_columns,
    CorpusFormat.json: json_keys,
    CorpusFormat.jsonl: jsonl_keys,
    CorpusFormat.parquet: parquet_keys,
}
# Languages that a file names, the source language first; "" for one that it leaves unnamed
LANGUAGES: dict[CorpusFormat, Callable[[str], list[str]]] = {
    CorpusFormat.tmx: partial(markup_languages, file_format=CorpusFormat.tmx),
    CorpusFormat.xliff: partial(markup_languages, file_format=CorpusFormat.xliff),
    CorpusFormat.po: po_languages,
    CorpusFormat.moses: moses_languages,
}


def with_languages(data: DataConfig, base: Sequence[TrainedDirection] = ()) -> DataConfig:
    """The configuration with both languages, where it or the first corpus whose file names them says which.

    Further corpora whose files name others have these as their own. Where there are several target languages, corpora
    and sets without a tag get that of theirs.

    base  directions of the model that is adapted, if it has several target languages: its tags are used

    Raises UserError for a file of more than two languages, or less, with a list of them, unless data.source_language
    and data.target_language choose; and for a direction without sets.
    """
    data = _with_own_languages(_with_first_languages(data), given=(data.source_language, data.target_language))
    directions = directions_of([corpus for _, corpus in data.training_corpora])
    if data.temperature != 1 and (len(directions) == 1 or not all(each.target_language for each in directions)):
        raise UserError(
            f"data.temperature={data.temperature:g} mixes directions, and the training corpora are of "
            f"{_listing(directions)}: leave it out, or set source_language=… target_language=… of each corpus"
        )
    if not (data.directions or base):
        _check_sets(data, directions)
        return data
    data = _with_tags(data, base)
    _check_directions(data)
    data.check_names()
    return data


def _check_sets(data: DataConfig, directions: Sequence[Direction]) -> None:
    """Raise UserError for a set in another language than that of the training text."""
    for key, corpus in data.evaluation_corpora:
        source, target = corpus.source_language, corpus.target_language
        into = [each for each in directions if _may_equal(target, each.target_language)]
        # a test set may be of a source language that was not trained
        if not into or (is_validation(key) and not any(_may_equal(source, each.source_language) for each in into)):
            raise _direction_error(key, corpus, directions)


def _may_equal(language: str, other: str) -> bool:
    """True unless two languages are known to be different; one may be a variant of the other."""
    return not (language and other) or is_language(language, other) or is_language(other, language)


def _check_directions(data: DataConfig) -> None:
    """Raise UserError for codes that names of files cannot have, and for a tag that asks for two languages."""
    names, tagged = dict[str, tuple[str, str]](), dict[tuple[str, str], tuple[str, str]]()
    for key, corpus in data.training_corpora:
        source, target = languages = normalised_tag(corpus.source_language), normalised_tag(corpus.target_language)
        for option, language in zip(("source_language", "target_language"), languages, strict=True):
            if language and not _CODE.fullmatch(language):
                value = excerpt(repr(getattr(corpus, option)))
                raise UserError(f"{key}.{option} ({value}) must be the code of a language, such as de or zh-Hant")
        name = name_of_direction(*languages)
        if names.setdefault(name, languages) != languages:
            raise UserError(f"{key}: another direction is called {name} as well: set languages by other codes")
        first, language = tagged.setdefault((source, corpus.tag), (key, target))
        if language != target:
            raise UserError(
                f"{first} and {key} have the tag {corpus.tag} for two target languages, {language} and {target}: set "
                f"{key}.tag to another, or leave tags out, to have {tag_of_language(language)} and "
                f"{tag_of_language(target)}"
            )


def _with_first_languages(data: DataConfig) -> DataConfig:
    for key, corpus in data.training_corpora + data.evaluation_corpora:
        if data.source_language and data.target_language:
            break
        if corpus.source_language and corpus.target_language:  # of its own, as for a model of several directions
            continue
        if corpus.paths:
            corpus.check(key)  # before they are read: a pipe might have no end
        with errors_naming(key):
            if found := _languages_of(corpus):
                source = corpus.source_language or data.source_language
                target = corpus.target_language or data.target_language
                source, target = choose_sides(found, source, target, name=corpus.title)
                data = replace(data, source_language=source, target_language=target)
    return data


def _with_own_languages(data: DataConfig, given: tuple[str, str]) -> DataConfig:
    """Corpora behind the first with the two languages of their files, where those are others and none were given."""
    common, found = (data.source_language, data.target_language), dict[str, CorpusConfig]()
    if all(given) or not all(common):
        return data
    for key, corpus in [*_keyed("additional", data), *_keyed("further_valid", data), *_keyed("further_tests", data)]:
        languages = [] if corpus.source_language or corpus.target_language else _languages_of(corpus)
        if len(languages) == 2 and all(languages) and any(find_language(each, languages) is None for each in common):
            found[key] = replace(corpus, source_language=languages[0], target_language=languages[1])
    return _with_corpora(data, found)


def _with_tags(data: DataConfig, base: Sequence[TrainedDirection]) -> DataConfig:
    """The configuration with a tag for each corpus and each set that is given; see with_languages."""
    directions = directions_of([corpus for _, corpus in data.training_corpora])
    for key, corpus in data.training_corpora:
        if not corpus.target_language:
            others = f"adapt.model has {_listing(base)}" if base else f"other corpora have {_listing(directions)}"
            raise UserError(
                f"{key}: its target language is not known, and {others}: set {key}.source_language=… "
                f"{key}.target_language=…"
            )
    if base or len(target_languages(directions)) > 1:
        tags = {each.target_language: each.tag for each in base}
        tagged = {}
        for key, corpus in data.training_corpora:
            language = normalised_tag(corpus.target_language)
            tagged[key] = replace(corpus, tag=corpus.tag or tags.get(language) or tag_of_language(language))
        data = _with_corpora(data, tagged)
    (_, first), *_ = data.training_corpora
    directions = directions_of([corpus for _, corpus in data.training_corpora])
    sets = {}
    for key, corpus in data.evaluation_corpora:
        if key in ("data.valid", "data.test") and not (corpus.source_language or corpus.target_language):
            corpus = replace(corpus, source_language=first.source_language, target_language=first.target_language)
        sets[key] = _with_tag_of_direction(key, corpus, directions)
    if data.directions:
        _check_validation(sets, data)
    return _with_corpora(data, sets)


def _with_tag_of_direction(key: str, corpus: CorpusConfig, directions: Sequence[Direction]) -> CorpusConfig:
    """A validation or test set with the tag of its direction, or of its target language in another direction."""
    languages = normalised_tag(corpus.source_language), normalised_tag(corpus.target_language)
    into = [each for each in directions if each.target_language == languages[1]]
    exact = [each for each in into if each.source_language == languages[0] or (len(into) == 1 and not languages[0])]
    if not into or (is_validation(key) and not exact):
        raise _direction_error(key, corpus, directions)
    source = corpus.source_language or (exact or into)[0].source_language
    return replace(corpus, source_language=source, tag=corpus.tag or (exact or into)[0].tag)


def _direction_error(key: str, corpus: CorpusConfig, directions: Sequence[Direction]) -> UserError:
    name = name_of_direction(corpus.source_language, corpus.target_language)
    return UserError(
        f"{key} is of direction {name or 'unknown'}, and the training corpora are of {_listing(directions)}: set "
        f"{key}.source_language=… {key}.target_language=…"
    )


def _check_validation(sets: Mapping[str, CorpusConfig], data: DataConfig) -> None:
    """Raise UserError unless each direction has one validation set, or all are held out."""
    named: dict[str, str] = {}
    for key, corpus in sets.items():
        if is_validation(key) and (other := named.setdefault(data.name_of(key, corpus), key)) != key:
            raise UserError(
                f"{other} and {key} are both of direction {data.name_of(key, corpus)}: set their source_language=… "
                "target_language=…"
            )
    missing = [direction.name for direction in data.directions if direction.name not in named]
    if named and missing:
        raise UserError(
            f"direction {missing[0]} has no validation set: add one to data.further_valid, or leave out data.valid and "
            "data.further_valid, to have sets of all directions held out"
        )


def _listing(directions: Sequence[Direction | TrainedDirection]) -> str:
    return ", ".join(direction.name or "unknown" for direction in directions)


def _keyed(name: str, data: DataConfig) -> KeyedCorpora:
    """The corpora of an option that is a list, with their keys."""
    return [(f"data.{name}[{index}]", corpus) for index, corpus in enumerate(getattr(data, name))]


def _with_corpora(data: DataConfig, changed: Mapping[str, CorpusConfig]) -> DataConfig:
    """The configuration with some of its corpora replaced, by their keys."""
    settings: dict[str, Any] = {
        name: changed.get(f"data.{name}", getattr(data, name)) for name in ("train", "valid", "test")
    }
    for name in ("additional", "further_valid", "further_tests"):
        settings[name] = [changed.get(key, corpus) for key, corpus in _keyed(name, data)]
    return replace(data, **settings)


def _languages_of(corpus: CorpusConfig) -> list[str]:
    """Languages that the first file of a corpus names, or the columns of a table; none for columns that are given."""
    if corpus.format is CorpusFormat.mtdata:
        return mtdata_languages(corpus)
    if not corpus.paths:
        return []
    path = matching_files(corpus)[0]
    file_format = recognise(path) if corpus.format is CorpusFormat.auto else corpus.format
    if file_format in COLUMNS:
        names = map(language_of_name, COLUMNS[file_format](path) if corpus.is_searched else [])
        named = list(dict.fromkeys(filter(None, names)))
        return named if len(named) > 1 else []
    if file_format not in LANGUAGES:
        return []
    found = LANGUAGES[file_format](path)
    return found[::-1] if corpus.source == SIDES[1] else found


def reversed_direction(data: DataConfig) -> DataConfig:
    """The data in the other direction, for a model that translates back; without further test sets.

    Raises UserError for a corpus whose sides cannot be swapped.
    """
    data = with_languages(data)
    if data.directions:
        raise UserError(
            f"back-translation is for one direction, and the training corpora are of {_listing(data.directions)}: "
            "back-translate with a model of its own, and add its pairs to data.additional"
        )
    return replace(
        data,
        source_language=data.target_language,
        target_language=data.source_language,
        train=_swapped(data.train),
        additional=[_swapped(corpus) for corpus in data.additional],
        valid=_swapped(data.valid),
        # of sacreBLEU: another direction would be another test set
        test=_swapped(with_sacrebleu_files(dict(data.evaluation_settings)["data.test"])),
        further_tests=[],
    )


def _swapped(corpus: CorpusConfig) -> CorpusConfig:
    if corpus.format is CorpusFormat.squad:
        raise UserError("back-translation needs two sides that can be swapped; SQuAD's answers are not sentences")
    if corpus.is_searched and corpus.paths and not any(_languages_of(corpus)):
        raise UserError(
            f"back-translation swaps the sides of {corpus.title}, which does not name their languages: say by source= "
            "and target= which columns to read"
        )
    return replace(
        corpus,
        source=corpus.targets[0],
        target=corpus.source,
        source_language=corpus.target_language,
        target_language=corpus.source_language,
    )
