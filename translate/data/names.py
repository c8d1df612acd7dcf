"""Options that are one name or several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from translate.errors import UserError


def one_or_several(value: Any, *, key: str) -> list[str]:
    """The names in an option that is one name or a list of them; numbers (of columns) become text.

    For options of type Any, as OmegaConf does not know `str | list[str]`. Raises UserError for anything else, an empty
    list included.
    """
    names = value if isinstance(value, list) else [value]
    if not names or not all(isinstance(name, str | int | float | Path) for name in names):
        raise UserError(f"{key}={value!r}: that is neither a name nor a list of names, as in {key}=[FIRST,SECOND]")
    return [str(name) for name in names]
