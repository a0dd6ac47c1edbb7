"""What says what an index is: a file beside it, or a note among a server's own. It is written last, so an index without
it was never finished."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from nearfield.domain.errors import IndexDamaged, IndexMissing
from nearfield.engines.durable import disk_errors, write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from nearfield.protocols.engine import IndexSpec

SPEC_FILE: Final = "spec.json"


def write_spec(folder: Path, spec: IndexSpec, *, layout: int) -> None:
    """Mark the index in `folder` as finished. layout: version of the files beside it."""
    write_atomically(folder / SPEC_FILE, json.dumps(spec_json(spec, layout=layout), indent=1).encode())


def check_stored_spec(folder: Path, spec: IndexSpec, *, layout: int) -> None:
    """Raise IndexMissing where no finished index is, IndexDamaged where another one is or the file is unreadable."""
    try:
        stored = json.loads((folder / SPEC_FILE).read_bytes())
    except FileNotFoundError as exc:
        raise IndexMissing(f"no index {spec.name!r} on disk; it has to be rebuilt from the store") from exc
    except (OSError, ValueError) as exc:
        raise IndexDamaged(f"index {spec.name!r}: its {SPEC_FILE} cannot be read; rebuild it") from exc
    compare_spec(stored, spec, layout=layout)


def compare_spec(stored: object, spec: IndexSpec, *, layout: int) -> None:
    """Raise IndexDamaged unless what is stored is the `spec_json` of this spec."""
    asked = spec_json(spec, layout=layout)
    if stored != asked:
        differing = sorted(key for key in asked if not isinstance(stored, dict) or stored.get(key) != asked[key])
        raise IndexDamaged(
            f"index {spec.name!r} was made with another {', '.join(differing) or 'specification'}; rebuild it"
        )


def remove_index(folder: Path) -> None:
    """Remove an index and all its files; passes over one that is not there. Raises EngineUnavailable."""
    with disk_errors("dropping an index"):
        (folder / SPEC_FILE).unlink(missing_ok=True)  # from here on it is missing, not damaged
        if folder.exists():
            shutil.rmtree(folder)


def spec_json(spec: IndexSpec, *, layout: int) -> dict[str, Any]:
    """A spec in JSON's own types, to keep beside an index. layout: version of what it stands beside."""
    settings = {name: str(value) if isinstance(value, str) else value for name, value in asdict(spec.settings).items()}
    fields = {name: str(kind) for name, kind in spec.fields.items()}
    return {
        "layout": layout,
        "name": spec.name,
        "dimension": spec.dimension,
        "settings": settings,
        "fields": fields,
        "language": spec.language,
        "texts": spec.texts,
    }
