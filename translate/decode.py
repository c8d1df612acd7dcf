"""python -m translate.decode: translate files, or standard input as its lines come."""

from translate.config import run_command
from translate.decoding.streaming import DecodeConfig, check_files, translate_files
from translate.exporting.engines import open_model


def decode(config: DecodeConfig) -> None:
    check_files(config)
    translate_files(open_model(config.model, config).translator, config)


if __name__ == "__main__":
    run_command("decode", DecodeConfig, decode)
