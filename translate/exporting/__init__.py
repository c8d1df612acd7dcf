"""Other runtimes for our models. CTranslate2 is the one there is: its converter, the cached conversion, its engine."""
