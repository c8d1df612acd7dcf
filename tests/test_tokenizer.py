"""SentencePiece as the application sees it."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from translate.data.augmentation.subword_sampling import sample_source, sample_target
from translate.errors import UserError
from translate.text import normalise, read_lines
from translate.tokenizer import EOS, Tokenizer
from translate.tokenizer_training import Normalization, TokenizerConfig, TokenizerType, _training_lines, train_tokenizer

SYLLABLES = ("ba", "dor", "ken", "li", "mu", "nas", "pi", "rel", "so", "tun", "vo", "zet")
WORDS = [first + second + third for first in SYLLABLES for second in SYLLABLES for third in ("", "st", "in")]
SOURCE = [" ".join(WORDS[start : start + 7]) + " ." for start in range(0, len(WORDS) - 7, 3)]
TARGET = [f"Übermäßig {line.upper()}" for line in reversed(SOURCE)]
SMALL = 400
HARD = "badorken漢字 <bt>ken"


def train(**options) -> Tokenizer:
    return train_tokenizer(TokenizerConfig(**({"vocab_size": SMALL} | options)), SOURCE, TARGET)


@pytest.fixture(scope="module", params=list(TokenizerType))
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return train(type=request.param, user_symbols=["<bt>"])


@pytest.fixture(scope="module")
def unigram() -> Tokenizer:
    return train()


def test_decoding_inverts_encoding(tokenizer: Tokenizer):
    assert tokenizer.decode_target(tokenizer.encode_target(TARGET)) == TARGET


def test_byte_fallback_encodes_unknown_characters(tokenizer: Tokenizer):
    unseen = "漢字 👩‍👩‍👧 Ω ﬁ"
    assert tokenizer.decode_target(tokenizer.encode_target([unseen])) == [unseen]
    assert 1 not in tokenizer.encode_target([unseen])[0]


def test_any_line_is_encoded_without_special_ids_and_normalised_first(tokenizer: Tokenizer):
    hostile = ["", " ", "\r", "a\x85b", "c\u2028d", "\ufeffx", "n\x00l", "<s> </s> <unk> <pad>", "dog\tcat", "e\u0301"]
    encoded = tokenizer.encode_source(hostile)
    assert len(encoded) == len(hostile)
    assert not any(token < 4 for ids in encoded for token in ids)
    assert encoded == tokenizer.encode_source([normalise(line) for line in hostile])
    assert encoded[:3] == [[], [], []]


def test_encoding_one_line_equals_encoding_a_large_batch(tokenizer: Tokenizer):
    many = tokenizer.encode_source(SOURCE * 20)
    assert many == [tokenizer.encode_source([line])[0] for line in SOURCE] * 20
    assert tokenizer.encode_source([]) == []


def test_decoded_text_never_holds_a_line_break(tokenizer: Tokenizer):
    first_byte = tokenizer.encode_target(["漢"])[0]
    pieces = tokenizer.target_pieces(first_byte)
    assert pieces[-1].startswith("<0x")
    byte_ids = {piece: index for index, piece in enumerate(tokenizer.target_pieces(range(tokenizer.target_vocab_size)))}
    breaks = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\x00"
    for character in breaks:
        ids = [byte_ids[f"<0x{byte:02X}>"] for byte in f"a{character}b".encode()]
        assert tokenizer.decode_target([ids]) == ["a b"]


def test_special_ids_and_invalid_bytes_decode_to_valid_text(tokenizer: Tokenizer):
    ids = tokenizer.encode_target([TARGET[0]])[0]
    assert tokenizer.decode_target([[2, *ids, EOS, 0, 0], [], [EOS]]) == [TARGET[0], "", ""]
    byte = tokenizer.target_pieces(range(tokenizer.target_vocab_size)).index("<0xE6>")
    assert tokenizer.decode_target([[byte]])[0].encode("utf-8")


def test_a_tag_is_one_piece(tokenizer: Tokenizer):
    pieces = tokenizer.source_pieces(tokenizer.encode_source(["<bt> basoin dorli"])[0])
    assert "<bt>" in pieces
    assert tokenizer.source_pieces(tokenizer.encode_source(["basoin dorli"])[0]) == pieces[pieces.index("<bt>") + 1 :]


def test_sampling_depends_on_lines_strength_and_seed_alone(unigram: Tokenizer):
    first = sample_source(unigram, SOURCE, strength=0.05, seed=5)
    sample_target(unigram, TARGET, strength=0.4, seed=8)
    assert sample_source(unigram, SOURCE, strength=0.05, seed=5) == first
    assert sample_source(unigram, SOURCE, strength=0.05, seed=6) != first
    assert unigram.encode_source(SOURCE) != first
    texts = ["".join(unigram.source_pieces(ids)).replace("▁", " ").strip() for ids in first]
    assert texts == SOURCE
    assert sample_source(unigram, ["", " "], strength=0.2, seed=5) == [[], []]


def test_sampling_repeats_in_another_process(tokenizer: Tokenizer, tmp_path: Path):
    tokenizer.save(tmp_path)
    program = (
        "from translate.data.augmentation.subword_sampling import sample_source\n"
        "from translate.tokenizer import Tokenizer\n"
        f"print(sample_source(Tokenizer.load({str(tmp_path)!r}), {SOURCE!r}, strength=0.2, seed=5))"
    )
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent)
    assert result.stdout.strip() == str(sample_source(tokenizer, SOURCE, strength=0.2, seed=5))


def test_sampling_prefers_likely_segmentations_the_more_the_stronger(unigram: Tokenizer):
    usual = unigram.encode_source(SOURCE)
    shares = []
    for strength in (0.0001, 0.1, 20.0):
        drawn = [sample_source(unigram, SOURCE, strength=strength, seed=seed) for seed in range(20)]
        shares.append(sum(ids == best for lines in drawn for ids, best in zip(lines, usual, strict=True)))
    assert shares[0] < shares[1] <= shares[2]
    assert shares[2] > 0.9 * 20 * len(SOURCE)


def test_bpe_dropout_splits_more_words_at_higher_rates():
    bpe = train(type=TokenizerType.bpe, user_symbols=["<bt>"])
    one_word = "".join(SOURCE[:40]).replace(" ", "")  # SentencePiece takes quadratic time
    lines = [*SOURCE, "<bt> " + SOURCE[0], HARD, one_word, "", "  ba  ba"]
    plain = bpe.encode_source(lines)
    assert sample_source(bpe, lines, strength=1e-12, seed=5) == plain
    lengths = []
    for rate in (0.1, 0.5, 1 - 1e-12):
        drawn = sample_source(bpe, lines, strength=rate, seed=5)
        assert bpe.decode_target(drawn) == bpe.decode_target(plain)
        lengths.append(sum(map(len, drawn)))
    assert sum(map(len, plain)) < lengths[0] < lengths[1] < lengths[2]
    letters = bpe.source_pieces(drawn[lines.index(HARD)])
    assert letters == [*"▁badorken", *(f"<0x{byte:02X}>" for byte in "漢字".encode()), "▁", "<bt>", *"ken"]


def test_tokenizer_training_is_deterministic():
    for kind in TokenizerType:
        assert train(type=kind).hash == train(type=kind).hash
    assert train().hash != train(vocab_size=SMALL - 1).hash


def test_saved_models_load_with_the_same_hash_and_ids(tmp_path: Path):
    joint, separate = train(), train(joint=False, vocab_size=330, target_vocab_size=340)
    assert joint.shared
    assert joint.source_vocab_size == joint.target_vocab_size == SMALL
    assert not separate.shared
    assert (separate.source_vocab_size, separate.target_vocab_size) == (330, 340)
    for name, built in (("joint", joint), ("separate", separate)):
        (tmp_path / name).mkdir()
        built.save(tmp_path / name)
        loaded = Tokenizer.load(tmp_path / name)
        assert loaded.hash == built.hash
        assert loaded.shared == built.shared
        assert loaded.encode_target(TARGET) == built.encode_target(TARGET)
    assert {path.name for path in (tmp_path / "joint").iterdir()} == {"tokenizer.model"}
    assert {path.name for path in (tmp_path / "separate").iterdir()} == {
        "source.tokenizer.model",
        "target.tokenizer.model",
    }
    content = (tmp_path / "joint" / "tokenizer.model").read_bytes()
    assert joint.hash == hashlib.sha256(hashlib.sha256(content).digest()).hexdigest()


def test_identity_keeps_chinese_punctuation_that_nfkc_would_change():
    lines = ["你好，世界！（测试）"] * 20
    kept = train_tokenizer(TokenizerConfig(type=TokenizerType.bpe, vocab_size=275), lines, lines)
    changed = train_tokenizer(
        TokenizerConfig(type=TokenizerType.bpe, vocab_size=275, normalization=Normalization.nmt_nfkc), lines, lines
    )
    assert kept.decode_target(kept.encode_target(lines[:1])) == lines[:1]
    assert changed.decode_target(changed.encode_target(lines[:1])) != lines[:1]


@pytest.mark.parametrize("kind", list(TokenizerType))
@pytest.mark.parametrize("size", [50_000, 10**9, 10**12])
def test_a_vocabulary_too_large_for_the_text_becomes_the_largest_one(kind: TokenizerType, size: int):
    largest = train(type=kind, vocab_size=size)
    assert SMALL < largest.source_vocab_size < 5000
    assert largest.hash == train(type=kind, vocab_size=size).hash
    assert largest.decode_target(largest.encode_target(TARGET)) == TARGET
    assert largest.source_pieces(largest.encode_source(["badorst kenvoin"])[0]) == ["▁badorst", "▁kenvoin"]


def test_each_of_two_vocabularies_becomes_as_large_as_its_side_supports():
    separate = train(joint=False, vocab_size=330, target_vocab_size=9000)
    assert separate.source_vocab_size == 330
    assert 330 < separate.target_vocab_size < 9000


@pytest.mark.parametrize("size", [4, 0, -5])
def test_a_vocabulary_of_special_tokens_alone_is_refused(size: int):
    with pytest.raises(UserError, match=rf"tokenizer\.target_vocab_size \({size}\) must be above 4"):
        TokenizerConfig(target_vocab_size=size).check()


def test_words_always_followed_by_one_character_are_pieces():
    # SentencePiece 0.2.3 by itself: 1.45 and 1.54 tokens a word, and neither of the two is a piece; 0.2.2: 1.26, 1.38
    folder = Path(__file__).parent.parent / "data" / "en-de"
    sides = [list(islice(read_lines(folder / f"train.{language}"), 4000)) for language in ("en", "de")]
    held_out = [list(read_lines(folder / f"test.{language}")) for language in ("en", "de")]
    words = [sum(len(line.split()) for line in side) for side in held_out]
    tokenizer = train_tokenizer(TokenizerConfig(vocab_size=2000), *sides)
    lengths = [sum(map(len, tokenizer.encode_source(side))) for side in held_out]
    assert lengths[0] / words[0] < 1.32
    assert lengths[1] / words[1] < 1.43
    assert {"▁would", "▁if"} <= set(tokenizer.source_pieces(range(2000)))
    bpe = train_tokenizer(TokenizerConfig(vocab_size=2000, type=TokenizerType.bpe), *sides)
    assert sum(lengths) < sum(sum(map(len, bpe.encode_source(side))) for side in held_out)


def test_a_word_at_the_ends_of_lines_alone_is_a_piece():
    source = [f"{word} nofin" for word in WORDS[:200] * 2]
    target = [f"{word.upper()} TAGAB" for word in WORDS[:200] * 2]
    separate = train_tokenizer(TokenizerConfig(vocab_size=600, joint=False), source, target)
    assert separate.source_pieces(separate.encode_source(["badorst nofin"])[0]) == ["▁badorst", "▁nofin"]
    assert separate.target_pieces(separate.encode_target(["BADORST TAGAB"])[0]) == ["▁BADORST", "▁TAGAB"]


@pytest.mark.parametrize("separator", [" ", ""])
@pytest.mark.parametrize("kind", list(TokenizerType))
def test_lines_beyond_the_limit_of_sentencepiece_are_trained_on(kind: TokenizerType, separator: str):
    words = ["漢字", "仮名", "ligature", "zebu"]
    long = separator.join(words * 2000)
    assert len(long.encode()) > 2 * (1 << 14)
    tokenizer = train_tokenizer(TokenizerConfig(vocab_size=320, type=kind), SOURCE, [long])
    pieces = set(tokenizer.target_pieces(range(tokenizer.target_vocab_size)))
    assert set("漢字仮名gz") <= set("".join(pieces))
    assert not [piece for piece in tokenizer.target_pieces(tokenizer.encode_target([long])[0]) if piece[:3] == "<0x"]


def test_rare_words_are_dropped_when_memory_is_limited(monkeypatch: pytest.MonkeyPatch):
    lines = [f"w{number} usual" for number in range(300)] + ["often often", "usual often"]
    monkeypatch.setattr("translate.tokenizer_training._MAX_WORDS", 50)
    fed = list(_training_lines(TokenizerConfig(), lines))
    assert fed[: len(lines)] == lines
    assert fed[len(lines) :] == ["usual", "often"]


def test_too_small_vocabulary_error_names_the_pieces_needed():
    with pytest.raises(UserError, match=r"tokenizer\.vocab_size is 20, but .* need \d+ pieces"):
        train(vocab_size=20)


def test_text_without_a_single_word_is_an_error():
    with pytest.raises(UserError, match="no text to learn it from"):
        train_tokenizer(TokenizerConfig(), ["", " "], ["\x85"])


def test_missing_and_damaged_models_are_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"tokenizer\.model: the tokenizer cannot be read"):
        Tokenizer.load(tmp_path)
    (tmp_path / "tokenizer.model").write_bytes(b"not a model")
    with pytest.raises(UserError, match=r"tokenizer\.model: not a SentencePiece model"):
        Tokenizer.load(tmp_path)
    (tmp_path / "tokenizer.model").write_bytes(b"")
    with pytest.raises(UserError, match="not a SentencePiece model"):
        Tokenizer.load(tmp_path)
    train(joint=False, vocab_size=330).save(tmp_path)
    (tmp_path / "target.tokenizer.model").unlink()
    with pytest.raises(UserError, match=r"target\.tokenizer\.model: the tokenizer cannot be read"):
        Tokenizer.load(tmp_path)
