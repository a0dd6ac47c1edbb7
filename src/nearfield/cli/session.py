"""From flags to running parts and back: settings, the event loop, the backend, and being interrupted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from nearfield.cli.progress import Meter
from nearfield.domain.errors import InvalidSetting
from nearfield.domain.schema import INT8
from nearfield.observe.logging import configure
from nearfield.settings import load_settings
from nearfield.wiring import model_catalogue, open_backend, pull_model

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from nearfield.cli.terminal import Terminal
    from nearfield.settings import Settings
    from nearfield.wiring import Backend

Result = TypeVar("Result")


def settings_for(data: Path | None, **given: Any) -> Settings:
    """Settings from the environment and flags. Log lines below warnings stay out of the way unless asked for."""
    settings = load_settings(data_dir=data, **given)
    asked = "log_level" in settings.model_fields_set
    configure(settings.log_level if asked else "warning", settings.log_format)
    return settings


def existing_data(data: Path | None, **given: Any) -> Settings:
    """Settings of a data directory that is there: a mistyped one is told, not made.

    Raises InvalidSetting.
    """
    settings = settings_for(data, **given)
    if not settings.data_dir.is_dir():
        raise InvalidSetting(
            f"data directory {settings.data_dir} does not exist; `nearfield import` makes it, --data names another",
            field="data_dir",
        )
    return settings


def run(settings: Settings, work: Callable[[Backend], Awaitable[Result]], *, preload: bool = False) -> Result:
    """Open the backend, do the work, close it, whatever happens. Raises KeyboardInterrupt when interrupted.

    preload: see `open_backend`.
    """

    async def whole() -> Result:
        backend = await open_backend(settings, preload=preload)
        try:
            return await work(backend)
        finally:
            await backend.close()

    return asyncio.run(whole())


def fetch_model(settings: Settings, name: str, terminal: Terminal) -> None:
    """Fetch a known model's weights with a progress bar when they are not here; any other name is left to the embedder.

    Raises ModelUnreachable, ModelDamaged, DiskFull.
    """
    model = name.removesuffix(INT8)
    for entry in model_catalogue(settings):
        names = (entry.model.name, *entry.model.aliases)
        if entry.presence != "present" and model.casefold() in (known.casefold() for known in names):
            pull(settings, model, terminal)


def model_is_here(settings: Settings) -> bool:
    """Whether the settings' embedder is a known model whose weights are on disk."""
    return any(
        entry.presence == "present" and settings.embedder.removesuffix(INT8) in (entry.model.name, *entry.model.aliases)
        for entry in model_catalogue(settings)
    )


def pull(settings: Settings, name: str, terminal: Terminal) -> Path:
    """Fetch a model's weights with a progress bar; the folder they are in.

    Raises ModelUnknown, ModelUnreachable, ModelDamaged, DiskFull.
    """
    terminal.say(f"fetching model {name} into {settings.models_dir}")
    with Meter(terminal, fetched="bytes") as meter:
        return pull_model(settings, name, lambda transfer: meter.move("fetched", transfer.done, transfer.total))
