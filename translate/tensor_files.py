"""Untrusted files of tensors: shapes of weights, from the header of their file, and pickles.

A model.yaml of a few bytes can ask for any amount of memory. Its counts and widths are first compared with numbers of
the header, so that the shapes of its parameters can be listed on PyTorch's meta device, which allocates nothing; only a
model whose shapes are those of the file is then built.

A pickle is read by PyTorch's own interpreter of a few instructions, which runs no code of the file.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from torch.overrides import TorchFunctionMode

from translate.errors import UserError, excerpt, require_at_least

Shapes = Mapping[str, tuple[int, ...]]  # of parameters, by name
_MAX_HEADER_BYTES = 1 << 24  # a hundred bytes for each of 160,000 tensors
# what zipfile, PyTorch's reader of archives and its interpreter of pickles raise for damaged bytes
_DAMAGE = (
    zipfile.BadZipFile,
    UnpicklingError,
    RuntimeError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    EOFError,
    ArithmeticError,
    AssertionError,
    struct.error,
)
_DTYPES = ("F64", "F32", "BF16", "F16")


def read_shapes(path: Path) -> Shapes:
    """Shapes of the weights in a file, of which the header alone is read. Raises UserError for a damaged file."""
    try:
        with open(path, "rb") as file:
            header_bytes = int.from_bytes(file.read(8), "little")
        if header_bytes > _MAX_HEADER_BYTES:
            raise UserError(f"{path}: the weights cannot be read: their header would have {header_bytes:,} bytes")
        # checks that offsets are in order, without gap or overlap, and end with the file
        with safe_open(path, framework="pt") as file:
            parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: the weights cannot be read: {excerpt(error)}") from None
    for name, part in parts.items():
        if part.get_dtype() not in _DTYPES:
            raise UserError(f"{path}: {excerpt(name)} is of {part.get_dtype()}, expected {', '.join(_DTYPES)}")
    shapes = {name: tuple(part.get_shape()) for name, part in parts.items()}
    # a tensor without elements costs no byte, and may claim any size
    if empty := [name for name, shape in shapes.items() if not prod(shape)]:
        raise UserError(f"{path}: {excerpt(empty[0])} is empty, of shape {excerpt(shapes[empty[0]])}")
    return shapes


def require_sizes(config: Any, names: Sequence[str], shapes: Shapes, path: Path) -> None:
    """Raise UserError for a size of a configuration that is below 1, or beyond all that the weights can have.

    names  of its fields, each a number of layers or a dimension of a weight; path: of the configuration
    """
    largest = max((size for shape in shapes.values() for size in shape), default=0)
    for name in names:
        is_count = name.endswith("_layers")
        bound = len(shapes) if is_count else largest
        require_at_least(f"{path}: {name}", getattr(config, name), 1)
        if getattr(config, name) > bound:
            found = f"{bound:,} tensors" if is_count else f"no dimension above {bound:,}"
            raise UserError(f"{path}: {name} ({getattr(config, name):,}) does not fit the weights, which have {found}")


def shapes_of(build: Callable[[], nn.Module]) -> Shapes:
    """Shapes of the trained parameters of the model that `build` makes; nothing is allocated or drawn."""
    with torch.device("meta"), _WithoutInit():
        model = build()
    return {name: tuple(weight.shape) for name, weight in model.named_parameters() if weight.requires_grad}


class _WithoutInit(TorchFunctionMode):
    """Skip the functions of torch.nn.init: on meta some of them import PyTorch's compiler, which takes a second."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(function, "__module__", "") == nn.init.__name__:
            return kwargs["tensor"]
        return function(*args, **(kwargs or {}))


def require_shapes(found: Shapes, expected: Shapes, path: Path) -> None:
    """Raise UserError where the weights in a file differ from a model's in name or shape."""
    names = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if names:
        raise UserError(
            f"{path}: these weights do not fit the model that its configuration and the tokenizer describe: "
            f"{excerpt(names[0])} is {found.get(names[0], 'missing')}, expected {expected.get(names[0], 'nothing')}"
        )


def load_pickle(path: Path, *, legacy: bool = False) -> Any:
    """Tensors in plain containers, as torch.save writes them, on the CPU. Raises UserError for a damaged file.

    legacy  accept files of PyTorch before 1.6 as well, which are no archives
    """
    try:
        if not legacy or zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                # a compressed part could be a thousand times as large in memory
                if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
                    raise UserError(f"{path}: it is compressed, which torch.save never does")
        return torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except _DAMAGE as error:
        reason = (str(error) or type(error).__name__).partition("\n")[0]
        raise UserError(f"{path}: the file is damaged: {excerpt(reason)}") from None
