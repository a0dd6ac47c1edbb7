"""Queries and judgments in files, as test collections come: `queries.jsonl` and `qrels.tsv`, packed or not."""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

import orjson

from nearfield.domain.errors import InvalidFile
from nearfield.domain.judgments import MAX_GRADE, BadRow, JudgedQuery, JudgedSet
from nearfield.domain.spelling import shorten

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

T = TypeVar("T")

_ID_NAMES: Final = ("id", "_id", "query_id", "query-id", "qid")
_TEXT_NAMES: Final = ("text", "query")
_GRADE_HEADERS: Final = frozenset({"grade", "score", "rel", "relevance", "label", "judgment", "judgement"})
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,9}(\.0*)?")
_GZIP: Final = b"\x1f\x8b"
_BOM: Final = "\ufeff"


@dataclass(slots=True)
class _Reading:
    """What a file gives, and what of it could not be used."""

    file: str
    bad: list[BadRow] = field(default_factory=list)

    def refuse(self, line: int, detail: str) -> None:
        self.bad.append(BadRow(self.file, line, detail))


def read_judged(queries: Path, qrels: Path) -> JudgedSet:
    """A judged set from its two files. A bad row is told with its line, the others are used.

    queries: one JSON object a line with `id` (or `_id`, `query_id`) and `text` (or `query`), or an id and a text with
    a tab between. qrels: query id, document id, grade with tabs or blanks between, with or without a header; or TREC's
    four columns, the second of which says nothing. A negative grade, which TREC gives to spam, counts as 0.
    Raises InvalidFile for a file that cannot be read, or that holds nothing usable.
    """
    texts, bad_queries = read_queries(queries)
    grades, bad_grades = read_qrels(qrels)
    judged = assemble(texts, grades)
    return JudgedSet(judged.queries, (*bad_queries, *bad_grades), judged.without_relevant, judged.without_text)


def assemble(texts: Mapping[str, str], grades: Mapping[str, Mapping[str, int]]) -> JudgedSet:
    """texts: by query id. grades: by query id and document id. Queries keep the order of `texts`."""
    judged = [JudgedQuery(name, text, grades[name]) for name, text in texts.items() if name in grades]
    return JudgedSet(
        queries=tuple(query for query in judged if query.counts),
        without_relevant=tuple(query.id for query in judged if not query.counts),
        without_text=tuple(name for name in grades if name not in texts),
    )


def read_queries(path: Path) -> tuple[dict[str, str], list[BadRow]]:
    """Texts by id, in order of the file. Raises InvalidFile."""
    reading = _Reading(path.name)
    found: dict[str, str] = {}
    for line, row in _lines(path):
        try:
            name, text = _query(row)
        except ValueError as exc:
            reading.refuse(line, str(exc))
            continue
        if name in found:
            reading.refuse(line, f"query {shorten(name)!r} is there already; its first text is used")
        else:
            found[name] = text
    return _used(found, reading), reading.bad


def read_qrels(path: Path) -> tuple[dict[str, dict[str, int]], list[BadRow]]:
    """Grades by query id and document id. Raises InvalidFile."""
    reading = _Reading(path.name)
    found: dict[str, dict[str, int]] = {}
    for line, row in _lines(path):
        columns = [column.strip() for column in row.split("\t")] if "\t" in row else row.split()
        if not found and not reading.bad and columns[-1].casefold() in _GRADE_HEADERS:
            continue
        if len(columns) == 4:
            del columns[1]
        if len(columns) != 3 or not all(columns):
            reading.refuse(line, f"{len(columns)} columns; expected query id, document id and grade")
            continue
        query, document, grade = columns
        if not _WHOLE.fullmatch(grade) or int(float(grade)) > MAX_GRADE:
            reading.refuse(line, f"grade {shorten(grade)!r}; expected a whole number up to {MAX_GRADE}")
        elif document in found.setdefault(query, {}):
            reading.refuse(line, f"document {shorten(document)!r} is judged twice; its first grade is used")
        else:
            found[query][document] = max(0, int(float(grade)))
    return _used({query: grades for query, grades in found.items() if grades}, reading), reading.bad


def queries_jsonl(texts: Mapping[str, str]) -> Iterator[bytes]:
    """Lines of a queries file."""
    for name, text in texts.items():
        yield orjson.dumps({"id": name, "text": text}, option=orjson.OPT_APPEND_NEWLINE)


def qrels_tsv(rows: Iterable[tuple[str, str, int]]) -> Iterator[str]:
    """Lines of a qrels file with its header. rows: query id, document id, grade; no id may hold a tab or a line end."""
    yield "query_id\tdoc_id\tgrade\n"
    for query, document, grade in rows:
        yield f"{query}\t{document}\t{grade}\n"


def _query(row: str) -> tuple[str, str]:
    """Id and text of a line. Raises ValueError with what is wrong."""
    if not row.startswith("{"):
        columns = [column.strip() for column in row.split("\t", 1)]
        if len(columns) != 2 or not all(columns):
            raise ValueError("expected a JSON object, or an id and a text with a tab between")
        return columns[0], columns[1]
    try:
        body = orjson.loads(row)
    except orjson.JSONDecodeError as exc:
        raise ValueError(f"not JSON: {str(exc).lower()}") from exc
    name = next((body[key] for key in _ID_NAMES if key in body), None)
    text = next((body[key] for key in _TEXT_NAMES if key in body), None)
    if not isinstance(name, str | int) or isinstance(name, bool) or not str(name):
        raise ValueError("no id; expected a text or a number in `id`")
    if not isinstance(text, str) or not text.strip():
        raise ValueError("no text; expected words in `text`")
    return str(name), text


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their numbers. Raises InvalidFile."""
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if raw.startswith(_GZIP) else raw).decode("utf-8")
    except OSError as exc:
        raise InvalidFile(f"file {path} cannot be read: {(exc.strerror or str(exc)).lower()}") from exc
    except (EOFError, UnicodeDecodeError) as exc:
        raise InvalidFile(f"file {path} is damaged: {str(exc).lower()}; expected text in UTF-8") from exc
    for number, row in enumerate(text.removeprefix(_BOM).split("\n"), start=1):
        if row.strip():
            yield number, row.strip("\r\n")


def _used(found: dict[str, T], reading: _Reading) -> dict[str, T]:
    if not found:
        why = f"; line {reading.bad[0].line}: {reading.bad[0].detail}" if reading.bad else ", it is empty"
        raise InvalidFile(f"file {reading.file} holds nothing to use{why}")
    return found
