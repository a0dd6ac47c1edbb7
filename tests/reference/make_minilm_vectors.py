"""Make `minilm_texts.json` and `minilm_vectors.npy` with Sentence Transformers. Run by hand, once; see README.md.

python make_minilm_vectors.py MODEL_FOLDER DATA_FOLDER
"""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
from pathlib import Path
from typing import Final

import numpy as np

TEXTS_PER_SET: Final = {
    "mercari-100k": 400,
    "er-walmart-amazon": 150,
    "tmdb45k-judged": 150,
    "scifact": 150,
    "cranfield": 150,
}
HERE: Final = Path(__file__).parent


def pick(data: Path) -> tuple[dict[str, list[str]], list[str]]:
    """(ids by set, texts): of each set the documents whose id has the lowest SHA-256, in that order."""
    ids: dict[str, list[str]] = {}
    texts: list[str] = []
    for name, number in TEXTS_PER_SET.items():
        with gzip.open(data / name / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        rows.sort(key=lambda row: hashlib.sha256(row["id"].encode()).digest())
        ids[name] = [row["id"] for row in rows[:number]]
        texts += [f"{row['title']}: {row['text']}" for row in rows[:number]]
    return ids, texts


def main(model: Path, data: Path) -> None:
    """Write both files beside this one."""
    import sentence_transformers  # noqa: PLC0415

    ids, texts = pick(data)
    encoder = sentence_transformers.SentenceTransformer(str(model), device="cpu")
    vectors = encoder.encode(texts, batch_size=32)
    rounded = vectors.astype(np.float16)
    again = rounded.astype(np.float32)
    worst = np.einsum("nd,nd->n", vectors, again / np.linalg.norm(again, axis=1, keepdims=True)).min()
    np.save(HERE / "minilm_vectors.npy", rounded)
    plan = {"ids": ids, "sha256": hashlib.sha256("\0".join(texts).encode()).hexdigest()}
    (HERE / "minilm_texts.json").write_text(json.dumps(plan, separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"{len(texts)} texts, sentence-transformers {sentence_transformers.__version__}, least cosine {worst:.7f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
