"""Lines of text in, as many translations out, in order: used by validation, the final test and all commands alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import compress, islice
from typing import TYPE_CHECKING, Any

from translate.data.languages import directions_of_manifest
from translate.decoding.case_restoring import CaseRestorer, Recased
from translate.decoding.config import Engine, SearchConfig, SearchMethod, Split
from translate.decoding.context import ContextSplitting, context_of
from translate.decoding.rescoring.mbr import MinimumBayesRisk
from translate.decoding.segmentation import Encode, Segment, Splitting, split_line
from translate.decoding.translation import ScoredPair, Splits, Translation, join_segments
from translate.signals import stop_signals
from translate.tags import Tagging
from translate.text import normalise
from translate.tokenizer import Tokenizer
from translate.truecasing import Case, Truecaser
from translate.unicode_form import TargetUnicode

if TYPE_CHECKING:
    from translate.decoding.constraints.line_constraints import LineConstraints  # which imports the readers of corpora
    from translate.decoding.translation_memory import MemoryMatcher
    from translate.distributed import World  # which imports PyTorch


class Translator:
    """An engine with the tokenizer of its model and one search, whose values have been checked.

    splitting  which lines are translated in parts; None: only those too long for the model
    written    Unicode form of translations; None: NFC
    tagging    tags of the source lines; None: none
    restorer   of the case of lines in capitals or Title Case; None: all stay as they are
    manifest   of the model
    constraints, memory   of the translations of lines, and translation memory; None: none
    context    number of previous sentences that the model reads in front of each
    splits     counts of all lines translated so far
    """

    def __init__(
        self,
        engine: Engine,
        tokenizer: Tokenizer,
        search: SearchConfig,
        *,
        max_source_length: int = 0,
        splitting: Splitting | None = None,
        written: TargetUnicode | None = None,
        tagging: Tagging | None = None,
        restorer: CaseRestorer | None = None,
        manifest: Mapping[str, Any] | None = None,
        constraints: LineConstraints | None = None,
        memory: MemoryMatcher | None = None,
    ):
        self.engine = engine
        self.tokenizer = tokenizer
        self.search = search
        self.written = written or TargetUnicode()
        self.max_source_length = min(max_source_length or engine.max_length, engine.max_length)
        self.splitting = splitting or Splitting()
        self.tagging = tagging or Tagging()
        self.restorer = restorer
        self.manifest = manifest or {}
        self.constraints = constraints
        self.memory = memory
        self.context = context_of(self.manifest)
        self.splits = Splits()

    @classmethod
    def of_model(
        cls,
        engine: Engine,
        tokenizer: Tokenizer,
        search: SearchConfig,
        manifest: Mapping[str, Any],
        *,
        tagging: Tagging,
        truecaser: Truecaser | None,
        split: Split = Split.auto,
        case: Case = Case.auto,
        max_source_length: int = 0,
        constraints: LineConstraints | None = None,
        memory: MemoryMatcher | None = None,
    ) -> Translator:
        """Translator that splits lines, restores their case and writes translations as the model's manifest says.

        split and case, unless auto, replace the manifest's. Raises UserError for a damaged manifest, and for a search
        that the model is too small for.
        """
        search.check_model(tokenizer.target_vocab_size, engine.max_length)
        return cls(
            engine,
            tokenizer,
            search,
            max_source_length=max_source_length,
            splitting=Splitting.of_model(manifest, split),
            written=TargetUnicode.of_manifest(manifest),
            tagging=tagging,
            restorer=CaseRestorer.of_model(truecaser, manifest, case, symbols=tokenizer.user_symbols),
            manifest=manifest,
            constraints=constraints,
            memory=memory,
        )

    def translate(
        self,
        lines: Sequence[str],
        *,
        previous: Sequence[str] = (),
        progress: Callable[[float], None] | None = None,
    ) -> list[Translation]:
        """One translation per line, in order, whatever the lines hold; equal sentences are translated once.

        previous  lines before these, which a model with context reads
        progress  called now and then with the fraction of sentences that are done
        """
        # 1. Normalise and encode the lines in their usual case; split those that the model cannot read whole.
        sources = [self.read(line) for line in lines]
        line_segments = self._sentences_to_search(sources, list(map(self.read, previous)))
        # 2. Search for translations of all distinct segments.
        # a dictionary, not a set: the order of sentences, and so of batches, must repeat
        sentences = list({segment.sentence: None for segments in line_segments for segment in segments})
        # by the search of this call: from Python, each call may name another
        is_mbr = self.search.method is SearchMethod.mbr
        engine = MinimumBayesRisk(self.engine, self.tokenizer) if is_mbr else self.engine
        search = engine.search if self.constraints is None else partial(self.constraints.search, engine)
        found = dict(zip(sentences, search(sentences, self.search, progress=progress), strict=True))
        # 3. Decode all hypotheses to text in one call, and join those of each line.
        tokens = [hypothesis.tokens for hypotheses in found.values() for hypothesis in hypotheses]
        decoded = iter(self.tokenizer.decode_target(tokens))
        texts = {sentence: list(islice(decoded, len(hypotheses))) for sentence, hypotheses in found.items()}
        translations = [
            replace(
                join_segments(segments, found, texts, partial(self._write, source), n_best=self.search.returned),
                recased=source.changed,
            )
            for source, segments in zip(sources, line_segments, strict=True)
        ]
        if self.memory is not None:
            translations = self.memory.finish(translations)
        assert len(translations) == len(lines), "every line has its translation"
        self.splits += Splits.of(translations)
        return translations

    def _sentences_to_search(self, sources: Sequence[Recased], previous: Sequence[Recased]) -> list[list[Segment]]:
        """Segments of each line, with matches of the translation memory and constraints, if there are any."""
        line_segments = self._split(sources, previous)
        if self.memory is not None:
            tagged = [self.tagging.split(source.text) for source in sources]
            line_segments = self.memory.extend(tagged, line_segments, self.tokenizer, self.max_source_length)
        # last: constraints are found in the text of a line, and belong to the tokens that are searched for
        return line_segments if self.constraints is None else self.constraints.constrain(line_segments)

    def split(self, lines: Sequence[str]) -> list[list[Segment]]:
        """Each line's segments, all of which have the line's tag; none if it is blank."""
        return self._split([self.read(line) for line in lines])

    def encode_whole(self, lines: Sequence[str], *, previous: Sequence[str] = ()) -> list[list[int]]:
        """Tokens of each line as the model reads it, with its tag and context, but never split; none if it is blank."""
        whole = self._split(list(map(self.read, lines)), list(map(self.read, previous)), whole=True)
        return [segments[0].tokens if segments else [] for segments in whole]

    def read(self, line: str) -> Recased:
        """A raw line, normalised and in its usual case."""
        # as in training: in the text form that the model's tokenizer has learned from
        line = normalise(line, self.tokenizer.text_form)
        if self.restorer is None:
            return Recased(line)
        _, text = self.tagging.split(line)
        restored = self.restorer.restore(text)
        return replace(restored, text=line.removesuffix(text) + restored.text)

    def _write(self, source: Recased, translation: str) -> str:
        tag, _ = self.tagging.split(source.text)
        language = self._languages.get(tag) or self.manifest.get("target_language", "")
        return self.written.write(source.write(translation, language))

    @cached_property
    def _languages(self) -> dict[str, str]:
        """Target languages of a model of several, by tag."""
        return {each.tag: each.target_language for each in directions_of_manifest(self.manifest)}

    def _split(
        self, sources: Sequence[Recased], previous: Sequence[Recased] = (), *, whole: bool = False
    ) -> list[list[Segment]]:
        """Segments of each line, behind their context if the model reads one; whole: one of each line that has text."""
        segments = _whole_line if whole else self._segments
        if self.context:
            splitting = ContextSplitting(self.context, segments, self.tokenizer.encode_source, self.max_source_length)
            lines = [self.tagging.split(source.text) for source in (*previous, *sources)]
            return splitting.split_lines(lines)[len(previous) :]
        encoded = self.tokenizer.encode_source([self.tagging.tagged(source.text) for source in sources])
        return [
            segments(source.text, tokens) if tokens else [] for source, tokens in zip(sources, encoded, strict=True)
        ]

    def _segments(self, line: str, tokens: list[int]) -> list[Segment]:
        """Segments of a normalised line that has these tokens."""
        tag, text = self.tagging.split(line)
        encode: Encode = self.tokenizer.encode_source
        if self.tagging.known:  # later parts have the line's tag; a tag's characters in front of their text are text
            encode = partial(self.tokenizer.encode_source, tag=tag)
        return split_line(
            text.strip(), tokens, encode=encode, max_tokens=self.max_source_length, splitting=self.splitting
        )

    def score(
        self,
        sources: Sequence[str],
        targets: Sequence[str],
        *,
        previous: Sequence[str] = (),
        details: bool = False,
        progress: Callable[[float], None] | None = None,
    ) -> list[ScoredPair]:
        """Score given translations of lines, in order; details and progress as in Engine.score.

        Sources are read as by translate(), behind the lines before them, but never split; targets in the model's text
        form.
        """
        encoded = self.encode_whole(sources, previous=previous)
        written = self.tokenizer.encode_target(targets)
        pairs = [(tuple(source), tuple(target)) for source, target in zip(encoded, written, strict=True)]
        limits = self.max_source_length, self.engine.max_length
        readable = [bool(source) and len(source) <= limits[0] and len(target) <= limits[1] for source, target in pairs]
        scored = iter(self.engine.score(list(compress(pairs, readable)), details=details, progress=progress))
        return [
            ScoredPair(pair=pair, scores=next(scored) if is_readable else None)
            for pair, is_readable in zip(pairs, readable, strict=True)
        ]

    def describe(self, splits: Splits) -> str:
        """A line for the log about lines translated in parts, in another case, or otherwise; "" if there are none."""
        notes = [self._describe_split(splits)] if splits.split else []
        described = (each.describe() for each in (self.constraints, self.memory) if each is not None)
        notes += filter(None, described)
        if splits.recased:
            count = f"{splits.recased:,} of {splits.lines:,} lines"
            notes.append(f"{count} were in capitals or Title Case: translated in their usual case")
        return "; ".join(notes)

    def _describe_split(self, splits: Splits) -> str:
        limits = [f"{self.max_source_length:,} tokens"]
        if self.splitting.by_sentences:
            count = self.splitting.sentences
            limits.insert(0, f"{count} sentence{'s' if count > 1 else ''}")
        more = " or ".join(f"more than {limit}" for limit in limits)
        return f"{splits.split:,} of {splits.lines:,} lines had {more}: translated in {splits.parts:,} parts"


def _whole_line(line: str, tokens: list[int]) -> list[Segment]:
    return [Segment(tokens, text=line)]


@dataclass(frozen=True)
class ShardedTranslator:
    """A translator on every process, each of which takes its share of the lines."""

    translator: Translator
    world: World

    def translate(self, lines: Sequence[str], *, progress: Callable[[float], None] | None = None) -> list[Translation]:
        """All translations, in order, on every process; an error or a signal of one of them is raised on each."""
        rank, size = self.world.rank, self.world.size

        def translate_own() -> list[Translation]:
            with stop_signals.interruptible():  # a validation may take longer than a signal leaves
                # interleaved: neighbours, often alike in length, are spread over the processes
                return self.translator.translate(lines[rank::size], progress=progress)

        shares = self.world.gather_results(translate_own)
        return [shares[number % size][number // size] for number in range(len(lines))]

    def describe(self, splits: Splits) -> str:
        return self.translator.describe(splits)
