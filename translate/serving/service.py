"""The service behind its interfaces: checks a request, finds its model, and translates within the limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from starlette.requests import Request

from translate.data.formats.language_names import same_language
from translate.documents.document import DocumentFormat, DocumentOptions
from translate.errors import UserError
from translate.serving.access import Access, Client
from translate.serving.addresses import subscriber_of
from translate.serving.batching import Record
from translate.serving.config import LimitConfig
from translate.serving.detection import Detected, LanguageDetector
from translate.serving.documents import Documents, TranslateTexts, translate_html
from translate.serving.downloads import Downloads
from translate.serving.metrics import Metrics
from translate.serving.model_pool import ModelPool
from translate.serving.options import TranslationOptions
from translate.serving.request_log import RequestRecord
from translate.serving.texts import TextTranslation, unchanged_parts

AUTO = "auto"  # as a source language: detect it


@dataclass(frozen=True)
class Translated:
    """A text's translation, its records, and its detected language; None: the request has named one."""

    text: str
    records: list[Record] = field(default_factory=list)
    detected: Detected | None = None

    @property
    def alternatives(self) -> list[str]:
        """Other translations of a text of one line; those of several lines have none."""
        if len(self.records) != 1:
            return []
        return [other["text"] for other in self.records[0]["nbest"][1:] if other["score"] is not None]


