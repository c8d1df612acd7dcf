"""The HTTP server: its socket, its limits on connections, and its graceful stop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from functools import partial

import uvicorn
from fastapi import FastAPI

from translate.errors import UserError
from translate.serving.connections import TimedConnection
from translate.serving.service import Service

_TICK_SECONDS = 0.1  # between looks at what a stop waits for


class Server(uvicorn.Server):
    """Uvicorn with the limits of a service, which ends if the service cannot start.

    proxies  addresses whose header X-Forwarded-For names the client
    """

    def __init__(self, app: FastAPI, service: Service, *, proxies: Sequence[str] = ()) -> None:
        self._service = service
        limits = service.limits
        settings = uvicorn.Config(
            app,
            http=partial(  # type: ignore[arg-type]  # it is only called
                TimedConnection, seconds=limits.seconds, per_address=limits.connections_per_address, proxies=proxies
            ),
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=limits.connections,
            timeout_graceful_shutdown=limits.file_seconds,
            proxy_headers=bool(proxies),
            forwarded_allow_ips=list(proxies),
        )
        super().__init__(settings)

    async def on_tick(self, counter: int) -> bool:
        """True if the server is to stop."""
        return await super().on_tick(counter) or self._service.failure is not None

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen until documents are translated and fetched, within bounds of time, then answer what was accepted."""
        self._service.stop()
        while self._service.has_documents_to_fetch and not self.force_exit:
            await asyncio.sleep(_TICK_SECONDS)
        await super().shutdown(sockets)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises UserError if another program has the port, or the machine not the address."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        raise UserError(f"host={host} port={port}: {error.strerror or error}") from None
    # Connections inherit it. asyncio sets it only on sockets that it opens itself, and without it the body of an answer
    # waits up to 40 ms for the client to acknowledge its head.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
