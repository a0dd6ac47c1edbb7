"""The command as a process of its own, over one folder, where it can be killed with -9."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

NEARFIELD = ("-c", "import sys; from nearfield.cli.main import main; sys.exit(main())")


@dataclass(frozen=True, slots=True)
class Commands:
    """folder: where they run, with the data directory `data`. settings: by name, beside those of a test.

    program: what Python runs with the arguments of a command behind its own.
    """

    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    program: tuple[str, ...] = NEARFIELD

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command that answers in JSON."""
        settings = {"environment": "test", "models_dir": str(self.folder / "models"), **self.settings}
        environment = {f"NEARFIELD_{name.upper()}": value for name, value in settings.items()}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        command = [sys.executable, *self.program, *arguments, "--data", str(self.folder / "data"), "--json"]
        return subprocess.Popen(command, cwd=self.folder, env=os.environ | environment, stdout=subprocess.PIPE)

    def run(self, *arguments: str) -> dict[str, Any]:
        """What a command answered, once it has ended well."""
        return finish(self.start(*arguments))

    def kill(self, after_s: float, *arguments: str, begun: Callable[[], bool] = lambda: True) -> bool:
        """Start a command and kill it so long after it has begun; whether it had not ended by then.

        begun: tells it, by what the command leaves in the folder say; from its start where it is not given.
        """
        child = self.start(*arguments)
        give_up = time.monotonic() + 120
        while not begun() and child.poll() is None and time.monotonic() < give_up:
            time.sleep(0.001)
        try:
            child.wait(timeout=after_s)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
        child.communicate()
        return child.returncode == -signal.SIGKILL


def finish(child: subprocess.Popen[bytes]) -> dict[str, Any]:
    """What a command that was started answered, once it has ended well."""
    out, _ = child.communicate(timeout=300)
    assert child.returncode == 0, out
    answer: dict[str, Any] = orjson.loads(out)
    return answer
