"""Explanations as HTML pages that need nothing but themselves: no script, no network."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from translate.explaining.explanation import Explanation, Heads, Map, Word
from translate.files import atomic_file
from translate.losses.attention import UNCOVERED

_TITLES = {"encoder": "Encoder self-attention", "decoder": "Decoder self-attention", "cross": "Cross-attention"}
_CELL, _SMALL = 22, 7  # pixels of a weight in a large and in a small map
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #222; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.05rem; margin-top: 2rem; }
a { color: #1a5fb4; } .quiet { color: #667; } .wrong { color: #c62828; }
.tokens span { display: inline-block; margin: 0.15rem; padding: 0.1rem 0.35rem; border-radius: 0.3rem; }
.tokens small { display: block; color: #445; font-size: 0.7rem; }
.tokens .ignored { outline: 2px solid #c62828; }
svg { max-width: 100%; height: auto; } svg text { font: 13px system-ui, sans-serif; fill: #222; }
.heads { display: flex; flex-wrap: wrap; gap: 0.8rem; } .heads figure { margin: 0; }
.heads figcaption { font-size: 0.75rem; color: #667; }
table { border-collapse: collapse; } td, th { padding: 0.3rem 0.8rem 0.3rem 0; text-align: left; vertical-align: top; }
"""


def sentence_page(explanation: Explanation, *, number: int, count: int, picture: str) -> str:
    """The page of one sentence; number counts from 1, picture is the name of its PNG file."""
    places = [
        '<a href="index.html">all sentences</a>',
        f'<a href="{page_name(number - 1)}">previous</a>' if number > 1 else "",
        f'<a href="{page_name(number + 1)}">next</a>' if number < count else "",
        f'<a href="{picture}">as a picture</a>',
    ]
    parts = [
        f"<p class=quiet>{' · '.join(place for place in places if place)}</p>",
        f"<h1>{number}. {escape(explanation.source_text)}</h1>",
        f"<p>{escape(explanation.target_text)}</p>",
        _warning(explanation),
        "<h2>Which source token each target token attends to</h2>",
        _links(explanation),
        "<h2>Source: attention received from the whole translation</h2>",
        _source(explanation),
        "<h2>Translation: probability of each token, and entropy of the choice in nats</h2>",
        "<p class=quiet>Point at a token to see what else could have stood there.</p>",
        _target(explanation.words),
        "<h2>Cross-attention of the last layer, mean of its heads</h2>",
        _large(explanation),
        *(_heads(heads) for heads in explanation.heads),
    ]
    return _page(explanation.source_text, parts)


def index_page(explanations: Sequence[Explanation]) -> str:
    """All sentences, each with what is remarkable about it."""
    rows = [
        f'<tr><td>{number}</td><td><a href="{page_name(number)}">{escape(each.source_text)}</a><br>'
        f"{escape(each.target_text)}</td><td>{each.score:.2f}</td><td class=wrong>{_ignored(each)}</td></tr>"
        for number, each in enumerate(explanations, start=1)
    ]
    head = "<tr><th></th><th>source and translation</th><th>mean log p</th><th>ignored source tokens</th></tr>"
    return _page("Explanations", ["<h1>Explanations</h1>", f"<table>{head}{''.join(rows)}</table>"])


def page_name(number: int) -> str:
    return f"{number:04d}.html"


def _page(title: str, parts: Sequence[str]) -> str:
    body = "\n".join(parts)
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    return f"<!doctype html>\n<html><head>{head}</head>\n<body>\n{body}\n</body></html>\n"


def _warning(explanation: Explanation) -> str:
    if not explanation.ignored:
        return "<p class=quiet>No source token was ignored.</p>"
    return f"<p class=wrong>Ignored source tokens: {_ignored(explanation)}</p>"


def _ignored(explanation: Explanation) -> str:
    return ", ".join(escape(explanation.source[place]) for place in explanation.ignored)


def _source(explanation: Explanation) -> str:
    chips = [
        _chip(piece, f"{received:.2f}", share=min(1.0, float(received)), ignored=place in explanation.ignored)
        for place, (piece, received) in enumerate(zip(explanation.source, explanation.coverage, strict=True))
    ]
    return f"<div class=tokens>{''.join(chips)}</div>"


