"""python -m translate.evaluate: translate a test set, print its scores with signatures, write a report."""

from dataclasses import replace

from translate.config import run_command
from translate.evaluation.files import EvaluateConfig, evaluate_files, read_evaluation_text, report_directory
from translate.evaluation.report import terminal_text
from translate.exporting.engines import open_model


def evaluate(config: EvaluateConfig) -> None:
    text = read_evaluation_text(config)
    opened = open_model(config.model, config)
    language = config.target_language or opened.manifest.get("target_language", "")
    config = replace(config, target_language=language)
    print(terminal_text(evaluate_files(opened.translator, text, config)))
    print(f"report: {report_directory(config) / 'report.md'}")


if __name__ == "__main__":
    run_command("evaluate", EvaluateConfig, evaluate)
