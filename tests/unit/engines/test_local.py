from __future__ import annotations

from nearfield.engines.local import LocalEngine
from nearfield.testing.engine_suite import EngineSuite


class TestLocalEngine(EngineSuite):
    engine_type = LocalEngine
