"""The synchronous face: what programs call, from many threads, until the interpreter goes."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import nearfield
from nearfield.domain.errors import (
    CollectionConflict,
    CollectionNotFound,
    DataDirInUse,
    DimensionMismatch,
    DocumentNotFound,
    GenerationNotFound,
    InvalidDocument,
    InvalidFile,
    InvalidFilter,
    InvalidRequest,
    InvalidSchema,
    InvalidSetting,
    InvalidVector,
    NearfieldError,
    ShuttingDown,
)
from nearfield.domain.plans import Access, Mode
from nearfield.domain.schema import FieldType, IndexKind, Metric

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEST = {"environment": "test", "embedder": "hashing"}
EMBED = "{name}: {description}"
EARBUDS: dict[str, Any] = {"id": "1", "name": "Wireless Earbuds", "description": "Bluetooth headphones", "price": 50}
CHAIR: dict[str, Any] = {"id": "2", "name": "Garden Chair", "description": "Foldable seat of teak", "price": 35.5}


@pytest.fixture(params=["exact", "local"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[nearfield.Database]:
    with nearfield.open(tmp_path / "data", engine=request.param, **TEST) as opened:
        yield opened


@pytest.fixture
def shop(db: nearfield.Database) -> nearfield.CollectionHandle:
    shop = db.collection("products", embed=EMBED, fields={"price": float, "tags": list[str]})
    shop.upsert([EARBUDS, CHAIR])
    return shop


# -- collections -------------------------------------------------------------------------------------------------------
def test_collections_are_made_found_and_dropped(db: nearfield.Database) -> None:
    assert db.collections() == []
    db.collection("b", embed=EMBED)
    db.collection("a", embed=EMBED)
    assert db.collections() == ["a", "b"]
    db.drop("a")
    assert db.collections() == ["b"]
    with pytest.raises(CollectionNotFound):
        db.drop("a")
    with pytest.raises(CollectionNotFound):
        db.collection("a")
    with pytest.raises(CollectionNotFound, match='give embed="'):
        db.collection("a", fields={"price": float})


def test_field_types_are_python_types_or_names(db: nearfield.Database) -> None:
    fields = {"a": float, "b": int, "c": bool, "d": str, "e": datetime, "f": list[str], "g": "text", "h": "geo"}
    spec = db.collection("c", embed=EMBED, fields=fields).status().collection.spec
    named = ("float", "int", "bool", "keyword", "datetime", "keyword[]", "text", "geo")
    assert dict(spec.fields) == {name: FieldType(kind) for name, kind in zip(fields, named, strict=True)}
    with pytest.raises(InvalidSchema, match="field type"):
        db.collection("d", embed=EMBED, fields={"a": complex})


def test_what_is_not_given_again_is_as_it_was(tmp_path: Path) -> None:
    with nearfield.open(tmp_path, **TEST) as db:
        made = db.collection(
            "c", embed=EMBED, fields={"price": float}, engine="exact", index={"kind": "flat", "metric": "dot"}
        )
        made.upsert(EARBUDS)
    with nearfield.open(tmp_path, **TEST, engine="local") as db:
        for again in (
            db.collection("c"),
            db.collection("c", embed=EMBED),
            db.collection("c", fields={"price": float}),
            db.collection("c", engine="exact"),
            db.collection("c", index={"metric": "dot"}),
        ):
            assert again.count() == 1
            spec = again.status().collection.spec
            assert (spec.engine, spec.index.metric, spec.index.kind) == ("exact", Metric.DOT, IndexKind.FLAT)


@pytest.mark.parametrize(
    "given", [{"embed": "{name}"}, {"fields": {"price": int}}, {"engine": "local"}, {"index": {"metric": "cosine"}}]
)
def test_what_differs_is_a_conflict(tmp_path: Path, given: dict[str, Any]) -> None:
    with nearfield.open(tmp_path, **TEST, engine="exact") as db:
        db.collection("c", embed=EMBED, fields={"price": float}, index={"kind": "flat", "metric": "dot"})
        with pytest.raises(CollectionConflict):
            db.collection("c", **given)


def test_how_it_is_searched_can_be_changed(tmp_path: Path) -> None:
    with nearfield.open(tmp_path, **TEST) as db:
        shop = db.collection("shop", embed=EMBED, fusion={"method": "rrf"})
        assert shop.configure(fusion={"method": "minmax", "weight": 0.25})["fusion"]["weight"] == 0.25
        with pytest.raises(InvalidSchema, match="embed is fixed"):
            shop.configure(embed="{title}")
    with nearfield.open(tmp_path, **TEST) as db:
        assert db.collection("shop").configure()["fusion"] == {"method": "minmax", "weight": 0.25}
        with pytest.raises(CollectionConflict, match="fusion is"):
            db.collection("shop", fusion="rrf")


# -- documents ---------------------------------------------------------------------------------------------------------
def test_writes_and_reads(shop: nearfield.CollectionHandle) -> None:
    assert shop.count() == 2
    assert shop.get("1") == EARBUDS
    assert shop.upsert(CHAIR).receipt.unchanged == 1
    assert shop.patch("1", {"price": 45, "tags": ["new"]}).changed == 1
    assert shop.patch("1", {"tags": None}).changed == 1
    assert shop.get("1") == EARBUDS | {"price": 45}
    assert [one["id"] for one in shop.export()] == ["1", "2"]
    assert shop.delete("nobody") == 0
    assert shop.delete(["2", "nobody"]) == 1
    assert shop.delete(where={"price": {"$lt": 100}}) == 1
    assert shop.count() == 0
    assert shop.check().clean
    assert shop.status().pending == 0


def test_one_bad_document_is_told_and_the_others_go_in(shop: nearfield.CollectionHandle) -> None:
    result = shop.upsert(body for body in [EARBUDS | {"id": "3"}, {"id": "4"}, CHAIR | {"id": "5", "price": "cheap"}])
    assert (result.receipt.new, result.accepted) == (1, 1)
    assert [refusal.line for refusal in result.rejected] == [2, 3]
    with pytest.raises(InvalidDocument, match=r"document 1: .*nothing to embed"):
        shop.upsert({"id": "4"})
    assert shop.upsert([]).accepted == 0


def test_errors_of_documents(shop: nearfield.CollectionHandle) -> None:
    with pytest.raises(DocumentNotFound):
        shop.get("nobody")
    with pytest.raises(DocumentNotFound):
        shop.patch("nobody", {})
    with pytest.raises(InvalidRequest, match="either ids or where"):
        shop.delete()
    with pytest.raises(InvalidRequest, match="either ids or where"):
        shop.delete("1", where="price > 1")
    with pytest.raises(InvalidFilter, match="blank"):
        shop.delete(where=" ")
    assert shop.count() == 2


def test_an_export_may_be_left_half_way(shop: nearfield.CollectionHandle) -> None:
    pages = shop.export()
    assert next(pages)["id"] == "1"
    pages.close()  # type: ignore[attr-defined]
    del pages
    gc.collect()
    assert shop.count() == 2


# -- searches ----------------------------------------------------------------------------------------------------------
def test_a_search_sees_the_writes_before_it(shop: nearfield.CollectionHandle) -> None:
    for number in range(20):
        shop.upsert({"id": "new", "name": f"word{number}", "description": "changing"})
        answer = shop.search(f"word{number}", limit=1)
        assert answer[0].id == "new"
        assert answer[0].document["name"] == f"word{number}"
    shop.delete("new")
    assert [hit.id for hit in shop.search("word19 changing", limit=9) if hit.id == "new"] == []


def test_both_spellings_of_filters_and_modes(shop: nearfield.CollectionHandle) -> None:
    for where in ({"price": {"$lte": 40}}, "price <= 40"):
        assert [hit.id for hit in shop.search("headphones", where=where)] == ["2"]
    assert shop.search("headphones", mode="lexical").plan.mode is Mode.LEXICAL
    assert len(shop.search("headphones", mode=Mode.LEXICAL)) == 1
    assert shop.search("headphones", mode="semantic", exact=True).plan.access is Access.EXACT
    assert [hit.id for hit in shop.search("headphones", offset=1)] == ["2"]
    with pytest.raises(InvalidRequest, match="unknown mode 'fuzzy'; expected one of hybrid, semantic, lexical"):
        shop.search("headphones", mode="fuzzy")
    with pytest.raises(InvalidRequest, match="limit is 0"):
        shop.search("headphones", limit=0)
    with pytest.raises(InvalidRequest, match="either query or vector"):
        shop.search()
    with pytest.raises(InvalidFilter):
        shop.search("headphones", where={"colour": "red"})


def test_brought_vectors(db: nearfield.Database) -> None:
    points = db.collection("points", embed="{name}", embedder="vectors:2")
    points.upsert([{"id": "x", "name": "east", "vector": [1, 0]}, {"id": "y", "name": "north", "vector": [0, 1]}])
    assert [hit.id for hit in points.search(vector=[0.1, 0.9])] == ["y", "x"]
    assert [hit.id for hit in points.search(vector=np.array([2.0, 1.0]), limit=1)] == ["x"]
    assert [hit.id for hit in points.search("north", mode="lexical")] == ["y"]
    with pytest.raises(DimensionMismatch):
        points.search(vector=[1, 2, 3])
    with pytest.raises(InvalidVector, match="not a list of numbers"):
        points.search(vector=["a", "b"])
    with pytest.raises(InvalidVector, match="not a list of numbers"):
        points.search(vector=[[1.0], [1.0, 2.0]])


def test_similar_takes_one_or_many(shop: nearfield.CollectionHandle) -> None:
    shop.upsert([{"id": f"1{i}", "name": f"Earbuds {i}", "description": "Bluetooth"} for i in range(3)])
    one = shop.similar("10", unlike_ids="2", texts="Bluetooth", unlike_texts="a seat")
    many = shop.similar(["10"], unlike_ids=["2"], texts=["Bluetooth"], unlike_texts=["a seat"])
    assert [hit.id for hit in one] == [hit.id for hit in many]
    assert {hit.id for hit in one} == {"1", "11", "12"}
    assert [hit.id for hit in shop.similar("10", where="price > 40")] == ["1"]
    with pytest.raises(DocumentNotFound, match="'nobody'"):
        shop.similar("nobody")
    with pytest.raises(InvalidRequest, match="at least one"):
        shop.similar()


# -- files -------------------------------------------------------------------------------------------------------------
def test_files_are_taken_in_and_searchable(shop: nearfield.CollectionHandle, tmp_path: Path) -> None:
    file = tmp_path / "more.csv"
    file.write_text("id,name,description,price\n7,Rake,Bow rake,19.90\n8,Hose,Rubber hose,cheap\n")
    seen: list[int] = []
    report = shop.import_files(
        file, rejected_file=tmp_path / "rejected.jsonl", on_progress=lambda told: seen.append(told.stored)
    )
    assert (report.new, report.rejected_total, report.rejected[0].line) == (1, 1, 3)
    assert (tmp_path / "rejected.jsonl").read_text().count("\n") == 1
    assert seen
    assert shop.search("rake", limit=1)[0].id == "7"
    assert shop.import_files(str(file)).unchanged == 1
    with pytest.raises(InvalidFile):
        shop.import_files(tmp_path / "nowhere.csv")


def test_a_callback_that_calls_the_database_is_told_and_does_not_hang(
    shop: nearfield.CollectionHandle, tmp_path: Path
) -> None:
    file = tmp_path / "more.csv"
    file.write_text("id,name,description\n7,Rake,Bow rake\n")
    refusals: list[Exception] = []

    def call_back(_: object) -> None:
        try:
            shop.count()
        except InvalidRequest as exc:
            refusals.append(exc)

    shop.import_files(file, on_progress=call_back)
    assert refusals
    assert "callback" in str(refusals[0])


# -- threads -----------------------------------------------------------------------------------------------------------
def test_twenty_threads_share_a_handle(shop: nearfield.CollectionHandle) -> None:
    def work(number: int) -> list[bool]:
        seen = []
        for turn in range(5):
            name = f"t{number}x{turn}"
            shop.upsert({"id": name, "name": name, "description": "made by a thread", "price": float(number)})
            answer = shop.search(name, mode="lexical", where={"price": float(number)}, limit=1)
            seen.append([hit.id for hit in answer] == [name])
        return seen

    with ThreadPoolExecutor(20) as pool:
        assert all(all(seen) for seen in pool.map(work, range(20)))
    assert shop.count() == 102
    assert shop.check().clean


def test_a_call_under_way_ends_when_the_database_is_closed(tmp_path: Path) -> None:
    db = nearfield.open(tmp_path, **TEST, engine="exact")
    started = threading.Event()

    async def forever() -> None:
        started.set()
        await asyncio.Event().wait()

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(db._loop.run, forever())
        assert started.wait(20)
        db.close()
        with pytest.raises(ShuttingDown, match="while the call was under way"):
            waiting.result(20)


def test_many_closers_and_callers_at_once(tmp_path: Path) -> None:
    db = nearfield.open(tmp_path, **TEST, engine="exact")
    shop = db.collection("products", embed=EMBED)
    shop.upsert(EARBUDS)
    barrier = threading.Barrier(12)

    def call(number: int) -> str:
        barrier.wait(20)
        if number % 4 == 0:
            db.close()
            return "closed"
        try:
            while True:
                shop.count()
        except NearfieldError as exc:
            return type(exc).__name__

    with ThreadPoolExecutor(12) as pool:
        ends = list(pool.map(call, range(12), timeout=60))
    assert ends.count("closed") == 3
    with pytest.raises(ShuttingDown, match="closed; open it again"):
        shop.count()


# -- opening and closing -----------------------------------------------------------------------------------------------
def test_closing_is_final_idempotent_and_frees_the_folder(tmp_path: Path) -> None:
    db = nearfield.open(str(tmp_path), **TEST)
    with pytest.raises(DataDirInUse, match="in use by process"):
        nearfield.open(tmp_path, **TEST)
    db.close()
    db.close()
    with pytest.raises(ShuttingDown):
        db.collections()
    with nearfield.open(tmp_path, **TEST) as again:
        assert again.collections() == []


def test_a_database_that_was_closed_is_forgotten(tmp_path: Path) -> None:
    before = set(threading.enumerate())  # of other tests in this process, perhaps
    db = nearfield.open(tmp_path, **TEST, engine="exact")
    forgotten = weakref.ref(db)
    db.close()
    del db
    gc.collect()
    assert forgotten() is None
    assert not [thread for thread in threading.enumerate() if thread not in before and thread.name == "nearfield"]
    assert len(set(threading.enumerate()) - before) <= 1


@pytest.mark.parametrize("given", [{"colour": "red"}, {"search_timeout_s": -1}, {"data_dir": "elsewhere"}])
def test_settings_that_do_not_exist(tmp_path: Path, given: dict[str, Any]) -> None:
    before = set(threading.enumerate())
    with pytest.raises((InvalidSetting, TypeError)):
        nearfield.open(tmp_path, **given)
    assert not [thread for thread in threading.enumerate() if thread not in before and thread.name == "nearfield"]


def test_a_fake_embedder_is_refused_outside_of_tests(tmp_path: Path) -> None:
    with (
        nearfield.open(tmp_path, embedder="hashing", environment="production") as db,
        pytest.raises(InvalidSetting, match="fake"),
    ):
        db.collection("c", embed=EMBED)


# -- processes ---------------------------------------------------------------------------------------------------------
WRITE = """
import sys, threading, nearfield
db = nearfield.open(sys.argv[1], environment="test", embedder="hashing", engine=sys.argv[2])
shop = db.collection("products", embed="{name}", fields={"price": float})
shop.upsert([{"id": str(i), "name": f"thing {i}", "price": float(i)} for i in range(300)])
shop.search("thing 7", where="price < 50")
"""
ENDINGS = {
    "falls off the end": ("", 0),
    "leaves an export open": ("pages = shop.export(); next(pages)", 0),
    "exits": ("sys.exit(3)", 3),
    "raises": ("raise ValueError('of the program')", 1),
    "closes in a with": ("with db: pass", 0),
    "forgets the handle": ("del db, shop", 0),
}
LOCAL_ENDINGS = [("falls off the end", "local"), ("exits", "local")]


def run_program(program: str, folder: Path, engine: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program, str(folder), engine],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(("ending", "engine"), [*((ending, "exact") for ending in ENDINGS), *LOCAL_ENDINGS])
def test_a_program_ends_without_closing(tmp_path: Path, ending: str, engine: str) -> None:
    line, code = ENDINGS[ending]
    ran = run_program(WRITE + line, tmp_path, engine)
    assert ran.returncode == code
    assert ran.stderr == "" or (ending == "raises" and ran.stderr.strip().endswith("ValueError: of the program"))
    assert ran.stderr.count("Traceback") == (ending == "raises")
    with nearfield.open(tmp_path, **TEST, engine=engine) as db:
        assert db.collection("products").count() == 300
        assert db.collection("products").check().clean


def test_an_interrupt_ends_the_call_and_not_the_database(tmp_path: Path) -> None:
    program = """
