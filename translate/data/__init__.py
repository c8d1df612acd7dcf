"""From files of sentence pairs to batches of token ids.

    corpora.py ──► readers.py ──► clean_text.py ──► prepare.py ──► dataset.py ──► loader.py ──► batches
    which files    formats/       cleaning.py       tokenizer      token ids,     batching.py
    and when       rows, raw      filters/          is learned     on disk        augmentation/
                                  held_out.py

A sentence is a line or a cell of a file that a CorpusConfig names. formats/recognition.py recognises the format of the
file by its content; the reader of that format yields sentence pairs with their line numbers. prepare() then fills
folders in data.cache, each named by a hash of everything that it is made from:

1. The clean text: pairs are normalised, dropped by cleaning rules and filters, or held out for validation and test.
2. The tokenizer, learned from a sample of the clean text.
3. The token ids of all pairs in memory-mapped files, a TokenizedCorpus.

Corpora of several target languages have directions: direction.py gives each its tag, languages.py its share of an
epoch, held_out.py its validation and test set.

Validation and test sets are read whole, as ParallelText, without cleaning.

In training, an UpdateStream provides the batches. For each epoch, a BatchPlan decides which pairs form which batch, as
a pure function of lengths, seed and epoch. A PairEncoder looks up their ids, encodes text changed by augmentation/, or
samples segmentations. pad_batch or pack_batch makes tensors, in a thread that is a few updates ahead of the model. A
DataPosition (epoch, batch, phase) suffices for a resumed run to continue with the same batches.

text_profile.py, report.py and report_page.py make the data report: properties of the corpora and warnings.
"""
