"""Models of several target languages: their directions and tags, and the share of each direction in an epoch.

The tag of a target language stands in front of the source (Johnson et al. 2017). Directions are mixed by temperature:
one with n pairs is seen in proportion to n^(1/T) (Arivazhagan et al. 2019; Conneau et al. 2020 write α for 1/T).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from translate.console import text_table
from translate.data.corpus import CorpusConfig
from translate.data.formats.language_names import same_language
from translate.data.formats.language_tags import is_language, normalised_tag
from translate.errors import UserError, excerpt


@dataclass(frozen=True, kw_only=True)
class Direction:
    """A direction of translation; languages are normalised codes, "" for one that is not known.

    tag      in front of its source lines
    corpora  indices of its training corpora
    """

    source_language: str
    target_language: str
    tag: str = ""
    corpora: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        return name_of_direction(self.source_language, self.target_language)


def name_of_direction(source_language: str, target_language: str) -> str:
    """Name of a direction in reports, such as en-de."""
    return "-".join(normalised_tag(language) for language in (source_language, target_language) if language)


def tag_of_language(language: str) -> str:
    """The tag that asks for translations into a language, such as <2de>."""
    return f"<2{normalised_tag(language)}>"


def directions_of(corpora: Sequence[CorpusConfig]) -> list[Direction]:
    """The directions of training corpora in the order of their first corpora, whose tags they have."""
    groups: dict[tuple[str, str], list[int]] = {}
    for index, corpus in enumerate(corpora):
        key = normalised_tag(corpus.source_language), normalised_tag(corpus.target_language)
        groups.setdefault(key, []).append(index)
    return [
        Direction(source_language=source, target_language=target, tag=corpora[indices[0]].tag, corpora=tuple(indices))
        for (source, target), indices in groups.items()
    ]


def target_languages(directions: Sequence[Direction]) -> list[str]:
    """The known target languages, each once."""
    return list(dict.fromkeys(each.target_language for each in directions if each.target_language))


def temperature_weights(corpora: Sequence[CorpusConfig], pairs: Sequence[int], temperature: float) -> list[float]:
    """Weight of each training corpus where directions are mixed by temperature; at 1 its own.

    pairs  kept of each corpus
    """
    weights = [corpus.weight for corpus in corpora]
    if temperature == 1:
        return weights
    directions = directions_of(corpora)
    seen = [_pairs_seen(direction, pairs, weights) for direction in directions]
    for direction, count in zip(directions, seen, strict=True):
        for index in direction.corpora:
            # the largest direction keeps its weight, smaller ones are seen more often
            weights[index] *= (max(seen) / count) ** (1 - 1 / temperature) if count else 1.0
    return weights


def describe_mix(corpora: Sequence[CorpusConfig], pairs: Sequence[int], weights: Sequence[float]) -> str:
    """Table of the directions: tags, pairs, and their shares of an epoch in which all corpora take part."""
    directions = directions_of(corpora)
    seen = [_pairs_seen(direction, pairs, weights) for direction in directions]
    rows = [["direction", "tag", "pairs", "share of an epoch"]]
    for direction, count in zip(directions, seen, strict=True):
        tags = dict.fromkeys(corpora[index].tag or "none" for index in direction.corpora)
        kept = sum(pairs[index] for index in direction.corpora)
        rows.append([direction.name, " ".join(tags), f"{kept:,}", f"{count / max(sum(seen), 1e-9):.1%}"])
    return text_table(rows, right=[2, 3])


def _pairs_seen(direction: Direction, pairs: Sequence[int], weights: Sequence[float]) -> float:
    """Pairs of a direction that an epoch sees."""
    return sum(pairs[index] * weights[index] for index in direction.corpora)


@dataclass(frozen=True, kw_only=True)
class TrainedDirection:
    """A direction of a model of several target languages, as its manifest has it.

    bleu_tokenizer  of its scores in the run
    """

    source_language: str
    target_language: str
    tag: str
    bleu_tokenizer: str

    @property
    def name(self) -> str:
        return name_of_direction(self.source_language, self.target_language)


def directions_of_manifest(manifest: Mapping[str, Any]) -> list[TrainedDirection]:
    """Directions of a model; none where it has one target language. Raises UserError for a damaged manifest."""
    found = manifest.get("directions", [])
    names = {field.name for field in fields(TrainedDirection)}
    is_whole = isinstance(found, list) and all(isinstance(each, dict) and each.keys() == names for each in found)
    if not is_whole or not all(isinstance(value, str) for each in found for value in each.values()):
        raise UserError("the model's manifest.json: directions is damaged")
    return [TrainedDirection(**each) for each in found]


def choose_direction(manifest: Mapping[str, Any], *, target_language: str, tag: str) -> dict[str, Any]:
    """The manifest, with the languages, the tag and BLEU's tokenizer of the direction that an option chooses.

    Unchanged for a model of one target language, and where both options are "". Raises UserError for a language that
    the model does not translate into, and for options that contradict each other.
    """
    directions = directions_of_manifest(manifest)
    of_tag = [direction for direction in directions if tag and direction.tag == tag]
    if not directions or not (target_language or of_tag):
        return dict(manifest)
    chosen = of_tag or directions  # a tag of no direction, such as <bt>, says nothing about languages
    if target_language:
        chosen = _into_language(chosen, target_language)
    if not chosen:
        beside = f" with tag={tag}" if of_tag else ""
        listing = ", ".join(f"{each.target_language} ({each.name}: {each.tag})" for each in directions)
        raise UserError(
            f"target_language={excerpt(target_language)}{beside}: the model does not translate into it; set one of "
            f"{listing}"
        )
    if len(tags := dict.fromkeys(each.tag for each in chosen)) > 1:
        raise UserError(f"target_language={target_language} has several tags: set tag= to one of {', '.join(tags)}")
    first, sources = chosen[0], {each.source_language for each in chosen}
    return {**manifest, **asdict(first), "source_language": first.source_language if len(sources) == 1 else ""}


def require_target_language(manifest: Mapping[str, Any], target_language: str, *, tag: str) -> None:
    """Raise UserError for a target language that is not that of a model of one direction.

    A tag may choose another language, as in Marian models of several.
    """
    known = manifest.get("target_language", "")
    if known and target_language and not tag and not same_language(target_language, known):
        raise UserError(
            f"target_language={excerpt(target_language)}: the model translates into {excerpt(known)}; leave the option "
            "out, or choose another model"
        )


def _into_language(directions: Sequence[TrainedDirection], language: str) -> list[TrainedDirection]:
    """Directions into a language: into exactly this one, into variants of it, or into one that it is a variant of."""
    tests = (
        lambda known: normalised_tag(known) == normalised_tag(language),
        lambda known: is_language(language, known),
        lambda known: is_language(known, language),
    )
    found = ([each for each in directions if test(each.target_language)] for test in tests)
    return next(filter(None, found), [])
