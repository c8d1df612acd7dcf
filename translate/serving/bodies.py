"""Read the fields of a request's body, JSON or a form, and wait for work only as long as the client does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from translate.errors import UserError, excerpt
from translate.parsing import parse_json, valid_text
from translate.serving.service import Service

_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_MOST_FIELDS = 100
_KEY = "api_key"
Fields = TypeVar("Fields", bound=BaseModel)
Result = TypeVar("Result")


async def read_fields(request: Request, kind: type[Fields]) -> Fields:
    """The fields of a body, which may be JSON or a form, with those of the address.

    Raises AccessError before the body is read if the headers have a wrong key, or lack one that the body cannot have;
    UserError for fields that are not of the kind.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if _KEY in request.query_params:  # proxies write addresses into their logs
        raise UserError(f"{_KEY} does not belong in the address: send it in the body, or in a header")
    service: Service = request.app.state.service
    service.check_key(request, may_be_in_body=_KEY in kind.model_fields)
    fields: dict[str, Any] = dict(request.query_params)
    if content_type in _FORMS:
        form = await request.form(max_files=1, max_fields=_MOST_FIELDS, max_part_size=service.limits.body)
        several: dict[str, list[Any]] = {}
        for name, value in form.multi_items():
            several.setdefault(name, []).append(value)
        fields |= {name: values if len(values) > 1 else values[0] for name, values in several.items()}
    elif body := await request.body():
        try:
            value = parse_json(body)
        except (ValueError, UnicodeDecodeError):
            raise UserError("the body is no valid JSON in UTF-8") from None
        if not isinstance(value, dict):
            raise UserError("the body must be a JSON object or a form")
        fields |= value
    return validated(kind, fields)


def validated(kind: type[Fields], fields: dict[str, Any]) -> Fields:
    """Fields of the types that are expected. Raises UserError, which names the first that is not."""
    try:
        valid_text(fields)
    except ValueError:
        raise UserError("a text holds half a surrogate pair, which is no character") from None
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        name = ".".join(str(each) for each in first["loc"])
        raise UserError(f"Invalid request: {excerpt(name)}: {first['msg']}") from None


async def while_connected(request: Request, work: Awaitable[Result]) -> Result:
    """The result of work, which is cancelled when the client leaves. Raises ClientDisconnect."""
    task = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        for each in (task, leaving):
            each.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
