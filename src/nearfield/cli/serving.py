"""`nearfield serve`: the HTTP service, until it is told to stop."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from nearfield.api.server import run
from nearfield.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

    from nearfield.cli.terminal import Terminal


def serve(host: str | None, port: int | None, data: Path | None, terminal: Terminal) -> None:
    """Serve until SIGTERM (good) or SIGINT (interrupted), then finish what was accepted.

    Raises InvalidSetting for an address outside loopback without API keys, DataDirInUse.
    """
    settings = load_settings(data_dir=data, host=host, port=port)
    stopped = False

    def stop(*_: object) -> None:
        # Called before the server listens to signals itself, and again by it once it has shut down.
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)

    def listening(url: str) -> None:
        if terminal.as_json:
            terminal.give({"url": url, "data_dir": str(settings.data_dir)})
        else:
            terminal.say(f"listening on {url}, data in {settings.data_dir}; Ctrl-C stops")

    run(settings, on_listening=listening, stopped=lambda: stopped)