def _target(words: Sequence[Word]) -> str:
    chips = [
        _chip(
            word.piece,
            f"{word.probability:.2f} · {word.entropy:.2f}",
            share=word.probability,
            hint="\n".join(f"{piece}  {probability:.3f}" for piece, probability in word.alternatives),
        )
        for word in words
    ]
    return f"<div class=tokens>{''.join(chips)}</div>"


def _chip(piece: str, figures: str, *, share: float, ignored: bool = False, hint: str = "") -> str:
    kind = " class=ignored" if ignored else ""
    colour = f"rgba(92, 107, 192, {0.05 + 0.5 * share:.2f})"
    return (
        f'<span{kind} style="background: {colour}" title="{escape(hint)}">{escape(piece)}'
        f"<small>{figures}</small></span>"
    )


def _links(explanation: Explanation) -> str:
    """Source above, translation below, a line for every weight that matters."""
    rows = (explanation.source, [word.piece for word in explanation.words])
    widths = [[max(24, 9 * len(piece) + 12) for piece in row] for row in rows]
    centres = [[sum(row[:place]) + width / 2 for place, width in enumerate(row)] for row in widths]
    width = max(sum(row) for row in widths)
    lines = [
        f'<line x1="{centres[0][s]:.0f}" y1="26" x2="{centres[1][t]:.0f}" y2="124" stroke="#3949ab" '
        f'stroke-width="{1 + 3 * weight:.1f}" stroke-opacity="{weight:.2f}"/>'
        for t, row in enumerate(explanation.alignment)
        for s, weight in enumerate(row)
        if weight >= 0.1
    ]
    texts = [
        _text(x, y, piece, anchor="middle", wrong=y == 18 and place in explanation.ignored)
        for row, xs, y in ((rows[0], centres[0], 18), (rows[1], centres[1], 142))
        for place, (piece, x) in enumerate(zip(row, xs, strict=True))
    ]
    return _svg(width, 152, [*lines, *texts])


def _large(explanation: Explanation) -> str:
    queries, keys = [word.piece for word in explanation.words], explanation.source
    left = 10 + 9 * max(map(len, queries))
    top = 10 + 8 * max(map(len, keys))
    width, height = left + _CELL * len(keys) + top, top + _CELL * len(queries) + 4
    above = [
        f'<g transform="translate({left + _CELL * (place + 0.6):.0f} {top - 5}) rotate(-55)">{_text(0, 0, key)}</g>'
        for place, key in enumerate(keys)
    ]
    beside = [_text(left - 6, top + _CELL * (place + 0.7), query, anchor="end") for place, query in enumerate(queries)]
    cells = _cells(explanation.alignment, queries, keys, size=_CELL, left=left, top=top)
    return _svg(width, height, [*above, *beside, cells])


def _heads(heads: Heads) -> str:
    """A row of small maps for each layer."""
    width, height = _SMALL * len(heads.keys), _SMALL * len(heads.queries)
    frame = f'<rect width="{width}" height="{height}" fill="none" stroke="#ccd"/>'
    rows = []
    for number, layer in enumerate(heads.layers, start=1):
        figures = [
            f"<figure><figcaption>layer {number}, head {head}</figcaption>"
            f"{_svg(width, height, [frame, _cells(weights, heads.queries, heads.keys, size=_SMALL, left=0, top=0)])}"
            "</figure>"
            for head, weights in enumerate(layer, start=1)
        ]
        rows.append(f"<div class=heads>{''.join(figures)}</div>")
    return f"<h2>{_TITLES[heads.kind]}, every head</h2>{''.join(rows)}"


def _cells(weights: Map, queries: Sequence[str], keys: Sequence[str], *, size: int, left: float, top: float) -> str:
    return "".join(
        f'<rect x="{left + size * s:g}" y="{top + size * t:g}" width="{size}" height="{size}" fill="#3949ab" '
        f'fill-opacity="{weight:.2f}"><title>{escape(queries[t])} → {escape(keys[s])}: {weight:.2f}</title></rect>'
        for t, row in enumerate(weights)
        for s, weight in enumerate(row)
        if weight >= 0.01
    )


def _svg(width: int, height: int, parts: Sequence[str]) -> str:
    return f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}">{"".join(parts)}</svg>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", wrong: bool = False) -> str:
    colour = ' style="fill: #c62828; font-weight: bold"' if wrong else ""
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}"{colour}>{escape(text)}</text>'


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
