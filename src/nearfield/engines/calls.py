"""Calls to a server: each has a time limit and a few tries, and a server that is down is left alone for a while."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from nearfield.domain.errors import EngineUnavailable, NearfieldError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

log = logging.getLogger("nearfield.engines")
T = TypeVar("T")

TRIES: Final = 4
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0
"""Also of what a server asks for with Retry-After: a search cannot wait longer, and a write is tried again later."""
FAILURES: Final = 5
"""Calls in a row that failed after all their tries, or were given up, before the server counts as down."""
DOWN_S: Final = 5.0
GIVEN_UP_S: Final = 1.0
"""A call that its caller gives up after so long counts as failed: a search waits less long than a call may take."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong in one try.

    reason: for the log and the error; nothing secret. passing: whether the same call may succeed soon.
    wait_s: how long the server asked to be left alone, None where it did not say.
    """

    reason: str
    passing: bool
    wait_s: float | None = None


class Calls:
    """Runs calls to one server. Every call must be safe to run twice: writes are by key, and deletes pass over."""

    def __init__(
        self,
        engine: str,
        read: Callable[[Exception], Fault | NearfieldError],
        *,
        timeout_s: float = 10.0,
        tries: int = TRIES,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """engine: its name, for errors. timeout_s: of one try.

        read: what an exception of the vendor's means. A NearfieldError is raised as it is, at once: the server is well.
        """
        self._engine, self._read = engine, read
        self._timeout_s, self._tries = timeout_s, tries
        self._clock, self._pause = clock, pause
        self._failures = 0
        self._down_until = 0.0
        self._probing = False

    async def run(self, doing: str, call: Callable[[], Awaitable[T]], *, timeout_s: float | None = None) -> T:
        """Call until it succeeds, at most `tries` times, with growing pauses of random length between.

        doing: "searching", for the error. timeout_s: of one try of this call, where it takes long by its nature.
        While the server counts as down nobody waits for it; each DOWN_S one call finds out whether it is back.
        Raises EngineUnavailable, or what `read` made of the exception.
        """
        probing = self._admit(doing)
        began = self._clock()
        try:
            for attempt in range(1, self._tries + 1):
                fault: Fault | None = None
                try:
                    async with asyncio.timeout(timeout_s or self._timeout_s):
                        answer = await call()
                except TimeoutError:
                    fault = Fault(f"no answer within {timeout_s or self._timeout_s:g} s", passing=True)
                except NearfieldError:
                    raise
                except Exception as exc:
                    meant = self._read(exc)
                    if isinstance(meant, NearfieldError):  # an answer all the same
                        self._failures, self._down_until = 0, 0.0
                        raise meant from exc
                    fault = meant
                if fault is None:
                    self._failures, self._down_until = 0, 0.0
                    return answer
                log.warning("engine %s, %s, try %d: %s", self._engine, doing, attempt, fault.reason)
                if not fault.passing or attempt == self._tries or probing:
                    break
                await self._pause(_pause_s(attempt, fault.wait_s))
            self._note_failure()
            raise EngineUnavailable(f"engine {self._engine}, {doing}: {fault.reason if fault else 'not tried'}")
        except asyncio.CancelledError:
            if self._clock() - began >= GIVEN_UP_S:  # who waited had no more time: as good as a call that timed out
                self._note_failure()
            raise
        finally:
            if probing:
                self._probing = False

    def _admit(self, doing: str) -> bool:
        """Whether this call is the one that finds out. Raises EngineUnavailable while the server counts as down."""
        if not self._down_until:
            return False
        if self._clock() < self._down_until or self._probing:
            raise EngineUnavailable(f"engine {self._engine}, {doing}: it did not answer lately and is left alone")
        self._probing = True
        return True

    def _note_failure(self) -> None:
        self._failures += 1
        if self._failures >= FAILURES:
            self._down_until = self._clock() + DOWN_S


def _pause_s(attempt: int, asked_s: float | None) -> float:
    """Full jitter (Brooker, "Exponential Backoff And Jitter", 2015), never sooner than the server asked."""
    grown = random.uniform(0, FIRST_PAUSE_S * 2**attempt)  # noqa: S311 - no secret
    return min(LONGEST_PAUSE_S, grown if asked_s is None else asked_s + grown)


def retry_after_s(value: str | None) -> float | None:
    """The seconds of a Retry-After header; None where there is none, or a date, which no engine is known to send."""
    try:
        return None if value is None else max(0.0, float(value))
    except ValueError:
        return None
