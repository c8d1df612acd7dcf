"""Explanation of one translation: attention of all heads, alignment, probabilities; and pictures of it.

Letters: S source and T target tokens, EOS counted; H heads.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from translate.batch import NO_TARGET, Batch, pad_batch
from translate.decoding.rescoring.coverage import UNCOVERED, attention_received
from translate.decoding.scoring import label_scores
from translate.files import atomic_file
from translate.models.seq2seq import Output, Seq2Seq, evaluation_mode
from translate.tokenizer import BOS, EOS, Tokenizer

ALTERNATIVES = 5
MAX_PIECES = 40  # a picture of more cannot be read
Map = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Heads:
    """The attention of one kind, such as "cross": layers from the first to the last, (H, queries, keys) each."""

    kind: str
    layers: list[Map]
    queries: list[str]
    keys: list[str]


@dataclass(frozen=True)
class Word:
    """A target token: its probability given the tokens before it, and the entropy of that distribution, in nats.

    alternatives  the most probable tokens with their probabilities, best first
    aligned       the source token that it attends to most
    """

    piece: str
    probability: float
    entropy: float
    alternatives: list[tuple[str, float]]
    aligned: int


@dataclass(frozen=True, eq=False)
class Explanation:
    """A source sentence, a translation of it, and what the model attended to.

    source     its pieces, EOS last
    alignment  (T, S): cross-attention of the last decoder layer, mean of its heads
    """

    source_text: str
    target_text: str
    source: list[str]
    words: list[Word]
    alignment: Map
    heads: list[Heads]

    @property
    def target(self) -> list[str]:
        """Pieces of the translation, EOS last."""
        return [word.piece for word in self.words]

    @property
    def coverage(self) -> Map:
        """Attention that each source token receives from the whole translation, (S,)."""
        return attention_received(self.alignment)

    @property
    def ignored(self) -> list[int]:
        """Indices of the source tokens, except EOS, that the whole translation hardly attends to."""
        return [index for index, received in enumerate(self.coverage[:-1]) if received < UNCOVERED]

    @property
    def ignored_pieces(self) -> list[str]:
        return [self.source[index] for index in self.ignored]

    @property
    def score(self) -> float:
        """Mean log probability of the target tokens, EOS counted."""
        return float(np.mean([np.log(max(word.probability, 1e-30)) for word in self.words]))  # log 0 would be -inf


def uncovered(batch: Batch, output: Output) -> Tensor:
    """Number of source tokens, EOS included, that receive less attention than UNCOVERED from the whole translation."""
    assert output.attention is not None, "config.model.has_attention says that there are weights"
    assert batch.source.mask is not None
    weights = output.attention.float().mean(1)  # (B, T, S)
    # padding of the target attends too, but is no translation
    received = (weights * (batch.labels != NO_TARGET)[:, :, None]).sum(1)
    return ((received < UNCOVERED) & batch.source.mask).sum()


@torch.no_grad()
def explain_pair(
    model: Seq2Seq, tokenizer: Tokenizer, source: Sequence[int], target: Sequence[int]
) -> Explanation | None:
    """Explain a translation, given token ids without BOS and EOS; None for a model without attention."""
    device = next(model.parameters()).device
    batch = pad_batch([np.array(source)], [np.array(target, dtype=np.int64)]).to(device)
    output, maps = model.eval().forward_with_attention(batch)
    if output.attention is None:
        return None
    alignment = output.attention[0].mean(0).float().cpu().numpy()
    sides = tokenizer.source_pieces([*source, EOS]), tokenizer.target_pieces([*target, EOS])
    # decoder self-attention goes from the token that is predicted to the tokens that the decoder has read
    read = tokenizer.target_pieces([BOS, *target])
    axes = {"encoder": (sides[0], sides[0]), "decoder": (sides[1], read), "cross": (sides[1], sides[0])}
    return Explanation(
        source_text=tokenizer.decode_source([source])[0],
        target_text=tokenizer.decode_target([target])[0],
        source=sides[0],
        words=_words(output, batch.labels[0], alignment, tokenizer),
        alignment=alignment,
        heads=[
            Heads(kind, [layer[0].float().cpu().numpy() for layer in layers], *axes[kind])  # (H, queries, keys)
            for kind, layers in maps.items()
        ],
    )


def explain_pairs(
    model: Seq2Seq, tokenizer: Tokenizer, pairs: Sequence[tuple[str, str]], count: int
) -> list[Explanation]:
    """Explain the first `count` pairs of texts that are short enough for a picture and for the model."""
    sides = (
        tokenizer.encode_source([source for source, _ in pairs]),
        tokenizer.encode_target([target for _, target in pairs]),
    )
    # one for EOS
    longest = min(MAX_PIECES - 1, model.max_length)
    readable = [pair for pair in zip(*sides, strict=True) if pair[0] and max(map(len, pair)) <= longest]
    with evaluation_mode(model):
        found = [explain_pair(model, tokenizer, source, target) for source, target in readable[:count]]
    return [explanation for explanation in found if explanation is not None]


def _words(output: Output, labels: Tensor, alignment: Map, tokenizer: Tokenizer) -> list[Word]:
    log_probs, entropies = label_scores(output.rows(0), labels)
    probabilities = output.logits()[0].float().softmax(-1)  # (T, V)
    best, tokens = probabilities.topk(min(ALTERNATIVES, probabilities.shape[1]))
    return [
        Word(
            piece=tokenizer.target_pieces([int(label)])[0],
            probability=float(log_probs[index].exp()),
            entropy=float(entropies[index]),
            alternatives=list(zip(tokenizer.target_pieces(tokens[index].tolist()), best[index].tolist(), strict=True)),
            aligned=int(alignment[index].argmax()),
        )
        for index, label in enumerate(labels)
    ]


# matplotlib's own font, then those of operating systems for the letters that it lacks
_FONTS = ("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Droid Sans Fallback", "Arial Unicode MS")
_IGNORED, _RECEIVED, _SURE, _DOUBT = "#c62828", "#90a4ae", "#5c6bc0", "#ffb74d"
_DARK = (8, 48, 107)  # colour of a weight of 1 in the maps of heads
_SQUARE, _FRAME = 7, 3  # pixels of a weight's side, and of the frame of a map
Picture = NDArray[np.uint8]


def save_picture(explanation: Explanation, path: Path) -> None:
    """Save a PNG file: the alignment, above it attention received by each source token, beside it probabilities."""
    rows, columns = explanation.alignment.shape
    figure = _new_figure(width=4.5 + 0.34 * columns, height=3.2 + 0.28 * rows)
    grid = figure.add_gridspec(2, 2, width_ratios=[columns, 8], height_ratios=[5, rows])
    _draw_map(figure.add_subplot(grid[1, 0]), explanation)
    _draw_coverage(figure.add_subplot(grid[0, 0]), explanation)
    _draw_certainty(figure.add_subplot(grid[1, 1]), explanation)

    from matplotlib.image import imsave

    with atomic_file(path) as stream:
        imsave(stream, _pixels(figure), format="png")


def draw_alignment(explanation: Explanation) -> Picture:
    """The mean cross-attention of the last layer, (height, width, 3)."""
    rows, columns = explanation.alignment.shape
    figure = _new_figure(width=1.8 + 0.3 * columns, height=1.5 + 0.26 * rows)
    _draw_map(figure.add_subplot(), explanation)
    return _pixels(figure)


def draw_heads(heads: Heads) -> Picture:
    """A map for each head, a row of them for each layer, (height, width, 3); without text, which takes seconds."""
    return np.vstack([np.hstack([_tile(weights) for weights in layer]) for layer in heads.layers])


def _tile(weights: Map) -> Picture:
    squares = weights.repeat(_SQUARE, 0).repeat(_SQUARE, 1)[:, :, None]
    colours = (255 + squares * (np.array(_DARK) - 255)).astype(np.uint8)  # from white, a weight of 0, to _DARK
    return np.pad(colours, ((_FRAME, _FRAME), (_FRAME, _FRAME), (0, 0)), constant_values=200)


def _draw_map(axes: Any, explanation: Explanation) -> None:
    rows, columns = explanation.alignment.shape
    axes.imshow(explanation.alignment, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(columns), explanation.source, rotation=60, ha="left", rotation_mode="anchor", fontsize=12)
    axes.set_yticks(range(rows), explanation.target, fontsize=12)
    axes.xaxis.tick_top()


def _draw_coverage(axes: Any, explanation: Explanation) -> None:
    """A bar for each source token: attention received from the whole translation; red if it was ignored."""
    indices = range(len(explanation.source))
    colours = [_IGNORED if index in explanation.ignored else _RECEIVED for index in indices]
    axes.bar(indices, explanation.coverage, color=colours)
    axes.axhline(UNCOVERED, color=_IGNORED, linewidth=0.8, linestyle=":")
    axes.set_xlim(-0.5, len(explanation.source) - 0.5)
    axes.set_xticks([])
    axes.set_title("attention received", fontsize=10)


def _draw_certainty(axes: Any, explanation: Explanation) -> None:
    """Two bars for each target token: probability to the right, entropy to the left as a share of the highest one."""
    rows = range(len(explanation.words))
    axes.barh(rows, [word.probability for word in explanation.words], color=_SURE, height=0.4, align="edge")
    highest = max([1.0, *(word.entropy for word in explanation.words)])
    axes.barh(rows, [-word.entropy / highest for word in explanation.words], color=_DOUBT, height=0.4, align="edge")
    # downwards, in line with the rows of the map beside it
    axes.set_ylim(len(explanation.words) - 0.5, -0.5)
    axes.set_xlim(-1, 1)
    axes.set_yticks([])
    axes.set_xticks([-1, 0, 1], [f"{highest:.1f}", "0", "1"], fontsize=8)
    axes.set_title("entropy | probability", fontsize=10)


def _new_figure(*, width: float, height: float) -> Any:
    """A figure of matplotlib's; width and height in inches of 100 pixels."""
    # imported here because it takes long, and most commands draw nothing
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["font.family"] = [*_FONTS]
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    return Figure(figsize=(width, height), dpi=100, layout="constrained")


def _pixels(figure: Any) -> Picture:
    """The figure as an image, (height, width, 3)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        # letters that no installed font has are drawn as boxes; a warning for each would bury the log
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()
