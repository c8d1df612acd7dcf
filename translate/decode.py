"""python -m translate.decode: translate files, or standard input as its lines come."""

import sys

from translate.config import is_given, run_command
from translate.decoding.search_record import search_note, search_of
from translate.decoding.streaming import DecodeConfig, check_files, translate_files
from translate.exporting.engines import open_model


def decode(config: DecodeConfig) -> None:
    check_files(config)
    opened = open_model(config.model, config)
    if not is_given("search") and (note := search_note(search_of(opened.manifest), config.search)):
        print(note, file=sys.stderr)
    translate_files(opened.translator, config)


if __name__ == "__main__":
    run_command("decode", DecodeConfig, decode)
