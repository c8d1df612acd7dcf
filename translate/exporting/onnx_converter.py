"""Conversion of our Transformers to ONNX: two graphs for runtimes without PyTorch, named as Optimum names them.

encoder_model.onnx            input_ids, attention_mask (B, S) -> the source's keys and values for the decoder:
                              present.N.encoder.key, present.N.encoder.value (B, H, S, W)
decoder_with_past_model.onnx  input_ids (B, 1), encoder_attention_mask (B, S), past_key_values.N.decoder.key and .value
                              (B, H, T, W), past_key_values.N.encoder.key and .value (B, H, S, W)
                              -> logits (B, 1, V), present.N.decoder.key and .value (B, H, T + 1, W)

for each decoder layer N, from 0. Before BOS has been read, T is 0. onnx.json has these names in order, and the numbers
that a search needs.

Letters: B sentences or hypotheses, S source tokens, T target tokens so far, H heads, W width of a head, V vocabulary.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from translate.batch import Tokens
from translate.checkpoint import LoadedModel, read_config
from translate.errors import UserError, import_extra
from translate.files import write_json
from translate.folders import check_replaceable, replaced_directory
from translate.model_directory import EXPORT_REPORT, MANIFEST, MODEL, ONNX_DECODER, ONNX_ENCODER, ONNX_JSON, copy_origin
from translate.models.attention import AttentionMask, make_attention_mask
from translate.models.kv_cache import LayerCache
from translate.models.transformer import DecoderLayer, Transformer
from translate.models.transformer_config import TransformerConfig
from translate.tokenizer import BOS, EOS, PAD, TOKENIZER_FILES, UNK
from translate.truecasing import TRUECASE

ONNX_FILES = (
    ONNX_ENCODER,
    ONNX_DECODER,
    "*.onnx.data",
    ONNX_JSON,
    MODEL,
    MANIFEST,
    TRUECASE,
    *TOKENIZER_FILES,
    EXPORT_REPORT,
)
INT8 = "int8"
_OPSET = 20  # operators of ONNX 1.15, which runtimes of 2024 and later have
_LARGEST_FILE = 1_900_000_000  # bytes; protobuf ends at 2 GiB, and weights are kept in a file of their own beyond


def export_onnx(loaded: LoadedModel, directory: Path, *, quantization: str | None = None) -> None:
    """Write a folder with the two graphs, the tokenizer and onnx.json; engine=onnx decodes from it.

    quantization  int8: weights of matrix products and embeddings in 8 bits, activations quantised as they come; None:
                  fp32

    Raises UserError for a model that is no Transformer, and for a folder that holds anything but an earlier export.
    """
    for module in ("onnx", "onnxscript", "onnxruntime"):
        import_extra(module, extra="onnx", purpose="format=onnx")
    check_replaceable(directory, complete=[ONNX_ENCODER, ONNX_DECODER, MODEL, MANIFEST], owned=ONNX_FILES)
    if quantization not in (None, INT8):
        raise UserError(f"quantization={quantization}: format=onnx has only {INT8}, and fp32 without quantization=")
    config = read_config(loaded.directory / MODEL)
    if not isinstance(config, TransformerConfig) or not isinstance(loaded.model, Transformer):
        raise UserError(f"model.architecture={config.architecture}: ONNX graphs are made of transformer only")
    model = loaded.model.eval()
    graphs: dict[str, _Graph] = {ONNX_ENCODER: _EncoderGraph(model), ONNX_DECODER: _DecoderGraph(model, config)}
    with replaced_directory(directory, owned=ONNX_FILES) as new:
        for name, graph in graphs.items():
            _write_graph(graph, new / name, quantization)
        copy_origin(loaded.directory, new)
        write_json(new / ONNX_JSON, _description(graphs, model, config, loaded, quantization))


class _EncoderGraph(nn.Module):
    """The encoder, and the projection of its output to keys and values of every decoder layer."""

    def __init__(self, model: Transformer):
        super().__init__()
        self.model = model
        layers = range(len(model.decoder.layers))
        self.inputs = ["input_ids", "attention_mask"]
        self.outputs = [f"present.{layer}.encoder.{part}" for layer in layers for part in ("key", "value")]

    def forward(self, ids: Tensor, mask: Tensor) -> list[Tensor]:
        positions = torch.arange(ids.shape[1]).expand(ids.shape)
        source = Tokens(ids, positions, mask.bool(), None, 0)
        bias = make_attention_mask(source, source, causal=False)
        rotation = None if self.model.rotary is None else self.model.rotary(positions)
        x = self.model.embed_source(source)
        for layer in self.model.encoder.layers:
            x, _ = layer(x, bias, rotation)
        encoded = self.model.encoder.norm(x)
        return [part for layer in _decoder_layers(self.model) for part in layer.cross_attention.project_memory(encoded)]

    def example(self) -> tuple[Tensor, ...]:
        # sizes of 0 and 1 would become constants of the graph
        return torch.full((2, 3), UNK), torch.ones(2, 3, dtype=torch.int64)

    def dynamic_shapes(self) -> tuple[Any, ...]:
        sizes = {0: _DYNAMIC, 1: _DYNAMIC}
        return sizes, sizes


class _DecoderGraph(nn.Module):
    """One step of the decoder: the newest token of each hypothesis, after those whose keys and values are given."""

    def __init__(self, model: Transformer, config: TransformerConfig):
        super().__init__()
        self.model, self.config = model, config
        layers, parts = range(len(model.decoder.layers)), ("key", "value")
        self.past = [f"past_key_values.{n}.decoder.{part}" for n in layers for part in parts]
        self.memory = [f"past_key_values.{n}.encoder.{part}" for n in layers for part in parts]
        self.inputs = ["input_ids", "encoder_attention_mask", *self.past, *self.memory]
        self.outputs = ["logits", *(f"present.{n}.decoder.{part}" for n in layers for part in parts)]

    def forward(self, ids: Tensor, source_mask: Tensor, past: list[Tensor], memory: list[Tensor]) -> list[Tensor]:
        length = past[0].shape[2]
        positions = torch.full_like(ids, length)
        caches = [_GivenCache(key, value) for key, value in zip(past[::2], past[1::2], strict=True)]
        # all tokens so far are visible; as wide as there are keys, since sigmoid attention counts them
        self_mask = AttentionMask(torch.zeros(1, 1, 1, length + 1))
        source = Tokens(source_mask, source_mask, source_mask.bool(), None, 0)
        cross_mask = make_attention_mask(source, source, causal=False)
        rotation = None if self.model.rotary is None else self.model.rotary(positions)
        x = self.model.embed_target(ids, positions)
        pairs = zip(memory[::2], memory[1::2], strict=True)
        for layer, pair, cache in zip(_decoder_layers(self.model), pairs, caches, strict=True):
            x, _, _ = layer(x, pair, self_mask, cross_mask, rotation, cache=cache)
        logits = self.model.projection(self.model.decoder.norm(x))
        return [logits, *(part for cache in caches for part in (cache.key, cache.value))]

    def example(self) -> tuple[Any, ...]:
        def heads(length: int) -> list[Tensor]:
            return [torch.zeros(2, self.config.num_heads, length, self.config.head_width) for _ in self.past]

        return torch.full((2, 1), BOS), torch.ones(2, 3, dtype=torch.int64), heads(4), heads(3)

    def dynamic_shapes(self) -> tuple[Any, ...]:
        heads = [{0: _DYNAMIC, 2: _DYNAMIC} for _ in self.past]
        return {0: _DYNAMIC}, {0: _DYNAMIC, 1: _DYNAMIC}, heads, heads


_Graph = _EncoderGraph | _DecoderGraph
_DYNAMIC = torch.export.Dim.DYNAMIC


class _GivenCache(LayerCache):
    """Keys and values that are inputs of the graph: append() makes new tensors, as a graph writes into none."""

    def __init__(self, key: Tensor, value: Tensor):
        self.key, self.value = key, value

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        self.key, self.value = torch.cat([self.key, key], dim=2), torch.cat([self.value, value], dim=2)
        return self.key, self.value


def _decoder_layers(model: Transformer) -> Iterator[DecoderLayer]:
    return (cast(DecoderLayer, layer) for layer in model.decoder.layers)


def _write_graph(graph: _Graph, path: Path, quantization: str | None) -> None:
    # the quantiser reads a file, and the exporter cannot quantise
    exact = path if quantization is None else path.with_suffix(".fp32")
    size = sum(weight.nbytes for weight in graph.parameters())
    with torch.no_grad(), _quiet_exporter():
        torch.onnx.export(
            graph,
            graph.example(),
            exact,
            input_names=graph.inputs,
            output_names=graph.outputs,
            dynamic_shapes=graph.dynamic_shapes(),
            opset_version=_OPSET,
            external_data=size > _LARGEST_FILE,
            dynamo=True,
            verbose=False,
        )
        if quantization is not None:
            _quantize(exact, path)


def _quantize(exact: Path, path: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(exact, path, weight_type=QuantType.QInt8)
    # the exact graph, and the file of its weights beside it
    for file in exact.parent.glob(f"{exact.name}*"):
        file.unlink()


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Silence the exporter's and the quantiser's remarks on their own workings."""
    # for all loggers: the exporter writes to several, whose names differ between versions of PyTorch
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _description(
    graphs: dict[str, _Graph],
    model: Transformer,
    config: TransformerConfig,
    loaded: LoadedModel,
    quantization: str | None,
) -> dict[str, Any]:
    """The content of onnx.json."""
    return {
        "graphs": {name: {"inputs": graph.inputs, "outputs": graph.outputs} for name, graph in graphs.items()},
        "pad_token_id": PAD,
        "unk_token_id": UNK,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "source_prefix": config.source_prefix,  # in front of the source, and instead of BOS
        "target_prefix": config.target_prefix,
        "max_length": model.max_length,
        "source_vocab_size": loaded.tokenizer.source_vocab_size,
        "target_vocab_size": loaded.tokenizer.target_vocab_size,
        "decoder_layers": config.decoder_layers,
        "num_heads": config.num_heads,
        "head_width": config.head_width,
        "quantization": quantization or "",
    }
