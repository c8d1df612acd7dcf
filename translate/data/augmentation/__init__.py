"""Augmentation of training pairs, drawn anew in each epoch.

pair_encoder.py makes the token ids of a batch. text.py plans which pairs of an epoch are changed, and changes them with
noise.py, synonyms.py and joining.py. subword_sampling.py samples segmentations.
"""
