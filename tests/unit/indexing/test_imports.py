from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from tests.unit.indexing.rig import Rig, numbered, spec, until

from nearfield.domain.errors import CollectionNotFound, EmbedderUnavailable, IndexLagging, InvalidFile
from nearfield.domain.schema import FieldType, IndexSettings
from nearfield.indexing import embedding, indexer
from nearfield.indexing import imports as module
from nearfield.protocols.source import SourceRow, Told
from nearfield.sources.files import open_source

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from nearfield.domain.documents import Rejection
    from nearfield.domain.reports import ImportProgress, ImportReport


def lines(path: Path, bodies: Iterable[object]) -> Path:
    path.write_bytes(b"".join(orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE) for body in bodies))
    return path


async def take_in(rig: Rig, *paths: Path, id_field: str | None = "id", **more: Any) -> ImportReport:
    sources = [open_source(path) for path in paths]
    return await rig.documents.import_sources("books", sources, id_field=id_field, **more)


def counts(report: ImportReport) -> tuple[int, int, int, int]:
    return report.new, report.changed, report.unchanged, report.rejected_total


async def test_every_row_is_counted_once(rig: Rig, tmp_path: Path) -> None:
    bodies = [{"id": str(n), "text": f"text {n}"} for n in range(2_500)]
    report = await take_in(rig, lines(tmp_path / "a.jsonl", bodies))
    assert counts(report) == (2_500, 0, 0, 0)
    assert report.seq == 2_500
    bodies[3]["text"] = "changed"
    bodies[4] = {"id": "4"}
    bodies += [{"id": "new", "text": "new"}, {"id": "new", "text": "newer"}]
    report = await take_in(rig, lines(tmp_path / "a.jsonl", bodies))
    assert counts(report) == (1, 1, 2_499, 1)  # the earlier of two rows with one id counts as unchanged
    assert (await rig.documents.get("books", "new")).body["text"] == "newer"
    await rig.assert_true()


