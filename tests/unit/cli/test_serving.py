"""Serve, as a process: where it listens, and how it ends."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING
from urllib.request import urlopen

import orjson
import pytest

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Run, Start


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_it_serves_until_it_is_told_to_stop(shop: Run, start: Start, sent: signal.Signals, code: int) -> None:
    process = start("serve", "--port", "0", "--json")
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate()
    url = orjson.loads(line)["url"]
    assert url.startswith("http://127.0.0.1:")
    with urlopen(f"{url}/v1/collections", timeout=10) as answer:
        assert b"shop" in answer.read()
    busy = shop("status", "--json")
    assert (busy.code, busy.json["code"]) == (1, "data_dir_in_use")
    process.send_signal(sent)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    assert shop("search", "shop", "lamp", "--json").json["hits"]


def test_an_outer_address_needs_a_key(shop: Run) -> None:
    ran = shop("serve", "--host", "0.0.0.0", "--json")
    assert (ran.code, ran.json["code"]) == (2, "invalid_setting")
    assert "NEARFIELD_API_KEYS" in ran.json["detail"]