@dataclass(kw_only=True)
class Service:
    """The parts of a running service.

    is_ready  models are loaded, and the service is not about to end
    failure   error by which the service cannot start
    """

    models: ModelPool
    access: Access
    limits: LimitConfig
    metrics: Metrics
    detector: LanguageDetector | None
    documents: Documents = field(init=False)
    downloads: Downloads = field(default_factory=Downloads)
    is_ready: bool = False
    failure: Exception | None = None

    def __post_init__(self) -> None:
        self.documents = Documents(self.limits)

    def stop(self) -> None:
        """Begin to stop: no longer ready, and no further documents."""
        self.is_ready = False
        self.documents.is_stopping = True

    @property
    def has_documents_to_fetch(self) -> bool:
        """True while documents are translated, or have been a moment ago, and their clients will fetch them."""
        return self.documents.num_running > 0 or self.downloads.delays_stop

    def directions(self) -> dict[str, list[str]]:
        """Source languages of all models, and the target languages of each."""
        found: dict[str, dict[str, None]] = {}
        for model in self.models:
            for source, target in model.current.directions:
                found.setdefault(source, {})[target] = None
        return {source: list(targets) for source, targets in found.items()}

    def check_key(self, request: Request, *, may_be_in_body: bool) -> None:
        """Check the key of a request by its headers alone. Raises AccessError."""
        key = key_of_headers(request)
        if key or not may_be_in_body:
            self.access.owner(key)

    def admit(self, request: Request, key: str, texts: Sequence[str]) -> Client:
        """Check the key, the rate and the limits of a request; returns its client.

        Raises AccessError, RateError, UserError.
        """
        owner = self.access.owner(key or key_of_headers(request))
        client = Client(owner, subscriber_of(request.client.host) if request.client else "")
        if len(texts) > self.limits.texts:
            raise UserError(f"{len(texts):,} texts; at most {self.limits.texts:,} in a request")
        characters = sum(map(len, texts))
        if characters > self.limits.characters:
            raise UserError(f"{characters:,} characters; at most {self.limits.characters:,} in a request")
        self.access.count(client, characters)
        record: RequestRecord = request.state.record
        record.key, record.characters = owner.name if owner else "", characters
        return client

    def detect(self, texts: Sequence[str]) -> list[Detected]:
        """Languages by their probability. Raises UserError where detection is not installed."""
        if self.detector is None:
            raise UserError("this service detects no languages: name the source")
        return self.detector.rank(texts)

    async def translate(
        self,
        record: RequestRecord,
        texts: Sequence[str],
        source: str,
        target: str,
        options: TranslationOptions,
        name: str = "",
    ) -> list[Translated]:
        """Translate texts, each from its own language if the source is auto, within the time of a request."""
        async with asyncio.timeout(self.limits.seconds):
            groups: dict[str, list[int]] = {}
            detected = [self.detect([text])[0] if source == AUTO else None for text in texts]
            for index, found in enumerate(detected):
                groups.setdefault(found.language if found else source, []).append(index)
            results: dict[int, Translated] = {}
            for language, indices in groups.items():
                if source == AUTO and same_language(language, target):
                    results.update({index: Translated(texts[index], detected=detected[index]) for index in indices})
                    continue
                translation = self.translation(record, language, target, options, name)
                found_texts = await translation.translate([texts[index] for index in indices])
                for index, (text, records) in zip(indices, found_texts, strict=True):
                    results[index] = Translated(text, records, detected[index])
        return [results[index] for index in range(len(texts))]

    def stream(
        self, record: RequestRecord, text: str, source: str, target: str, options: TranslationOptions, name: str = ""
    ) -> tuple[str, AsyncIterator[dict[str, Any]]]:
        """The source language, and the parts of a translation as they are done (TextTranslation.stream)."""
        if source == AUTO:
            source = self.detect([text])[0].language
            if same_language(source, target):
                return source, unchanged_parts(text)
        translation = self.translation(record, source, target, options, name)
        return record.source, translation.stream(text, self.limits.seconds)

    async def translate_markup(
        self, record: RequestRecord, texts: Sequence[str], source: str, target: str, options: TranslationOptions
    ) -> list[Translated]:
        """Translate pieces of HTML, whose markup stays."""
        done = []
        async with asyncio.timeout(self.limits.seconds):
            for text in texts:
                detected = self.detect([text])[0] if source == AUTO else None
                language = detected.language if detected else source
                if detected and same_language(language, target):
                    done.append(Translated(text, detected=detected))
                    continue
                document, translate = self._document(record, language, target)
                found = await translate_html(text, document, translate, characters=self.limits.characters)
                done.append(Translated(found, detected=detected))
        return done

    async def translate_file(
        self,
        record: RequestRecord,
        client: Client,
        content: bytes,
        file_format: DocumentFormat,
        source: str,
        target: str,
    ) -> bytes:
        """Translate a document, which is written in its own format. Raises UserError for a damaged or too large one."""
        if len(content) > self.limits.file:
            raise UserError(f"{len(content):,} bytes; at most {self.limits.file:,} in a file")
        options, translate = self._document(record, source, target)

        async def translate_counted(texts: Sequence[str]) -> list[str]:
            characters = sum(map(len, texts))
            record.characters += characters
            self.access.charge(client, characters)
            return await translate(texts)

        async with asyncio.timeout(self.limits.file_seconds):
            return await self.documents.translate(content, file_format, options, translate_counted)

    def _document(self, record: RequestRecord, source: str, target: str) -> tuple[DocumentOptions, TranslateTexts]:
        """Options of a document between these languages, and the translation of its texts.

        source  auto: the language of the first texts, which are known when the document has been read
        """
        translation: TextTranslation | None = None
        if source == AUTO:
            _, _, target = self.models.find("", target)  # as a model spells it
        else:
            translation = self.translation(record, source, target, TranslationOptions())
            source, target = record.source, record.target

        async def translate(texts: Sequence[str]) -> list[str]:
            nonlocal translation
            if translation is None:
                detected = self.detect(texts)[0].language
                translation = self.translation(record, detected, target, TranslationOptions())
            return [text for text, _ in await translation.translate(texts)]

        language = "" if source == AUTO else source
        return DocumentOptions(name="the document", source_language=language, target_language=target), translate

    def translation(
        self, record: RequestRecord, source: str, target: str, options: TranslationOptions, name: str = ""
    ) -> TextTranslation:
        """The translation by the model of a direction, noted in the request's record. Raises UnknownDirectionError."""
        # the languages as the model spells them: what a client has written gets into no header, document or log
        model, source, target = self.models.find(source, target, name)
        record.translated_by(model, source, target)
        if model.current.has_several_directions:
            options = replace(options, target_language=target)
        return TextTranslation(self.models, model, options, record)


def key_of_headers(request: Request) -> str:
    """The API key of the headers Authorization: Bearer or X-API-Key; "": none."""
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key", "")
