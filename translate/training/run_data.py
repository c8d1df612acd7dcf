"""The data of a run, and the manifest that describes the run."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

from translate.adaptation.files import fingerprint
from translate.checkpoint import LoadedModel
from translate.data.prepare import Prepared, prepare
from translate.data.report import data_report
from translate.decoding.config import Split
from translate.distributed import World
from translate.training.changes import plain
from translate.training.config import TrainConfig
from translate.training.run_folder import RunFolder, provenance
from translate.training.scoring import tokenizer_of_new_run
from translate.unicode_form import TargetUnicode

logger = logging.getLogger(__name__)


def prepare_data(config: TrainConfig, folder: RunFolder, world: World, base: LoadedModel | None) -> Prepared:
    """Prepare the data on the main process; the others then find everything in the cache.

    A run that is continued keeps its tokenizer, and with it the form in which its model reads text: another version of
    this program, or of SentencePiece, may make another one of the same text.
    """
    own = folder.tokenizer()  # before the wait, after which the main process writes one
    if not world.is_main:
        world.wait()
    data = prepare(config.data, base.tokenizer if base else own or config.tokenizer)
    if world.is_main:
        world.wait()
        logger.info(data.cleaning.table())
    return data


def with_held_out_files(data: Prepared, folder: RunFolder, world: World) -> Prepared:
    """Copy held-out sets into the run's folder, and name these copies as the references' files."""
    if data.held_out is None:
        return data
    copied = dataclasses.replace(data.held_out, directory=folder.held_out)
    if world.is_main:
        data.held_out.copy(folder.held_out)
        logger.info(copied.describe())
    texts = {
        name: dataclasses.replace(getattr(data, name), reference_paths=[str(copied.paths(name)[1])])
        for name in copied.sizes
    }
    return dataclasses.replace(data, **texts)


def describe_run(
    config: TrainConfig, data: Prepared, folder: RunFolder, world: World, base: LoadedModel | None
) -> dict[str, Any]:
    """Write the manifest, tokenizer and data report of a run, or check them against the stored ones; the manifest.

    Raises UserError for a run that began with other data, another tokenizer or another base model.
    """
    manifest = _manifest(config, data, base)
    if world.is_main:
        described = folder.describe(plain(config), manifest, data.tokenizer)
        manifest = {**described, "split": manifest["split"]}
        written = TargetUnicode.of_manifest(manifest)
        report = data_report(config.data, dataclasses.replace(data, target_unicode=written))
        report.save(folder.path)
        for warning in report.warnings:
            logger.warning(warning)
    return world.from_main(manifest)


def _manifest(config: TrainConfig, data: Prepared, base: LoadedModel | None) -> dict[str, Any]:
    """The manifest of a new run; split is that of the base model unless the configuration chooses one."""
    manifest = {
        **provenance(),
        "seed": config.run.seed,
        "source_language": config.data.source_language,
        "target_language": config.data.target_language,
        "data": data.fingerprint,
        "tokenizer": data.tokenizer.hash,
        "bleu_tokenizer": tokenizer_of_new_run(config, data.valid.references).name,
        "sentences_per_line": data.sentences_per_line,
        "trained_tokens": data.trained_tokens,
        **_describe_tags(config, data, base),
        "text_form": data.tokenizer.text_form,
        "vocabulary": {"source": data.tokenizer.source_vocab_size, "target": data.tokenizer.target_vocab_size},
        "target_unicode": data.target_unicode.as_manifest(),
    }
    if base is not None:
        manifest["base"] = fingerprint(base.directory)
    if data.held_out is not None:
        manifest["held_out"] = data.held_out.sizes
    inherited = base.manifest.get("split") if base is not None and config.split is Split.auto else None
    return {**manifest, "split": inherited or config.split.value}


def _describe_tags(config: TrainConfig, data: Prepared, base: LoadedModel | None) -> dict[str, Any]:
    """The tags that the model knows, the validation set's, and whether it was trained on lines without any."""
    tags, untagged = config.data.tags, config.data.has_untagged_source
    if base is not None:
        tags += base.manifest.get("tags", base.tokenizer.tags)
        untagged = untagged or base.manifest.get("untagged_source", True)
    return {"tags": list(dict.fromkeys(tags)), "tag": data.valid.tag, "untagged_source": untagged}
