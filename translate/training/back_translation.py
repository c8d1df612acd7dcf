"""Back-translation (Sennrich, Haddow and Birch 2016): more training pairs out of text in the target language alone.

    reverse/    a run from target to source language
    synthetic/  its translations of the monolingual text, the most confident of which become training pairs
    .           the run itself, on the parallel text and those, tagged (Caswell, Chelba and Grangier 2019)

A stage that is finished is not repeated while nothing that it was made from has changed.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from translate.checkpoint import fingerprint, load_model
from translate.checksums import CHECKSUMS, DamagedError, verify, write_checksums
from translate.console import Progress
from translate.data.clean_text import content_hashes
from translate.data.corpus import CorpusConfig
from translate.data.dataset import digest
from translate.data.direction import reversed_direction
from translate.decoding.config import SearchConfig
from translate.decoding.native_engine import NativeEngine
from translate.decoding.search.config import NEWER_DEFAULTS
from translate.decoding.translation import Splits
from translate.decoding.translator import ShardedTranslator, Translator
from translate.device import capabilities, choose_device
from translate.disk_space import naming
from translate.distributed import World, join_world
from translate.errors import UserError
from translate.files import require_regular, write_text
from translate.folders import is_marked, listing, mark
from translate.launcher import launched_as
from translate.model_directory import read_truecaser
from translate.tags import Tagging, tagging_of
from translate.text import WINDOW, count_lines, normalise, read_lines, write_lines
from translate.training.config import BackTranslationConfig, TrainConfig
from translate.training.parallel import training_precision, validation_precision
from translate.training.run_folder import RunFolder, errors_logged
from translate.training.session import hash_fact, require_equal
from translate.training.stopping import Trial

KEY, TRANSLATIONS, SOURCE, TARGET = "key", "translations.tsv", "source.txt", "target.txt"
_SYNTHETIC = "back-translations"  # the kind of folder, named in its marker
# newer than the first keys: where they are off the key is that of an older version, whose translations stay valid
_LATER_OPTIONS = ("no_repeat_ngram", "repetition_penalty", *NEWER_DEFAULTS)
logger = logging.getLogger(__name__)

Train = Callable[[TrainConfig, Trial | None], float | None]  # as translate.train.train


def back_translate(config: TrainConfig, trial: Trial | None = None, *, train: Train) -> float | None:
    """Do all stages, or those that are left; the result of the last run, None when a signal ended a stage.

    Raises UserError where a file or a setting is at fault.
    """
    _check(config)
    config.check()
    directory = Path(config.run.dir)
    with RunFolder(directory) as folder:
        # the lock belongs to a process: the main one holds it for all
        if launched_as()[0] == 0:
            folder.claim()  # for all stages, so that no other process comes between two of them
            _check_synthetic(directory / "synthetic")
        if train(reverse_of(config, directory / "reverse"), None) is None:
            return None
        with errors_logged(directory / "reverse" / "train.log"):
            translate_monolingual(config, directory / "reverse", directory / "synthetic")
        return train(with_synthetic(config, directory / "synthetic"), trial)


def reverse_of(config: TrainConfig, folder: Path) -> TrainConfig:
    """The configuration of a run in the other direction, on the same parallel text."""
    tokenizer = replace(
        config.tokenizer,
        source_vocab_size=config.tokenizer.target_vocab_size,
        target_vocab_size=config.tokenizer.source_vocab_size,
    )
    return replace(
        config,
        name=f"{config.name} reverse",
        data=reversed_direction(config.data),
        tokenizer=tokenizer,
        run=replace(config.run, dir=str(folder)),
        back_translation=BackTranslationConfig(),  # off: it would train a reverse model of its own
    )


def translate_monolingual(config: TrainConfig, reverse: Path, folder: Path) -> None:
    """Write the synthetic pairs, source.txt and target.txt; continue where an earlier session was killed."""
    settings, device = config.back_translation, choose_device(config.compute.device)
    with join_world(device, timeout=config.compute.timeout) as world:
        text = _hash(settings)
        require_equal({"back_translation.monolingual": hash_fact(text)}, world)
        # all that the translations depend on: weights, text and search
        key = digest([fingerprint(reverse / "best"), text, _search_content(settings.search)])
        if world.is_main:
            _clear_if_outdated(folder, key)
        world.wait()  # the others count lines only when outdated ones are gone
        lines = count_lines(settings.monolingual)
        done = _lines_done(folder, most=lines)
        if done < lines:
            logger.info(f"translating {lines - done:,} of {lines:,} lines of {settings.monolingual}")
            _translate_from(done, lines, config, reverse, folder, device, world)
        if world.is_main:
            _require_unchanged(settings, text, folder)  # before pairs of two versions of the text are made
            _choose(settings, folder)
            write_checksums(folder)  # other pairs would be other data to the run that trains on them
        world.wait()  # the pairs are on disk before any process reads them


def with_synthetic(config: TrainConfig, folder: Path) -> TrainConfig:
    """The configuration of the run itself, with the synthetic pairs beside the parallel text."""
    settings = config.back_translation
    synthetic = CorpusConfig(
        source=str(folder / SOURCE),
        target=str(folder / TARGET),
        tag=settings.tag,
        weight=settings.weight,
    )
    return replace(config, data=replace(config.data, additional=[*config.data.additional, synthetic]))


def _check(config: TrainConfig) -> None:
    settings = config.back_translation
    require_regular(settings.monolingual, option="back_translation.monolingual")
    count_lines(settings.monolingual)  # for its errors
    if not config.adapt.begins_anew:
        raise UserError("back-translation trains two models from the beginning: leave adapt= out")
    if (given := config.tokenizer.given()) is not None:
        tag = config.back_translation.tag
        if not given.shared or tag not in (*given.tags, *given.user_symbols):
            raise UserError(
                f"tokenizer.path={config.tokenizer.path}: back-translation needs one vocabulary for both sides, with "
                f"the symbol {tag} (back_translation.tag)"
            )


def _hash(settings: BackTranslationConfig) -> str:
    text = CorpusConfig(source=settings.monolingual, target=settings.monolingual)
    return content_hashes(text, key="back_translation.monolingual")[0]


def _search_content(search: SearchConfig) -> dict[str, Any]:
    """The search, as part of the key that translations are stored under."""
    content, off = dataclasses.asdict(search), dataclasses.asdict(SearchConfig())
    return {key: value for key, value in content.items() if key not in _LATER_OPTIONS or value != off[key]}


def _check_synthetic(folder: Path) -> None:
    """Raise UserError for a folder that this recipe has not made."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file, and is where back-translation keeps its translations: move it away")
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if names and not is_marked(folder, _SYNTHETIC) and KEY not in names:
        raise UserError(
            f"{folder} holds {listing(sorted(names))}, and is where back-translation keeps its translations: move "
            "that away, or choose another run.dir"
        )


