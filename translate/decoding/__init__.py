"""From encoded sentences to hypotheses, and from lines to translations."""
