"""Files of sentence pairs in the formats of translation tools, as these write them."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import polib

Pairs = Sequence[tuple[str, str]]
Writer = Callable[[Path, Pairs, str, str], None]  # path, pairs, source and target language

PAIRS = [
    (f"Sentence {number} & <more>, a “quote”.", f'Satz {number} & <mehr>, ein "Zitat" größer.') for number in range(20)
]


def tmx(units: str, header: str = 'srclang="en"') -> str:
    """A TMX file around some units."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE tmx SYSTEM "tmx14.dtd">\n<tmx version="1.4">'
        f'<header {header} segtype="sentence"/><body>\n{units}\n</body></tmx>\n'
    )


def unit(**texts: str) -> str:
    """A translation unit of TMX on one line; texts: XML by language, with _ for -."""
    variants = (
        f'<tuv xml:lang="{language.replace("_", "-")}"><seg>{text}</seg></tuv>' for language, text in texts.items()
    )
    return f"<tu>{''.join(variants)}</tu>"


def write_tmx(path: Path, pairs: Pairs, source: str, target: str) -> None:
    units = [unit(**{source: escape(first), target: escape(second)}) for first, second in pairs]
    path.write_text(tmx("\n".join(units), f'srclang="{source}"'), encoding="utf-8")


def write_xliff(path: Path, pairs: Pairs, source: str, target: str) -> None:
    """Write XLIFF 1.2."""
    units = [
        f'<trans-unit id="{number}"><source>{escape(first)}</source><target>{escape(second)}</target></trans-unit>'
        for number, (first, second) in enumerate(pairs)
    ]
    head = f'<file original="a" datatype="plaintext" source-language="{source}" target-language="{target}"><body>'
    name = '<xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2">'
    path.write_text("\n".join([name, head, *units, "</body></file></xliff>"]), encoding="utf-8")


def write_xliff_2(path: Path, pairs: Pairs, source: str, target: str) -> None:
    segments = (f"<source>{escape(first)}</source><target>{escape(second)}</target>" for first, second in pairs)
    units = [f'<unit id="{number}"><segment>{texts}</segment></unit>' for number, texts in enumerate(segments)]
    name = f'<xliff version="2.1" xmlns="urn:oasis:names:tc:xliff:document:2.0" srcLang="{source}" trgLang="{target}">'
    path.write_text("\n".join([name, '<file id="f">', *units, "</file></xliff>"]), encoding="utf-8")


def write_po(path: Path, pairs: Pairs, source: str, target: str) -> None:
    catalogue = polib.POFile(check_for_duplicates=False)
    catalogue.metadata = {
        "X-Source-Language": source,
        "Language": target,
        "MIME-Version": "1.0",
        "Content-Type": "text/plain; charset=UTF-8",
        "Content-Transfer-Encoding": "8bit",
    }
    for number, (first, second) in enumerate(pairs):
        catalogue.append(polib.POEntry(msgid=first, msgstr=second, msgctxt=str(number)))
    catalogue.save(str(path))


def write_moses(path: Path, pairs: Pairs, source: str, target: str) -> None:
    source, target = (language.replace("-", "_") for language in (source, target))
    stem = f"Corpus.{source}-{target}"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README", "A corpus.\n")
        archive.writestr("LICENSE", "Free.\n")
        for side, language in enumerate((source, target)):
            archive.writestr(f"{stem}.{language}", "".join(f"{pair[side]}\n" for pair in pairs))
        archive.writestr(f"{stem}.ids", "1\t1\n" * len(pairs))


WRITERS: dict[str, Writer] = {
    "tmx": write_tmx,
    "xliff": write_xliff,
    "xliff_2": write_xliff_2,
    "po": write_po,
    "moses": write_moses,
}
