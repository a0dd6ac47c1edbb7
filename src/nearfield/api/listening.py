"""The server: uvicorn around the application."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Final

import uvicorn

from nearfield.api.app import create_app

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from nearfield.api.gate import Traffic
    from nearfield.settings import Settings
    from nearfield.wiring import Backend

log = logging.getLogger("nearfield.api")

KEEP_ALIVE_S: Final = 75  # longer than a load balancer's usual minute, so that it is the balancer who hangs up


def server(settings: Settings, backend: Backend, on_listening: Callable[[str], None] | None) -> Server:
    """The server of an open backend, which it closes at its end. See `server.run` for `on_listening`."""
    app = create_app(settings, backend=backend)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        lifespan="on",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=math.ceil(settings.shutdown_timeout_s),
    )
    return Server(config, app.state.traffic, on_listening)


class Server(uvicorn.Server):
    """uvicorn's, which tells where it listens and closes the gate before it closes its sockets."""

    def __init__(self, config: uvicorn.Config, traffic: Traffic, on_listening: Callable[[str], None] | None) -> None:
        super().__init__(config)
        self._traffic = traffic
        self._on_listening = on_listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for server in self.servers:
            host, port = server.sockets[0].getsockname()[:2]
            url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
            log.info("listening", extra={"url": url})
            if self._on_listening is not None:
                self._on_listening(url)
            return

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._traffic.close()
        await super().shutdown(sockets)
