"""Our models for other programs, each format with the code that decodes it: for comparison, or as an engine.

    ctranslate2_*.py          CTranslate2: the converter, the cached conversion, and the engine
    onnx_*.py                 ONNX: the converter to two graphs, and the engine that runs them in onnxruntime
    huggingface*.py           Hugging Face's transformers: weights, configuration and tokenizer
    model_card.py             the card of such a model; publishing on the hub
    argos_package.py          Argos Translate: a CTranslate2 model in its package
    lines_to_compare.py       lines that a model and its export both translate

Opening an export for decoding imports no converter, and so, apart from ONNX, no PyTorch.
"""
