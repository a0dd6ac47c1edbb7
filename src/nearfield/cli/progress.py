"""Progress of long work on standard error: bars on a terminal, else a line every few seconds."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, Self

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from nearfield.cli.terminal import duration, size

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from rich.progress import TaskID

    from nearfield.cli.terminal import Terminal

Unit = Literal["bytes", "documents", "queries"]
LINE_EVERY_S: Final = 5.0
WINDOW_S: Final = 60.0


@dataclass(slots=True)
class Stage:
    """One thing that advances. total: None while unknown; estimated: total is a guess."""

    name: str
    unit: Unit
    done: int = 0
    total: int | None = None
    estimated: bool = False
    _seen: deque[tuple[float, int]] = field(default_factory=deque)

    def move(self, done: int, total: int | None, *, now: float, estimated: bool = False) -> None:
        """now: in seconds, on a clock that never goes back."""
        self.total, self.estimated = total, estimated
        if not self._seen or done != self.done:
            self._seen.append((now, done))
        self.done = done
        while len(self._seen) > 2 and now - self._seen[0][0] > WINDOW_S:
            self._seen.popleft()

    @property
    def rate(self) -> float:
        """Per second, over about the last WINDOW_S seconds, from step to step: documents are indexed in batches."""
        (before, fewer), (now, more) = self._seen[0], self._seen[-1]
        return max(0.0, (more - fewer) / (now - before)) if now > before else 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds to go at this rate; None when that cannot be said."""
        if self.total is None or not self.rate:
            return None
        return max(0, self.total - self.done) / self.rate

    def __str__(self) -> str:
        amount: Callable[[float], str] = size if self.unit == "bytes" else "{:,.0f}".format
        text = amount(self.done)
        if self.total is not None and (self.done != self.total or self.estimated):
            text += f" of {'about ' if self.estimated else ''}{amount(self.total)}"
        if self.rate and self.done != self.total:
            text += f", {amount(self.rate)}/s"
            left = self.left_s
            text += f", {duration(left)} left" if left else ""
        return text


class Meter:
    """Shows stages. Used as a context; `move` may be called from any one thread at a time."""

    def __init__(self, terminal: Terminal, **stages: Unit) -> None:
        """stages: what is counted, by name, in the order shown."""
        self._terminal = terminal
        self._stages = {name: Stage(name, unit) for name, unit in stages.items()}
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._said = time.monotonic()
        if terminal.err.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=30),
                TaskProgressColumn(),
                TextColumn("{task.fields[said]}"),
                console=terminal.err,
                transient=True,
            )
            self._tasks = {name: self._bars.add_task(name, total=None, said="") for name in stages}

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def move(self, name: str, done: int, total: int | None, *, estimated: bool = False) -> None:
        """Tell how far a stage is."""
        now = time.monotonic()
        stage = self._stages[name]
        stage.move(done, total, now=now, estimated=estimated)
        if self._bars is not None:
            self._bars.update(self._tasks[name], completed=done, total=total, said=str(stage))
        elif now - self._said >= LINE_EVERY_S:
            self._said = now
            moved = [stage for stage in self._stages.values() if stage.done]
            self._terminal.say("; ".join(f"{stage.name} {stage}" for stage in moved))
