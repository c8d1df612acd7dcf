"""Models of other programs, converted into model directories: Marian, M2M100 and NLLB in the format of transformers.

    base_model.py   the model that a run begins from: one of ours, or a converted one
    huggingface.py  find or download a model, convert it, keep the conversion in the cache
    settings.py     config.json as a TransformerConfig
    weights.py      weight files, and the names of weights on both sides
    pieces.py       a SentencePiece model with its pieces in another order
    marian.py       vocabularies of Marian models (OPUS-MT)
    m2m100.py       vocabularies of M2M100 and NLLB, and their tokens of languages

No code of a model is run: configurations are JSON, weights are safetensors or pickles read by PyTorch's interpreter of
plain tensors, and vocabularies are SentencePiece models.
"""