import asyncio, os, signal
async def forever():
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        print("cancelled", flush=True)
        raise
try:
    db._loop.run(forever())
except KeyboardInterrupt:
    print(shop.search("thing 7", limit=1)[0].id, shop.count())
"""
    ran = run_program(WRITE + program, tmp_path, "exact")
    assert (ran.stdout.split(), ran.stderr, ran.returncode) == (["cancelled", "7", "300"], "", 0)


def test_the_ranking_is_measured_and_compared(shop: nearfield.CollectionHandle, tmp_path: Path) -> None:
    shop.upsert([{"id": "1", "name": "desk lamp"}, {"id": "2", "name": "garden chair"}])
    grades = {"desk lamp": {"1": 2}, "garden": {"2": 1}}
    told: list[tuple[int, int]] = []
    found = shop.evaluate(grades, mode="semantic", on_progress=lambda *so_far: told.append(so_far))
    assert len(found.queries) == 2
    assert told[-1] == (2, 2)
    assert shop.judge(grades) == 2
    compared = shop.evaluate(mode="semantic", against={"mode": "semantic", "exact": True})
    assert compared.means == compared.other_means == found.means
    assert [one.query for one in shop.judgments()] == ["desk lamp", "garden"]
    assert shop.forget_judgments("garden") == 1
    (tmp_path / "q.jsonl").write_text('{"id": "1", "text": "desk lamp"}\n')
    (tmp_path / "qrels.tsv").write_text("1\t1\t2\n")
    assert len(shop.evaluate(tmp_path / "q.jsonl", tmp_path / "qrels.tsv", mode="semantic").queries) == 1
    with pytest.raises(InvalidRequest, match="unknown option 'mood'"):
        shop.evaluate(mood="semantic")
    with pytest.raises(InvalidRequest, match="both queries and qrels"):
        shop.evaluate(tmp_path / "q.jsonl")


def test_clicks_become_judgments_and_empty_queries_a_report(shop: nearfield.CollectionHandle) -> None:
    assert shop.search("earbuds").search_id is None
    with pytest.raises(InvalidRequest, match="collects no events"):
        shop.record("x", "1")
    shop.configure(events=True)
    for _ in range(6):
        answer = shop.search("earbuds", limit=1)
        assert shop.record(answer.search_id, answer[0].id, "click", 1).unmatched == 0
    shop.record(answer.search_id, answer[0].id, "purchase")
    assert shop.learn().clicks == 6
    assert [(one.query, one.grade, one.source) for one in shop.judgments()] == [("earbuds", 3, "clicks")]
    shop.search("earbuds", where={"price": {"$gt": 1000}})
    assert [(one.query, one.empty) for one in shop.report()] == [("earbuds", 1)]
    with pytest.raises(InvalidRequest, match="unknown kind 'clik'; did you mean 'click'"):
        shop.record(answer.search_id, "1", "clik")


def test_pages_groups_facets_and_several_searches(db: nearfield.Database, shop: nearfield.CollectionHandle) -> None:
    first = shop.search("wireless", limit=1)
    second = shop.search(cursor=first.cursor)
    assert {hit.id for hit in (*first, *second)} == {"1", "2"}
    assert [hit.id for hit in shop.search("wireless", sort="price", facets=["price"])] == ["2", "1"]
    assert [hit.id for hit in shop.similar("1", exact=True, explain=True)] == ["2"]
    assert not shop.similar("1", offset=1)
    shop.patch("1", {"name": "Quokka"})
    found, missing = db.multi_search(
        [{"collection": shop, "query": "quokka", "limit": 1}, {"collection": "nobody", "query": "quokka"}]
    )
    assert not isinstance(found, NearfieldError)
    assert [hit.document["name"] for hit in found] == ["Quokka"]
    assert isinstance(missing, CollectionNotFound)
    with pytest.raises(InvalidRequest, match="unknown option 'wher'"):
        db.multi_search([{"collection": shop, "query": "quokka", "wher": "price < 1"}])
    with pytest.raises(InvalidRequest, match="collection is missing"):
        db.multi_search([{"query": "quokka"}])
    with pytest.raises(InvalidRequest, match="expected 1 to 50"):
        db.multi_search([])
    with pytest.raises(InvalidRequest, match="unknown facet scope"):
        shop.search("quokka", facet_scope="all")


def test_another_index_is_tried_on_live_searches(tmp_path: Path) -> None:
    with nearfield.open(tmp_path / "data", engine="exact", search_timeout_s=30, **TEST) as db:
        shop = db.collection("products", embed=EMBED)
        shop.upsert([EARBUDS, CHAIR])
        with pytest.raises(GenerationNotFound, match="begin a move"):
            shop.shadow()
        shop.move(engine="local", switch=False)
        assert shop.shadow() is None
        shop.shadow(1.0)
        for _ in range(3):
            shop.search("earbuds")
        until = time.monotonic() + 30
        while (seen := shop.shadow()) is None or seen.answered < 1:
            assert time.monotonic() < until, seen
        assert (seen.generation, seen.share, seen.failed) == (2, 1.0, 0)
        ended = shop.shadow(0)
        assert ended is not None
        assert ended.asked + ended.missed == 3
        with pytest.raises(InvalidRequest, match="0 to 1"):
            shop.shadow(1.5, generation=2)
