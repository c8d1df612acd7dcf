"""A look inside: what a model attended to and how sure it was, sentence by sentence."""
