"""The direction of translation: both languages, taken from the files where they are not set, and its reverse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from translate.data.corpora import DataConfig
from translate.data.corpus import CorpusConfig, CorpusFormat
from translate.data.forms.archives import moses_languages
from translate.data.forms.catalogues import SIDES, po_languages
from translate.data.forms.language_names import language_of_name
from translate.data.forms.language_tags import choose_sides
from translate.data.forms.markup import markup_languages
from translate.data.forms.named_sets import mtdata_languages, with_sacrebleu_files
from translate.data.forms.recognition import recognise
from translate.data.forms.records import json_keys, jsonl_keys, parquet_keys
from translate.data.forms.rows import matching_files
from translate.data.forms.tables import table_columns, tsv_columns
from translate.data.forms.workbooks import workbook_columns
from translate.errors import UserError, errors_naming

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
    CorpusFormat.tmx: partial(markup_languages, form=CorpusFormat.tmx),
    CorpusFormat.xliff: partial(markup_languages, form=CorpusFormat.xliff),
    CorpusFormat.po: po_languages,
    CorpusFormat.moses: moses_languages,
}


def with_languages(data: DataConfig) -> DataConfig:
    """The configuration with both languages, where it or the first corpus whose file names them says which.

    Raises UserError for a file of more than two languages, or less, with a list of them, unless data.source_language
    and data.target_language choose.
    """
    for key, corpus in data.training_corpora + data.evaluation_corpora:
        if data.source_language and data.target_language:
            break
        if corpus.source_language and corpus.target_language:  # of its own, as for a model of several directions
            continue
        if corpus.paths:
            corpus.check(key)  # before they are read: a pipe might have no end
        with errors_naming(key):
            if found := _languages_of(corpus):
                source, target = choose_sides(found, data.source_language, data.target_language, name=corpus.title)
                data = replace(data, source_language=source, target_language=target)
    return data


def _languages_of(corpus: CorpusConfig) -> list[str]:
    """Languages that the first file of a corpus names, or the columns of a table; none for columns that are given."""
    if corpus.format is CorpusFormat.mtdata:
        return mtdata_languages(corpus)
    if not corpus.paths:
        return []
    path = matching_files(corpus)[0]
    form = recognise(path) if corpus.format is CorpusFormat.auto else corpus.format
    if form in COLUMNS:
        names = map(language_of_name, COLUMNS[form](path) if corpus.is_searched else [])
        named = list(dict.fromkeys(filter(None, names)))
        return named if len(named) > 1 else []
    if form not in LANGUAGES:
        return []
    found = LANGUAGES[form](path)
    return found[::-1] if corpus.source == SIDES[1] else found


def reversed_direction(data: DataConfig) -> DataConfig:
    """The data in the other direction, for a model that translates back; without further test sets.

    Raises UserError for a corpus whose sides cannot be swapped.
    """
    data = with_languages(data)
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
