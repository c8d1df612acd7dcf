"""The test set that entries have in common; entries of another one are named, and not compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from translate.comparison.entries import Entry
from translate.comparison.results import SharedTest
from translate.comparison.test_sets import References, SourceText, content_of
from translate.errors import UserError
from translate.evaluation.tokenizers import TokenizerChoice, check_tokenizer, choose_tokenizer, tokenizer_of_record


@dataclass(frozen=True, kw_only=True)
class GivenTestSet:
    """The test set as far as the command line names it; "", empty or None where that leaves it to the runs.

    reference_paths  files of the references, for messages
    """

    references: References = field(default_factory=list)
    reference_paths: Sequence[str] = ()
    source: SourceText | None = None
    tokenize: str = ""
    target_language: str = ""
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Entries that are compared on a test set, the baseline first, and those that are not, each with its problem."""

    test: SharedTest
    entries: list[Entry]
    left_out: list[Entry]
    notes: list[str]


def select(entries: Sequence[Entry], given: GivenTestSet, *, baseline: Path | None) -> Selection | None:
    """Choose what can be compared with the baseline; None where no run has translations yet.

    baseline  None: the first that can be compared

    Raises UserError where files have no references, or another number of lines, and where the baseline cannot be
    compared.
    """
    references, owner = _references(entries, given, baseline)
    if references is None:
        return None
    checked = [_checked(entry, references, given, owner) for entry in entries]
    chosen = [entry for entry in checked if not entry.problem]
    if baseline is not None:
        [first] = [entry for entry in checked if entry.path == baseline]
        if first.problem:
            raise UserError(f"baseline={baseline} cannot be compared: {first.problem}")
        chosen = [first, *(entry for entry in chosen if entry is not first)]
    if not chosen:
        return None
    choice = _tokenizer(chosen, given, references)
    source = given.source or next((entry.text for entry in chosen if entry.text), None)
    if source is not None and len(source.source) != len(references[0]):
        raise UserError(f"source= has {len(source.source):,} lines, but the references have {len(references[0]):,}")
    notes = list(filter(None, [choice.note]))
    if any(not entry.references for entry in chosen) and owner is not None:
        notes.append(f"files of translations are scored against the references of {owner.path}")
    test = SharedTest(name=given.name, references=references, tokenize=choice.name, source=source)
    return Selection(test=test, entries=chosen, left_out=[entry for entry in checked if entry.problem], notes=notes)


def _references(
    entries: Sequence[Entry], given: GivenTestSet, baseline: Path | None
) -> tuple[References | None, Entry | None]:
    """The references of the comparison, and the run that they are from; None for what there is none of."""
    if given.references:
        return given.references, None
    with_own = [entry for entry in entries if entry.references and not entry.problem]
    # those of the baseline, unless it is a file
    ordered = sorted(with_own, key=lambda entry: entry.path != baseline)
    if ordered:
        return ordered[0].references, ordered[0]
    files = [entry for entry in entries if not entry.problem]
    if files:
        raise UserError(f"reference is not set: add reference=FILE, the references of {files[0].path}")
    return None, None


def _checked(entry: Entry, references: References, given: GivenTestSet, owner: Entry | None) -> Entry:
    """The entry, with a problem where it was scored on another test set or has another number of lines."""
    # given references replace those whose loss was the problem
    if entry.problem and not (given.references and entry.hypotheses):
        return entry
    count = len(references[0])
    if len(entry.hypotheses) != count:
        named = given.reference_paths[0] if given.reference_paths else f"the test set of {owner.path if owner else ''}"
        found = f"{named} has {count:,} lines, but {entry.path} has {len(entry.hypotheses):,}"
        # a file was named on purpose, a run may have come with a pattern
        if not entry.path.is_dir():
            raise UserError(found)
        return replace(entry, problem=f"another test set: {found}")
    if not given.references and entry.references and content_of(entry.references) != content_of(references):
        return replace(entry, problem=f"scored against other references than {owner.path if owner else ''}")
    return replace(entry, problem="")


def _tokenizer(entries: Sequence[Entry], given: GivenTestSet, references: References) -> TokenizerChoice:
    if given.tokenize:
        check_tokenizer(given.tokenize, key="tokenize")
        return TokenizerChoice(given.tokenize)
    recorded = [entry.tokenize for entry in entries if entry.tokenize]
    if given.target_language or not recorded:
        return choose_tokenizer(references, language=given.target_language)
    # one tokenizer for all, or the scores would not be comparable
    choice = tokenizer_of_record(references, recorded=recorded[0], target_language="")
    if len(set(recorded)) > 1:
        others = ", ".join(sorted(set(recorded) - {recorded[0]}))
        note = f"BLEU of all runs counts by tok:{choice.name}; reports of some were made with tok:{others}"
        return TokenizerChoice(choice.name, "; ".join(filter(None, [choice.note, note])))
    return choice
