from __future__ import annotations

import asyncio

import pytest

from nearfield.domain.errors import EngineUnavailable, UnsupportedByEngine
from nearfield.engines.calls import DOWN_S, FAILURES, LONGEST_PAUSE_S, TRIES, Calls, Fault, retry_after_s


class Clock:
    """A clock that only pauses move."""

    def __init__(self) -> None:
        self.now = 100.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


class Server:
    """Fails with each of some exceptions in turn, then answers."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.asked = 0

    async def __call__(self) -> str:
        self.asked += 1
        if self.failures:
            raise self.failures.pop(0)
        return "well"


def meaning(exc: Exception) -> Fault | UnsupportedByEngine:
    if isinstance(exc, ConnectionError):
        return Fault("refused", passing=True)
    if isinstance(exc, BlockingIOError):
        return Fault("throttled", passing=True, wait_s=2.0)
    if isinstance(exc, KeyError):
        return UnsupportedByEngine("no such thing", field="index.m")
    return Fault("broken", passing=False)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def calls(clock: Clock) -> Calls:
    return Calls("far", meaning, timeout_s=0.05, clock=clock, pause=clock.pause)


async def test_a_passing_fault_is_tried_again(calls: Calls, clock: Clock) -> None:
    server = Server(ConnectionError(), ConnectionError())
    assert await calls.run("searching", server) == "well"
    assert server.asked == 3
    assert len(clock.pauses) == 2


async def test_the_server_is_left_alone_as_long_as_it_asks(calls: Calls, clock: Clock) -> None:
    await calls.run("searching", Server(BlockingIOError()))
    assert 2.0 <= clock.pauses[0] <= LONGEST_PAUSE_S


async def test_tries_are_bounded_and_the_error_says_what_was_being_done(calls: Calls) -> None:
    server = Server(*[ConnectionError() for _ in range(50)])
    with pytest.raises(EngineUnavailable, match="engine far, searching: refused"):
        await calls.run("searching", server)
    assert server.asked == TRIES


async def test_a_lasting_fault_is_not_tried_again(calls: Calls) -> None:
    server = Server(ValueError())
    with pytest.raises(EngineUnavailable, match="broken"):
        await calls.run("searching", server)
    assert server.asked == 1


async def test_a_fault_of_the_callers_is_told_as_such(calls: Calls) -> None:
    with pytest.raises(UnsupportedByEngine, match="no such thing"):
        await calls.run("creating", Server(KeyError()))


async def test_each_try_has_a_time_limit(calls: Calls) -> None:
    with pytest.raises(EngineUnavailable, match=r"no answer within 0\.05 s"):
        await calls.run("searching", lambda: asyncio.sleep(60))


async def test_a_dead_server_is_left_alone_until_one_call_finds_it_back(calls: Calls, clock: Clock) -> None:
    for _ in range(FAILURES):
        with pytest.raises(EngineUnavailable, match="broken"):
            await calls.run("searching", Server(ValueError()))
    server = Server()
    with pytest.raises(EngineUnavailable, match="left alone"):
        await calls.run("searching", server)
    assert server.asked == 0
    clock.now += DOWN_S
    dead = Server(ConnectionError(), ConnectionError())
    with pytest.raises(EngineUnavailable, match="refused"):
        await calls.run("searching", dead)  # who finds out does not try twice
    assert dead.asked == 1
    with pytest.raises(EngineUnavailable, match="left alone"):
        await calls.run("searching", server)
    clock.now += DOWN_S
    assert await calls.run("searching", server) == "well"
    assert await calls.run("searching", server) == "well"


async def test_others_do_not_wait_for_the_call_that_finds_out(calls: Calls, clock: Clock) -> None:
    for _ in range(FAILURES):
        with pytest.raises(EngineUnavailable):
            await calls.run("searching", Server(ValueError()))
    clock.now += DOWN_S
    release = asyncio.Event()
    slow = Calls.run(calls, "searching", release.wait, timeout_s=5)
    probe = asyncio.create_task(slow)
    await asyncio.sleep(0)
    with pytest.raises(EngineUnavailable, match="left alone"):
        await calls.run("searching", Server())
    release.set()
    assert await probe
    assert await calls.run("searching", Server()) == "well"


async def test_a_cancelled_call_lets_another_find_out(calls: Calls, clock: Clock) -> None:
    for _ in range(FAILURES):
        with pytest.raises(EngineUnavailable):
            await calls.run("searching", Server(ValueError()))
    clock.now += DOWN_S
    probe = asyncio.create_task(calls.run("searching", asyncio.Event().wait, timeout_s=5))
    await asyncio.sleep(0)
    probe.cancel()
    await asyncio.wait({probe})
    assert await calls.run("searching", Server()) == "well"


@pytest.mark.parametrize(("header", "seconds"), [(None, None), ("3", 3.0), ("-1", 0.0), ("soon", None)])
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header) == seconds
