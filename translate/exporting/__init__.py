"""Our models for other programs: CTranslate2, with the cached conversion and its engine, and transformers."""
