"""LibreTranslate's interface, so that its clients work unchanged: JSON or forms; errors are {"error": …}."""

from __future__ import annotations

import unicodedata
from collections.abc import AsyncIterator
from pathlib import PurePath
from typing import Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.datastructures import UploadFile
from starlette.responses import StreamingResponse

from translate.data.formats.language_names import english_name
from translate.documents import ENDINGS
from translate.errors import UserError
from translate.serving.bodies import read_fields, while_connected
from translate.serving.documents import format_of
from translate.serving.options import TranslationOptions
from translate.serving.service import AUTO, Service

router = APIRouter()
_LONGEST_NAME = 100
_SLICE = 1 << 16  # bytes


class TranslateFields(BaseModel):
    """Fields of /translate."""

    q: str | list[str]
    source: str = Field(max_length=50)
    target: str = Field(max_length=50)
    format: Literal["text", "html"] = "text"
    alternatives: int = Field(0, ge=0)
    api_key: str = ""


class DetectFields(BaseModel):
    """Fields of /detect."""

    q: str | list[str]
    api_key: str = ""


class FileFields(BaseModel, arbitrary_types_allowed=True):
    """Fields of /translate_file."""

    file: UploadFile
    source: str = Field(max_length=50)
    target: str = Field(max_length=50)
    api_key: str = ""


@router.post("/translate")
async def translate(request: Request) -> dict[str, Any]:
    """Translate a text, or each text of a list."""
    service: Service = request.app.state.service
    fields = await read_fields(request, TranslateFields)
    texts = [fields.q] if isinstance(fields.q, str) else fields.q
    service.admit(request, fields.api_key, texts)
    if fields.alternatives >= service.limits.n_best:
        raise UserError(f"Invalid request: alternatives: at most {service.limits.n_best - 1}")
    options = TranslationOptions(n_best=fields.alternatives + 1)
    work = service.translate_markup if fields.format == "html" else service.translate
    done = await while_connected(request, work(request.state.record, texts, fields.source, fields.target, options))
    columns: dict[str, list[Any]] = {"translatedText": [each.text for each in done]}
    if fields.source == AUTO:
        columns["detectedLanguage"] = [each.detected.to_plain() for each in done if each.detected]
    if fields.alternatives:
        columns["alternatives"] = [each.alternatives for each in done]
    return columns if isinstance(fields.q, list) else {name: values[0] for name, values in columns.items()}


@router.post("/translate_file")
async def translate_file(request: Request) -> dict[str, str]:
    """Translate a document; the answer names the address from which it can be fetched for some minutes."""
    service: Service = request.app.state.service
    fields = await read_fields(request, FileFields)
    client = service.admit(request, fields.api_key, [])
    name = PurePath(fields.file.filename or "").name[-_LONGEST_NAME:]
    file_format = format_of(name)
    content = await fields.file.read()
    record = request.state.record
    work = service.translate_file(record, client, content, file_format, fields.source, fields.target)
    token = service.downloads.add(name, await while_connected(request, work))
    return {"translatedFileUrl": str(request.url_for("download_file", token=token))}


@router.get("/download_file/{token}")
async def download_file(request: Request, token: str) -> StreamingResponse:
    """A translated document."""
    service: Service = request.app.state.service
    found = service.downloads.fetch(token)
    if found is None:
        raise UserError("unknown file, or one that has expired: translate the document again")
    stem, ending = PurePath(found.name).stem, PurePath(found.name).suffix
    plain = "".join(c if c.isalnum() and c.isascii() else "_" for c in stem) or "file"
    # letters, marks and numbers of all scripts (RFC 6266); no control, bidirectional or path character
    name = quote("".join(c if unicodedata.category(c)[0] in "LMN" else "_" for c in stem) or "file")
    end = f"_translated{ending.lower()}"
    headers = {"Content-Disposition": f"attachment; filename=\"{plain}{end}\"; filename*=UTF-8''{name}{end}"}
    headers["Content-Length"] = str(len(found.content))
    # in slices: a client that reads slowly holds one of them, not a copy of the document
    return StreamingResponse(_slices(found.content), media_type="application/octet-stream", headers=headers)


async def _slices(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), _SLICE):
        yield content[start : start + _SLICE]


@router.post("/detect")
async def detect(request: Request) -> list[dict[str, Any]]:
    """Languages of a text by their probability in percent."""
    service: Service = request.app.state.service
    fields = await read_fields(request, DetectFields)
    texts = [fields.q] if isinstance(fields.q, str) else fields.q
    service.admit(request, fields.api_key, texts)
    return [each.to_plain() for each in service.detect(texts)]


@router.get("/languages")
async def languages(request: Request) -> list[dict[str, Any]]:
    """Source languages, and the target languages of each."""
    service: Service = request.app.state.service
    return [
        {"code": code, "name": english_name(code), "targets": targets} for code, targets in service.directions().items()
    ]


@router.get("/frontend/settings")
async def settings(request: Request) -> dict[str, Any]:
    """Facts about the service for clients: languages, limits, formats."""
    service: Service = request.app.state.service
    source, targets = next(iter(service.directions().items()))
    return {
        "apiKeys": service.access.has_keys,
        "charLimit": service.limits.characters,
        "filesTranslation": True,
        "frontendTimeout": 500,
        "keyRequired": service.access.requires_key,
        "language": {
            "source": {"code": source, "name": english_name(source)},
            "target": {"code": targets[0], "name": english_name(targets[0])},
        },
        "nBest": service.limits.n_best,
        "suggestions": False,
        "supportedFilesFormat": list(ENDINGS),
    }


@router.post("/suggest")
async def suggest() -> None:
    """LibreTranslate's suggestions of translations, which this service does not take."""
    raise UserError("Suggestions are disabled on this server.")
