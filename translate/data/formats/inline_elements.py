"""Inline elements in the texts of TMX 1.1 to 1.4b and XLIFF 1.2 and 2.x.

Native codes stand for markup of the original file: their content is no text. Other elements enclose text.
"""

TMX_CODES = frozenset({"bpt", "ept", "it", "ph", "ut"})
XLIFF_CODES = frozenset({"bpt", "ept", "it", "ph", "x", "bx", "ex", "sc", "ec", "cp"})
XLIFF_TEXT = frozenset({"g", "mrk", "pc"})