def _clear_if_outdated(folder: Path, key: str) -> None:
    """Remove translations by another model, of other text or by another search, and damaged ones."""
    _check_synthetic(folder)
    damage = ""
    try:
        verify(folder)
    except DamagedError as error:
        damage = error.finding
        logger.warning(f"{folder} is damaged ({damage}): the text is translated again")
    if damage or not (folder / KEY).exists() or (folder / KEY).read_bytes() != key.encode():
        _clear(folder)
        folder.mkdir(parents=True, exist_ok=True)
        # marked first: what a process killed here leaves is recognised by the next one
        mark(folder, _SYNTHETIC)
        write_text(folder / KEY, key)


def _clear(folder: Path) -> None:
    """Remove what this recipe has written, the key last: it identifies the other files."""
    for name in (CHECKSUMS, SOURCE, TARGET, TRANSLATIONS, KEY):
        (folder / name).unlink(missing_ok=True)


def _require_unchanged(settings: BackTranslationConfig, text: str, folder: Path) -> None:
    """Raise UserError, and remove the translations, where the monolingual text has changed since they began."""
    if _hash(settings) != text:
        _clear(folder)
        raise UserError(
            f"back_translation.monolingual={settings.monolingual} has changed while it was translated; start again "
            "when nothing writes to it"
        )


