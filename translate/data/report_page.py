"""Data report as a Markdown page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from translate.console import markdown_code, markdown_table

Values = dict[str, Any]
_SIDES = ("source", "target")
_UNITS = ("characters", "words", "tokens")


def as_markdown(values: Values) -> str:
    """Markdown of the report's values; sections without content are left out, or say so."""
    splits = values["splits"]
    languages = [values[f"{side}_language"] or side for side in _SIDES]
    sections = [
        f"# Data report: {' → '.join(languages)}",
        "All numbers are of the text as its files hold it, before cleaning, except tokens: those are of the "
        "training pairs that cleaning kept. A word is text between spaces.",
        *_warnings(values["warnings"]),
        "## Sizes\n\n" + "\n\n".join([_sizes(splits), *_notes(values), _vocabulary(values["vocabulary"])]),
        "## Lengths\n\n" + _lengths(splits),
        "## Cleaning of the training text\n\n" + _cleaning(values["cleaning"]),
        "## Unusual pairs\n\n" + _findings(splits),
        "## Unicode\n\n" + _unicode(values["target_unicode"], values["cleaning"]["total"]),
        "## Validation and test against the training text\n\n" + _overlap(splits) + "\n\n" + _likeness(splits),
        "## Examples\n\n" + _examples(splits),
    ]
    return "\n\n".join(sections) + "\n"


def _sizes(splits: Values) -> str:
    rows = [
        (name, corpus["key"], f"{corpus['pairs']:,}", f"{corpus['weight']:g}")
        for name, split in splits.items()
        for corpus in split["corpora"]
    ]
    return markdown_table(("split", "corpus", "pairs", "weight"), rows)


def _warnings(warnings: Sequence[str]) -> list[str]:
    return ["## Warnings\n\n" + "\n".join(f"- {line}" for line in warnings)] if warnings else []


def _notes(values: Values) -> list[str]:
    """Notes without which the numbers mislead."""
    notes = []
    if held_out := values["held_out"]:
        conjunction = " and " if len(held_out["sizes"]) == 2 else ", "
        sets = conjunction.join(f"{size:,} pairs as data.{name}" for name, size in held_out["sizes"].items())
        origin = "the training corpora" if any("." in name for name in held_out["sizes"]) else "data.train"
        notes.append(f"Held out from {origin}: {sets}, and {held_out['left_out']:,} like them that are in no set.")
    corpora = [corpus for split in values["splits"].values() for corpus in split["corpora"]]
    for corpus in corpora:
        if count := max(corpus["carriage_returns"].values()):
            notes.append(
                f"{corpus['key']}: CRLF line ends, {count:,} of {corpus['pairs']:,}; they do not count as text."
            )
    # with one tag, or none, repeats are what a reader expects
    if len({corpus["tag"] for corpus in corpora}) > 1:
        notes.append("Corpora have tags: a repeat is counted where the tag is the same, too.")
    return notes


def _vocabulary(vocabulary: Values) -> str:
    if vocabulary["shared"]:
        return f"One vocabulary of {vocabulary['source']:,} pieces for both sides."
    return f"Vocabularies of {vocabulary['source']:,} pieces (source) and {vocabulary['target']:,} (target)."


def _lengths(splits: Values) -> str:
    rows = []
    for name, split in splits.items():
        for side in _SIDES:
            for unit in _UNITS:
                if unit in split[side]:
                    numbers = [f"{split[side][unit][column]:,}" for column in ("min", "median", "p95", "max", "total")]
                    rows.append((name, side, unit, *numbers))
    return markdown_table(("split", "side", "unit", "min", "median", "95 %", "max", "total"), rows)


def _cleaning(cleaning: Values) -> str:
    """Table of what was dropped, and examples for each reason."""
    blocks = ["```\n" + cleaning["table"] + "\n```"]
    for reason, examples in cleaning["examples"].items():
        lines = "\n".join(map(_example, examples))
        blocks.append(f"**dropped: {reason}**, {cleaning['dropped'][reason]:,}\n\n{lines}")
    return "\n\n".join(blocks)


def _findings(splits: Values) -> str:
    """Table with a row for each kind of finding and a column for each split, without kinds that no split has."""
    names = [f"repeated {side}" for side in (*_SIDES, "pair")]
    names += dict.fromkeys(name for split in splits.values() for name in split["findings"])
    rows = []
    for name in names:
        counts = [_all_findings(split).get(name, {"count": 0})["count"] for split in splits.values()]
        if any(counts):
            shares = zip(counts, splits.values(), strict=True)
            rows.append((name, *(_share(count, split["pairs"]) for count, split in shares)))
    return markdown_table(("pairs with", *splits), rows) if rows else "Nothing."


def _unicode(target: Values, lines: int) -> str:
    if not any(target["changed_lines"].values()):
        return f"Models read and write NFC. Translations are written in {target['form']}."
    changed = [f"{form} {_share(count, lines)}" for form, count in target["changed_lines"].items()]
    return (
        "Models read and write NFC. Lines of the training target that change on the way to NFC and back to each form: "
        f"{', '.join(changed)}. Translations are written in the form {target['form']}."
    )


def _overlap(splits: Values) -> str:
    rows = []
    for name, split in splits.items():
        if "overlap" in split:
            counts = [split["overlap"][part]["count"] for part in (*_SIDES, "pair")]
            rows.append((name, *(_share(count, split["pairs"]) for count in counts)))
    return markdown_table(("split", "same source", "same target", "same pair"), rows)


def _likeness(splits: Values) -> str:
    rows = []
    for split_name, split in splits.items():
        for side in _SIDES if "likeness" in split else ():
            found = split["likeness"][side]
            lengths = [f"{found[name]:,} ({found[f'train_{name}']:,})" for name in ("median", "p95")]
            scripts = f"{found['script'] or '–'} ({found['train_script'] or '–'})"
            rows.append((split_name, side, *lengths, scripts, f"{found['unseen_characters']:.2%}"))
    header = ("split", "side", "median characters (training)", "95 % (training)", "script (training)")
    return markdown_table((*header, "characters not in training"), rows)


def _examples(splits: Values) -> str:
    blocks = []
    for name, split in splits.items():
        found = _all_findings(split)
        found |= {f"same {part} as in training": finding for part, finding in split.get("overlap", {}).items()}
        for title, finding in found.items():
            if finding["examples"]:
                lines = "\n".join(_example(example) for example in finding["examples"])
                blocks.append(f"**{name}: {title}**, {finding['count']:,}\n\n{lines}")
    return "\n\n".join(blocks) or "None."


def _all_findings(split: Values) -> Values:
    return {f"repeated {part}": found for part, found in split["duplicates"].items()} | split["findings"]


def _example(example: Values) -> str:
    times = f", {example['times']} times" if "times" in example else ""
    texts = " → ".join(markdown_code(example[side]) for side in _SIDES)
    return f"- {example['corpus']} line {example['line']:,}{times}: {texts}"


def _share(count: int, total: int) -> str:
    return f"{count:,} ({count / total:.1%})" if count else "–"
