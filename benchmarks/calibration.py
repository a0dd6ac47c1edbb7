"""What int8 needs to know of a model: `python -m benchmarks.calibration MODEL`, once for each that offers int8.

Runs 400 texts through it, listings of no judged set and titles of them, and writes src/nearfield/models/ranges.
"""

from __future__ import annotations

import argparse
from typing import Final

from benchmarks.listings import PROJECT, listings
from nearfield.embedders.encoder_config import EncoderConfig
from nearfield.graphs.calibration import observed
from nearfield.graphs.tokenization import TextTokenizer
from nearfield.models.catalogue import KNOWN_MODELS
from nearfield.settings import load_settings
from nearfield.wiring import model_shelf

ROWS: Final = 300
SKIP: Final = 5_000  # listings of the import benchmarks come before


def calibration_texts() -> list[str]:
    """Listings as they are embedded, then every third one's title, which is as long as a query."""
    rows = listings(ROWS, skip=SKIP)
    return [f"{row['title']}: {row['text']}" for row in rows] + [row["title"] for row in rows[::3]]


def main() -> None:
    """Measure, write, and tell how wide the widest and the narrowest flow are."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibration", description=__doc__)
    names = [model.name for model in KNOWN_MODELS if model.kind == "onnx"]
    parser.add_argument("model", choices=names)
    name = parser.parse_args().model
    config = EncoderConfig.read(model_shelf(load_settings()).weights(name).folder)
    tokenizer = TextTokenizer(config.tokenizer, max_tokens=config.max_tokens, field="embedder")
    ranges = observed(config.graph, tokenizer.encode(calibration_texts()))
    path = PROJECT / "src" / "nearfield" / "models" / "ranges" / f"{name}.npz"
    path.parent.mkdir(exist_ok=True)
    ranges.write(path)
    widest = {flow: float(abs(bounds).max()) for flow, bounds in ranges.bounds.items()}
    for flow in (max(widest, key=lambda each: widest[each]), min(widest, key=lambda each: widest[each])):
        print(f"{flow}: {widest[flow]:.2f}")
    print(f"{path}: {len(widest)} flows, {path.stat().st_size:,} bytes, digest {ranges.read(path).digest}")


if __name__ == "__main__":
    main()
