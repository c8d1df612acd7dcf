"""The parts of a run in its manifest and in its log: data, tokenizer, tags, versions, model, device.

A continued run is refused where data, tokenizer or base model are not those that it began with.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from translate.checkpoint import LoadedModel, fingerprint, weights_of
from translate.data.batching import padding_share
from translate.data.corpora import ParallelText
from translate.data.loader import UpdateStream
from translate.data.prepare import Prepared
from translate.data.report import data_report
from translate.decoding.config import Split, split_of
from translate.distributed import World
from translate.errors import UserError
from translate.evaluation.evaluate import scoring_notes
from translate.files import read_json, to_plain
from translate.model_directory import IMPORTED, read_truecaser
from translate.text import normalise
from translate.tokenizer import UNK
from translate.training.config import TrainConfig
from translate.training.optimizer import OptimizerName
from translate.training.parallel import TrainingDecision
from translate.training.run_folder import RunFolder
from translate.training.session import hash_fact, provenance, require_equal
from translate.training.state import TrainState
from translate.training.state_folder import StateFolder
from translate.training.validation import Validator
from translate.training.validation_sets import describe_directions
from translate.truecasing import MANY_LINES, Case, Truecaser, case_of
from translate.unicode_form import Form, TargetUnicode

logger = logging.getLogger(__name__)

# entries of the manifest that follow settings which may change in a run
_FOLLOWING = ("source_language", "target_language")
_SAMPLED_PAIRS, _MANY_UNKNOWN = (
    10_000,
    0.05,
)  # of a given vocabulary: 0.05 % are usual in the text that it was learned from


def describe_run(
    config: TrainConfig,
    data: Prepared,
    base: LoadedModel | None,
    folder: RunFolder,
    world: World,
) -> dict[str, Any]:
    """Write a new run's configuration, manifest, tokenizer and data report, or check them against the stored ones.

    Returns the manifest in force. Raises UserError where data, tokenizer or base model are not those that the run began
    with.
    """
    manifest = new_manifest(config, data, base)
    require_equal({key: hash_fact(manifest[key]) for key in ("data", "tokenizer", "base") if key in manifest}, world)
    if world.is_main:
        # these come from the configuration: they may change in a continued run
        in_force = _begin_or_check(folder, to_plain(config), manifest, data)
        # a run of an older version has no case
        following = [key for key in ("split", "case") if key in {"split", *in_force}]
        manifest = {**in_force, **{key: manifest[key] for key in following}}
        # the stored form, which translations of this run are written in
        target_unicode = TargetUnicode.of_manifest(manifest)
        report = data_report(config.data, replace(data, target_unicode=target_unicode))
        report.save(folder.path)
        for warning in report.warnings:
            logger.warning(warning)
    # the others have not read the stored one; the report may take minutes
    return dict(world.from_main(manifest, patient=True))


def _begin_or_check(
    folder: RunFolder, config: dict[str, Any], manifest: dict[str, Any], data: Prepared
) -> dict[str, Any]:
    """The manifest in force: the new one in a new run, else the stored one."""
    if not folder.has_begun:
        for path in folder.text_files():  # of a start that saved nothing
            path.unlink()
        folder.write_text_files(data)
        folder.write(config, manifest)  # after the tokenizer, whose hash the manifest has
        return manifest
    before = read_json(folder.manifest_file)
    for key, what in (("data", "data"), ("tokenizer", "tokenizer"), ("base", "weights of adapt.model")):
        if before.get(key) != manifest.get(key):
            raise UserError(_mismatch(folder.path, key, what, before, manifest))
    # files that were lost or cut: the hash compared above shows that this is the same tokenizer
    folder.write_text_files(data)
    following = list(_FOLLOWING)
    if before.get("target_language") != manifest.get("target_language"):
        following.append("bleu_tokenizer")
    return {**before, **{key: manifest[key] for key in following if key in manifest}}


def _mismatch(folder: Path, key: str, what: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    hashes = f"hash {str(before.get(key))[:12]}, now {str(now.get(key))[:12]}"
    # of another version the cause is rather the program than the files
    older = "text_form" not in before or before.get("translate") != now["translate"]
    if older and key != "base":
        return (
            f"run.dir={folder} was made by an older version of this program ({before.get('translate')}, commit "
            f"{before.get('commit') or 'unknown'}), and this one does not get the same {what} ({hashes}): continue "
            "it with that version, or choose another run.dir; if the files have changed, bring the old ones back"
        )
    return (
        f"run.dir={folder} belongs to a run on other {what} ({hashes}): choose another run.dir, or bring the "
        "old files back"
    )


def new_manifest(config: TrainConfig, data: Prepared, base: LoadedModel | None) -> dict[str, Any]:
    """The manifest of a new run; split and case are those of the base model unless the configuration chooses them."""
    manifest = {
        **provenance(),
        "seed": config.run.seed,
        "source_language": config.data.languages[0],
        "target_language": config.data.languages[1],
        "data": data.fingerprint,
        "tokenizer": data.tokenizer.hash,
        **describe_directions(config, data, {} if base is None else base.manifest),
        "sentences_per_line": data.sentences_per_line,
        "trained_tokens": data.trained_tokens,
        **_describe_tags(config, data, base),
        "text_form": data.tokenizer.text_form,
        "vocabulary": {"source": data.tokenizer.source_vocab_size, "target": data.tokenizer.target_vocab_size},
        "target_unicode": data.target_unicode.as_manifest(),
    }
    # left out where they are off: most models, and all of earlier versions
    manifest |= {name: value for name, value in _text_order(config).items() if value}
    if base is not None:
        manifest["base"] = fingerprint(base.directory)
        _require_text_order(config, base)
        manifest |= {key: base.manifest[key] for key in IMPORTED if key in base.manifest}
    if data.held_out is not None:
        manifest["held_out"] = data.held_out.sizes
    # a base model keeps what it does to lines; another setting would change what it reads
    inherited = base.manifest if base is not None else {}
    split = split_of(inherited) if config.split is Split.auto else config.split
    case = case_of(inherited) if config.case is Case.auto else config.case
    return {**manifest, "split": split.value, "case": case.value}


def _text_order(config: TrainConfig) -> dict[str, int]:
    return {"context": config.data.context, "reverse_target": config.data.reverse_target}


def _require_text_order(config: TrainConfig, base: LoadedModel) -> None:
    """Raise UserError where the base model was trained with other context, or writes in the other direction."""
    for name, value in _text_order(config).items():
        if (trained := base.manifest.get(name, type(value)())) != value:
            raise UserError(f"data.{name}={value}: adapt.model was trained with data.{name}={trained}; set the same")


def _describe_tags(config: TrainConfig, data: Prepared, base: LoadedModel | None) -> dict[str, Any]:
    """The tags that the model knows, the validation set's, and whether it was trained on lines without any."""
    tags, untagged = config.data.tags, config.data.has_untagged_source
    if base is not None:
        # the symbols of the base stay in its tokenizer
        tags += base.manifest.get("tags", base.tokenizer.tags)
        untagged = untagged or base.manifest.get("untagged_source", True)
    tag = "" if config.data.directions else data.valid.tag
    return {"tags": list(dict.fromkeys(tags)), "tag": tag, "untagged_source": untagged}


