"""Sample translations as Markdown, in which words are marked that translation and reference do not have in common."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

from translate.console import escape_markdown, markdown_table
from translate.evaluation.evaluate import Evaluation

_SAMPLE_CHARACTERS = 500


def sample_table(evaluation: Evaluation, count: int) -> str:
    """A Markdown table of evenly spaced lines: source, translation, reference; differences are in bold.

    Bold is what TensorBoard's text dashboard leaves of marked text: it removes colours and struck-out words.
    """
    count = min(count, len(evaluation.source))
    indices = [number * len(evaluation.source) // count for number in range(count)]
    rows = []
    for index in indices:
        sides = evaluation.source, evaluation.hypotheses, evaluation.references[0]
        source, hypothesis, reference = (side[index][:_SAMPLE_CHARACTERS] for side in sides)
        rows.append([escape_markdown(source), *marked_difference(hypothesis, reference)])
    return markdown_table(["source", "translation", "reference"], rows, escaped=True)


def marked_difference(first: str, second: str) -> tuple[str, str]:
    """Two texts as Markdown; runs of words that are in one of them only are in bold.

    A text without spaces is compared by characters.
    """
    is_spaced = " " in first.strip() or " " in second.strip()
    sides = [line.split() if is_spaced else list(line) for line in (first, second)]
    marked: tuple[list[str], list[str]] = [], []
    matcher = SequenceMatcher(None, sides[0], sides[1], autojunk=False)
    for kind, start, end, other_start, other_end in matcher.get_opcodes():
        for parts, words in zip(marked, (sides[0][start:end], sides[1][other_start:other_end]), strict=True):
            if words:
                parts.append(_markdown(words, separator=" " if is_spaced else "", bold=kind != "equal"))
    joined = [(" " if is_spaced else "").join(parts) for parts in marked]
    return joined[0], joined[1]


def _markdown(words: Sequence[str], *, separator: str, bold: bool) -> str:
    text = escape_markdown(separator.join(words))
    return f"**{text}**" if bold and text.strip() else text
