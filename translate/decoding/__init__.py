"""From lines to translations.

A line comes to `translator`, which normalises it, encodes it as tokens, and has `segmentation` split it where the model
cannot read it whole. An engine translates all segments: `native_engine` takes them longest first, from a queue that
several `workers` may share, and runs a search over each batch until every sentence is done. A search (`beam`, `greedy`;
`search` is the contract of both) knows nothing of the model but the logits of the next token, and returns hypotheses,
from which `translator` joins the line's translation. `config` holds the settings and the contract of an engine,
without PyTorch, so that another runtime can replace `native_engine`.
"""
