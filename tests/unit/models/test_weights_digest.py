from __future__ import annotations

from typing import TYPE_CHECKING

from nearfield.models.fingerprint import sha256_of, weights_digest

if TYPE_CHECKING:
    from pathlib import Path

HASHES = {"model.onnx": "ab" * 32, "1_Pooling/config.json": "cd" * 32}


def test_a_files_hash_is_the_well_known_one(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert sha256_of(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_digest_is_pinned() -> None:
    """Vectors are kept under fingerprints made of it, so it may never come out otherwise."""
    assert weights_digest(HASHES) == "709d39d8c89274cf"


def test_order_is_nothing_but_path_and_bytes_are() -> None:
    assert weights_digest(dict(reversed(HASHES.items()))) == weights_digest(HASHES)
    swapped = dict(zip(HASHES, reversed(HASHES.values()), strict=True))
    assert weights_digest(swapped) != weights_digest(HASHES)
    assert weights_digest({**HASHES, "config.json": "ef" * 32}) != weights_digest(HASHES)
