"""Choice among the hypotheses of a search by other scores.

mbr.py (minimum Bayes risk) and reranking.py are engines around another engine: RescoringEngine in decoding/config.py.
coverage.py needs the attention of the engine itself, which calls it.
"""
