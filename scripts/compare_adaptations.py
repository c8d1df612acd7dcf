"""Train a model on one domain, adapt it to another by every method, and write what each costs, gives and forgets.

Runs that are over are not made again: the command can be killed and repeated.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parent))

from benchmarks.report import markdown_table
from comparison.facts import machine_and_commits, progress_of
from comparison.runs import Contestant, train
from translate.files import read_json
from translate.model_directory import WEIGHTS
from translate.text import read_lines, write_lines

# sizes at which each adds at most 5 % to a model of width 128; new weights alone stand higher rates than a whole model
METHODS = {
    "full": (),
    "lora": ("adapt.rank=4", "optimizer.learning_rate=1.2e-2"),
    "adapter": ("adapt.width=8", "optimizer.learning_rate=1.2e-2"),
    "prefix": ("adapt.length=16", "optimizer.learning_rate=3e-2"),
}
TEST_LINES = 1000


@dataclass(frozen=True)
class Corpora:
    """Two domains, English to German; the general one is tested on the end of its validation set."""

    general: Path
    domain: Path
    work: Path

    @property
    def general_test(self) -> dict[str, Path]:
        return {side: self.work / f"general-test.{side}" for side in ("en", "de")}

    @property
    def domain_test(self) -> dict[str, Path]:
        return {side: self.domain / f"test_2016_flickr.{side}" for side in ("en", "de")}

    def general_options(self) -> list[str]:
        """The general domain as data of a run; writes its test set."""
        lines = {side: list(read_lines(self.general / f"valid.{side}")) for side in ("en", "de")}
        for side, path in self.general_test.items():
            write_lines(path, lines[side][-TEST_LINES:])
        options = ["data.source_language=en", "data.target_language=de"]
        for side, language in (("source", "en"), ("target", "de")):
            options += [
                f"data.train.{side}={self.general}/train.{language}",
                f"data.valid.{side}={self.general}/valid.{language}",
                f"data.test.{side}={self.general_test[language]}",
            ]
        return ["data=text_files", f"data.valid.take={len(lines['en']) - TEST_LINES}", *options]

    def domain_options(self) -> list[str]:
        return ["data=multi30k", f"data.root={self.domain}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--general", type=Path, required=True, help="a folder with train.en, train.de, valid.en, …")
    parser.add_argument("--domain", type=Path, required=True, help="a folder with Multi30k's files")
    parser.add_argument("--minutes", type=float, default=10.0, help="of training on the general domain")
    parser.add_argument("--adapt-minutes", type=float, default=3.0, help="of adapting, by each method")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=Path, default=Path("runs/adaptation"), help="where the runs are kept")
    parser.add_argument("--report", type=Path, default=Path("docs/adaptation.md"))
    arguments = parser.parse_args()
    arguments.runs.mkdir(parents=True, exist_ok=True)
    corpora, base = Corpora(arguments.general, arguments.domain, arguments.runs), arguments.runs / "general"
    common = ["experiment=comparison", f"run.seed={arguments.seed}", f"compute.threads={arguments.threads}"]
    train(Contestant("general"), base, [*common, *corpora.general_options(), f"run.max_minutes={arguments.minutes}"])
    rows = [_row("not adapted", base, None, corpora)]
    short = [*common, *corpora.domain_options(), f"run.max_minutes={arguments.adapt_minutes}"]
    for method, options in METHODS.items():
        folder = arguments.runs / method
        train(Contestant(method, (f"adapt={method}", f"adapt.model={base}", *options)), folder, short)
        rows.append(_row(method, base, folder, corpora))
    train(Contestant("anew"), arguments.runs / "anew", short)
    rows.append(_row("trained anew", arguments.runs / "anew", None, corpora))
    text = _document(rows, arguments)
    arguments.report.write_text(text, encoding="utf-8")
    print(text)


def _row(name: str, base: Path, adapted: Path | None, corpora: Corpora) -> tuple[str, ...]:
    """A line of the table, of a model or of what was adapted from it."""
    folder = adapted or base
    is_model = adapted is None or (adapted / "best" / "model.yaml").exists()
    used = [f"model={folder}"] if is_model else [f"model={base}", f"adapter={adapted}"]
    trained = _parameters(folder)
    all_of_them = trained if is_model else trained + _parameters(base)
    progress = progress_of(folder)
    scores = [
        _bleu(used, test, folder / "scores" / domain)
        for domain, test in (("general", corpora.general_test), ("domain", corpora.domain_test))
    ]
    return (
        name,
        f"{trained:,}",
        f"{trained / all_of_them:.1%}",
        f"{(folder / 'best' / WEIGHTS).stat().st_size / 1e6:.2f}",
        f"{_learning_rate(folder):.1e}",
        f"{progress['step']:,}",
        f"{progress['seconds']:.0f}",
        f"{progress['target_tokens'] / progress['seconds']:,.0f}",
        *scores,
    )


def _parameters(folder: Path) -> int:
    """In a model's or an adapter's file."""
    weights = load_file(folder / "best" / WEIGHTS)
    return sum(weight.numel() for weight in weights.values())


def _learning_rate(folder: Path) -> float:
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    return float(config["optimizer"]["learning_rate"])


def _bleu(used: list[str], test: dict[str, Path], output: Path) -> str:
    if not (output / "report.json").exists():
        files = [f"source={test['en']}", f"reference={test['de']}", f"output={output}"]
        subprocess.run([sys.executable, "-m", "translate.evaluate", *used, *files], check=True)
    score = read_json(output / "report.json")["scores"]["bleu"]
    return f"{score['value']:.1f} ± {score['interval']:.1f}"


def _document(rows: list[tuple[str, ...]], arguments: argparse.Namespace) -> str:
    headings = (
        "",
        "trained parameters",
        "share",
        "file, MB",
        "learning rate",
        "updates",
        "seconds",
        "target tokens/s",
        "BLEU, general domain",
        "BLEU, new domain",
    )
    folders = [arguments.runs / name for name in ("general", *METHODS, "anew")]
    lines = [
        "# Adaptation compared",
        "",
        f"A model trained for {arguments.minutes:g} minutes on Tatoeba, English–German, then adapted to Multi30k for",
        f"{arguments.adapt_minutes:g} minutes by each method, with `experiment=comparison` (width 128), seed",
        f"{arguments.seed}; tested on {TEST_LINES:,} sentences of Tatoeba (the end of its validation set) and on",
        "`test_2016_flickr`. ± is the 95 % bootstrap interval; seconds are those of training alone.",
        "",
        machine_and_commits(folders, threads=arguments.threads),
        "",
        f"`python scripts/compare_adaptations.py --general PATH --domain PATH --minutes {arguments.minutes:g} "
        f"--adapt-minutes {arguments.adapt_minutes:g} --seed {arguments.seed}`",
        "",
        *markdown_table(headings, rows),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
