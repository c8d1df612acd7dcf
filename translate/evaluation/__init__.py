"""Scores of translations against raw references, each with the signature that makes it comparable.

evaluate.py translates a test set and collects its scores and those of groups; metrics.py defines the metrics (those of
summaries and answers are in task_metrics.py), significance.py intervals and p-values, tokenizers.py what BLEU counts as
words; report.py writes report.md, report.json and the text for the terminal.
"""
