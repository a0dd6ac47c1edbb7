"""The service as a process: `run` listens until it is told to stop, then finishes what it accepted."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import logging
import math
import sys
from typing import TYPE_CHECKING

import uvicorn

from nearfield.api.app import create_app
from nearfield.observe.logging import configure
from nearfield.wiring import open_backend

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from nearfield.api.gate import Traffic
    from nearfield.settings import Settings

log = logging.getLogger("nearfield.api")

KEEP_ALIVE_S = 75  # longer than a load balancer's usual minute, so that it is the balancer who hangs up
SWITCH_INTERVAL_S = 0.001


def run(settings: Settings, *, on_listening: Callable[[str], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT. Blocks.

    on_listening: called once with the URL, when connections are taken (the index may still be warming).
    Raises InvalidSetting for a host that needs a key, DataDirInUse and whatever else opening the data directory
    raises. A second SIGINT stops without waiting.
    """
    settings.check_exposure()
    configure(settings.log_level, settings.log_format)
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if importlib.util.find_spec("uvloop"):
        import uvloop  # noqa: PLC0415 - absent on Windows

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_serve(settings, on_listening))


async def _serve(settings: Settings, on_listening: Callable[[str], None] | None) -> None:
    backend = await open_backend(settings)  # before the server, so that its errors are told as they are
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
    favour_requests()
    await _Server(config, app.state.traffic, on_listening).serve()


def favour_requests() -> None:
    """Set the interpreter up for an event loop beside busy threads.

    What was loaded so far lives for ever: a full garbage collection that walked it would stall every request by some
    100 ms. And the loop, when it wakes, waits up to one switch interval for each thread that wants the GIL: beside an
    import its longest stall was 47 to 106 ms at the interpreter's 5 ms, 44 to 88 ms at one.
    """
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(SWITCH_INTERVAL_S)


class _Server(uvicorn.Server):
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
