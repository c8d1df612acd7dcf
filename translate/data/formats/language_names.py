"""Codes and names of languages in headers of tables and attributes of files."""

from __future__ import annotations

import re
from functools import lru_cache

# ISO 639-1 code: codes of ISO 639-2 and 639-3, names in English and in the language itself
_LANGUAGES = {
    "af": "afr afrikaans",
    "am": "amh amharic",
    "ar": "ara arabic العربية",
    "az": "aze azerbaijani",
    "be": "bel belarusian",
    "bg": "bul bulgarian български",
    "bn": "ben bengali bangla বাংলা",
    "bs": "bos bosnian bosanski",
    "ca": "cat catalan català",
    "cs": "ces cze czech čeština česky",
    "cy": "cym wel welsh cymraeg",
    "da": "dan danish dansk",
    "de": "deu ger german deutsch",
    "el": "ell gre greek ελληνικά",
    "en": "eng english",
    "eo": "epo esperanto",
    "es": "spa spanish español castellano",
    "et": "est estonian eesti",
    "eu": "eus baq basque euskara",
    "fa": "fas per pes persian farsi فارسی",
    "fi": "fin finnish suomi",
    "fr": "fra fre french français",
    "ga": "gle irish gaeilge",
    "gl": "glg galician galego",
    "gu": "guj gujarati",
    "ha": "hau hausa",
    "he": "heb hebrew עברית",
    "hi": "hin hindi हिन्दी",
    "hr": "hrv croatian hrvatski",
    "hu": "hun hungarian magyar",
    "hy": "hye arm armenian",
    "id": "ind indonesian",
    "ig": "ibo igbo",
    "is": "isl ice icelandic íslenska",
    "it": "ita italian italiano",
    "ja": "jpn japanese 日本語",
    "ka": "kat geo georgian",
    "kk": "kaz kazakh",
    "km": "khm khmer",
    "ko": "kor korean 한국어",
    "ky": "kir kyrgyz",
    "lg": "lug luganda",
    "lo": "lao",
    "lt": "lit lithuanian lietuvių",
    "lv": "lav latvian latviešu",
    "mk": "mkd mac macedonian",
    "ml": "mal malayalam",
    "mn": "mon mongolian",
    "mr": "mar marathi",
    "ms": "msa may malay",
    "mt": "mlt maltese",
    "my": "mya bur burmese",
    "ne": "nep nepali",
    "nl": "nld dut dutch nederlands",
    "no": "nor nob nno nb nn norwegian norsk",
    "om": "orm oromo",
    "pa": "pan punjabi",
    "pl": "pol polish polski",
    "ps": "pus pashto",
    "pt": "por portuguese português",
    "ro": "ron rum romanian română",
    "ru": "rus russian русский",
    "rw": "kin kinyarwanda",
    "si": "sin sinhala",
    "sk": "slk slo slovak slovenčina",
    "sl": "slv slovenian slovene slovenščina",
    "so": "som somali",
    "sq": "sqi alb albanian shqip",
    "sr": "srp serbian српски srpski",
    "sv": "swe swedish svenska",
    "sw": "swa swh swahili kiswahili",
    "ta": "tam tamil தமிழ்",
    "te": "tel telugu",
    "th": "tha thai ไทย",
    "tl": "tgl fil tagalog filipino",
    "tr": "tur turkish türkçe",
    "uk": "ukr ukrainian українська",
    "ur": "urd urdu اردو",
    "uz": "uzb uzbek",
    "vi": "vie vietnamese",
    "wo": "wol wolof",
    "xh": "xho xhosa",
    "yo": "yor yoruba yorùbá",
    "zh": "zho chi cmn chinese mandarin 中文 汉语",
    "zu": "zul zulu",
}
_CODES = {word: code for code, words in _LANGUAGES.items() for word in (code, *words.split())}
# words that may accompany a language in the name of a column, as in "English sentences"
_FILLERS = re.compile("texts?|sentences?|words?|phrases?|segment|string|source|src|target|tgt|trg|original|translation")
_AMBIGUOUS = {"id", "no"}  # as names of columns usually an identifier and a number


@lru_cache(10_000)  # bounded: names come from clients of the service as well
def language_of_name(name: str) -> str:
    """ISO 639-1 code of the language in the name of a column; "" if the name has none or several.

    Names contain a code (en, deu, pt-BR, text_en, translation.de) or the language's name in English or itself.
    """
    last = name.strip().rpartition(".")[2].strip()
    words = re.findall(r"[^\W\d_]+", last)
    if len(words) > 5 or last.lower() in _AMBIGUOUS or last.endswith((".", "!", "?", "。")):
        return ""
    rest = [word for word in words if not _FILLERS.fullmatch(word.lower())]
    # short words other than the first are regions and prepositions: pt-BR, English (US), text in English
    full = {_CODES[word.lower()] for word in rest if (len(word) > 3 or not word.isascii()) and word.lower() in _CODES}
    if len(full) == 1 and all(len(word) < 3 or word.lower() in _CODES for word in rest):
        return full.pop()
    is_region = len(rest) == 2 and (rest[1].isupper() or rest[1].istitle() or len(rest[1]) == 2)
    return _CODES.get(rest[0].lower(), "") if len(rest) == 1 or is_region else ""


def same_language(name: str, language: str) -> bool:
    """True if the name of a column or an attribute names this language, given by code or name; see language_of_name."""
    if not name or not language:
        return False
    wanted = language_of_name(language) or language.lower()  # "id" alone is a language here
    return wanted == (language_of_name(name) or name.strip().rpartition(".")[2].lower())


def english_name(code: str) -> str:
    """Name of a language in English, such as German for de; the code itself of one that is not listed."""
    words = _LANGUAGES.get(_CODES.get(code.lower(), ""), "").split()
    # codes of two and three letters come first
    return next((word.title() for word in words if len(word) > 3), code)
