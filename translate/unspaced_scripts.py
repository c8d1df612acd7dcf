"""Scripts and languages that are written without spaces between words.

Characters are ranges for the brackets of regular expressions.
"""

from __future__ import annotations

HAN_AND_KANA = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
RARE_HAN = "\uf900-\ufaff\U00020000-\U0003ffff"  # compatibility ideographs, extension B and later ones
EAST_ASIAN_MARKS = "\u3000-\u303f"
FULL_WIDTH = "\uff00-\uffef"
SOUTH_EAST_ASIAN = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Myanmar, Khmer

LANGUAGES = frozenset({"zh", "yue", "ja", "th", "lo", "km", "my", "bo"})
