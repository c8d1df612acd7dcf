"""python -m translate.explain: pages and pictures of what a model attends to, sentence by sentence."""

from pathlib import Path

from translate.config import run_command
from translate.errors import UserError
from translate.explaining.files import ExplainConfig, explain_files
from translate.exporting.engines import open_native
from translate.training.tracking import ProgressLine, start_log


def explain(config: ExplainConfig) -> None:
    start_log(ProgressLine())
    config.search.check()
    if config.engine != "native":
        raise UserError(f"engine={config.engine}: only engine=native shows its attention")
    loaded, engine = open_native(config.model, config)
    explanations = explain_files(loaded, engine, config)
    ignoring = sum(bool(each.ignored) for each in explanations)
    pages = Path(config.output) / "index.html"
    print(f"{len(explanations):,} sentences, {ignoring:,} with ignored source tokens: {pages}")


if __name__ == "__main__":
    run_command("explain", ExplainConfig, explain)
