"""ONNX graphs in onnxruntime as an engine: the network runs there, the searches are those of this package."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn

from translate.batch import Tokens
from translate.decoding.config import DIVERGED, ForcedScore, Hypothesis, Pair, SearchConfig, Sentence
from translate.decoding.native_engine import search_batch
from translate.decoding.rescoring.coverage import search_with_coverage
from translate.decoding.scoring import batches_by_length
from translate.device import Precision
from translate.errors import DivergedError, UserError, import_extra
from translate.files import read_json
from translate.model_directory import ONNX_DECODER, ONNX_ENCODER, ONNX_JSON, read_origin, verify_model
from translate.models.prefixes import with_prefix
from translate.models.seq2seq import Seq2Seq, State
from translate.tokenizer import BOS, EOS, Tokenizer

_BATCH_TOKENS = 1024
_BATCH_SENTENCES = 32
_LARGEST_SIZE = 1 << 20  # of the numbers in onnx.json: a damaged one must not allocate gigabytes


@dataclass(frozen=True, eq=False)
class _OnnxState(State):
    """Inputs of the decoder's graph for N = B * K hypotheses, all of which have read as many tokens.

    mask            (N, S): 1 where a source token is real
    memory          keys and values of the source (N, H, S, W), of every layer
    past            keys and values of the tokens so far (N, H, T, W), likewise
    num_hypotheses  K
    """

    mask: Tensor
    memory: list[Tensor]
    past: list[Tensor]
    num_hypotheses: int = 1

    def reorder(self, parents: Tensor) -> _OnnxState:
        rows = (torch.arange(len(parents))[:, None] * self.num_hypotheses + parents).flatten()
        reordered = replace(self, past=[x[rows] for x in self.past], num_hypotheses=parents.shape[1])
        if reordered.num_hypotheses == self.num_hypotheses:
            return reordered  # the hypotheses of a sentence have one source
        return replace(reordered, mask=self.mask[rows], memory=[x[rows] for x in self.memory])


class OnnxModel(Seq2Seq):
    """The two graphs of export_onnx as a model that searches drive; it cannot be trained, as it has no parameters."""

    adapter_targets = ()

    def __init__(self, directory: Path, *, threads: int):
        nn.Module.__init__(self)  # not that of Seq2Seq, which makes embeddings
        description = read_json(directory / ONNX_JSON)
        self.max_length = _size(description, "max_length")
        self.quantization = str(description.get("quantization", ""))
        self._source_prefix, self._target_prefix = (
            _ids(description, f"{side}_prefix") for side in ("source", "target")
        )
        self._empty_past = (_size(description, "num_heads"), 0, _size(description, "head_width"))
        self._encoder, self._decoder = (_Graph(directory / name, threads) for name in (ONNX_ENCODER, ONNX_DECODER))

    def forward(self, *_: Any, **__: Any) -> NoReturn:
        raise NotImplementedError("the graphs decode step by step")

    def encode(self, source: Tokens, embedding_noise: None = None) -> tuple[Tensor, list[Tensor]]:  # type: ignore[override]
        # prefixes are not in the graphs: a runtime without this package puts them there by itself
        source = with_prefix(source, self._source_prefix)
        assert source.mask is not None, "search reads padded sentences"
        mask = source.mask.long()
        return mask, self._encoder.run([source.ids, mask])

    def start(self, memory: tuple[Tensor, list[Tensor]]) -> _OnnxState:
        mask, keys_and_values = memory
        heads, length, width = self._empty_past
        past = [torch.empty(len(mask), heads, length, width) for _ in keys_and_values]
        state = _OnnxState(mask, keys_and_values, past)
        # the last one is read by the first step, instead of BOS
        for token in self._target_prefix[:-1]:
            _, state = self._read(torch.full((len(mask),), token), state)
        return state

    def step(self, tokens: Tensor, state: _OnnxState) -> tuple[Tensor, _OnnxState]:  # type: ignore[override]
        if self._target_prefix:
            tokens = tokens.masked_fill(tokens == BOS, self._target_prefix[-1])
        return self._read(tokens, state)

    def _read(self, tokens: Tensor, state: _OnnxState) -> tuple[Tensor, _OnnxState]:
        logits, *past = self._decoder.run([tokens[:, None], state.mask, *state.past, *state.memory])
        return logits[:, 0], replace(state, past=past)


class _Graph:
    """A graph in a session of onnxruntime on the CPU; inputs and outputs are in the order of the graph's own."""

    def __init__(self, path: Path, threads: int):
        onnxruntime = import_extra("onnxruntime", extra="onnx", purpose="engine=onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._names = [each.name for each in self._session.get_inputs()]

    def run(self, values: Sequence[Tensor]) -> list[Tensor]:
        inputs = {name: value.numpy() for name, value in zip(self._names, values, strict=True)}
        outputs: list[np.ndarray[Any, Any]] = self._session.run(None, inputs)
        return [torch.from_numpy(output) for output in outputs]


def _size(description: dict[str, Any], name: str) -> int:
    value = description.get(name)
    if type(value) is not int or not 0 < value <= _LARGEST_SIZE:
        raise UserError(f"{ONNX_JSON}: {name} ({value!r}) must be a number from 1 to {_LARGEST_SIZE:,}; export again")
    return value


def _ids(description: dict[str, Any], name: str) -> list[int]:
    value = description.get(name, [])
    if not (isinstance(value, list) and all(type(token) is int and 0 <= token <= _LARGEST_SIZE for token in value)):
        raise UserError(f"{ONNX_JSON}: {name} must be a list of ids of tokens; export again")
    return value


@dataclass(kw_only=True, eq=False)
class OnnxEngine:
    """Graphs of ONNX on the CPU, and the size of the batches.

    batch_tokens     source tokens of a batch, padding counted; 0: 1,024
    batch_sentences  most sentences of a batch; 0: 32
    """

    model: OnnxModel
    batch_tokens: int = 0
    batch_sentences: int = 0

    @property
    def max_length(self) -> int:
        return self.model.max_length

    @property
    def precision(self) -> Precision:
        return Precision.int8 if self.model.quantization else Precision.fp32

    def search(
        self, sentences: Sequence[Sentence], config: SearchConfig, *, progress: Callable[[float], None] | None = None
    ) -> list[list[Hypothesis]]:
        """The n_best hypotheses of each sentence, best first. Raises UserError for a search that wants attention."""
        if config.coverage_penalty:
            return search_with_coverage(self, sentences, config, progress=progress)
        found: dict[int, list[Hypothesis]] = {}
        for indices in self._batches([len(sentence) for sentence in sentences]):
            hypotheses = search_batch(self.model, [sentences[index] for index in indices], config)
            found.update(zip(indices, hypotheses, strict=True))
            if progress:
                progress(len(found) / len(sentences))
        return [found[index] for index in range(len(sentences))]

    def score(
        self, pairs: Sequence[Pair], *, details: bool = False, progress: Callable[[float], None] | None = None
    ) -> list[ForcedScore]:
        """Score given translations; see Engine.score. The graphs give no attention."""
        found: dict[int, ForcedScore] = {}
        for indices in self._batches([max(map(len, pair)) for pair in pairs]):
            scores = self._score_batch([pairs[index] for index in indices], details=details)
            found.update(zip(indices, scores, strict=True))
            if progress:
                progress(len(found) / len(pairs))
        return [found[index] for index in range(len(pairs))]

    # token by token: the decoder's graph reads one at a time
    @torch.inference_mode()
    def _score_batch(self, pairs: Sequence[Pair], *, details: bool) -> list[ForcedScore]:
        sources, targets = ([[*sentence, EOS] for sentence in side] for side in zip(*pairs, strict=True))
        labels = Tokens.pad(targets).ids
        state = self.model.start(self.model.encode(Tokens.pad(sources)))
        tokens = torch.full_like(labels[:, 0], BOS)
        log_probs, entropies = torch.zeros(labels.shape), torch.zeros(labels.shape)
        for index in range(labels.shape[1]):
            logits, state = self.model.step(tokens, state)
            every = logits.log_softmax(-1)
            tokens = labels[:, index]
            log_probs[:, index] = every.gather(1, tokens[:, None])[:, 0]
            entropies[:, index] = -(every.exp() * every).sum(-1)
        if not log_probs.isfinite().all():
            raise DivergedError(DIVERGED)
        return [
            ForcedScore(
                log_probs=log_probs[row, : len(target)].tolist(),
                entropies=entropies[row, : len(target)].tolist() if details else None,
            )
            for row, target in enumerate(targets)
        ]

    def _batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Indices of sentences by batches; lengths without EOS."""
        return batches_by_length(
            [length + 1 for length in lengths],
            batch_tokens=self.batch_tokens or _BATCH_TOKENS,
            batch_sentences=self.batch_sentences or _BATCH_SENTENCES,
        )


def open_onnx(directory: Path, *, threads: int) -> tuple[OnnxModel, Tokenizer, dict[str, Any]]:
    """The graphs in a folder that export_onnx has written, the tokenizer and the manifest.

    Raises UserError for another folder, and for damaged files.
    """
    if not (directory / ONNX_DECODER).is_file():
        raise UserError(
            f"model={directory}: engine=onnx reads what python -m translate.export format=onnx has written, and "
            f"{ONNX_DECODER} is not there"
        )
    verify_model(directory)
    tokenizer, manifest = read_origin(directory)
    return OnnxModel(directory, threads=threads), tokenizer, manifest
