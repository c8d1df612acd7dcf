"""BLEU's tokenizers, chosen by the target language or, where that is not given, by the script of the references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain

from sacrebleu.metrics import BLEU

from translate.data.text_profile import main_script
from translate.errors import UserError, install_command

DEFAULT_TOKENIZER = "13a"
MECAB = "ja-mecab"
# sacreBLEU's -tok; those after "char" need extra packages or a download.
TOKENIZERS = (
    DEFAULT_TOKENIZER,
    "none",
    "intl",
    "zh",
    "char",
    MECAB,
    "ko-mecab",
    "spm",
    "flores101",
    "flores200",
)
WITHOUT_SPACES = ("zh", "char", MECAB)  # they find words without spaces; TER then needs its options for that
_BY_SPACES = (DEFAULT_TOKENIZER, "none", "intl")
OPTIONS = ("target_language", "tokenize")  # of evaluate and compare, that notes name
INSTALL_MECAB = install_command("ja")

# the choices of versions that did not record them: scores of older runs depend on these entries, which must not change
_OF_OLDER_RUNS = {"zh": "zh", "cmn": "zh", "zho": "zh", "yue": "zh"} | dict.fromkeys(
    ["ja", "jpn", "ko", "kor", "th", "tha", "lo", "lao", "km", "khm", "my", "mya"], "char"
)
_BY_LANGUAGE = (
    _OF_OLDER_RUNS
    | dict.fromkeys(["ja", "jpn", "jp", "japanese"], MECAB)
    | dict.fromkeys(
        ["chi", "cn", "chinese", "mandarin", "cantonese", "wuu", "gan", "hak", "hsn", "nan", "lzh", "cdo", "cjy"], "zh"
    )
    | dict.fromkeys(["korean", "thai", "khmer", "burmese", "bur", "shn", "bo", "bod", "tib", "dz", "dzo"], "char")
)
_BY_SCRIPT = {"Han": "zh", "Kana": MECAB} | dict.fromkeys(
    ["Hangul", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan"], "char"
)


@dataclass(frozen=True)
class TokenizerChoice:
    """A tokenizer's name, and one line for the user where the choice is not obvious; else ""."""

    name: str
    note: str = ""


def tokenizer_of_language(language: str) -> str:
    """The choice of runs that did not record it, by the language's code alone ("zh", "pt-BR", "zh_Hans")."""
    return _OF_OLDER_RUNS.get(_code(language), DEFAULT_TOKENIZER)


def choose_tokenizer(
    references: Sequence[Sequence[str]],
    *,
    language: str,
    options: tuple[str, str] = OPTIONS,
) -> TokenizerChoice:
    """The tokenizer for references, by the target language or, if that is "", by their script.

    Chinese has its own; Japanese is ja-mecab, which WMT uses, or characters where that is not installed; Korean and
    languages written without spaces count characters; the rest is 13a. options are what the note says to set.
    """
    script = main_script(chain.from_iterable(references))
    by_script = _BY_SCRIPT.get(script, DEFAULT_TOKENIZER)
    if not language:
        choice = _available(by_script)
        # 13a is the usual choice, and needs no note
        if choice.name == DEFAULT_TOKENIZER:
            return choice
        note = (
            f"the references are written in {script} script: BLEU counts by tok:{choice.name}; "
            f"set {options[0]} or {options[1]} to choose"
        )
        return TokenizerChoice(choice.name, "; ".join(filter(None, [note, choice.note])))
    by_language = _BY_LANGUAGE.get(_code(language), DEFAULT_TOKENIZER)
    choice = _available(by_language)
    # Japanese with few kana passes for Han: no mismatch
    if not script or by_script == by_language or (by_language == MECAB and script == "Han"):
        return choice
    return TokenizerChoice(choice.name, _mismatch(choice.name, script, f"{options[0]}={language}", options))


def tokenizer_of_record(references: Sequence[Sequence[str]], *, recorded: str, target_language: str) -> TokenizerChoice:
    """The tokenizer that a run recorded, or another one, with a note, if that is not installed.

    recorded and target_language are "" where an older run did not record them.
    """
    if recorded and reason_missing(recorded):
        # characters need no package, and divide Japanese where 13a finds no spaces
        fallback = "char" if recorded == MECAB else choose_tokenizer(references, language="").name
        remedy = f" ({INSTALL_MECAB})" if recorded == MECAB else ""
        note = (
            f"the run's BLEU counts by tok:{recorded}, which is not installed here{remedy}: this BLEU counts by "
            f"tok:{fallback} and cannot be compared with the run's"
        )
        return TokenizerChoice(fallback, note)
    if recorded:
        return TokenizerChoice(recorded, _script_note(references, recorded, f"the run's BLEU counts by tok:{recorded}"))
    if target_language:
        tokenize = tokenizer_of_language(target_language)
        because = f"the model's target language is {target_language}"
        return TokenizerChoice(tokenize, _script_note(references, tokenize, because))
    return choose_tokenizer(references, language="")


def _script_note(references: Sequence[Sequence[str]], tokenize: str, because: str) -> str:
    """A warning if a tokenizer, chosen because of something else, needs spaces that the references do not have."""
    script = main_script(chain.from_iterable(references))
    return _mismatch(tokenize, script, because, OPTIONS) if script in _BY_SCRIPT and tokenize in _BY_SPACES else ""


def _mismatch(tokenize: str, script: str, because: str, options: tuple[str, str]) -> str:
    return (
        f"{because}, but the references are written in {script} script: BLEU counts by tok:{tokenize}, which is not "
        f"made for it; set {options[0]} or {options[1]}"
    )


def check_tokenizer(tokenize: str, *, key: str) -> None:
    """Raise UserError if BLEU has no such tokenizer, or it cannot be used here."""
    if tokenize not in TOKENIZERS:
        raise UserError(f"{key}={tokenize} is none of {', '.join(TOKENIZERS)}")
    if reason := reason_missing(tokenize):
        raise UserError(f"{key}={tokenize} needs an extra package: {reason}")


@cache
def reason_missing(tokenize: str) -> str:
    """The reason why a sacreBLEU tokenizer cannot be used here, or what to install; "" if it can."""
    try:
        # sacreBLEU loads a tokenizer, and finds its package missing, only when it makes it
        BLEU(tokenize=tokenize, force=True)
    except KeyError:  # of another version, or a damaged manifest
        return "sacreBLEU has no such tokenizer"
    except (ImportError, RuntimeError, OSError) as error:
        return INSTALL_MECAB if tokenize == MECAB else " ".join(str(error).split())
    return ""


def _available(tokenize: str) -> TokenizerChoice:
    if tokenize != MECAB or not reason_missing(MECAB):
        return TokenizerChoice(tokenize)
    return TokenizerChoice("char", f"WMT counts Japanese by {MECAB}, which is not installed here: {INSTALL_MECAB}")


def _code(language: str) -> str:
    return language.lower().replace("_", "-").split("-")[0]  # pt_BR: pt
