"""Searches for the tokens of a translation.

`base` is the contract of all; a search knows nothing of the model but the logits of the next token. `config` holds the
settings, without PyTorch.
"""
