"""Explanations of translations: what the model attended to and how sure it was, sentence by sentence.

explanation.py reads attention and probabilities from one forward pass; rendering.py shows them as HTML pages, PNG files
and images for TensorBoard.
"""