def _lines_done(folder: Path, *, most: int) -> int:
    """Count the translations on disk, `most` at most; what follows is removed, such as a line that a kill has cut."""
    path = folder / TRANSLATIONS
    if not path.exists():
        return 0
    done = size = 0
    with open(path, "r+b") as file:
        for line in file:
            if done == most or not _is_translation(line):
                break
            done, size = done + 1, size + len(line)
        file.truncate(size)
    return done


def _is_translation(line: bytes) -> bool:
    """True for a whole line of the table: a score, a TAB and the text."""
    score, tab, _ = line.partition(b"\t")
    with suppress(ValueError):  # also of bytes that are not UTF-8
        float(score)
        line.decode("utf-8")
        return bool(tab) and line.endswith(b"\n")
    return False


def _translate_from(
    done: int, lines: int, config: TrainConfig, reverse: Path, folder: Path, device: torch.device, world: World
) -> None:
    """Append the translations of all lines but the first `done` to translations.tsv, a window at a time."""
    settings, can = config.back_translation, capabilities(device)
    loaded = load_model(reverse, device=device)
    engine = NativeEngine(
        model=loaded.model,
        device=device,
        precision=validation_precision(training_precision(config.compute.precision, can), can),
        workers=1 if world.size > 1 else 0,  # several processes share the processor already
    )
    tagging = tagging_of(loaded.manifest, loaded.tokenizer, as_validated=bool(loaded.manifest.get("tag")))
    if world.is_main:
        _log_tags(tagging, settings.monolingual)
    own = Translator.of_model(
        engine,
        loaded.tokenizer,
        settings.search,
        loaded.manifest,
        tagging=tagging,
        truecaser=read_truecaser(loaded.directory),
    )
    translator, splits = ShardedTranslator(own, world), Splits()
    progress = Progress("lines", total=lines) if world.is_main else None
    remaining = islice(read_lines(settings.monolingual), done, None)
    while window := list(islice(remaining, WINDOW)):
        translations = translator.translate(window)
        done += len(window)
        splits += Splits.of(translations)
        if world.is_main and progress:
            # window by window: a killed session loses one window at most
            path = folder / TRANSLATIONS
            with naming(path), open(path, "a", encoding="utf-8", newline="\n") as file:
                file.writelines(f"{found.score:.6f}\t{found.text}\n" for found in translations)
            progress.show(done)
    if progress:
        progress.finish(lines)
        if note := own.describe(splits):
            logger.info(note)


def _log_tags(tagging: Tagging, monolingual: str) -> None:
    if tagging.note:
        logger.info(tagging.note)
    if tagging.known and (warning := tagging.check(map(normalise, read_lines(monolingual)))):
        logger.warning(warning)


def _choose(settings: BackTranslationConfig, folder: Path) -> None:
    """Write source.txt, the most confident translations in their order, and target.txt, the lines they translate."""
    fields = (line.partition("\t") for line in read_lines(folder / TRANSLATIONS))
    found = [(float(score), text) for score, _, text in fields]
    # an empty translation comes last, and is left out below however many are kept
    scores = np.array([score if text else -np.inf for score, text in found])
    best = np.sort(np.argsort(-scores, kind="stable")[: max(1, round(settings.keep * len(scores)))])
    chosen = set(best[np.isfinite(scores[best])].tolist())
    if not chosen:
        raise UserError(
            "no line of back_translation.monolingual has a translation: the reverse model has not learned enough"
        )
    monolingual = read_lines(settings.monolingual)
    write_lines(folder / SOURCE, [text for index, (_, text) in enumerate(found) if index in chosen])
    write_lines(folder / TARGET, [line for index, line in enumerate(monolingual) if index in chosen])
    logger.info(f"{len(chosen):,} of {len(found):,} back-translations become training pairs")