async def test_rejected_rows_are_told_in_a_file(rig: Rig, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(
        b'{"id": "a", "text": "t"}\nnot json\n{"id": "b"}\n\n{"id": "\\u00e9", "text": 5}\n[1]\n{"text": "t"}\n'
    )
    told = tmp_path / "rejected.jsonl"
    report = await take_in(rig, path, rejected_file=told)
    assert counts(report) == (2, 0, 0, 4)
    assert report.rejected_file == str(told)
    written = [orjson.loads(line) for line in told.read_bytes().splitlines()]
    assert [(row["file"], row["line"], row["id"]) for row in written] == [
        ("rows.jsonl", 2, None),
        ("rows.jsonl", 3, "b"),
        ("rows.jsonl", 6, None),
        ("rows.jsonl", 7, None),
    ]
    assert [(refusal.line, refusal.detail) for refusal in report.rejected] == [
        (row["line"], row["detail"]) for row in written
    ]
    assert all(row["code"] and row["detail"] for row in written)


async def test_a_file_of_rejections_is_made_only_when_there_is_one(rig: Rig, tmp_path: Path) -> None:
    told = tmp_path / "rejected.jsonl"
    report = await take_in(rig, lines(tmp_path / "a.jsonl", numbered(3)), rejected_file=told)
    assert report.rejected_file is None
    assert not told.exists()


async def test_the_file_of_an_earlier_import_is_replaced(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    monkeypatch.setattr(module, "KEPT_REJECTIONS", 3)
    told = tmp_path / "rejected.jsonl"
    path = lines(tmp_path / "a.jsonl", [{"id": str(n)} for n in range(7)])
    for _ in range(2):
        report = await take_in(rig, path, rejected_file=told)
    assert report.rejected_total == 7
    assert [refusal.line for refusal in report.rejected] == [1, 2, 3]
    assert [orjson.loads(line)["line"] for line in told.read_bytes().splitlines()] == [1, 2, 3, 4, 5, 6, 7]


async def test_a_file_of_rejections_that_cannot_be_written_is_told(rig: Rig, tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", [{"id": "a"}])
    with pytest.raises(InvalidFile, match="rejected rows cannot be written") as told:
        await take_in(rig, path, rejected_file=tmp_path / "nowhere" / "rejected.jsonl")
    assert told.value.field == "rejected_file"


async def test_two_files_are_one_import(rig: Rig, tmp_path: Path) -> None:
    first = lines(tmp_path / "a.jsonl", numbered(5))
    second = tmp_path / "b.csv"
    second.write_text('id,text\n4,document number 4\n5,"five, six"\n,nobody\n')
    report = await take_in(rig, first, second)
    assert counts(report) == (6, 0, 1, 1)
    assert report.rejected[0].line == 4
    await rig.assert_true()


async def test_columns_are_read_by_the_schema(tmp_path: Path) -> None:
    rig = await Rig.open(tmp_path)
    await rig.catalog.create(spec(fields={"price": FieldType.FLOAT}))
    path = tmp_path / "a.csv"
    path.write_text("sku,text,price\nA1,a text,9.50\nA2,another,free\n")
    report = await take_in(rig, path, id_field="sku")
    assert counts(report) == (1, 0, 0, 1)
    assert (await rig.documents.get("books", "A1")).body == {"sku": "A1", "text": "a text", "price": 9.5}
    await rig.close()


async def test_rows_without_an_id_are_known_again(rig: Rig, tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", [{"text": "one"}, {"text": "two"}, {"text": "one"}])
    assert counts(await take_in(rig, path, id_field=None)) == (2, 0, 1, 0)
    assert counts(await take_in(rig, path, id_field=None)) == (0, 0, 3, 0)


async def test_all_is_searchable_and_indexed_at_the_end(tmp_path: Path) -> None:
    rig = await Rig.open(tmp_path)
    await rig.catalog.create(spec(engine="local", index=IndexSettings()))
    told: list[ImportProgress] = []
    await take_in(rig, lines(tmp_path / "a.jsonl", numbered(1_500)), on_progress=told.append)
    status = await rig.catalog.status("books")
    assert (status.documents, status.rows, status.pending, status.unindexed) == (1_500, 1_500, 0, 0)
    assert (told[-1].stored, told[-1].pending, told[-1].reading) == (1_500, 0, False)
    assert told[-1].position == told[-1].size == (tmp_path / "a.jsonl").stat().st_size
    assert [each.stored for each in told] == sorted(each.stored for each in told)
    await rig.close()


async def test_an_import_cut_short_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 50)
    monkeypatch.setattr(embedding, "EMBED_SLICE", 20)
    path = lines(tmp_path / "a.jsonl", numbered(500))
    rig = await Rig.open(tmp_path, index_batch=40)
    await rig.catalog.create(spec())
    rig.embedder.gate = gate = asyncio.Semaphore(7)
    working = asyncio.create_task(take_in(rig, path))
    await until(lambda: rig.embedder.waiting and gate.locked())
    working.cancel()
    await asyncio.wait({working})
    await rig.abandon()
    before = rig.embedder.embedded
    assert 7 < len(before) <= 140

    rig = await Rig.open(tmp_path, index_batch=40)
    stored = (await rig.catalog.status("books")).documents
    report = await take_in(rig, path)
    assert counts(report) == (500 - stored, 0, stored, 0)
    assert set(before + rig.embedder.embedded) == {body["text"] for body in numbered(500)}
    assert len(before + rig.embedder.embedded) - 500 <= 3 * 20  # slices under way when it ended
    await rig.assert_true()
    await rig.close()


class Breaking:
    """A source that fails after some rows."""

    name, size, position = "breaking", None, 0

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self.ended = threading.Event()

    def told(self) -> Told:
        return Told()

    def rows(self) -> Iterator[SourceRow | Rejection]:
        try:
            for body in numbered(self._rows):
                yield SourceRow(1, body)
            raise InvalidFile("the file ends in the middle")
        finally:
            self.ended.set()


async def test_what_was_read_before_a_file_broke_stays(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 10)
    monkeypatch.setattr(module, "FIRST_BATCH", 10)
    source = Breaking(35)
    with pytest.raises(InvalidFile, match="ends in the middle"):
        await rig.documents.import_sources("books", [source], id_field="id")
    assert (await rig.catalog.status("books")).documents == 30
    assert source.ended.is_set()
    await rig.assert_true()


async def test_an_import_into_nothing_is_refused(rig: Rig, tmp_path: Path) -> None:
    with pytest.raises(CollectionNotFound):
        await rig.documents.import_sources(
            "nowhere", [open_source(lines(tmp_path / "a.jsonl", numbered(3)))], id_field=None
        )


async def test_an_index_that_stands_still_ends_the_import(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STUCK_AFTER_S", 0.3)
    monkeypatch.setattr(indexer, "RETRY_FIRST_S", 0.02)
    monkeypatch.setattr(indexer, "RETRY_MOST_S", 0.02)
    rig.embedder.failing = EmbedderUnavailable("the model is gone")
    path = lines(tmp_path / "a.jsonl", numbered(3))
    with pytest.raises(IndexLagging, match="3 changes are stored and not indexed: the model is gone; run the import"):
        await take_in(rig, path)
    rig.embedder.failing = None
    assert counts(await take_in(rig, path)) == (0, 0, 3, 0)
    await rig.assert_true()
