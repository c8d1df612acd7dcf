"""Add fuzzy matches to a training corpus, for a model that reads them (Bulté and Tezcan 2019).

    python scripts/add_matches.py corpus.tmx --output matched --symbol '<tm>' --source-language en --target-language de

Writes matched.source and matched.target, line by line: every pair, and every pair once more that another pair of the
corpus is similar to, with that pair's target behind its source: "a line <tm> the target of its match". Train on them
with tokenizer.user_symbols=['<tm>'], and decode with memory.path=FILE memory.symbol='<tm>'.
"""

import argparse
from collections.abc import Iterator

from translate.data.corpus import CorpusConfig
from translate.data.readers import read_rows
from translate.decoding.translation_memory import TranslationMemory
from translate.errors import UserError
from translate.text import normalise, write_lines


def matched_pairs(pairs: list[tuple[str, str]], *, symbol: str, min_similarity: float) -> Iterator[tuple[str, str]]:
    """Every pair, and again with the target of its match among the other pairs, if it has one."""
    memory = TranslationMemory(pairs)
    for source, target in pairs:
        yield source, target
        if match := memory.find(source, min_similarity, leave_out=source):
            yield f"{source} {symbol} {match.target}", target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", help="file with pairs, in any format that data.train.path reads")
    parser.add_argument("--output", required=True, help="beginning of the names of both files")
    parser.add_argument("--symbol", default="<tm>")
    parser.add_argument("--min-similarity", type=float, default=0.5)
    parser.add_argument("--source-language", default="")
    parser.add_argument("--target-language", default="")
    options = parser.parse_args()
    corpus = CorpusConfig(
        path=options.corpus, source_language=options.source_language, target_language=options.target_language
    )
    try:
        rows = (row for row in read_rows(corpus, key="corpus") if not row.problem)
        pairs = [(normalise(row.source).strip(), normalise(row.target).strip()) for row in rows]
        matched = list(matched_pairs(pairs, symbol=options.symbol, min_similarity=options.min_similarity))
        for number, side in enumerate(("source", "target")):
            write_lines(f"{options.output}.{side}", (pair[number] for pair in matched))
    except UserError as error:
        parser.error(str(error))
    print(f"{len(pairs):,} pairs, {len(matched) - len(pairs):,} of them with a match")


if __name__ == "__main__":
    main()
