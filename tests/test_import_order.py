"""The package's modules form layers: each imports only from layers below its own."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "translate"

LAYERS = [
    {"errors", "signals"},
    {"parsing", "streams", "disk_space", "html_pages"},
    {"files", "console", "memory", "launcher", "recording"},
    {"checksums", "locks"},
    {"folders"},
    {"opening"},
    {"text", "sentences", "unspaced_scripts", "device", "distributed"},
    {"tags", "unicode_form", "truecasing", "output"},
    {"tokenizer"},
    {"tokenizer_reuse"},
    {"tokenizer_training", "batch", "batched_state", "tensor_files"},
    {"data", "models", "model_directory"},
    {"losses", "adaptation"},
    {"checkpoint"},
    {"importing"},
    {"decoding"},
    {"documents"},
    {"evaluation", "explanation"},
    {"training"},
    {"comparison"},
    {"exporting"},
    {"engines"},
    {"monitoring"},
    {"serving"},
    {"config"},
    {
        "train",
        "decode",
        "evaluate",
        "compare",
        "prepare",
        "explain",
        "merge",
        "score",
        "convert",
        "export",
        "serve",
        "monitor",
    },
    {"api"},
    {"gpu_check"},
    {"__main__"},
]
ORDER = {part: level for level, parts in enumerate(LAYERS) for part in parts}


def modules():
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported_parts(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return {name.split(".")[1] for name in names if name.startswith("translate.")}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_import_only_from_below(path):
    own = part_of(path)
    for part in imported_parts(path) - {own}:
        assert ORDER[part] < ORDER[own], f"{own} imports {part}"


def test_only_config_imports_hydra():
    for path in modules():
        if part_of(path) != "config":
            text = path.read_text(encoding="utf-8")
            assert "import hydra" not in text
            assert "omegaconf" not in text


def test_decoding_with_another_engine_needs_no_pytorch():
    commands = "translate.decode, translate.evaluate, translate.exporting.ctranslate2_engine"
    code = f"import sys, {commands}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
