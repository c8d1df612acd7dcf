"""Cross-attention of some sentences, drawn: which source tokens each target token looked at."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from translate.data.loader import pad_batch
from translate.models.seq2seq import Seq2Seq
from translate.special_tokens import EOS
from translate.tokenizer import Tokenizer

MAX_PIECES = 40  # a larger map cannot be read

# matplotlib's own, then what systems have for the letters that it lacks
FONTS = ("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Droid Sans Fallback", "Arial Unicode MS")


@dataclass(frozen=True, eq=False)
class AttentionMap:
    """weights (T, S): mean over the last decoder layer's heads, for each target piece over the source pieces."""

    source: list[str]
    target: list[str]
    weights: NDArray[np.float32]


@torch.no_grad()
def attention_maps(
    model: Seq2Seq, tokenizer: Tokenizer, pairs: Sequence[tuple[str, str]], device: torch.device
) -> list[AttentionMap]:
    """Of a source and a translation each; pairs too long to be read as a picture are left out."""
    model.eval()
    maps = []
    for source, target in zip(
        tokenizer.encode_source([pair[0] for pair in pairs]),
        tokenizer.encode_target([pair[1] for pair in pairs]),
        strict=True,
    ):
        if 0 < len(source) < MAX_PIECES and len(target) < MAX_PIECES:
            batch = pad_batch([np.array(source)], [np.array(target, dtype=np.int64)])
            weights = model(batch.to(device), return_attention=True).attention
            if weights is not None:
                maps.append(
                    AttentionMap(
                        tokenizer.source_pieces([*source, EOS]),
                        tokenizer.target_pieces([*target, EOS]),
                        weights[0].mean(0).float().cpu().numpy(),
                    )
                )
    model.train()
    return maps


def draw(attention: AttentionMap) -> NDArray[np.uint8]:
    """A heat map, (height, width, 3)."""
    # here and not above: it takes long to import, and most commands draw nothing
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows, columns = attention.weights.shape
    # large letters: TensorBoard shows pictures at about half their size
    matplotlib.rcParams["font.family"] = [*FONTS]
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    figure = Figure(figsize=(1.8 + 0.3 * columns, 1.5 + 0.26 * rows), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(attention.weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(columns), attention.source, rotation=60, ha="left", rotation_mode="anchor", fontsize=12)
    axes.set_yticks(range(rows), attention.target, fontsize=12)
    axes.xaxis.tick_top()
    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        # letters that no installed font has are drawn as boxes; a warning for each would bury the log
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()
