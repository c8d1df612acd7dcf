"""python -m translate.evaluate: translate a test set, print its scores with signatures, write a report."""

from dataclasses import replace

from translate.checkpoint import load_model
from translate.config import run_command
from translate.decoding.translator import choose_device, translator_from
from translate.evaluation.files import EvaluateConfig, evaluate_files, read_evaluation_text, report_directory
from translate.evaluation.report import terminal_text
from translate.tuning import tune_process


def evaluate(config: EvaluateConfig) -> None:
    text = read_evaluation_text(config)
    tune_process(config.threads)
    device = choose_device(config.device)
    loaded = load_model(config.model, device=device)
    language = config.target_language or loaded.manifest.get("target_language", "")
    config = replace(config, target_language=language)
    translator = translator_from(config, model=loaded.model, tokenizer=loaded.tokenizer, device=device)
    print(terminal_text(evaluate_files(translator, text, config)))
    print(f"report: {report_directory(config) / 'report.md'}")


if __name__ == "__main__":
    run_command("evaluate", EvaluateConfig, evaluate)
