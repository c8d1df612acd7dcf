"""From files of sentence pairs to batches of token ids.

    corpora.py ──► readers.py ──► clean_text.py ──► prepare.py ──► dataset.py ──► loader.py ──► batches
    which files    forms/         cleaning.py       tokenizer      token ids,     batching.py
    and when       rows, raw      filters/          is learned     on disk        augmentation/
                                  held_out.py

A sentence is a line or a cell of a file that a CorpusConfig names. forms/recognition.py says by the file's content
which form it has; the reader of that form yields it with its other side and its line number. prepare() then makes
folders in data.cache, each once and named by a hash of all that it is made from. First the clean text: the line is
normalised, its pair is dropped if a cleaning rule says so or kept as a row, and if no validation set is given, some
pairs are held out. Then the tokenizer, learned from a sample of the rows. Last the token ids of all rows in memory-
mapped files, a TokenizedCorpus. Validation and test sets are read whole, as ParallelText, and stay as they are.

Corpora of several target languages have directions: direction.py gives each its tag, languages.py its share of an
epoch, held_out.py its validation and test set.

In training an UpdateStream takes over. For each epoch a BatchPlan says which pairs form which batch, as a pure function
of lengths, seed and epoch. A PairEncoder looks their ids up, or encodes text that augmentation/ has changed, or samples
other segmentations of it. pad_batch or pack_batch makes tensors of them, in a thread that is a few updates ahead of the
model. A DataPosition (epoch, batch, phase) is all that a resumed run needs to continue with the same batches.

text_profile.py, report.py and report_page.py make the data report: what a person should know about the corpora.
"""