def with_run_case(data: Prepared, base: LoadedModel | None, folder: RunFolder) -> Prepared:
    """The data with the usual case of words that the base model has, or that the run began with."""
    learned = read_truecaser(base.directory) if base is not None else data.truecaser
    return replace(data, truecaser=folder.truecaser(learned))


def keep_held_out(data: Prepared, folder: RunFolder, world: World) -> Prepared:
    """Copy held-out sets into the run's folder, and name these copies as the files of the references."""
    if data.held_out is None:
        return data
    # the cache may be deleted, but scores of this run need their references
    copied = replace(data.held_out, directory=folder.held_out)
    if world.is_main:
        data.held_out.copy(folder.held_out)
        logger.info(copied.describe())

    def with_copy(text: ParallelText) -> ParallelText:
        name = text.key.removeprefix("data.")
        return replace(text, reference_paths=[str(copied.paths(name)[1])]) if name in copied.sizes else text

    return replace(
        data,
        valid=with_copy(data.valid),
        test=with_copy(data.test) if data.test else None,
        further_valid=list(map(with_copy, data.further_valid)),
        further_tests=list(map(with_copy, data.further_tests)),
    )


def log_description(
    config: TrainConfig,
    data: Prepared,
    decision: TrainingDecision,
    batches: UpdateStream,
    validator: Validator,
    state: TrainState,
    states: StateFolder,
) -> None:
    """Log what the run consists of, and what its user should know before its first update."""
    if not states.world.is_main:
        return
    processes = f"; {states.world.size} processes" if states.world.size > 1 else ""
    logger.info(
        f"{config.name}: {_describe_data(config, data, batches, state)}; {_describe_model(config, state)}{processes}"
    )
    logger.info(decision.line())
    for warning in decision.warnings:
        logger.warning(warning)
    for note in _notes(config, data, validator):
        logger.info(note)
    for warning in _warnings(config, data, decision, validator):
        logger.warning(warning)
    if states.newest:
        logger.info(f"continuing from step {state.step:,}, epoch {state.progress.epochs:.2f}")


