"""A gathering kept in a file, so that a start reads counts instead of documents. Losing it costs a scan, no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from zlib import crc32

import orjson

from nearfield.search.lexicon import Gathering

if TYPE_CHECKING:
    from pathlib import Path

    from nearfield.domain.schema import CollectionSpec

LAYOUT: Final = 1
"""Of the file, and of what is counted: whoever changes either counts on, and older files are no longer read."""


def write(path: Path, gathering: Gathering, *, seq: int, changed: int) -> None:
    """Keep what was counted up to a change, in the place of what is there. Not synced: a torn file is not read.

    changed: documents counted again since the scan. Blocks: some 0.1 s for 100,000 documents. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".new")
    sum_ = 0
    with beside.open("wb") as file:
        for part in ({"layout": LAYOUT, "seq": seq, "changed": changed}, *gathering.parts()):
            line = orjson.dumps(part) + b"\n"
            sum_ = crc32(line, sum_)
            file.write(line)
        file.write(b"%d\n" % sum_)
    beside.replace(path)


def read(path: Path, spec: CollectionSpec) -> tuple[Gathering, int, int] | None:
    """What `write` was given: the gathering, seq and changed. None where there is none that fits these settings.

    Blocks: some 0.1 s for 100,000 documents, a part at a time.
    """
    try:
        *lines, last = path.read_bytes().splitlines(keepends=True)
        sum_ = 0
        for line in lines:
            sum_ = crc32(line, sum_)
        if sum_ != int(last):
            return None
        head, *parts = map(orjson.loads, lines)
        gathering = Gathering.of(spec, parts) if head["layout"] == LAYOUT else None
    except (OSError, ValueError):
        return None
    return None if gathering is None else (gathering, head["seq"], head["changed"])
