"""Errors of requests: their statuses of HTTP, and their texts for clients."""

from __future__ import annotations

import logging

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse

from translate.errors import UserError
from translate.serving.access import AccessError, RateError
from translate.serving.batching import OverloadedError
from translate.serving.documents import StoppingError
from translate.serving.faults import describe_fault
from translate.serving.guard import TooLargeError, TooSlowError
from translate.serving.model_pool import UnknownDirectionError
from translate.serving.served_model import ModelFailedError

logger = logging.getLogger(__name__)
# kinds of errors, their statuses, and the text for clients; None: the error's own
STATUSES: list[tuple[type[Exception], int, str | None]] = [
    (UserError, 400, None),
    (UnknownDirectionError, 400, None),
    (AccessError, 403, None),
    (TooSlowError, 408, "the request did not arrive in time"),
    (TooLargeError, 413, "the request is too large"),
    (OverloadedError, 429, None),
    (RateError, 429, None),
    (ClientDisconnect, 499, "the client has left"),
    (ModelFailedError, 503, "the model is not available: try again later"),
    (StoppingError, 503, None),
    (TimeoutError, 504, "the translation took too long: send less text at a time"),
]


def describe_error(error: Exception) -> str:
    """The text of an error for clients, without internals of the service; a fault of the program is logged."""
    for kind, _, text in STATUSES:
        if isinstance(error, kind):
            return text or str(error)
    logger.error("%s", describe_fault(error))
    return "internal error"


async def answer_error(request: Request, error: Exception) -> JSONResponse:
    """The answer to a request that failed for one of the reasons in STATUSES."""
    status = next(status for kind, status, _ in STATUSES if isinstance(error, kind))
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, OverloadedError | RateError) else {}
    if isinstance(error, ModelFailedError):
        logger.error("%s: %s", request.state.record.request, error)
    return JSONResponse({"error": describe_error(error)}, status, headers)


async def answer_http_error(request: Request, error: Exception) -> JSONResponse:
    """The answer to an unknown path or method."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)
