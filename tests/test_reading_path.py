"""The number of files that a reader opens to follow one sentence: into its gradient, and into its translation.

Files of translate/ that are entered are counted under sys.setprofile. A further file on the path of a sentence fails a
test, until it is on one of the lists below and in docs/architecture.md, or its code is moved where it belongs.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from small_runs import REPOSITORY, environment, options, write_corpus

# from a line of the training text to the gradient of the loss
TRAINING = [
    "train.py",
    "data/prepare.py",
    "data/clean_text.py",
    "tokenizer.py",
    "data/dataset.py",
    "data/loader.py",
    "data/batching.py",
    "batch.py",
    "training/step.py",
    "models/transformer.py",
    "models/attention.py",
    "losses/cross_entropy.py",
]
# leaves: calls whose names say all
TRAINING_LEAVES = [
    "data/readers.py",
    "text.py",
    "data/cleaning.py",
    "data/augmentation/pair_encoder.py",
    "models/seq2seq.py",
    "models/layers.py",
    "models/rotary.py",
]
# entered on the way, for settings, bookkeeping and other processes; nothing happens to the sentence there
TRAINING_ASIDE = [
    "data/context.py",
    "data/corpora.py",
    "data/corpus.py",
    "data/filters/config.py",
    "data/filters/corpus_filters.py",
    "data/formats/named_sets.py",
    "data/formats/rows.py",
    "data/filters/near_duplicates.py",
    "distributed.py",
    "errors.py",
    "files.py",
    "models/prefixes.py",
    "models/transformer_config.py",
    "opening.py",
    "parsing.py",
    "tags.py",
    "training/batch_memory.py",
    "training/parallel.py",
    "training/spikes.py",
    "unicode_form.py",
]
# the parts of a run that a sentence passes: (file, function) whose calls are followed, with all that they call
TRAINING_PARTS = [
    ("data/clean_text.py", "write_clean_text"),
    ("data/dataset.py", "write_tokenized"),
    ("data/loader.py", "UpdateStream._from"),
    ("training/step.py", "train_step"),
]

# from a line to its translation
DECODING = [
    "decode.py",
    "text.py",
    "decoding/translator.py",
    "tokenizer.py",
    "decoding/native_engine.py",
    "decoding/search/beam.py",
    "models/transformer.py",
    "models/attention.py",
    "models/kv_cache.py",
]
DECODING_LEAVES = [
    "batch.py",
    "batched_state.py",
    "decoding/active_batch.py",
    "decoding/case_restoring.py",
    "decoding/output_lines.py",
    "decoding/search/base.py",
    "decoding/segmentation.py",
    "decoding/translation.py",
    "models/layers.py",
    "models/rotary.py",
    "models/seq2seq.py",
    "sentences.py",
    "tags.py",
    "truecasing.py",
    "unicode_form.py",
]
# the model is found and loaded, and settings are read, before the first line
DECODING_ASIDE = [
    "checkpoint.py",
    "checksums.py",
    "config/command.py",
    "config/command_line.py",
    "config/options.py",
    "console.py",
    "data/corpus.py",
    "data/languages.py",
    "decoding/arithmetic.py",
    "decoding/config.py",
    "decoding/constraints/constraints.py",
    "decoding/context.py",
    "decoding/rescoring/rerank_config.py",
    "decoding/translation_memory_config.py",
    "decoding/workers.py",
    "decoding/search/config.py",
    "device.py",
    "documents/__init__.py",
    "engines.py",
    "errors.py",
    "files.py",
    "memory.py",
    "model_directory.py",
    "models/__init__.py",
    "models/prefixes.py",
    "models/quantised.py",
    "models/transformer_config.py",
    "opening.py",
    "output.py",
    "streams.py",
    "parsing.py",
    "signals.py",
    "tensor_files.py",
]

TRACER = """
import importlib, inspect, json, runpy, sys, threading
command, output, parts, *arguments = sys.argv[1:]
parts = {tuple(part) for part in json.loads(parts)}
module = importlib.import_module(f"translate.{command}")
package = module.__file__.removesuffix(f"{command}.py")
entered, followed = set(), set()

