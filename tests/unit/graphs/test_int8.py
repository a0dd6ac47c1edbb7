from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from nearfield.domain.errors import InvalidFile
from nearfield.graphs.int8 import Ranges, linear_layers, quantize

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

openvino = pytest.importorskip("openvino")

CHANNELS, OUT = 32, 16


@pytest.fixture
def weights() -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(0).normal(0, 0.1, (CHANNELS, OUT)).astype(np.float32)


@pytest.fixture
def graph(weights: np.ndarray[Any, np.dtype[np.float32]]) -> Any:
    """One linear layer over what flows in."""
    from openvino import opset13 as ops  # noqa: PLC0415

    given = ops.parameter([-1, CHANNELS], np.float32, name="flow")
    given.output(0).set_names({"flow"})
    layer = ops.matmul(given, ops.constant(weights), False, False)
    return openvino.Model([ops.result(layer)], [given], "small")


def flow(rows: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Text-like: one channel is a hundred times wider than the others."""
    values = np.random.default_rng(1).normal(0, 1, (rows, CHANNELS)).astype(np.float32)
    values[:, 3] *= 100
    return values


def bounds_of(values: np.ndarray[Any, np.dtype[np.float32]]) -> Ranges:
    return Ranges({"flow": np.stack([values.min(axis=0), values.max(axis=0)])})


def run(graph: Any, values: np.ndarray[Any, np.dtype[np.float32]]) -> np.ndarray[Any, np.dtype[np.float32]]:
    compiled = openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.array(compiled({0: values})[0])


def test_a_layer_in_integers_stays_close_though_one_channel_is_far_wider(
    graph: Any, weights: np.ndarray[Any, np.dtype[np.float32]], tmp_path: Path
) -> None:
    values = flow(200)
    quantize(graph, bounds_of(values), tmp_path)
    kinds = [node.get_type_name() for node in graph.get_ops()]
    assert "FakeQuantize" in kinds
    stored = [node for node in graph.get_ops() if node.get_type_name() == "Constant" and node.data.dtype == np.int8]
    assert [node.data.shape for node in stored] == [(CHANNELS, OUT)]
    found, exact = run(graph, values), values @ weights
    error = np.linalg.norm(found - exact) / np.linalg.norm(exact)
    assert 0 < error < 0.02
    narrow = values.copy()
    narrow[:, 3] = 0  # without the wide channel: one step of it must not have swallowed the others
    error = np.linalg.norm(run(graph, narrow) - narrow @ weights) / np.linalg.norm(narrow @ weights)
    assert error < 0.2, "in steps of the wide channel it would be 0.7"


def test_what_is_wider_than_any_text_was_is_cut_and_zero_stays_zero(graph: Any, tmp_path: Path) -> None:
    values = flow(200)
    quantize(graph, bounds_of(values), tmp_path)
    most = np.abs(values).max(axis=0, keepdims=True)
    assert np.abs(run(graph, most * 1_000)).max() < 100 * np.abs(run(graph, most)).max()
    assert np.abs(run(graph, np.zeros((1, CHANNELS), np.float32))).max() < 1e-4


def test_ranges_of_another_graph_are_refused(graph: Any, tmp_path: Path) -> None:
    whole = bounds_of(flow(10))
    with pytest.raises(InvalidFile, match="not the graph"):
        quantize(graph, Ranges({"other": whole.bounds["flow"]}), tmp_path)
    with pytest.raises(InvalidFile, match="7 channels"):
        quantize(graph, Ranges({"flow": whole.bounds["flow"][:, :7]}), tmp_path)
    assert list(linear_layers(graph)) == ["flow"], "nothing was changed"


def test_ranges_are_kept_in_a_file_and_their_digest_tells_them_apart(tmp_path: Path) -> None:
    ranges = bounds_of(flow(10))
    ranges.write(tmp_path / "a.npz")
    kept = Ranges.read(tmp_path / "a.npz")
    np.testing.assert_allclose(kept.bounds["flow"], ranges.bounds["flow"], rtol=1e-3)
    kept.write(tmp_path / "b.npz")
    assert Ranges.read(tmp_path / "b.npz").digest == kept.digest
    assert bounds_of(flow(11)).digest != kept.digest


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="no ranges"):
        Ranges.read(tmp_path / "nowhere.npz")
    (tmp_path / "text.npz").write_text("text")
    with pytest.raises(InvalidFile, match="no ranges"):
        Ranges.read(tmp_path / "text.npz")
    np.savez(tmp_path / "shape.npz", flow=np.zeros(3))
    with pytest.raises(InvalidFile, match=r"shape \(3,\), expected \(2, channels\)"):
        Ranges.read(tmp_path / "shape.npz")
    np.savez(tmp_path / "nan.npz", flow=np.full((2, 3), np.nan))
    with pytest.raises(InvalidFile, match="finite"):
        Ranges.read(tmp_path / "nan.npz")
