"""File formats of corpora. Each reader yields rows.Row; the table of readers is in data/readers.py.

recognition.py                          recognise the format of a file by its content
tables.py, workbooks.py, records.py     CSV, TSV, XLSX, JSON and Parquet; columns.py finds source and target
markup.py, catalogues.py, archives.py   TMX, XLIFF, PO and Moses archives; language_tags.py chooses the languages
named_sets.py                           data sets of mtdata and sacreBLEU
"""
