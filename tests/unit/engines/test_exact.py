from __future__ import annotations

from nearfield.engines.exact import ExactEngine
from nearfield.testing.engine_suite import EngineSuite


class TestExactEngine(EngineSuite):
    engine_type = ExactEngine