def name_of(code):
    return code.co_filename.removeprefix(package), code.co_qualname

def is_followed(frame):
    while frame is not None:
        if name_of(frame.f_code) in parts:
            return True
        frame = frame.f_back
    return False

def note(frame, event, argument):
    code = frame.f_code
    # functions alone: CO_OPTIMIZED leaves out modules and bodies of classes
    if event == "call" and code.co_flags & inspect.CO_OPTIMIZED and code.co_filename.startswith(package):
        file = name_of(code)[0]
        entered.add(file)
        if file not in followed and is_followed(frame):
            followed.add(file)

threading.setprofile(note)
sys.argv = [command, *arguments]
sys.setprofile(note)
runpy.run_module(f"translate.{command}", run_name="__main__", alter_sys=True)
sys.setprofile(None)
with open(output, "w") as file:
    compiler = [name for name in ("torch._dynamo",) if name in sys.modules]
    json.dump({"entered": sorted(entered), "followed": sorted(followed), "compiler": compiler}, file)
"""


def trace(folder: Path, command: str, *arguments: str, parts: list[tuple[str, str]] = []) -> dict[str, list[str]]:  # noqa: B006
    """Files of translate/ entered by a command, and by the parts of it."""
    output = folder / f"{command}.json"
    words = [sys.executable, "-W", "ignore", "-c", TRACER, command, str(output), json.dumps(parts), *arguments]
    process = subprocess.run(words, capture_output=True, cwd=REPOSITORY, env=environment())
    assert process.returncode == 0, process.stderr.decode()
    found = json.loads(output.read_text())
    for title, files in found.items():
        print(f"{command}, {title}: {len(files)} files: {' '.join(files)}")
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reading")


@pytest.fixture(scope="module")
def run(folder: Path) -> dict[str, list[str]]:
    """A whole run of 12 updates with validations, the average of checkpoints, and the final test."""
    changes = {"run__max_steps": 12, "validation__every": 6, "run__save_every": 6, "averaging__last": 2}
    changes |= {"validation__attention_maps": 1}
    arguments = options(write_corpus(folder / "corpus"), folder / "run", **changes)
    return trace(folder, "train", *arguments, parts=TRAINING_PARTS)


def test_a_sentence_is_followed_into_its_gradient_through_twelve_files(run):
    assert len(TRAINING) <= 12
    assert len(TRAINING + TRAINING_LEAVES) <= 19
    assert set(TRAINING + TRAINING_LEAVES) <= set(run["entered"])
    assert set(run["followed"]) - {*TRAINING, *TRAINING_LEAVES, *TRAINING_ASIDE} == set()


def test_a_whole_run_enters_few_files(run):
    assert len(run["entered"]) <= 139


def test_a_line_is_followed_into_its_translation_through_nine_files(run, folder):
    (folder / "input").write_text("1 2 3\n4 5\n6 7 8\n")
    arguments = [f"model={folder / 'run'}", f"input={folder / 'input'}", f"output={folder / 'output'}", "threads=1"]
    traced = trace(folder, "decode", *arguments)
    entered = traced["entered"]
    assert len(DECODING) <= 9
    assert len(DECODING + DECODING_LEAVES) <= 24
    assert set(entered) == {*DECODING, *DECODING_LEAVES, *DECODING_ASIDE}
    assert len(entered) <= 57
    assert not traced["compiler"], "PyTorch's compiler takes a second to import"


def test_the_house_has_few_files_and_none_is_long():
    files = sorted((REPOSITORY / "translate").rglob("*.py"))
    assert len(files) <= 356
    lines = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert {name: count for name, count in lines.items() if count > 300} == {}


def test_the_documented_paths_are_these():
    text = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    for title, path in (("into its gradient", TRAINING), ("into its translation", DECODING)):
        section = text.partition(title)[2].partition("\n## ")[0]
        positions = [section.find(f"| `{file}`") for file in path]
        assert -1 not in positions, path[positions.index(-1)]
        assert positions == sorted(positions)
