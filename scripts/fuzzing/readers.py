"""The readers that are given hostile input: each with a strategy for its files, and the function that reads them."""

from __future__ import annotations

import copy
import io
import tempfile
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import cast

import pyarrow
import torch
from hypothesis import strategies as st
from pyarrow import parquet
from torch import nn

from fuzzing.documents import document_formats, read_written
from fuzzing.formats import NAME, contents, read_recognised_file
from fuzzing.inputs import JSON, NUMBERS, SETTINGS, TEXT, YAML, Bytes, compressed, damaged, joined
from fuzzing.markup import translation_formats
from translate.adaptation import LoraConfig, adapt
from translate.checkpoint import (
    LoadedModel,
    fingerprint,
    load_model,
    save_adapter,
    save_model,
    weights_of,
    with_adapter,
)
from translate.checksums import CHECKSUMS
from translate.config.command import compose, register_schemas, to_dataclass, user_errors
from translate.config.command_line import read_command_line
from translate.data.corpus import CorpusConfig, CorpusFormat
from translate.data.readers import read_rows
from translate.device import Capabilities, Precision
from translate.distributed import World
from translate.errors import UserError
from translate.files import read_json
from translate.merge import MergeConfig
from translate.models import Vocabularies, build_model
from translate.models.seq2seq import Seq2Seq
from translate.models.transformer import TransformerConfig
from translate.parsing import read_yaml
from translate.text import read_lines
from translate.tokenizer import Tokenizer
from translate.tokenizer_training import TokenizerConfig, train_tokenizer
from translate.training.optimizer import OptimizerConfig, make_optimizer
from translate.training.parallel import decide_training, parallelize
from translate.training.run_folder import RunFolder
from translate.training.saved_states import read_config
from translate.training.state import TrainState
from translate.training.state_folder import StateFolder

Files = Mapping[str, bytes]  # by name
CPU = torch.device("cpu")
LINES = [f"{number} sheep jump over the {number % 7} fences" for number in range(60)]
_COLUMNS = (CorpusFormat.tsv, CorpusFormat.jsonl, CorpusFormat.parquet)
STATE = "state/step-00000001"
SIZES = {"encoder_layers": 1, "decoder_layers": 1}
_FOLDER = tempfile.TemporaryDirectory(prefix="fuzz-")


@dataclass(frozen=True)
class Reader:
    """files: strategy for the files of a folder; read: reads them from there."""

    files: st.SearchStrategy[Files]
    read: Callable[[Path], object]


@cache
def readers() -> dict[str, Reader]:
    """All readers by name. Makes the valid files that are damaged: a model, a tokenizer, a state, tables."""
    model, adapter, state = model_files(), _adapter_files(), _state_files()
    tokenizer = model["tokenizer.model"]
    table = b"en\tde\n" + b"a\tb\n" * 3
    return {
        "text": Reader(_named(joined(TEXT), "source", "target"), partial(_read_corpus, CorpusFormat.text)),
        "gzip": Reader(
            _named(compressed(joined(TEXT)), "lines.gz"), lambda folder: list(read_lines(folder / "lines.gz"))
        ),
        "tsv": _table(CorpusFormat.tsv, damaged(table, TEXT) | joined([b"en\tde\n"], TEXT)),
        "jsonl": _table(CorpusFormat.jsonl, joined(JSON, TEXT)),
        "squad": _table(CorpusFormat.squad, joined(JSON) | damaged(JSON[20], JSON)),
        "parquet": _table(CorpusFormat.parquet, st.sampled_from(_parquet_files()).flatmap(damaged)),
        **{name: _table(*file_format) for name, file_format in translation_formats().items()},
        "yaml": Reader(_named(joined(YAML, TEXT), "config.yaml"), lambda folder: read_yaml(folder / "config.yaml")),
        "json": Reader(_named(joined(JSON, TEXT), "manifest.json"), lambda folder: read_json(folder / "manifest.json")),
        "run": Reader(_named(joined(YAML), "config.yaml"), lambda folder: read_config(folder / "config.yaml")),
        "options": Reader(_named(_words(), "words"), _read_words),
        "model": Reader(_with_damage(model), lambda folder: load_model(folder, device=CPU)),
        "adapter": Reader(_with_damage(adapter), partial(_read_adapter, load_model(_base_model(), device=CPU))),
        "tokenizer": Reader(_named(damaged(tokenizer, front=200), "tokenizer.model"), _read_tokenizer),
        "state": Reader(_with_damage(state), partial(_read_state, _train_state())),
        **{
            f"{file_format}_document": Reader(_named(content, "file"), partial(read_written, file_format))
            for file_format, content in document_formats().items()
        },
        **{name: Reader(_named(content, NAME), read_recognised_file) for name, content in contents().items()},
    }


