"""Models of other programs, converted into model directories: Marian, M2M100 and NLLB in the format of transformers.

    base_model.py   the model that a run begins from: one of ours, or a converted one
    huggingface.py  find or download a model, convert it, keep the conversion in the cache
    settings.py     config.json as a TransformerConfig
    weights.py      weight files, and the names of weights on both sides
    vocabulary.py   the published id of each of our token ids
    pieces.py       a SentencePiece model with its pieces in another order
    marian.py       vocabularies of Marian models (OPUS-MT)
    m2m100.py       vocabularies of the architecture M2M100, which NLLB has as well, and their tokens of languages
    nllb.py         pieces and names of NLLB, for m2m100.py
    languages.py    the direction of a model of many languages, by those tokens

No code of a model is run: configurations are JSON, weights are safetensors or pickles read by PyTorch's interpreter of
plain tensors, and vocabularies are SentencePiece models.
"""
