"""Choice among the hypotheses of a search by other scores: reranking, minimum Bayes risk, coverage of the source."""
