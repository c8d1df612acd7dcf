"""Train runs that differ in some options, and write one table of their scores, sizes and speeds.

    python scripts/compare_runs.py models data.root=PATH run.max_minutes=10 run.seed=1
    python scripts/compare_runs.py losses data.root=PATH run.max_minutes=10 run.seed=1
    python scripts/compare_runs.py adaptations data.root=PATH run.max_minutes=3 --also runs/comparison/general
    python scripts/compare_runs.py recipe --data FOLDER --runs runs/recipe run.max_minutes=10 run.seed=1

scripts/comparisons.yaml lists the runs. With --data they are made on each corpus of scripts/corpora.yaml. Options
without dashes are those of `python -m translate.train`, for all runs. Finished runs are not repeated: the command can
be killed and given again.
"""

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file

from benchmarks.report import Cell, table
from translate.checkpoint import load_model
from translate.data.corpora import ParallelText
from translate.data.corpus import one_or_several
from translate.evaluation.metrics import p_value
from translate.evaluation.scores import MetricName
from translate.evaluation.tokenizers import DEFAULT_TOKENIZER
from translate.explanation import uncovered
from translate.files import read_json
from translate.model_directory import MODEL, WEIGHTS
from translate.text import read_lines
from translate.training.validation_sets import encode_validation

COMPARISONS: dict[str, dict[str, str]] = yaml.safe_load(Path(__file__).with_name("comparisons.yaml").read_text())
COMMON = {name: runs.pop("common", "experiment=comparison") for name, runs in COMPARISONS.items()}
CORPORA: dict[str, str] = yaml.safe_load(Path(__file__).with_name("corpora.yaml").read_text())
ENOUGH_LINES = 20  # of one length, for a BLEU that means something


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("comparison", choices=list(COMPARISONS))
    parser.add_argument("options", nargs="*", help="of python -m translate.train, for all runs")
    parser.add_argument("--runs", type=Path, default=Path("runs/comparison"), help="where the runs are kept")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="train and compare some of the runs")
    parser.add_argument("--also", nargs="*", default=[], type=Path, metavar="RUN", help="finished runs, shown as well")
    parser.add_argument("--data", type=Path, help="folder of the corpora, for a comparison on each of them")
    parser.add_argument("--corpora", nargs="*", default=list(CORPORA), choices=list(CORPORA), help="some of them")
    parser.add_argument("--test", nargs=2, action="append", default=[], metavar=("SOURCE", "REFERENCE"))
    arguments = parser.parse_intermixed_args()
    compared = COMPARISONS[arguments.comparison]
    if unknown := [name for name in arguments.only if name not in compared]:
        parser.error(f"--only: unknown run {unknown[0]}; choose from {', '.join(compared)}")
    for folder, data in corpora(arguments).items():
        runs = {run.name: run for run in arguments.also}
        for name in arguments.only or compared:
            runs[name] = folder / name
            own = compared[name].format(runs=folder).split()
            train(runs[name], [*COMMON[arguments.comparison].split(), *data, *arguments.options, *own])
        print(f"{folder}:\n\n{document(runs, next(iter(compared)), arguments.test)}\n")


def corpora(arguments: argparse.Namespace) -> dict[Path, list[str]]:
    """Folder of the runs on each corpus, and the options that choose it; without --data, those of the command line."""
    if arguments.data is None:
        return {arguments.runs: []}
    return {arguments.runs / name: CORPORA[name].format(data=arguments.data).split() for name in arguments.corpora}


def train(folder: Path, options: Sequence[str]) -> None:
    """Train into a folder, or continue there; a finished run stays as it is."""
    if not (folder / "result.json").exists():
        _call("train", *options, f"run.dir={folder}")


def _call(module: str, *options: str) -> None:
    print(f"translate.{module}", *options, flush=True)
    subprocess.run([sys.executable, "-m", f"translate.{module}", *options], check=True)


