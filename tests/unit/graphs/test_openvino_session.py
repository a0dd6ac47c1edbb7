from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("openvino")

THREADS_AT_ONCE = """
import os, sys, threading
sys.setswitchinterval(1e-6)
from nearfield.graphs.openvino_session import native_precision
import openvino
start = threading.Barrier(4)
def work():
    start.wait()
    native_precision()
    openvino.Type.f32.to_dtype()
threads = [threading.Thread(target=work) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print("done", flush=True)
os._exit(0)
"""


def test_threads_that_begin_at_once_do_not_lock_each_other_out() -> None:
    """Without care the process stands still, most of the time: see `openvino_core`."""
    done = subprocess.run(
        [sys.executable, "-c", THREADS_AT_ONCE], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout == "done\n"
