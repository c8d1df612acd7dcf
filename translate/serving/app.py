"""The application: routes, errors as statuses, start and end of the service."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from translate.errors import UserError
from translate.serving import libretranslate, native_api, page_files
from translate.serving.access import AccessError, RateError
from translate.serving.batching import OverloadedError
from translate.serving.faults import describe_fault
from translate.serving.guard import Guard, TooLargeError, TooSlowError
from translate.serving.model_pool import UnknownDirectionError
from translate.serving.request_log import RequestLog
from translate.serving.served_model import ModelFailedError
from translate.serving.service import Service

logger = logging.getLogger(__name__)
# kinds of errors, their statuses, and the text for clients; None: the error's own
_STATUSES: list[tuple[type[Exception], int, str | None]] = [
    (UserError, 400, None),
    (UnknownDirectionError, 400, None),
    (AccessError, 403, None),
    (TooSlowError, 408, "the request did not arrive in time"),
    (TooLargeError, 413, "the request is too large"),
    (OverloadedError, 429, None),
    (RateError, 429, None),
    (ClientDisconnect, 499, "the client has left"),
    (ModelFailedError, 503, "the model is not available"),
    (TimeoutError, 504, "the translation took too long"),
]


def make_app(
    service: Service,
    log: RequestLog,
    *,
    origins: list[str],
    reload_seconds: float,
    preload: bool,
    on_failure: Callable[[UserError], None],
) -> FastAPI:
    """The application of a service.

    origins         of pages elsewhere whose scripts may use it (CORS)
    reload_seconds  between looks at the files of models and keys; 0: never
    preload         load models at the start, else when they are wanted
    on_failure      called if a model cannot be loaded at the start
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        asyncio.get_running_loop().set_exception_handler(_log_fault)
        tasks = [asyncio.create_task(_start(service, preload, on_failure))]
        if reload_seconds:
            tasks.append(asyncio.create_task(_watch(service, reload_seconds)))
        try:
            yield
        finally:
            service.is_ready = False
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await service.models.close()

    app = FastAPI(title="Translation", docs_url=None, redoc_url=None, redirect_slashes=False, lifespan=lifespan)
    app.state.service, app.state.describe = service, describe
    app.include_router(libretranslate.router)
    app.include_router(native_api.router)
    app.include_router(page_files.router)
    app.add_api_route("/health", health, methods=["GET"])
    app.add_api_route("/ready", ready, methods=["GET"])
    app.add_api_route("/metrics", metrics, methods=["GET"], include_in_schema=False)
    for kind, _, _ in _STATUSES:
        app.add_exception_handler(kind, answer_error)
    app.add_exception_handler(HTTPException, answer_http_error)
    if origins:
        app.add_middleware(CORSMiddleware, allow_origins=origins, allow_methods=["GET", "POST"], allow_headers=["*"])
    routes = frozenset(app.openapi()["paths"])
    app.add_middleware(Guard, limits=service.limits, metrics=service.metrics, log=log, routes=routes)
    return app


async def health() -> dict[str, str]:
    """The process is alive."""
    return {"status": "ok"}


async def ready(request: Request) -> JSONResponse:
    """Requests can be answered: models are loaded, and the service is not about to end."""
    is_ready = request.app.state.service.is_ready
    return JSONResponse({"status": "ok" if is_ready else "not ready"}, 200 if is_ready else 503)


async def metrics(request: Request) -> Response:
    """Metrics in Prometheus' text format."""
    service: Service = request.app.state.service
    for model in service.models:
        service.metrics.set_model(
            model.name, queued=model.queue.waiting, is_loaded=model.is_loaded, memory=model.memory
        )
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def describe(error: Exception) -> str:
    """The text of an error for clients, without internals of the service."""
    for kind, _, words in _STATUSES:
        if isinstance(error, kind):
            return words or str(error)
    logger.error("%s", describe_fault(error))
    return "internal error"


async def answer_error(request: Request, error: Exception) -> JSONResponse:
    """The answer to a request that failed for a known reason."""
    status = next(status for kind, status, _ in _STATUSES if isinstance(error, kind))
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, OverloadedError | RateError) else {}
    if isinstance(error, ModelFailedError):
        logger.error("%s: %s", request.state.record.request, error)
    return JSONResponse({"error": describe(error)}, status, headers)


async def answer_http_error(request: Request, error: Exception) -> JSONResponse:
    """The answer to an unknown path or method."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)


async def _start(service: Service, preload: bool, on_failure: Callable[[UserError], None]) -> None:
    """Load the models; requests that arrive before wait for theirs."""
    try:
        if preload:
            await service.models.load_all()
        service.is_ready = True
    except UserError as error:
        on_failure(error)


def _log_fault(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log a fault that nothing waits for (asyncio's exception handler), without clients' texts."""
    error = context.get("exception")
    logger.error("%s: %s", context["message"], describe_fault(error) if error else "no exception")


async def _watch(service: Service, seconds: float) -> None:
    """Look at the files of keys and models from time to time."""
    while True:
        await asyncio.sleep(seconds)
        try:
            service.access.check_file()
            await service.models.check_files()
        except Exception as error:  # it must look again
            logger.error("changed files could not be checked: %s", describe_fault(error))
