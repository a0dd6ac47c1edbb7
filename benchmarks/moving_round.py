"""A collection moves from engine to engine, or to another model and back, while it is searched and written to.

What it holds and answers in the end is compared with a collection that got the same writes and never moved.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2

from benchmarks.listings import listings, queries
from benchmarks.moving_load import Load, Tally, Write
from benchmarks.moving_servers import LOCAL, Place, round_places, service
from benchmarks.report import Section, percentile
from benchmarks.shop import NAME, data_dir, open_shop
from nearfield.domain.plans import Mode
from nearfield.domain.queries import Search
from nearfield.protocols.source import SourceRow
from nearfield.settings import load_settings
from nearfield.wiring import Backend, open_backend

RATE = 50.0
COMPARED = 200
SETTLE_S = 10.0
NEAR = 1_000  # changes; the verification waits for the rest
FLOAT_BYTES = 4
SMALL_MODEL = "paraphrase-MiniLM-L3-v2"


@dataclass(frozen=True, slots=True)
class Shop:
    """What is moved. source: its data directory, which is copied, never opened in place. documents: that it holds.

    queries: searched under load; asked: those whose answers are compared in the end.
    """

    source: Path
    documents: list[dict[str, Any]]
    queries: list[str]
    asked: list[str]


@dataclass(frozen=True, slots=True)
class Made:
    """One step. place: where it went. report: of its verification, None of a rollback. shown: the generation after.

    structure: bytes of FAISS's own file, in which vectors are codes; 0 elsewhere.
    """

    place: Place
    tally: Tally
    shown: dict[str, Any]
    report: dict[str, Any] | None = None
    structure: int = 0


@dataclass(frozen=True, slots=True)
class Ending:
    """How a collection ended. bodies: by id. exact, usual: ids of the hits of each query. clean: what `check` says."""

    bodies: dict[str, dict[str, Any]]
    exact: list[list[str]]
    usual: list[list[str]]
    clean: bool


@dataclass(frozen=True, slots=True)
class Compared:
    """The moved collection beside an undisturbed one. lost: documents that are not as they were last written.

    differing: documents that are not the same in both. exact, usual: of the queries asked, those answered the same by
    comparing every vector, and as users search. shared: of the hits of the latter. clean: `check` of both.
    """

    writes: int
    documents: int
    lost: int
    differing: int
    asked: int
    exact: int
    usual: int
    shared: float
    clean: bool

    def __str__(self) -> str:
        return (
            f"{self.writes:,} writes were acknowledged, {self.lost:,} documents are not as last written, "
            f"{self.differing:,} of {self.documents:,} differ from the other's; of {self.asked:,} queries "
            f"{self.exact:,} are answered the same by comparing every vector, {self.usual:,} as users search "
            f"({self.shared:.2%} of their hits are the same); `check` finds both {'' if self.clean else 'NOT '}clean"
        )


def run(*, rows: int, rounds: int) -> Section:
    """local -> FAISS IVF+PQ -> Chroma -> Qdrant -> pgvector -> Weaviate -> local. rounds: of no meaning here."""
    shop = _shop(rows)
    with tempfile.TemporaryDirectory(dir=shop.source.parent) as folder, round_places(Path(folder)) as places:
        made, compared = go_round(shop, Path(folder), places)
    return _section("moving-round", "A round of engines under load", rows, made, compared)


def other_model(*, rows: int, rounds: int) -> Section:
    """all-MiniLM-L6-v2 -> another model, and back by a rollback. rounds: of no meaning here."""
    there = Place(f"`{SMALL_MODEL}`", {"engine": "local", "embedder": SMALL_MODEL})
    back = Place("rolled back", {})
    shop = _shop(rows)
    with tempfile.TemporaryDirectory(dir=shop.source.parent) as folder:
        made, compared = go_round(shop, Path(folder), [there, back])
    return _section("moving-model", "Another model under load, and back", rows, made, compared)


def go_round(shop: Shop, folder: Path, places: list[Place], *, rate: float = RATE) -> tuple[list[Made], Compared]:
    """Move a copy from place to place under load; each step, and how the end compares. folder: for the copies."""
    moved, still = folder / "moved", folder / "undisturbed"
    shutil.copytree(shop.source, moved)
    keys = {place.engine: place.key for place in places if place.wish and place.key is not None}
    made, journal = asyncio.run(_steps(shop, moved, folder / "log", places, keys, rate))
    shutil.copytree(shop.source, still)
    _take_embeddings(moved, still)
    compared = _compare(shop, moved, still, journal, keys)
    print(compared, flush=True)
    return made, compared


def _shop(rows: int) -> Shop:
    """The collection of so many listings, imported where it is not there yet."""
    if not data_dir(rows).exists():

        async def make() -> None:
            await (await open_shop(rows)).close()

        asyncio.run(make())
    words = queries(20_000 + COMPARED)
    return Shop(data_dir(rows), listings(rows), words[:-COMPARED], words[-COMPARED:])


# -- the moves -----------------------------------------------------------------------------------------------------
async def _steps(
    shop: Shop, data: Path, log: Path, places: list[Place], keys: dict[str, str], rate: float
) -> tuple[list[Made], list[Write]]:
    with service(data, log, keys) as url:
        load = Load(url, shop.documents, shop.queries, rate=rate)
        async with httpx2.AsyncClient(base_url=f"{url}/v1/collections/{NAME}", timeout=3_600) as client:
            await _told(client, "POST", "/search", {"query": "anything"})
            load.start()
            await asyncio.sleep(SETTLE_S)
            before = load.turn()
            made = [Made(Place("before", {}), before, await _live(client))]
            print(_line(made[-1]), flush=True)
            for place in places:
                made.append(replace(await _step(client, load, place), structure=_structure_bytes(data)))
                print(_line(made[-1]), flush=True)
            await asyncio.sleep(SETTLE_S)
            made.append(Made(Place("after", {}), await load.stop(), await _live(client)))
            print(_line(made[-1]), flush=True)
            for one in (await _told(client, "GET", "/generations"))["generations"]:
                if one["state"] != "live":
                    await _told(client, "DELETE", f"/generations/{one['number']}")
    told = Counter(line.partition(": ")[0][-60:] for line in log.read_text().splitlines())
    print("the service said:", told.most_common(5) or "nothing", flush=True)
    return made, load.journal


async def _step(client: httpx2.AsyncClient, load: Load, place: Place) -> Made:
    load.turn()
    if not place.wish:
        await _told(client, "POST", "/generations/rollback")
        await asyncio.sleep(SETTLE_S)
        return Made(place, load.turn(), await _live(client))
    number = (await _told(client, "POST", "/generations", place.wish))["number"]
    began = time.perf_counter()
    while (shown := await _told(client, "GET", f"/generations/{number}"))["pending"] > NEAR:
        print(f"  {place.shown}: {shown['share']:.1%} after {time.perf_counter() - began:.0f} s", flush=True)
        await asyncio.sleep(10)
    report = await _told(client, "POST", f"/generations/{number}/verify", {})
    if not report["passed"]:
        raise SystemExit(f"{place.shown}: {[gate for gate in report['gates'] if not gate['held']]} {report['notes']}")
    await _told(client, "POST", f"/generations/{number}/switch")
    return Made(place, load.turn(), await _live(client), report)


def _structure_bytes(data: Path) -> int:
    return max((file.stat().st_size for file in (data / "engines" / "faiss").rglob("*.faiss")), default=0)


async def _live(client: httpx2.AsyncClient) -> dict[str, Any]:
    found = (await _told(client, "GET", "/generations"))["generations"]
    return next(one for one in found if one["state"] == "live")


async def _told(client: httpx2.AsyncClient, method: str, path: str, body: object = None) -> dict[str, Any]:
    answer = await client.request(method, path, json=body)
    if answer.status_code >= 300:
        raise SystemExit(f"{method} {path}: {answer.status_code} {answer.text[:1000]}")
    told: dict[str, Any] = answer.json() if answer.content else {}
    return told


# -- the comparison ------------------------------------------------------------------------------------------------
def _take_embeddings(moved: Path, still: Path) -> None:
    """A text's vector depends, in its last bits, on what it was embedded with: the other takes those of the moved one.

    Answers that differ then do so by the moves.
    """
    db = sqlite3.connect(still / "nearfield.db")
    with closing(db), db:
        db.execute("ATTACH ? AS moved", [str(moved / "nearfield.db")])
        db.execute(
            "INSERT OR IGNORE INTO vectors (embedder_id, hash, data) SELECT embedder_id, hash, data FROM moved.vectors"
        )


def _compare(shop: Shop, moved: Path, still: Path, journal: list[Write], keys: dict[str, str]) -> Compared:
    """The moved collection beside one that only got the same writes."""
    ours = asyncio.run(_ending(moved, shop.asked, keys=keys))
    theirs = asyncio.run(_ending(still, shop.asked, journal))
    expected: dict[str, Any] = {str(one["id"]): one for one in shop.documents}
    for write in journal:
        if write.body is None:
            expected.pop(write.id, None)
        else:
            expected[write.id] = write.body
    same = [set(one) & set(other) for one, other in zip(ours.usual, theirs.usual, strict=True)]
    shared = sum(map(len, same)) / max(1, sum(map(len, theirs.usual)))
    return Compared(
        writes=len(journal),
        documents=len(theirs.bodies),
        lost=_differences(expected, ours.bodies),
        differing=_differences(theirs.bodies, ours.bodies),
        asked=len(shop.asked),
        exact=_alike(ours.exact, theirs.exact),
        usual=_alike(ours.usual, theirs.usual),
        shared=shared,
        clean=ours.clean and theirs.clean,
    )


def _differences(these: dict[str, Any], those: dict[str, Any]) -> int:
    return sum(these.get(one) != those.get(one) for one in these.keys() | those.keys())


def _alike(these: list[list[str]], those: list[list[str]]) -> int:
    return sum(one == other for one, other in zip(these, those, strict=True))


async def _ending(
    data: Path, asked: list[str], journal: list[Write] | None = None, *, keys: dict[str, str] | None = None
) -> Ending:
    backend = await open_backend(load_settings(data_dir=data, wait_timeout_s=600.0, engine_keys=keys or {}))
    try:
        await _replay(backend, journal or [])
        await backend.documents.wait(NAME, timeout_s=3_600)
        await backend.catalog.optimize(NAME)
        await backend.warm()
        bodies = {one.id: dict(one.body) async for one in backend.documents.export(NAME)}

        async def answers(**how: Any) -> list[list[str]]:
            return [[hit.id for hit in await backend.searches.search(NAME, Search(query=q, **how))] for q in asked]

        return Ending(
            bodies,
            await answers(mode=Mode.SEMANTIC, exact=True),
            await answers(),
            (await backend.catalog.check(NAME)).clean,
        )
    finally:
        await backend.close()


async def _replay(backend: Backend, journal: list[Write]) -> None:
    """The same writes in the same order, as many at once as touch each document once."""
    batch: dict[str, Write] = {}

    async def send() -> None:
        rows = [SourceRow(n, dict(one.body)) for n, one in enumerate(batch.values(), 1) if one.body is not None]
        gone = [one.id for one in batch.values() if one.body is None]
        if rows:
            await backend.documents.upsert(NAME, rows)
        if gone:
            await backend.documents.delete(NAME, gone)
        batch.clear()

    for write in journal:
        if write.id in batch or len(batch) == 1_000:
            await send()
        batch[write.id] = write
    await send()


# -- the figures ---------------------------------------------------------------------------------------------------
def _line(made: Made) -> str:
    return " | ".join(_row(made)) + "".join(
        f"\n  ! {why}" for why in (*made.tally.failed, *made.tally.failed_writes)[:5]
    )


def _row(made: Made) -> list[str]:
    tally, report, shown = made.tally, made.report, made.shown
    recall = "" if report is None else f"{report['old']['recall']:.4f}, {report['new']['recall']:.4f}"
    verified = "" if report is None else f"{report['took_s']:.0f} s"
    whole = shown["rows"] * shown["dimension"] * FLOAT_BYTES
    size = f"{shown['bytes'] / 1e6:.1f} MB ({shown['bytes'] / whole:.0%})"
    if made.place.engine == "faiss":
        size += f", of which {made.structure / 1e6:.1f} MB ({made.structure / whole:.1%}) are searched"
    times = [f"{percentile(tally.took_ms, share):,.0f}" if tally.took_ms else "" for share in (0.5, 0.99, 1)]
    return [
        made.place.shown,
        f"{tally.seconds:.0f} s",
        verified,
        recall,
        f"{len(tally.took_ms):,} / {len(tally.failed):,}",
        f"{tally.writes.total():,} / {len(tally.failed_writes):,}",
        f"{tally.rate:.1f}",
        *times,
        size,
    ]


HEADER = (
    "to", "took", "verifying", "recall@10, before and after", "searches answered / failed", "writes / failed",
    "requests/s", "p50 ms", "p99 ms", "slowest ms", "bytes (of float32)",
)  # fmt: skip


def _section(name: str, title: str, rows: int, made: list[Made], compared: Compared) -> Section:
    kinds = sum((one.tally.writes for one in made), Counter[str]())
    return Section(
        name=name,
        title=title,
        command=f"python -m benchmarks {name} --rows {rows}",
        lead=(
            f"{rows:,} listings, moved by the HTTP API of `nearfield serve` from {LOCAL.shown} on, each move verified "
            f"before it is switched, while {RATE:g} requests a second are sent: seven searches (hybrid, limit 10, half "
            "with a filter) to three writes ("
            + ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))
            + f"). In the end, beside an undisturbed collection that got the same writes: {compared}."
        ),
        rows=[list(HEADER), *[_row(one) for one in made]],
    )
