"""Explanations for people: HTML pages that need no other file, PNG files, and images for TensorBoard."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from numpy.typing import NDArray

from translate.explaining.explanation import Explanation, Heads, Map
from translate.files import atomic_file
from translate.losses.attention import UNCOVERED

_TITLES = {"encoder": "Encoder self-attention", "decoder": "Decoder self-attention", "cross": "Cross-attention"}
# matplotlib's own font, then those of operating systems for the letters that it lacks
_FONTS = ("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Droid Sans Fallback", "Arial Unicode MS")
_IGNORED, _RECEIVED, _SURE, _DOUBT = "#c62828", "#90a4ae", "#5c6bc0", "#ffb74d"
_DARK = (8, 48, 107)  # colour of a weight of 1 in the maps of heads
_SQUARE, _FRAME = 7, 3  # pixels of a weight's side, and of the frame of a map
# autoescape: sentences may hold any text, HTML included
_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

Picture = NDArray[np.uint8]


def sentence_page(explanation: Explanation, *, number: int, count: int, picture: str) -> str:
    """The page of one sentence; number counts from 1, picture is the name of its PNG file."""
    source_x, source_width = _centres(explanation.source)
    target_x, target_width = _centres(explanation.target)
    return _TEMPLATES.get_template("sentence.html.jinja").render(
        explanation=explanation,
        number=number,
        count=count,
        picture=picture,
        page_name=page_name,
        titles=_TITLES,
        visible_weights=_visible_weights,
        source_x=source_x,
        target_x=target_x,
        links_width=max(source_width, target_width),
    )


def index_page(explanations: Sequence[Explanation]) -> str:
    """The page of all sentences, each with its score and ignored source tokens."""
    return _TEMPLATES.get_template("index.html.jinja").render(explanations=explanations, page_name=page_name)


def page_name(number: int) -> str:
    """File name of a sentence's page; number counts from 1."""
    return f"{number:04d}.html"


def _visible_weights(weights: Map, least: float) -> list[tuple[int, int, str]]:
    """Row, column and value, with two decimals, of each weight of at least `least`."""
    rows, columns = np.nonzero(weights >= least)
    values = [f"{weight:.2f}" for weight in weights[rows, columns].tolist()]
    return list(zip(rows.tolist(), columns.tolist(), values, strict=True))


def _centres(pieces: Sequence[str]) -> tuple[list[float], int]:
    """Pixels of the centres of pieces in a row, and its width; a letter takes 9 pixels."""
    widths = [max(24, 9 * len(piece) + 12) for piece in pieces]
    return [end - width / 2 for end, width in zip(accumulate(widths), widths, strict=True)], sum(widths)


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
