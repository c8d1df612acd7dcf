"""The application: routes, start and end of the service."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, Response

from translate.serving import libretranslate, native_api, page_files
from translate.serving.faults import describe_fault
from translate.serving.guard import Guard
from translate.serving.request_log import RequestLog
from translate.serving.service import Service
from translate.serving.statuses import STATUSES, answer_error, answer_http_error

logger = logging.getLogger(__name__)


def make_app(
    service: Service,
    log: RequestLog,
    *,
    origins: list[str],
    reload_seconds: float,
    preload: bool,
) -> FastAPI:
    """The application of a service.

    origins         of pages elsewhere whose scripts may use it (CORS)
    reload_seconds  between looks at the files of models and keys; 0: never
    preload         load models at the start, else when they are wanted
    """

    lifespan = _lifespan(service, reload_seconds=reload_seconds, preload=preload)
    app = FastAPI(title="Translation", docs_url=None, redoc_url=None, redirect_slashes=False, lifespan=lifespan)
    app.state.service = service
    app.include_router(libretranslate.router)
    app.include_router(native_api.router)
    app.include_router(page_files.router)
    app.add_api_route("/health", health, methods=["GET"])
    app.add_api_route("/ready", ready, methods=["GET"])
    app.add_api_route("/metrics", metrics, methods=["GET"], include_in_schema=False)
    for kind, _, _ in STATUSES:
        app.add_exception_handler(kind, answer_error)
    app.add_exception_handler(HTTPException, answer_http_error)
    if origins:
        app.add_middleware(CORSMiddleware, allow_origins=origins, allow_methods=["GET", "POST"], allow_headers=["*"])
    routes = frozenset(app.openapi()["paths"])
    app.add_middleware(Guard, limits=service.limits, metrics=service.metrics, log=log, routes=routes)
    return app


def _lifespan(
    service: Service, *, reload_seconds: float, preload: bool
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """The context of the running application: models are loaded, and files watched."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        asyncio.get_running_loop().set_exception_handler(_log_fault)
        tasks = [asyncio.create_task(_start(service, preload))]
        if reload_seconds:
            tasks.append(asyncio.create_task(_watch(service, reload_seconds)))
        try:
            yield
        finally:
            service.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await service.models.close()

    return lifespan


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


async def _start(service: Service, preload: bool) -> None:
    """Load the models; requests that arrive before wait for theirs."""
    try:
        if preload:
            await service.models.load_all()
        service.is_ready = True
    except Exception as error:  # the server ends and raises it
        service.failure = error


def _log_fault(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log a fault that nothing waits for (asyncio's exception handler), without clients' texts."""
    error = context.get("exception")
    logger.error("%s: %s", context["message"], describe_fault(error) if error else "no exception")


async def _watch(service: Service, seconds: float) -> None:
    """Look at the files of keys and models from time to time."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await service.access.check_file()
            await service.models.check_files()
        except Exception as error:  # a fault in one look must not end all later ones
            logger.error("changed files could not be checked: %s", describe_fault(error))