def document(runs: Mapping[str, Path], baseline: str, tests: Sequence[Sequence[str]]) -> str:
    """The table, another of BLEU by length, and what the runs were made with."""
    rows = {name: facts(run, runs.get(baseline, run), tests) for name, run in runs.items()}
    lengths = {name: _by_length(run) for name, run in runs.items()}
    columns = list(dict.fromkeys(length for found in lengths.values() for length in found))
    manifests = [read_json(run / "manifest.json") for run in runs.values()]
    made = {key: sorted({str(found[key]) for found in manifests}) for key in ("hardware", "threads", "torch", "commit")}
    parts = [
        table(["", *next(iter(rows.values()))], [[name, *row.values()] for name, row in rows.items()]),
        f"BLEU by source words, of lengths with at least {ENOUGH_LINES} sentences:",
        table(["", *columns], [[name, *map(found.get, columns)] for name, found in lengths.items()]),
        "; ".join(f"{key}: {', '.join(values)}" for key, values in made.items()),
    ]
    return "\n\n".join(parts)


def _by_length(run: Path) -> dict[str, str]:
    groups = read_json(run / "evaluation" / "report.json")["by_length"]
    return {group["name"]: f"{group['bleu']:.1f}" for group in groups if group["lines"] >= ENOUGH_LINES}


def facts(run: Path, baseline: Path, tests: Sequence[Sequence[str]]) -> dict[str, Cell]:
    """A finished run's row of the table."""
    report = read_json(run / "evaluation" / "report.json")
    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    progress = read_json(max(run.glob("state/step-*")) / "progress.json")
    weights = run / "best" / WEIGHTS
    row: dict[str, Cell] = {
        "BLEU": _bleu(report),
        "chrF": f"{report['scores']['chrf']['value']:.1f}",
        "p": _p_value(run, baseline, report.get("tokenize", DEFAULT_TOKENIZER)),
        "trained parameters": sum(x.numel() for x in load_file(weights).values()),
        "file, MB": weights.stat().st_size / 1e6,
        "learning rate": f"{config['optimizer']['learning_rate']:.1e}",
        "updates": progress["step"],
        "seconds": progress["seconds"],
        "target tokens/s": progress["target_tokens"] / progress["seconds"],
        "uncovered source tokens": _uncovered(run),
    }
    is_model = (run / "best" / MODEL).exists()  # or what adapts one
    used = [f"model={run}"] if is_model else [f"model={config['adapt']['model']}", f"adapter={run}"]
    for source, reference in tests:
        output = run / "scores" / Path(source).name
        if not (output / "report.json").exists():
            _call("evaluate", *used, f"source={source}", f"reference={reference}", f"output={output}")
        row[f"BLEU, {Path(source).name}"] = _bleu(read_json(output / "report.json"))
    return row


def _bleu(report: dict[str, Any]) -> str:
    return "{value:.1f} ± {interval:.1f}".format(**report["scores"]["bleu"])


def test_set(run: Path) -> ParallelText:
    """The test set that a run was scored on."""
    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))["data"]["test"]
    paths = one_or_several(config["target"], key="data.test.target")
    first, *further = [list(read_lines(path)) for path in paths]
    return ParallelText("test", list(read_lines(config["source"])), first, None, paths, further)


def _p_value(run: Path, baseline: Path, tokenize: str) -> str | None:
    """Of the difference in BLEU by paired bootstrap; None for the baseline itself, and for another test set."""
    references = test_set(run).references
    if run == baseline or references != test_set(baseline).references:
        return None
    ours, theirs = (list(read_lines(folder / "evaluation" / "hypotheses.txt")) for folder in (run, baseline))
    return f"{p_value(MetricName.bleu, ours, theirs, references, tokenize=tokenize):.3f}"


@torch.no_grad()
def _uncovered(run: Path) -> str | None:
    """The share of the test set's source tokens that the reference translation hardly attends to."""
    if not (run / "best" / MODEL).exists():
        return None
    loaded = load_model(run, device=torch.device("cpu"))
    missed = tokens = 0
    for batch in encode_validation(test_set(run), loaded.tokenizer, tokens=2048, max_length=loaded.model.max_length):
        output = loaded.model(batch, return_attention=True)
        if output.attention is None:
            return None
        missed, tokens = missed + int(uncovered(batch, output)), tokens + batch.num_source_tokens
    return f"{missed / tokens:.1%}"


if __name__ == "__main__":
    main()
