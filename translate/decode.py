"""python -m translate.decode: translate files, or standard input as its lines come."""

from translate.checkpoint import load_model
from translate.config import run_command
from translate.decoding.streaming import DecodeConfig, check_files, translate_files
from translate.decoding.translator import choose_device, translator_from
from translate.tuning import tune_process


def decode(config: DecodeConfig) -> None:
    check_files(config)
    tune_process(config.threads)
    device = choose_device(config.device)
    loaded = load_model(config.model, device=device)
    translator = translator_from(config, model=loaded.model, tokenizer=loaded.tokenizer, device=device)
    translate_files(translator, config)


if __name__ == "__main__":
    run_command("decode", DecodeConfig, decode)
