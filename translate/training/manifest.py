"""The parts of a run in its manifest: data, tokenizer, tags, versions.

A continued run is refused where data, tokenizer or base model are not those that it began with.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from translate.checkpoint import LoadedModel, fingerprint
from translate.data.corpora import ParallelText
from translate.data.prepare import Prepared
from translate.data.report import data_report
from translate.decoding.config import Split, split_of
from translate.distributed import World
from translate.errors import UserError
from translate.files import read_json, to_plain
from translate.model_directory import IMPORTED, read_truecaser
from translate.training.config import TrainConfig
from translate.training.run_folder import RunFolder
from translate.training.session import hash_fact, provenance, require_equal
from translate.training.validation_sets import describe_directions
from translate.truecasing import Case, case_of
from translate.unicode_form import TargetUnicode

logger = logging.getLogger(__name__)
# entries of the manifest that follow settings which may change in a run
_FOLLOWING = ("source_language", "target_language")


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
