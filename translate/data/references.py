"""Corpora with several right translations of each source line."""

from __future__ import annotations

from dataclasses import replace

from translate.data.corpora import CorpusConfig, read_pairs
from translate.errors import UserError


def read_references(config: CorpusConfig, *, key: str) -> tuple[list[str], list[list[str]]]:
    """All N source lines, and N lines of each target. Raises UserError where targets have other sources or lengths."""
    source: list[str] = []
    references = []
    for number, target in enumerate(config.targets):
        pairs = list(read_pairs(replace(config, target=target), key=key))
        sources = [line for line, _ in pairs]
        if number and len(sources) != len(source):
            raise UserError(
                f"{key}.target: every reference needs as many lines, but {config.targets[0]} has {len(source):,} "
                f"and {target} has {len(sources):,}"
            )
        if number and sources != source:
            raise UserError(f"{key}.target: {config.targets[0]} and {target} belong to different source sentences")
        source = sources
        references.append([line for _, line in pairs])
    return source, references