def _describe_data(config: TrainConfig, data: Prepared, batches: UpdateStream, state: TrainState) -> str:
    plan = batches.plan(state.progress.position)
    padding = f"{padding_share(plan, (data.train.source_lengths, data.train.target_lengths)):.1%} padding"
    languages = config.data.languages
    directions = [f"{each.source_language} → {each.target_language}" for each in config.data.directions]
    direction = f"{'; '.join(directions) or ' → '.join(languages)}, " if directions or all(languages) else ""
    batching = "packed" if batches.packed else padding
    return f"{direction}{len(data.train):,} pairs, {len(plan):,} batches per epoch ({batching})"


def _describe_model(config: TrainConfig, state: TrainState) -> str:
    model = state.model.module
    parameters = sum(parameter.numel() for parameter in model.parameters())
    trained = sum(weight.numel() for weight in weights_of(model).values())
    share = "" if trained == parameters else f", of which {trained:,} ({trained / parameters:.1%}) are trained"
    return f"{config.model.architecture} with {parameters:,} parameters{share}"


def _notes(config: TrainConfig, data: Prepared, validator: Validator) -> Iterator[str]:
    translator = validator.translator
    if translator.written.form is not Form.nfc:
        yield f"translations are written in {translator.written}, as the training target is"
    if translator.splitting.by_sentences:
        most = translator.splitting.sentences
        yield (
            f"sentences translated at once: at most {most}; lines with more are translated in parts "
            "(split=never: only lines that are too long)"
        )
    if data.truecaser is not None and case_of(translator.manifest) is Case.auto:
        yield from _case_notes(data.truecaser)
    if config.run.max_minutes:
        minutes = f"{config.run.max_minutes:g}"
        yield f"bounded by {minutes} minutes: such a run ends by the clock and cannot repeat exactly"
        yield (
            f"these {minutes} minutes are of updates, validations and saving, in all sessions; the data are prepared "
            "before, and the test set is translated after them"
        )


def unknown_share(data: Prepared) -> float:
    """Share of the tokens that the vocabulary does not know, in pairs spread evenly over the training text."""
    rows = np.linspace(0, len(data.train), min(len(data.train), _SAMPLED_PAIRS), endpoint=False).astype(int)
    tokens = np.concatenate([ids for side in data.train.pairs(rows) for ids in side])
    return float((tokens == UNK).mean())


def _case_notes(truecaser: Truecaser) -> Iterator[str]:
    for name, share in truecaser.shares.items():
        if share < MANY_LINES:
            yield f"lines in {name} are translated in the usual case of their words (case=keep: as they are)"
        else:
            yield (
                f"{share:.1%} of the training lines are in {name}: such lines are translated as they are "
                "(case=restore: in the usual case of their words)"
            )


def _warnings(config: TrainConfig, data: Prepared, decision: TrainingDecision, validator: Validator) -> Iterator[str]:
    if config.optimizer.name is OptimizerName.muon and not decision.capabilities.bf16_matmul:
        yield "Muon uses bf16 matrix products, which this processor emulates: expect slow updates"
    if config.tokenizer.path and (share := unknown_share(data)) > _MANY_UNKNOWN:
        yield (
            f"tokenizer.path={config.tokenizer.path}: {share:.1%} of the tokens of the training text are unknown to "
            "this vocabulary; is it of other languages?"
        )
    yield from validator.notes
    yield from scoring_notes(data.valid.references, config.validation.metrics)
    for text in filter(None, (*data.validation_sets, data.test, *data.further_tests)):
        lines = map(normalise, text.source)
        if warning := validator.translator.tagging.check(lines, option=f"{text.key}.tag"):
            yield f"{text.key}: {warning}"
