"""Train machine-translation models: from raw text to a scored, deployable model."""

__version__ = "0.1.0"
