"""Train machine-translation models: from raw text to a scored, deployable model."""

import sys

from translate.signals import end_silently

__version__ = "0.1.0"

# In `python -m translate.COMMAND`, whose module is still to be imported; Ctrl-C would print where it was.
if sys.argv[:1] == ["-m"] and any(word.startswith("translate.") for word in sys.orig_argv):
    end_silently()
