"""Runs `nearfield` with an embedder that keeps a record of every text it embeds, and takes a while for it.

Ran as `python import_child.py RECORD MS ARGUMENT…`: each text embedded as a document adds a line to the file RECORD,
and MS milliseconds pass for each.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

from nearfield.cli.main import main
from nearfield.domain.documents import text_hash
from nearfield.embedders.hashing import HashingEmbedder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearfield.domain.documents import Float32Array
    from nearfield.protocols.embedder import Role


def keep_record(path: str, ms: float) -> None:
    """Have every HashingEmbedder of this process write down what it embeds."""
    record = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    embed = HashingEmbedder.embed

    async def recorded(self: HashingEmbedder, texts: Sequence[str], *, role: Role) -> Float32Array:
        if role == "document":
            os.write(record, "".join(f"{text_hash(text).hex()}\n" for text in texts).encode())
            await asyncio.sleep(ms / 1000 * len(texts))
        return await embed(self, texts, role=role)

    HashingEmbedder.embed = recorded  # type: ignore[method-assign]


if __name__ == "__main__":
    keep_record(sys.argv[1], float(sys.argv[2]))
    sys.exit(main(sys.argv[3:]))
