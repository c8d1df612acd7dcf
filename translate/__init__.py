"""Train machine-translation models: from raw text to a scored, deployable model.

From Python, load_model(PATH).translate(LINES); translate.api has everything that is meant for callers.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from translate.signals import end_silently

if TYPE_CHECKING:
    from translate.api import Model as Model
    from translate.api import load_model as load_model
    from translate.errors import UserError as UserError

__version__ = "0.1.0"
__all__ = ["Model", "UserError", "__version__", "load_model"]  # train and others are also names of modules

# In `python -m translate.COMMAND`, whose module is still to be imported; Ctrl-C would print where it was.
if sys.argv[:1] == ["-m"] and any(word.startswith("translate.") for word in sys.orig_argv):
    end_silently()


def __getattr__(name: str) -> Any:
    """Import what callers use when they first name it: commands start without it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from translate import api

    return getattr(api, name)
