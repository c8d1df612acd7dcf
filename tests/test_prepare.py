"""From files to memory-mapped training data, made once."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from small_data import SOURCE, TARGET, TOKENIZER, WORDS, cache_state, make_data, write_pairs
from translate.data.cleaning import BLANK, COPY, DUPLICATE, NO_TOKENS, RATIO, TOO_MANY_TOKENS
from translate.data.corpora import DataConfig
from translate.data.corpus import CorpusConfig, CorpusFormat
from translate.data.prepare import Prepared, prepare
from translate.errors import UserError
from translate.text import normalise, read_lines, write_lines
from translate.tokenizer_training import TokenizerConfig, sample_rows


@pytest.fixture
def data(tmp_path: Path) -> DataConfig:
    return make_data(tmp_path, SOURCE, TARGET)


def all_pairs(prepared: Prepared) -> tuple[list[list[int]], list[list[int]]]:
    source, target = prepared.train.pairs(np.arange(len(prepared.train)))
    return [ids.tolist() for ids in source], [ids.tolist() for ids in target]


def test_memory_mapped_ids_equal_direct_encoding(data: DataConfig):
    prepared = prepare(data, TOKENIZER)
    tokenizer, train = prepared.tokenizer, prepared.train
    assert len(train) == prepared.cleaning.kept == len(SOURCE)
    assert all_pairs(prepared) == (tokenizer.encode_source(SOURCE), tokenizer.encode_target(TARGET))
    assert train.source_lengths.tolist() == [len(ids) for ids in tokenizer.encode_source(SOURCE)]
    assert train.target_lengths.tolist() == [len(ids) for ids in tokenizer.encode_target(TARGET)]
    assert train.source_lengths.dtype == np.int32
    indices = np.array([7, 3, 7, 399])
    assert train.texts(indices) == ([SOURCE[i] for i in indices], [normalise(TARGET[i]) for i in indices])
    assert [ids.tolist() for ids in train.pairs(indices)[0]] == tokenizer.encode_source([SOURCE[i] for i in indices])


def test_text_and_ids_stay_aligned_when_pairs_are_dropped(tmp_path: Path):
    long = " ".join(WORDS[:140])
    source = ["", SOURCE[0], "same", SOURCE[1], long, SOURCE[0], "x", SOURCE[2]]
    target = ["leer", TARGET[0], "same", TARGET[1], long.upper(), TARGET[0], "y" * 300, TARGET[2]]
    data = make_data(tmp_path, source + SOURCE[3:], target + TARGET[3:])
    data.cleaning.max_tokens = 60
    prepared = prepare(data, TOKENIZER)
    assert prepared.cleaning.dropped == {BLANK: 1, COPY: 1, RATIO: 1, DUPLICATE: 1, TOO_MANY_TOKENS: 1}
    assert prepared.cleaning.total == len(source) + len(SOURCE) - 3
    found_at = {reason: (shown[0].corpus, shown[0].line) for reason, shown in prepared.cleaning.examples.items()}
    assert found_at == {
        BLANK: ("data.train", 1),
        COPY: ("data.train", 3),
        TOO_MANY_TOKENS: ("data.train", 5),
        DUPLICATE: ("data.train", 6),
        RATIO: ("data.train", 7),
    }
    texts = prepared.train.texts(np.arange(len(prepared.train)))
    assert texts == (SOURCE, [normalise(line) for line in TARGET])
    assert all_pairs(prepared)[0] == prepared.tokenizer.encode_source(texts[0])


def test_chunk_size_changes_no_pair(data: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole = prepare(data, TOKENIZER)
    for module in ("clean_text", "dataset"):
        monkeypatch.setattr(f"translate.data.{module}.CHUNK_PAIRS", 7)
    data.cache = f"{tmp_path}/other"
    pieces = prepare(data, TOKENIZER)
    assert pieces.fingerprint == whole.fingerprint
    assert all_pairs(pieces) == all_pairs(whole)


def test_pair_without_tokens_is_dropped_even_when_blank_ones_are_kept(tmp_path: Path):
    data = make_data(tmp_path, ["", *SOURCE], ["leer", *TARGET])
    data.cleaning.drop_blank = False
    data.cleaning.max_tokens = 0
    prepared = prepare(data, TOKENIZER)
    assert prepared.cleaning.dropped == {NO_TOKENS: 1}
    assert prepared.train.source_lengths.min() > 0


def test_hostile_lines_are_kept_as_pairs(tmp_path: Path):
    hostile = ["a\rb", "c\x85d", "e\u2028f", "g\x00h", "\ufeffi", "j\x0bk\x0cl", "👩‍👩‍👧"]
    data = make_data(tmp_path, hostile + SOURCE, [f"{line} ja" for line in hostile] + TARGET)
    prepared = prepare(data, TOKENIZER)
    source, target = prepared.train.texts(np.arange(len(hostile)))
    assert source == [normalise(line) for line in hostile]
    assert target == [normalise(f"{line} ja") for line in hostile]


def test_weights_and_tags_of_mixed_corpora(data: DataConfig, tmp_path: Path):
    extra = write_pairs(tmp_path / "extra", ["mu li.", SOURCE[0], "so so."], ["MU LI.", TARGET[0], "SO SO."])
    extra.weight, extra.tag = 2.5, "<bt>"
    data.additional = [extra]
    prepared = prepare(data, TOKENIZER)
    train = prepared.train
    assert train.repeats(0).dtype == np.float32
    assert train.repeats(0).tolist() == [1.0] * len(SOURCE) + [2.5] * 3
    assert train.texts(np.array([len(SOURCE)])) == (["<bt> mu li."], ["MU LI."])
    assert "<bt>" in prepared.tokenizer.source_pieces(train.pairs(np.array([len(SOURCE)]))[0][0])

    extra.weight = 0.5
    again = prepare(data, prepared.tokenizer)
    assert again.train.repeats(0)[-1] == 0.5
    assert again.fingerprint != prepared.fingerprint
    before = cache_state(data)
    extra.weight = 0.6
    prepare(data, prepared.tokenizer)
    assert cache_state(data) == before, "only the tokenizer's sample follows the weights"
    extra.weight = 0
    with pytest.raises(UserError, match=r"data\.additional\[0\]\.weight \(0\) must be at least 1e-06"):
        prepare(data, TOKENIZER)


def test_corpora_start_and_end_during_a_run(data: DataConfig, tmp_path: Path):
    early = write_pairs(tmp_path / "early", ["mu li."], ["MU LI."])
    late = write_pairs(tmp_path / "late", ["so so."], ["SO SO."])
    permanent = prepare(data, TOKENIZER)
    assert permanent.train.phase_starts == [0.0]
    data.additional = [early, late]
    before = prepare(data, TOKENIZER)
    early.end, late.start, late.weight = 0.6, 0.25, 0.5
    prepared = prepare(data, TOKENIZER)
    train, own = prepared.train, [1.0] * len(SOURCE)
    assert train.phase_starts == [0.0, 0.25, 0.6]
    assert [train.repeats(share).tolist() for share in train.phase_starts] == [
        [*own, 1.0, 0.0],
        [*own, 1.0, 0.5],
        [*own, 0.0, 0.5],
    ]
    assert prepared.fingerprint != before.fingerprint


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (0.5, 0.5, r"data\.train\.start \(0\.5\) must be below data\.train\.end \(0\.5\)"),
        (0.0, 1.5, "both from 0 to 1"),
        (float("nan"), 1.0, "both from 0 to 1"),
        (0.0, 0.6, r"no training corpus takes part after 60% of the run"),
        (0.1, 1.0, r"no training corpus takes part after 0% of the run"),
    ],
)
def test_phase_without_a_corpus_is_refused(data: DataConfig, start: float, end: float, message: str):
    data.train.start, data.train.end = start, end
    with pytest.raises(UserError, match=message):
        prepare(data, TOKENIZER)


def test_validation_and_test_sets_are_the_raw_lines(data: DataConfig, tmp_path: Path):
    source, target = ["a\rb ", "", "c\x85", "same"], [" x", "leer", "", "same"]
    data.test = write_pairs(tmp_path / "test", source, target)
    write_lines(tmp_path / "labels", ["short\tquestion\r", "\r", "long", "x"])
    data.test.labels = f"{tmp_path}/labels"
    prepared = prepare(data, TOKENIZER)
    assert prepared.test is not None
    assert (prepared.test.source, prepared.test.target) == (source, target)
    assert prepared.test.labels == [["short", "question"], [], ["long"], ["x"]]
    assert prepared.test.reference_paths == [data.test.target]
    assert list(read_lines(data.test.target)) == target
    assert prepared.valid.labels is None
    assert len(prepared.valid) == 5

    write_lines(tmp_path / "labels", ["one"])
    with pytest.raises(UserError, match=r"data\.test\.labels: .*labels has 1 lines for 4 sentence pairs"):
        prepare(data, TOKENIZER)


def test_there_is_no_test_set_without_a_source(data: DataConfig):
    assert prepare(data, TOKENIZER).test is None


def test_a_bad_validation_set_is_found_before_the_work_starts(data: DataConfig):
    write_lines(data.valid.target, TARGET[:4])
    with pytest.raises(UserError, match=r"data\.valid: the two sides .* has 5 and .* has 4"):
        prepare(data, TOKENIZER)
    assert not Path(data.cache).exists()


def test_error_of_empty_cleaned_corpus_names_the_reasons(tmp_path: Path):
    data = make_data(tmp_path, ["same", "too"], ["same", "too"])
    with pytest.raises(UserError, match=r"(?s)no training pairs.*dropped: source = target +2"):
        prepare(data, TOKENIZER)


def test_samples_are_ordered_distinct_and_repeatable():
    corpus = np.zeros(1000, np.uint16)
    rows = sample_rows(corpus, [1.0], 100, seed=1)
    assert len(set(rows.tolist())) == 100
    assert rows.tolist() == sorted(rows.tolist()) == sample_rows(corpus, [1.0], 100, seed=1).tolist()
    assert rows.tolist() != sample_rows(corpus, [1.0], 100, seed=2).tolist()
    assert sample_rows(corpus[:5], [1.0], 100, seed=1).tolist() == [0, 1, 2, 3, 4]


def test_samples_follow_the_weights_of_the_corpora():
    corpus = np.repeat(np.array([0, 1, 2], np.uint16), [1000, 1000, 500])
    for size, scale in ((10_000, 1.0), (1050, 1 / 2)):
        rows = sample_rows(corpus, [1.0, 0.1, 2.0], size, seed=3)
        assert np.bincount(corpus[rows]).tolist() == [1000 * scale, 100 * scale, 1000 * scale]
        assert len(set(rows[corpus[rows] == 1].tolist())) == 100 * scale
    assert np.bincount(sample_rows(corpus, [1.0, 0.1, 2.0], 10_000, seed=3))[2000:].tolist() == [2] * 500


def test_the_vocabulary_is_learned_from_text_in_proportion_to_its_weight(data: DataConfig, tmp_path: Path):
    rare = [" ".join(f"qx{(n * 7 + k) % 50}yj" for k in range(8)) for n in range(400)]
    data.additional = [write_pairs(tmp_path / "rare", rare, [line.upper() for line in rare])]
    lengths = []
    for weight in (4.0, 1.0, 0.02):
        data.additional[0].weight = weight
        lengths.append(sum(map(len, prepare(data, TokenizerConfig(vocab_size=420)).tokenizer.encode_source(rare))))
    assert lengths[0] <= lengths[1] < lengths[2]


def test_smaller_vocabulary_than_configured_is_logged_each_time(data: DataConfig, caplog: pytest.LogCaptureFixture):
    for _ in range(2):
        caplog.clear()
        with caplog.at_level("INFO"):
            size = prepare(data, TokenizerConfig(vocab_size=20_000)).tokenizer.source_vocab_size
        assert f"the vocabulary has {size:,} pieces, not 20,000: the training text supports no more" in caplog.text
    caplog.clear()
    prepare(data, TOKENIZER)
    assert "supports no more" not in caplog.text


def test_more_pieces_are_learned_from_more_text():
    assert TokenizerConfig(vocab_size=8000).sample_size == 100_000
    assert TokenizerConfig(vocab_size=32_000).sample_size == 192_000
    assert TokenizerConfig(joint=False, target_vocab_size=50_000).sample_size == 300_000
    assert TokenizerConfig(vocab_size=32_000, max_sentences=1000).sample_size == 1000
    with pytest.raises(UserError, match=r"tokenizer\.max_sentences \(-1\)"):
        TokenizerConfig(max_sentences=-1).check()


def test_pydocs_corpus_is_cleaned_as_documented(corpora_root: Path, tmp_path: Path):
    stem = corpora_root / "pydocs-en-zh"
    data = DataConfig(
        cache=str(tmp_path),
        train=CorpusConfig(source=f"{stem}/train.en", target=f"{stem}/train.zh"),
        valid=CorpusConfig(source=f"{stem}/valid.en", target=f"{stem}/valid.zh"),
    )
    prepared = prepare(data, TokenizerConfig(max_sentences=3000))
    assert prepared.cleaning.total == 56_443
    assert prepared.cleaning.dropped[COPY] / 56_443 == pytest.approx(0.157, abs=0.001)
    assert max(prepared.train.source_lengths.max(), prepared.train.target_lengths.max()) <= 256


@pytest.mark.parametrize("option", ["train.source", "train.target", "valid.source", "test.target", "test.labels"])
def test_a_pipe_as_corpus_is_refused_before_it_is_read(data: DataConfig, tmp_path: Path, option: str):
    os.mkfifo(tmp_path / "pipe")  # without a writer: to open it would wait for ever
    data.test = write_pairs(tmp_path / "test", SOURCE[:5], TARGET[:5])
    split, name = option.split(".")
    setattr(getattr(data, split), name, f"{tmp_path}/pipe")
    with pytest.raises(UserError, match=rf"^data\.{split}\.{name}=.*pipe: a pipe cannot be read twice; write it to a"):
        prepare(data, TOKENIZER)
    assert not Path(data.cache).exists()


@pytest.mark.parametrize("kind", ["tsv", "jsonl", "parquet", "squad"])
def test_a_pipe_or_device_as_table_is_refused_before_it_is_read(data: DataConfig, tmp_path: Path, kind: str):
    os.mkfifo(tmp_path / "table.0")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for path, what in ((f"{tmp_path}/table.*", "pipe"), (f"{tmp_path}/zero", "device")):
        data.train = CorpusConfig(format=CorpusFormat(kind), path=path, source="1", target="2")
        with pytest.raises(UserError, match=rf"^data\.train\.path=.*: a {what} cannot be read twice"):
            prepare(data, TOKENIZER)
