"""Progress in words."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from nearfield.cli import progress
from nearfield.cli.progress import Meter, Stage
from nearfield.cli.terminal import Terminal, duration, size


def test_rate_and_time_left_come_from_the_last_minute() -> None:
    stage = Stage("indexed", "documents")
    stage.move(0, None, now=0.0)
    assert str(stage) == "0"
    stage.move(5_000, 20_000, now=1.0, estimated=True)
    assert str(stage) == "5,000 of about 20,000, 5,000/s, 3 s left"
    stage.move(5_000, 20_000, now=4.0)
    assert stage.rate == 5_000, "between two steps the rate stays"
    stage.move(5_100, 20_000, now=progress.WINDOW_S + 2)
    stage.move(5_300, 20_000, now=progress.WINDOW_S + 4)
    assert str(stage) == "5,300 of 20,000, 100/s, 2 min 27 s left"
    stage.move(20_000, 20_000, now=progress.WINDOW_S + 5)
    assert str(stage) == "20,000"


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 bytes"), (999, "999 bytes"), (10_461_759, "10.5 MB"), (2.5e12, "2.5 TB")]
)
def test_sizes(count: float, said: str) -> None:
    assert size(count) == said


@pytest.mark.parametrize(("seconds", "said"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (7_810, "2 h 10 min")])
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_lines_come_now_and_then_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    with Meter(Terminal(as_json=False), read="bytes", indexed="documents") as meter:
        meter.move("read", 2_000_000, 4_000_000)
        meter.move("indexed", 100, None)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["read 2.0 MB of 4.0 MB", "read 2.0 MB of 4.0 MB; indexed 100"]


def test_bars_are_drawn_on_a_terminal() -> None:
    terminal = Terminal(as_json=False)
    terminal.err = Console(file=io.StringIO(), force_terminal=True, width=100)
    with Meter(terminal, indexed="documents") as meter:
        meter.move("indexed", 100, 200)
    drawn = terminal.err.file
    assert isinstance(drawn, io.StringIO)
    assert "100 of 200" in drawn.getvalue()
