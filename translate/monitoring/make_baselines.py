"""Make baselines of drift: features of held-out lines, translated by the model that the service runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from translate.data.corpora import ParallelText
from translate.decoding.config import DecodingConfig
from translate.decoding.translation import Translation
from translate.decoding.translator import Translator
from translate.engines import load_translator
from translate.errors import UserError
from translate.evaluation.evaluate import Evaluation, describe_decoding
from translate.evaluation.report import HYPOTHESES
from translate.exporting.lines_to_compare import given_lines, lines_of_run
from translate.model_directory import ADAPTER, MONITORING, content_hash, find_model_or_export, read_origin
from translate.monitoring.baseline import Baseline, baseline_path, load_baseline, save_baseline
from translate.monitoring.features import FeatureExtractor, LineFeatures
from translate.monitoring.log import direction_of
from translate.monitoring.measures import CONFIDENCE, LOW_CONFIDENCE, PARTS
from translate.tags import tagging_of
from translate.text import read_lines
from translate.training.saved_states import CONFIG

_MOST_KEPT = 2000  # lines of a run's test set
_HYPOTHESES_OF_RUN = Path("evaluation") / HYPOTHESES


def make_baseline(model: str, config: DecodingConfig, *, source: str, most: int) -> Baseline:
    """Translate held-out lines with a model, spread evenly over the text, and return their features.

    source  file of lines; "": the test set of the model's run, or its validation set
    most    number of lines that are translated, at most

    Raises UserError where the text is not known.
    """
    text = given_lines(source, "") if source else lines_of_run(Path(model))
    if text is None:
        raise UserError(
            f"model={model}: the test set of its run is not known here: set source= to a file of held-out text"
        )
    translator = load_translator(model, config)
    tagged = [translator.tagging.put_in_front(text.source[index]) for index in _spread(len(text.source), most)]
    features = FeatureExtractor.of_translator(translator)(tagged, translator.translate(tagged))
    return Baseline(
        lines=_with_text(features, text.name),
        text=text.name,
        direction=_direction(text, translator.manifest),
        model=content_hash(model),
        decoding=describe_decoding(translator, engine=config.engine, tag=translator.tagging.tag),
    )


def keep_baselines(
    model: Path, translator: Translator, texts: Sequence[ParallelText], evaluations: Sequence[Evaluation]
) -> None:
    """Write the features of a run's test sets, which its model has just translated, beside the model's weights.

    Of several test sets of one direction, the first counts. Baselines that are there already stay, and an adapter has
    none: it is served merged, as another version.

    model        model directory
    evaluations  of the texts by the translator, which has the model; none of a run that was scored before
    """
    path = model / MONITORING
    if path.is_file() or not evaluations or (model / ADAPTER).is_file():
        return
    extract, version = FeatureExtractor.of_translator(translator), content_hash(str(model))
    found: dict[str, Baseline] = {}
    for text, evaluation in zip(texts, evaluations, strict=True):
        chosen = _spread(len(text.source), _MOST_KEPT)
        features = extract([text.source[i] for i in chosen], [evaluation.translations[i] for i in chosen])
        lines = [line for line in features if line.segments]
        direction = _direction(text, translator.manifest)
        if lines and direction not in found:
            found[direction] = Baseline(
                lines=lines, text=text.name, direction=direction, model=version, decoding=evaluation.decoding
            )
            save_baseline(found[direction], path)


def baseline_of_model(model: str, *, direction: str) -> Baseline:
    """The baseline of a model: its own, or from the translations that its run has kept, which lack confidence.

    Raises UserError where there is neither.
    """
    path = baseline_path(model)
    if path.is_file():
        return load_baseline(path, direction=direction)
    run = next((folder for folder in (Path(model), Path(model).parent) if (folder / CONFIG).is_file()), None)
    if run is None or (text := lines_of_run(run)) is None or not (run / _HYPOTHESES_OF_RUN).is_file():
        raise UserError(
            f"model={model} has no {MONITORING} to compare with; make it: python -m translate.monitor model={model} "
            "make_baseline=true source=FILE, where FILE has held-out text; or set baseline= to an earlier log"
        )
    return _of_run(model, run, text)


def _of_run(model: str, run: Path, text: ParallelText) -> Baseline:
    """Features of the test set of a run and of its translations there, without scores."""
    hypotheses = list(read_lines(run / _HYPOTHESES_OF_RUN))
    if len(hypotheses) != len(text.source):
        raise UserError(
            f"{run / _HYPOTHESES_OF_RUN} has {len(hypotheses):,} lines, but {text.name} has {len(text.source):,}; "
            f"make a baseline: python -m translate.monitor model={model} make_baseline=true"
        )
    tokenizer, manifest = read_origin(find_model_or_export(Path(model)))
    extractor = FeatureExtractor(tokenizer, tagging=tagging_of(manifest, tokenizer))
    pairs = zip(tokenizer.encode_source(text.source), tokenizer.encode_target(hypotheses), strict=True)
    translations = [
        Translation(
            text=hypothesis,
            score=float("nan"),
            n_best=[],
            source_tokens=len(source),
            target_tokens=len(target),
            segments=int(bool(source)),
            parts=((tuple(source), tuple(target)),) if source else (),
        )
        for hypothesis, (source, target) in zip(hypotheses, pairs, strict=True)
    ]
    return Baseline(
        lines=_with_text(extractor(text.source, translations), text.name),
        text=text.name,
        direction=_direction(text, manifest),
        model=content_hash(model),
        left_out=dict.fromkeys(
            (CONFIDENCE, LOW_CONFIDENCE, PARTS), "its run has not kept it: make_baseline=true makes a baseline with it"
        ),
    )


def _spread(count: int, most: int) -> list[int]:
    """Indices of at most so many of `count` lines."""
    chosen = min(count, most)
    return [index * count // chosen for index in range(chosen)]


def _with_text(features: Sequence[LineFeatures], name: str) -> list[LineFeatures]:
    """Features of the lines that are not blank. Raises UserError if there are none."""
    found = [line for line in features if line.segments]
    if not found:
        raise UserError(f"{name}: all its lines are blank; name held-out text: source=FILE")
    return found


def _direction(text: ParallelText, manifest: Mapping[str, Any]) -> str:
    names = ("source_language", "target_language")
    return direction_of(*(code or manifest.get(name, "") for code, name in zip(text.languages, names, strict=True)))