def _named(content: Bytes, *names: str) -> st.SearchStrategy[Files]:
    return st.fixed_dictionaries(dict.fromkeys(names, content))


def _table(file_format: CorpusFormat, content: Bytes) -> Reader:
    return Reader(_named(content, "table"), partial(_read_corpus, file_format))


def _with_damage(files: Files) -> st.SearchStrategy[Files]:
    """The files, one of them damaged; a pickle or the weights mostly in front, where their index is.

    Without checksums, as in folders of earlier versions, unless they themselves are damaged.
    """
    strategies = []
    unchecked = {name: content for name, content in files.items() if not name.endswith(CHECKSUMS)}
    for name, content in files.items():
        vocabularies = [SETTINGS, NUMBERS, YAML, JSON] if name.endswith((".yaml", ".json")) else [NUMBERS]
        changed = damaged(content, *vocabularies, front=0 if name.endswith(".yaml") else 1200)
        strategies.append(changed.map(partial(_replaced, unchecked if name in unchecked else files, name)))
    return st.one_of(strategies)


def _replaced(files: Files, name: str, content: bytes) -> Files:
    return {name: content} | {other: files[other] for other in files if other != name}  # first in reports


def _read_corpus(file_format: CorpusFormat, folder: Path) -> None:
    if file_format is CorpusFormat.text:
        config = CorpusConfig(source=str(folder / "source"), target=str(folder / "target"))
    else:
        config = CorpusConfig(
            format=file_format, path=str(folder / "table"), source_language="en", target_language="de"
        )
        if file_format in _COLUMNS:  # the others find the sides by their languages
            config = replace(config, source="en", target="de")
    for row in read_rows(config, key="data.train"):
        assert "\n" not in row.source + row.target
        (row.source + row.target).encode()  # can be written


def _words() -> Bytes:
    """Words of a command line, one a line."""
    key = st.sampled_from(
        ["model", "adapter", "output", "+output", "~output", "outptu", "hydra.run.dir", "--output", "a.b"]
    )
    pieces = [
        "=",
        "[",
        "]",
        "{",
        "}",
        "'",
        '"',
        ",",
        "${",
        "${oc.env:X}",
        "\\",
        "#",
        " ",
        "x",
        "~",
        "\x1b",
        "é",
        "?",
        "9" * 20,
    ]
    value = st.lists(st.sampled_from(pieces) | st.text(max_size=2), max_size=6).map("".join)
    word = st.builds("{}={}".format, key, value) | value
    # the system hands over bytes that are not UTF-8 as halves of surrogate pairs, and never a NUL
    return st.lists(word, max_size=3).map(
        lambda words: "\n".join(words).replace("\0", "").encode("utf-8", "surrogatepass")
    )


def _read_words(folder: Path) -> None:
    """Compose a small command's configuration; an error is what the command would print."""
    _register_merge()
    words = (folder / "words").read_bytes().decode("utf-8", "surrogatepass").split("\n")
    printed = io.StringIO()
    try:
        with redirect_stderr(printed), user_errors(list):
            line = read_command_line(MergeConfig, words, lambda: ["model", "adapter", "output"])
            to_dataclass(compose("merge", line.overrides), line.own)
    except SystemExit:
        raise UserError(f"words: {printed.getvalue().strip()}") from None


