"""SentencePiece as the application sees it."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from translate.errors import UserError
from translate.special_tokens import EOS
from translate.text import normalise
from translate.tokenizer import Normalization, Tokenizer, TokenizerConfig, TokenizerType, train_tokenizer

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


def test_decoding_gives_back_what_was_encoded(tokenizer: Tokenizer):
    assert tokenizer.decode_target(tokenizer.encode_target(TARGET)) == TARGET


def test_bytes_stand_for_characters_outside_the_vocabulary(tokenizer: Tokenizer):
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


def test_one_line_is_encoded_as_it_is_among_thousands(tokenizer: Tokenizer):
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


def test_special_ids_and_broken_bytes_decode_to_something_harmless(tokenizer: Tokenizer):
    ids = tokenizer.encode_target([TARGET[0]])[0]
    assert tokenizer.decode_target([[2, *ids, EOS, 0, 0], [], [EOS]]) == [TARGET[0], "", ""]
    byte = tokenizer.target_pieces(range(tokenizer.target_vocab_size)).index("<0xE6>")
    assert tokenizer.decode_target([[byte]])[0].encode("utf-8")


def test_a_tag_is_one_piece(tokenizer: Tokenizer):
    pieces = tokenizer.source_pieces(tokenizer.encode_source(["<bt> basoin dorli"])[0])
    assert "<bt>" in pieces
    assert tokenizer.source_pieces(tokenizer.encode_source(["basoin dorli"])[0]) == pieces[pieces.index("<bt>") + 1 :]


def test_sampling_depends_on_lines_strength_and_seed_alone(unigram: Tokenizer):
    first = unigram.encode_source(SOURCE, sampling=0.2, seed=5)
    unigram.encode_target(TARGET, sampling=0.4, seed=8)
    assert unigram.encode_source(SOURCE, sampling=0.2, seed=5) == first
    assert unigram.encode_source(SOURCE, sampling=0.2, seed=6) != first
    assert unigram.encode_source(SOURCE) != first
    texts = ["".join(unigram.source_pieces(ids)).replace("▁", " ").strip() for ids in first]
    assert texts == SOURCE
    assert unigram.encode_source(["", " "], sampling=0.2, seed=5) == [[], []]


def test_sampling_repeats_in_another_process(tokenizer: Tokenizer, tmp_path: Path):
    tokenizer.save(tmp_path)
    program = (
        "import sys; from translate.tokenizer import Tokenizer; "
        f"print(Tokenizer.load({str(tmp_path)!r}).encode_source({SOURCE!r}, sampling=0.2, seed=5))"
    )
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent)
    assert result.stdout.strip() == str(tokenizer.encode_source(SOURCE, sampling=0.2, seed=5))


def test_sampling_prefers_likely_segmentations_the_more_the_stronger(unigram: Tokenizer):
    usual = unigram.encode_source(SOURCE)
    shares = []
    for strength in (0.0001, 0.1, 20.0):
        drawn = [unigram.encode_source(SOURCE, sampling=strength, seed=seed) for seed in range(20)]
        shares.append(sum(ids == best for lines in drawn for ids, best in zip(lines, usual, strict=True)))
    assert shares[0] < shares[1] <= shares[2]
    assert shares[2] > 0.9 * 20 * len(SOURCE)


def test_bpe_dropout_splits_words_the_more_the_higher_it_is_and_nothing_else():
    bpe = train(type=TokenizerType.bpe, user_symbols=["<bt>"])
    one_word = "".join(SOURCE).replace(" ", "")
    lines = [*SOURCE, "<bt> " + SOURCE[0], HARD, one_word, "", "  ba  ba"]
    plain = bpe.encode_source(lines)
    assert bpe.encode_source(lines, sampling=1e-12, seed=5) == plain
    lengths = []
    for rate in (0.1, 0.5, 1 - 1e-12):
        drawn = bpe.encode_source(lines, sampling=rate, seed=5)
        assert bpe.decode_target(drawn) == bpe.decode_target(plain)
        lengths.append(sum(map(len, drawn)))
    assert sum(map(len, plain)) < lengths[0] < lengths[1] < lengths[2]
    letters = bpe.source_pieces(drawn[lines.index(HARD)])
    assert letters == [*"▁badorken", *(f"<0x{byte:02X}>" for byte in "漢字".encode()), "▁", "<bt>", *"ken"]


def test_the_same_text_gives_the_same_model():
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
def test_a_vocabulary_too_large_names_the_largest_one_and_that_one_works(kind: TokenizerType):
    with pytest.raises(UserError, match=r"tokenizer\.vocab_size is 50000.*at most (\d+) pieces") as caught:
        train(type=kind, vocab_size=50_000)
    largest = int(str(caught.value).split("at most ")[1].split()[0])
    assert train(type=kind, vocab_size=largest).source_vocab_size == largest


def test_errors_of_separate_vocabularies_name_their_own_key():
    with pytest.raises(UserError, match=r"tokenizer\.target_vocab_size is 9000"):
        train(joint=False, vocab_size=330, target_vocab_size=9000)


def test_a_vocabulary_too_small_says_how_many_pieces_the_characters_need():
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
