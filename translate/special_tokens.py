"""The ids of the tokens that are no text, the same in every vocabulary."""

PAD, UNK, BOS, EOS = range(4)
