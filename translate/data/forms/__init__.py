"""Forms of corpora: modules that data/readers.py brings together.

recognition.py    form of a file by its content
tables.py, workbooks.py, records.py     rows of CSV, TSV, XLSX, JSON and Parquet, whose sides columns.py finds
markup.py, catalogues.py, archives.py   segments of TMX, XLIFF, PO and Moses zips, by their language_tags.py
named_sets.py     data sets of mtdata and sacreBLEU
"""
