"""Explanations for people: HTML pages that need no other file, PNG files, and images for TensorBoard."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
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
# autoescape: sentences may hold any text, HTML included
_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


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
        source_x=source_x,
        target_x=target_x,
        links_width=max(source_width, target_width),
    )


def index_page(explanations: Sequence[Explanation]) -> str:
    """The page of all sentences, each with its score and ignored source tokens."""
    return _TEMPLATES.get_template("index.html.jinja").render(explanations=explanations, page_name=page_name)


def page_name(number: int) -> str:
    return f"{number:04d}.html"


def _centres(pieces: Sequence[str]) -> tuple[list[float], int]:
    """Pixels of the centres of pieces in a row, and its width; a letter takes 9 pixels."""
    widths = [max(24, 9 * len(piece) + 12) for piece in pieces]
    return [end - width / 2 for end, width in zip(accumulate(widths), widths, strict=True)], sum(widths)


# matplotlib's own, then what systems have for the letters that it lacks
FONTS = ("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Droid Sans Fallback", "Arial Unicode MS")
IGNORED, RECEIVED, SURE, DOUBT = "#c62828", "#90a4ae", "#5c6bc0", "#ffb74d"
_DARK, _PIXELS, _FRAME = (8, 48, 107), 7, 3  # a weight of 1, the side of a weight's square, and what is round a map
Picture = NDArray[np.uint8]


def draw_alignment(explanation: Explanation) -> Picture:
    """The mean cross-attention of the last layer, (height, width, 3)."""
    rows, columns = explanation.alignment.shape

    def fill(figure: Any) -> None:
        _map(figure.add_subplot(), explanation)

    return _drawn((1.8 + 0.3 * columns, 1.5 + 0.26 * rows), fill)


def draw_heads(heads: Heads) -> Picture:
    """A map for each head, a row of them for each layer, (height, width, 3); without letters, which take seconds."""
    return np.vstack([np.hstack([_tile(weights) for weights in layer]) for layer in heads.layers])


def _tile(weights: Map) -> Picture:
    squares = weights.repeat(_PIXELS, 0).repeat(_PIXELS, 1)[:, :, None]
    colours = (255 + squares * (np.array(_DARK) - 255)).astype(np.uint8)
    return np.pad(colours, ((_FRAME, _FRAME), (_FRAME, _FRAME), (0, 0)), constant_values=200)


def save_picture(explanation: Explanation, path: Path) -> None:
    """A PNG file: the alignment, above it what each source token receives, beside it how sure the model was."""
    rows, columns = explanation.alignment.shape

    def fill(figure: Any) -> None:
        grid = figure.add_gridspec(2, 2, width_ratios=[columns, 8], height_ratios=[5, rows])
        _map(figure.add_subplot(grid[1, 0]), explanation)
        _coverage(figure.add_subplot(grid[0, 0]), explanation)
        _certainty(figure.add_subplot(grid[1, 1]), explanation)

    from matplotlib.image import imsave

    with atomic_file(path) as stream:
        imsave(stream, _drawn((4.5 + 0.34 * columns, 3.2 + 0.28 * rows), fill), format="png")


def _map(axes: Any, explanation: Explanation) -> None:
    rows, columns = explanation.alignment.shape
    axes.imshow(explanation.alignment, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(columns), explanation.source, rotation=60, ha="left", rotation_mode="anchor", fontsize=12)
    axes.set_yticks(range(rows), [word.piece for word in explanation.words], fontsize=12)
    axes.xaxis.tick_top()


def _coverage(axes: Any, explanation: Explanation) -> None:
    colours = [IGNORED if place in explanation.ignored else RECEIVED for place in range(len(explanation.source))]
    axes.bar(range(len(explanation.source)), explanation.coverage, color=colours)
    axes.axhline(UNCOVERED, color=IGNORED, linewidth=0.8, linestyle=":")
    axes.set_xlim(-0.5, len(explanation.source) - 0.5)
    axes.set_xticks([])
    axes.set_title("attention received", fontsize=10)


def _certainty(axes: Any, explanation: Explanation) -> None:
    places = range(len(explanation.words))
    axes.barh(places, [word.probability for word in explanation.words], color=SURE, height=0.4, align="edge")
    most = max([1.0, *(word.entropy for word in explanation.words)])
    axes.barh(places, [-word.entropy / most for word in explanation.words], color=DOUBT, height=0.4, align="edge")
    axes.set_ylim(len(explanation.words) - 0.5, -0.5)
    axes.set_xlim(-1, 1)
    axes.set_yticks([])
    axes.set_xticks([-1, 0, 1], [f"{most:.1f}", "0", "1"], fontsize=8)
    axes.set_title("entropy | probability", fontsize=10)


def _drawn(size: tuple[float, float], fill: Callable[[Any], None]) -> Picture:
    # here and not above: it takes long to import, and most commands draw nothing
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    matplotlib.rcParams["font.family"] = [*FONTS]
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    fill(figure)
    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        # letters that no installed font has are drawn as boxes; a warning for each would bury the log
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()
