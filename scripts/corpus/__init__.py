"""The lexicon, the grammar and the sentence patterns behind the corpus that ships in data/en-de."""