@cache
def _register_merge() -> None:
    register_schemas("merge", MergeConfig, {}, {})


def _read_tokenizer(folder: Path) -> None:
    tokenizer = Tokenizer.load(folder)
    ids = tokenizer.encode_source(["<2de> 3 sheep \0 日本"])
    tokenizer.decode_target(ids)
    tokenizer.source_pieces(ids[0])


def _read_adapter(base: LoadedModel, folder: Path) -> None:
    with_adapter(replace(base, model=copy.deepcopy(base.model)), folder)  # which it changes


def _read_state(state: TrainState, folder: Path) -> None:
    StateFolder(RunFolder(folder), World(), keep=1, vocab_size=40).restore_newest(state)


@cache
def _base_model() -> Path:
    """A model directory, which goes when the process ends."""
    directory = Path(_FOLDER.name) / "model"
    config = TokenizerConfig(vocab_size=60, byte_fallback=False)
    tokenizer = train_tokenizer(config, LINES, LINES, tags=["<2de>"])
    vocabularies = Vocabularies(tokenizer.source_vocab_size, tokenizer.target_vocab_size, shared=True)
    settings = TransformerConfig.tiny(**SIZES)
    weights = weights_of(build_model(settings, vocabularies))
    save_model(directory, weights=weights, config=settings, tokenizer=tokenizer, manifest={})
    return directory


def _files_of(directory: Path, prefix: str = "") -> Files:
    return {prefix + path.name: path.read_bytes() for path in sorted(directory.iterdir())}


def model_files() -> Files:
    """The files of a model directory, by name."""
    return _files_of(_base_model())


def _adapter_files() -> Files:
    base = load_model(_base_model(), device=CPU)
    config, directory = LoraConfig(rank=2, model="base"), _base_model().parent / "adapter"
    adapt(base.model, config)
    weights = weights_of(base.model)
    save_adapter(directory, weights=weights, config=config, manifest={"base": fingerprint(_base_model())})
    return _files_of(directory)


def _train_state() -> TrainState:
    """A state of two parameters: unpickling those of a whole model takes most of the time."""
    model = cast(Seq2Seq, nn.Linear(4, 4))
    decided = decide_training(CPU, Capabilities(on_gpu=False), precision=Precision.fp32, head_width=0)
    return TrainState(parallelize(model, World(), decided), make_optimizer(model, OptimizerConfig()), ema_decay=0.9)


def _state_files() -> Files:
    """A state after one update."""
    state = _train_state()
    for parameter in state.model.module.parameters():
        parameter.grad = torch.ones_like(parameter)
    state.optimizer.step()
    state.progress.step = state.progress.last_success = 1
    folder = _base_model().parent / "run"
    states = StateFolder(RunFolder(folder), World(), keep=1, vocab_size=40)
    states.write(state)
    states.wait()
    return _files_of(folder / STATE, f"{STATE}/")


def _parquet_files() -> list[bytes]:
    """Tables with text, with text that is not UTF-8, with other types and with records inside."""
    texts = ["a", "b"] * 20
    raw = pyarrow.array([b"\xff", b"b"] * 20, pyarrow.binary())
    broken = pyarrow.Array.from_buffers(pyarrow.string(), len(raw), raw.buffers())
    tables = [
        {"en": texts, "de": texts},
        {"en": broken, "de": texts},
        {"en": [1, 2] * 20, "de": [None, b"x"] * 20},
        {"en": [["a"], []] * 20, "de": [{"en": "x"}, None] * 20},
    ]
    files = []
    for table, compression in zip(tables, ("none", "snappy", "zstd", "gzip"), strict=True):
        stream = io.BytesIO()
        # without Arrow's own schema, which has a third of the bytes
        parquet.write_table(pyarrow.table(table), stream, compression=compression, store_schema=False)
        files.append(stream.getvalue())
    return files
