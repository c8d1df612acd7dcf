"""An evaluation as files for people and programs, and as a few aligned lines for the terminal."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from translate.console import escape_markdown, markdown_table, text_table
from translate.disk_space import write_error
from translate.evaluation.evaluate import Evaluation, Group
from translate.evaluation.metrics import NormalisedScores, command, sentence_chrf
from translate.evaluation.scores import Score
from translate.files import write_json, write_text
from translate.text import write_lines

HYPOTHESES, _MARKDOWN, REPORT = REPORT_FILES = "hypotheses.txt", "report.md", "report.json"


def write_report(
    evaluation: Evaluation, directory: str | Path, *, examples: int, reference_paths: Sequence[str] = ()
) -> None:
    """Write hypotheses.txt, report.md and report.json, in this order; each appears whole.

    examples         number of the worst and of the best lines, by sentence chrF, that are shown
    reference_paths  names of the references in the sacrebleu command that repeats the scores

    Raises UserError if the folder cannot be written.
    """
    directory = Path(directory)
    repeat = command(
        list(evaluation.scores),
        evaluation.tokenize,
        references=reference_paths or ["REFERENCE"] * len(evaluation.references),
        hypotheses=str(directory / HYPOTHESES),
    )
    chosen = _examples(evaluation, examples)
    report = {**_summary(evaluation), "command": repeat, "reference_files": [*reference_paths], **chosen}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        write_lines(directory / HYPOTHESES, evaluation.hypotheses)
        write_text(directory / _MARKDOWN, _markdown(evaluation, repeat, chosen))
        write_json(directory / REPORT, report)
    except OSError as error:
        raise write_error(Path(error.filename or directory), error) from None


def reference_files(paths: Sequence[str], references: Sequence[Sequence[str]], directory: str | Path) -> list[str]:
    """Files from which the sacrebleu command reads these references: `paths`, if they hold exactly these lines.

    Otherwise (a part of a file, a column, a file with a byte order mark) the lines are written into the directory, as
    references.txt, references.1.txt and so on.
    """
    if paths and all(_holds(path, lines) for path, lines in zip(paths, references, strict=True)):
        return list(paths)
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    written = [directory / name for name in reference_names(len(references))]
    for path, lines in zip(written, references, strict=True):
        write_lines(path, lines)
    return [str(path) for path in written]


def reference_names(count: int) -> list[str]:
    """Names of the files that reference_files writes."""
    return ["references.txt" if not number else f"references.{number}.txt" for number in range(count)]


def _holds(path: str, lines: Sequence[str]) -> bool:
    content = "\n".join(lines).encode()
    try:
        with gzip.open(path, "rb") if path.endswith(".gz") else open(path, "rb") as file:  # as sacreBLEU opens it
            # a last line may lack its end
            return file.read() in (content, content + b"\n")
    except gzip.BadGzipFile:  # text in spite of its name
        return False


def terminal_text(evaluation: Evaluation) -> str:
    """Scores with signatures, remarks on them, then the groups as an aligned table."""
    lines = [f"{evaluation.name}: {_counts(evaluation)}"]
    lines += [text_table(_score_rows(evaluation)), *_remarks(evaluation)]
    for table in _group_tables(evaluation):
        lines += ["", text_table(table, right=range(1, len(table[0])))]
    return "\n".join(lines)


def _summary(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "name": evaluation.name,
        "lines": len(evaluation.source),
        "scores": {metric.value: _score_fields(score) for metric, score in evaluation.scores.items()},
        "exact": evaluation.exact,
        "length_ratio": evaluation.length_ratio,
        "seconds": round(evaluation.seconds, 3),
        "references": len(evaluation.references),
        "tokenize": evaluation.tokenize,
        "decoding": evaluation.decoding,
        "notes": evaluation.notes,
        "nfc": _normalised_fields(evaluation.normalised),
        "by_length": [_group_fields(group) for group in evaluation.by_length],
        "by_label": [_group_fields(group) for group in evaluation.by_label],
    }


def _normalised_fields(normalised: NormalisedScores | None) -> dict[str, Any] | None:
    if normalised is None:
        return None
    return {
        "hypotheses_not_nfc": normalised.hypotheses,
        "references_not_nfc": normalised.references,
        "scores": {metric.value: score.value for metric, score in normalised.scores.items()},
    }


def _score_fields(score: Score) -> dict[str, Any]:
    fields = {"name": score.name, "value": score.value, "interval": score.interval, "signature": score.signature}
    return fields | score.details


def _group_fields(group: Group) -> dict[str, Any]:
    values = {metric.value: score.value for metric, score in group.scores.items()}
    return {"name": group.name, "lines": group.size, **values, "exact": group.exact}


def _examples(evaluation: Evaluation, count: int) -> dict[str, list[dict[str, Any]]]:
    """The worst and the best lines by sentence chrF, none twice; line numbers count from 1."""
    if not count:
        return {"worst": [], "best": []}
    values = sentence_chrf(evaluation.hypotheses, evaluation.references)
    order = sorted(range(len(values)), key=lambda index: (values[index], index))
    lines = list(zip(*evaluation.references, strict=True))
    # a line that equals a reference is not among the worst: chrF gives two empty ones 0
    worst = [index for index in order if evaluation.hypotheses[index] not in lines[index]][:count]
    # in a small set a line would else be in both lists
    best = [index for index in order[::-1] if index not in worst][:count]

    def fields(index: int) -> dict[str, Any]:
        reference, *further = lines[index]
        return {
            "line": index + 1,
            "chrf": values[index],
            "source": evaluation.source[index],
            "hypothesis": evaluation.hypotheses[index],
            "reference": reference,
            **({"further_references": further} if further else {}),
        }

    return {"worst": list(map(fields, worst)), "best": list(map(fields, best))}


def _markdown(evaluation: Evaluation, repeat: str, examples: dict[str, list[dict[str, Any]]]) -> str:
    parts = [
        f"# Evaluation of {evaluation.name}",
        _counts(evaluation) + ".",
        markdown_table(["metric", "value", "signature"], _score_rows(evaluation)),
        *([f"The same numbers: `{repeat}`"] if repeat else []),
        *(f"{escape_markdown(remark[:1].upper() + remark[1:])}." for remark in _remarks(evaluation)),
    ]
    for header, *rows in _group_tables(evaluation):
        parts += [f"## By {header[0]}", markdown_table(header, rows)]
    for title, chosen in examples.items():
        if chosen:
            parts += [f"## The {title} lines, by sentence chrF", *map(_example, chosen)]
    return "\n\n".join(parts) + "\n"


def _example(example: dict[str, Any]) -> str:
    texts = [f"- {side}: {escape_markdown(example[side])}" for side in ("source", "hypothesis", "reference")]
    texts += [f"- or: {escape_markdown(line)}" for line in example.get("further_references", ())]
    return f"Line {example['line']}, chrF {example['chrf']:.1f}\n\n" + "\n".join(texts)


def _counts(evaluation: Evaluation) -> str:
    lines = len(evaluation.source)
    speed = lines / max(evaluation.seconds, 1e-9)  # 0 s: scored without translating
    several = len(evaluation.references) > 1
    return (
        f"{lines:,} lines in {evaluation.seconds:.1f} s ({speed:,.1f} lines/s), "
        f"{evaluation.exact:.1%} exactly {'a' if several else 'the'} reference, "
        f"length ratio {evaluation.length_ratio:.3f}{' to the closest reference' if several else ''}"
    )


def _remarks(evaluation: Evaluation) -> list[str]:
    """Warnings, settings of decoding, scores in NFC and notes; a line each."""
    made = ", ".join(f"{name} {value}" for name, value in evaluation.decoding.items())
    normalised = [] if evaluation.normalised is None else [str(evaluation.normalised)]
    empty = [evaluation.empty_note] if evaluation.empty_note else []
    return [*empty, *([f"decoded with {made}"] if made else []), *normalised, *evaluation.notes]


def _score_rows(evaluation: Evaluation) -> list[list[str]]:
    return [[score.name, score.rounded, score.signature] for score in evaluation.scores.values()]


def _group_tables(evaluation: Evaluation) -> Iterator[list[list[str]]]:
    """The tables of groups that there are, each a header and rows."""
    for title, groups in (("source words", evaluation.by_length), ("label", evaluation.by_label)):
        if groups:
            header = [title, "lines", *(score.name for score in groups[0].scores.values()), "exact"]
            yield [header, *(_group_row(group) for group in groups)]


def _group_row(group: Group) -> list[str]:
    values = [f"{score.value:.1f}" for score in group.scores.values()]
    return [group.name, f"{group.size:,}", *values, f"{group.exact:.1%}"]
