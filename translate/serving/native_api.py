"""Our own interface, under /v1: scores, alternatives, alignment, terminology, and sentences as they are done."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import StreamingResponse

from translate.errors import UserError
from translate.serving.bodies import read_fields, while_connected
from translate.serving.config import LimitConfig
from translate.serving.options import TranslationOptions
from translate.serving.request_log import RequestRecord
from translate.serving.service import AUTO, Service
from translate.serving.statuses import describe_error

router = APIRouter(prefix="/v1")
_TERM = Annotated[str, Field(min_length=1, max_length=200)]


class TranslateFields(BaseModel):
    """A request: a text or a list of texts, and options."""

    model_config = ConfigDict(extra="forbid")

    text: str | list[str]
    source: str = Field(AUTO, max_length=50)
    target: str = Field(max_length=50)
    model: str = Field("", max_length=200, description="name of a model; the first of the direction without")
    n_best: int = Field(1, ge=1, description="translations of each line")
    details: bool = Field(False, description="scores of tokens and words, alignment of words")
    terms: list[tuple[_TERM, _TERM]] = Field([], description="texts, and those that their translations must contain")
    prefix: str = Field("", max_length=1000, description="beginning of the translation")
    banned: list[_TERM] = Field([], description="texts that the translation must not contain as whole words")

    def options(self, limits: LimitConfig) -> TranslationOptions:
        """The options. Raises UserError for those beyond the limits."""
        texts = len(self.terms) + len(self.banned)
        for name, value, most in (("n_best", self.n_best, limits.n_best), ("terms and banned", texts, limits.terms)):
            if value > most:
                raise UserError(f"{name} ({value}): at most {most}")
        return TranslationOptions(
            n_best=self.n_best,
            details=self.details,
            terms=tuple(self.terms),
            prefix=self.prefix,
            banned=tuple(self.banned),
        )


@router.post("/translate")
async def translate(request: Request) -> dict[str, Any]:
    """Translate texts; the records of their lines are those of python -m translate.decode format=json."""
    service: Service = request.app.state.service
    fields = await read_fields(request, TranslateFields)
    texts = [fields.text] if isinstance(fields.text, str) else fields.text
    service.admit(request, "", texts)
    record: RequestRecord = request.state.record
    work = service.translate(record, texts, fields.source, fields.target, fields.options(service.limits), fields.model)
    done = await while_connected(request, work)
    return {
        "model": {"name": record.model, "version": record.version},
        "translations": [
            {"text": each.text, "lines": each.records}
            | ({"detected": each.detected.to_plain()} if each.detected else {})
            for each in done
        ],
    }


@router.post("/translate/stream")
async def stream(request: Request) -> StreamingResponse:
    """Translate one text; each sentence is a line of JSON, sent when it is done, in the order of the text."""
    service: Service = request.app.state.service
    fields = await read_fields(request, TranslateFields)
    if not isinstance(fields.text, str):
        raise UserError("text: one text is expected")
    service.admit(request, "", [fields.text])
    record: RequestRecord = request.state.record
    source, parts = service.stream(
        record, fields.text, fields.source, fields.target, fields.options(service.limits), fields.model
    )
    first = await while_connected(request, anext(parts, None))  # errors now, while they have a status

    async def lines() -> AsyncIterator[str]:
        if first is not None:
            yield json.dumps(first) + "\n"
        try:
            async for part in parts:
                yield json.dumps(part) + "\n"
        except Exception as error:  # the status is sent: the last line tells it
            yield json.dumps({"error": describe_error(error)}) + "\n"

    # the second is for nginx, which passes each line on at once
    headers = {"X-Source-Language": source, "X-Accel-Buffering": "no"}
    return StreamingResponse(lines(), media_type="application/x-ndjson", headers=headers)


@router.get("/models")
async def models(request: Request) -> list[dict[str, Any]]:
    """The models: name, version, directions, and whether they are loaded."""
    service: Service = request.app.state.service
    return [
        {
            "name": model.name,
            "version": model.current.hash,
            "directions": model.current.directions,
            "loaded": model.is_loaded,
        }
        for model in service.models
    ]
