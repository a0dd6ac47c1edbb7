"""The service as a process: `run` listens until it is told to stop, then finishes what it accepted."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import sys
from typing import TYPE_CHECKING

from nearfield.observe.logging import configure
from nearfield.wiring import open_backend

if TYPE_CHECKING:
    from collections.abc import Callable

    from nearfield.api.listening import Server
    from nearfield.settings import Settings
    from nearfield.wiring import Backend

SWITCH_INTERVAL_S = 0.001
GARBAGE = (5_000, 40, 10)
"""The first: objects made and not freed before the youngest are looked through, some 5 ms. The others: see `gc`."""


def run(
    settings: Settings,
    *,
    on_listening: Callable[[str], None] | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Serve until SIGTERM or SIGINT. Blocks.

    on_listening: called once with the URL, when connections are taken (the index may still be warming).
    stopped: asked once before that, whether a signal to stop came already.
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
        runner.run(_serve(settings, on_listening, stopped))


async def _serve(settings: Settings, on_listening: Callable[[str], None] | None, stopped: Callable[[], bool]) -> None:
    """Open, load and import side by side: models and indexes leave the interpreter to the import of the HTTP part.

    The backend is opened first, so that its errors are told as they are.
    """
    backend = await open_backend(settings, preload=True)
    try:
        backend.begin()
        make = await asyncio.to_thread(_server_maker)
        if not stopped():
            favour_requests()
            await make(settings, backend, on_listening).serve()
    finally:
        await backend.close()  # where the server did not come to it


def _server_maker() -> Callable[[Settings, Backend, Callable[[str], None] | None], Server]:
    from nearfield.api.listening import server  # noqa: PLC0415 - FastAPI and all the routes: most of a second

    return server


def favour_requests() -> None:
    """Set the interpreter up for an event loop beside busy threads.

    What was loaded so far lives for ever: a full garbage collection that walked it would stall every request by some
    100 ms, and so would one now, before them (it would free the 900 objects that imports leave behind). And the loop,
    when it wakes, waits up to one switch interval for each thread that wants the GIL: beside an import its longest
    stall was 47 to 106 ms at the interpreter's 5 ms, 44 to 88 ms at one.

    Whatever a request holds while it waits for an engine on a server would count as old at the interpreter's 700
    objects, and full collections would follow each other: while a collection moved between servers they took a sixth to
    a third of the interpreter's time. Looked at after 200,000 objects, hardly any are left, and all collections
    together took 2%.
    """
    gc.freeze()
    gc.set_threshold(*GARBAGE)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
