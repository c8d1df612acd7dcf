"""The Python that the documentation shows, run as it stands there."""

import sys
import types

from small_runs import REPOSITORY


def example_of(page):
    """The first block of code of a page in docs, as a module."""
    text = (REPOSITORY / "docs" / page).read_text(encoding="utf-8")
    module = types.ModuleType(f"example of {page}")
    sys.modules[module.__name__] = module  # where its dataclasses look for their names
    exec(text.partition("```python\n")[2].partition("```")[0], module.__dict__)
    return module
