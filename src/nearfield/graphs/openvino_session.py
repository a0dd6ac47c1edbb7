"""Runs a text model's graph in OpenVINO."""

from __future__ import annotations

import importlib
import sys
import threading
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from nearfield.domain.errors import InvalidFile, MissingDependency
from nearfield.graphs.int8 import quantize
from nearfield.graphs.session import inputs_of

if TYPE_CHECKING:
    from pathlib import Path

    from nearfield.domain.documents import Float32Array, Int64Array
    from nearfield.graphs.int8 import Ranges
    from nearfield.graphs.session import Precision
    from nearfield.graphs.use import GraphUse


def native_precision() -> str:
    """What OpenVINO computes in on this processor when nothing is asked: `bf16`, `f16` or `f32`."""
    kind = openvino_core().get_property("CPU", "INFERENCE_PRECISION_HINT")
    return str(kind.get_type_name())


class OpenVinoSession:
    """See `GraphSession`."""

    def __init__(
        self,
        graph: Path,
        use: GraphUse,
        *,
        precision: Precision,
        threads: int,
        streams: int = 1,
        cache_dir: Path | None = None,
        ranges: Ranges | None = None,
    ) -> None:
        """Load a graph: half a second, less from the cache; in int8 a second.

        ranges: given, the linear layers run in int8, and between them it computes in float32 whatever `precision` says.
        threads: 0 means one per core, shared by the streams. streams: runs at a time.
        cache_dir: compiled graphs are kept there; None keeps none.
        Raises InvalidFile for a graph that OpenVINO cannot read, MissingDependency without OpenVINO.
        """
        self._use = use
        hint = native_precision() if precision == "native" and ranges is None else "f32"
        config: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY" if streams == 1 else "THROUGHPUT",
            "NUM_STREAMS": str(streams),
            "INFERENCE_PRECISION_HINT": hint,
            # Queries and documents are two sessions on the same cores. Pinned, both would sit on the first ones:
            # a query beside a running import took 10 ms pinned and 3.4 ms unpinned.
            "ENABLE_CPU_PINNING": False,
        }
        if threads:
            config["INFERENCE_NUM_THREADS"] = threads
        if cache_dir is not None:
            cache_dir.mkdir(parents=True, exist_ok=True)
            config["CACHE_DIR"] = str(cache_dir)
        try:
            core = openvino_core()
            read = str(graph)
            if ranges is not None:
                read = core.read_model(read)
                quantize(read, ranges, graph)
            self._model = core.compile_model(read, "CPU", config)
        except RuntimeError as exc:
            raise InvalidFile(f"openvino cannot read {graph}: {_first_line(exc)}", field=use.field) from exc
        self._of_thread = threading.local()
        self._inputs = [port.get_any_name() for port in self._model.inputs]
        use.check_inputs(self._inputs, graph)
        self._output = use.pick(
            [
                (sorted(port.get_names() & use.outputs) or [""], len(port.get_partial_shape()))
                for port in self._model.outputs
            ],
            graph,
        )

    def run(self, ids: Int64Array, mask: Int64Array, types: Int64Array | None = None) -> Float32Array:
        """See `GraphSession.run`."""
        feed = inputs_of(self._inputs, ids, mask, types)
        try:
            request = getattr(self._of_thread, "request", None)
            if request is None:
                request = self._of_thread.request = self._model.create_infer_request()
            request.infer(feed, share_inputs=True, share_outputs=True)
            return cast("Float32Array", request.get_output_tensor(self._output).data)
        except RuntimeError as exc:
            raise self._use.unavailable(f"openvino failed on {ids.shape} tokens: {_first_line(exc)}") from exc


_beginning: Final = threading.Lock()
_CONVERTER: Final = "openvino.tools.ovc"


def _openvino() -> Any:
    """The runtime without its converter of models, which OpenVINO itself goes without where it is not installed.

    The converter is more than half of the import's time, and to import it sends word of that over the network, with an
    id of the machine's user, unless they have opted out. A host program that asks for it still gets it.
    """
    if "openvino" in sys.modules or _CONVERTER in sys.modules:
        return importlib.import_module("openvino")
    sys.modules[_CONVERTER] = None  # type: ignore[assignment]  # as the import system spells "not to be had"
    try:
        import openvino  # noqa: PLC0415
    finally:
        del sys.modules[_CONVERTER]
    if not hasattr(openvino, "convert_model"):
        openvino.convert_model = _convert_model
    return openvino


def _convert_model(*args: Any, **kwargs: Any) -> Any:
    """`openvino.convert_model`, its converter imported when first called."""
    return importlib.import_module(_CONVERTER).convert_model(*args, **kwargs)


@cache
def openvino_core() -> Any:
    """OpenVINO, begun. Raises MissingDependency."""
    try:
        openvino = _openvino()
    except ImportError as exc:
        raise MissingDependency(
            "openvino is not installed; pip install openvino, or set runtime to onnxruntime", field="runtime"
        ) from exc
    with _beginning:
        # Both fill a table of types, once, and give up the GIL inside: a second thread that comes to it meanwhile, with
        # the GIL, waits for the first for ever, and the process with it. So they come here, one at a time, first.
        openvino.Type.f32.to_dtype()
        _ = openvino.Tensor(np.zeros(1, np.int64), shared_memory=True).data
        return openvino.Core()


def _first_line(exc: Exception) -> str:
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    return lines[-1] if lines else type(exc).__name__
