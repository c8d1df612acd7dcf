"""From lines to translations.

A line comes to `translator`, which normalises it, encodes it as tokens, and has `segmentation` split it where the model
cannot read it whole. An engine translates all segments: `native_engine` takes them longest first, from a queue that
several `workers` may share, and runs a search of `search/` over each batch until every sentence is done; `constraints/`
say what hypotheses must and must not contain, and `rescoring/` chooses among them. `translator` joins the line's
translation from what was found, and `output_lines` writes it as text, as an n-best list, or as JSON, with scores of
tokens, alignment and warnings (`json_records`). `config` holds the settings and the contract of an engine, without
PyTorch, so that another runtime can replace `native_engine`.

Optional parts: `context` (previous sentences in front of a segment), `case_restoring` (lines in capitals),
`translation_memory` (fuzzy matches), `scoring` (given translations, without a search).
"""
