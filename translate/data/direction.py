"""Source and target language of the data, taken from the corpora's files where the configuration does not set them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from translate.data.archives import moses_languages
from translate.data.catalogues import SIDES, po_languages
from translate.data.corpora import DataConfig
from translate.data.corpus import CorpusConfig, CorpusFormat
from translate.data.languages import choose_sides
from translate.data.markup import markup_languages
from translate.data.named_sets import mtdata_languages
from translate.data.recognition import recognise
from translate.data.rows import matching_files
from translate.errors import errors_naming

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
        with errors_naming(key):
            if found := _languages_of(corpus):
                source, target = choose_sides(found, data.source_language, data.target_language, name=corpus.title)
                data = replace(data, source_language=source, target_language=target)
    return data


def _languages_of(corpus: CorpusConfig) -> list[str]:
    """Languages that the first file of a corpus names; none for one of another form, or by columns."""
    if corpus.format is CorpusFormat.mtdata:
        return mtdata_languages(corpus)
    if not corpus.paths:
        return []
    path = matching_files(corpus)[0]
    form = recognise(path) if corpus.format is CorpusFormat.auto else corpus.format
    if form not in LANGUAGES:
        return []
    found = LANGUAGES[form](path)
    return found[::-1] if corpus.source == SIDES[1] else found
