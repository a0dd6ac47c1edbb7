"""Parquet, batch by batch, its values turned into those of JSON."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import IO, TYPE_CHECKING, Any, Final

from nearfield.domain.documents import Rejection
from nearfield.domain.errors import InvalidDocument, InvalidFile
from nearfield.protocols.source import SourceRow, Told
from nearfield.sources.parquet_layout import MARK, Layout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nearfield.sources.origin import Origin

MAGIC: Final = b"PAR1"
BATCH_ROWS: Final = 1000


def read_parquet(stream: IO[bytes], origin: Origin) -> Iterator[SourceRow | Rejection]:
    """Rows of a Parquet file; `line` is the row's number. `stream` is the origin's, open at its start.

    Dates and times become ISO 8601 text, durations seconds, decimals numbers, bytes UTF-8 text, maps objects; NaN, by
    which data frames mean a missing value, becomes null. A row with bytes that are not UTF-8, an infinity, or a whole
    number beyond 64 bits is rejected. A packed file or a stream is first written to a temporary file, for Parquet is
    read from its end.
    Raises InvalidFile for a file that is damaged or names a column twice.
    """
    if origin.path is not None and origin.is_file and not origin.packed:
        with origin.path.open("rb") as handle:
            yield from _read(handle, origin, tell=True)
    else:
        with tempfile.TemporaryFile() as spooled:
            shutil.copyfileobj(stream, spooled)
            yield from _read(spooled, origin, tell=False)


def _read(handle: IO[bytes], origin: Origin, *, tell: bool) -> Iterator[SourceRow | Rejection]:
    import pyarrow as pa  # noqa: PLC0415  a large package that only Parquet needs
    from pyarrow import parquet  # noqa: PLC0415

    number = 0
    origin.position = 0 if tell else origin.position
    try:
        table = parquet.ParquetFile(handle)
        _refuse_doubled(table.schema_arrow.names, origin.name)
        layout = _layout(table.schema_arrow)
        total = max(1, table.metadata.num_rows)
        for batch in table.iter_batches(batch_size=BATCH_ROWS):
            for row in batch.cast(_in_microseconds(batch.schema), safe=False).to_pylist():
                number += 1
                yield _row(number, row) if layout is None else _restored(number, row, layout)
            if tell and origin.size is not None:
                origin.position = origin.size * number // total
    except (pa.ArrowException, OSError) as exc:
        place = f"after row {number}" if number else "from its start"
        raise InvalidFile(f"file {origin.name} cannot be read as Parquet {place}: {exc}") from exc


def told_by(path: Path) -> Told:
    """What a file that `export` wrote tells of itself; nothing for any other. Raises InvalidFile."""
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import parquet  # noqa: PLC0415

    try:
        layout = _layout(parquet.read_schema(path))
    except (pa.ArrowException, OSError) as exc:
        raise InvalidFile(f"file {path.name} cannot be read as Parquet from its start: {exc}") from exc
    if layout is None:
        return Told()
    return Told(layout.dimension, layout.metric, layout.embed, layout.fields, layout.id_field)


def _layout(schema: Any) -> Layout | None:
    """The layout of a file that `export` wrote; one of a later version is read as any other file is."""
    try:
        return Layout.from_json((schema.metadata or {})[MARK])
    except (KeyError, ValueError, TypeError):
        return None


def _restored(number: int, row: Mapping[str, Any], layout: Layout) -> SourceRow | Rejection:
    read = _row(number, row)
    if isinstance(read, Rejection):
        return read
    try:
        return SourceRow(number, layout.restored(read.body))
    except (ValueError, TypeError) as exc:
        return Rejection(number, InvalidDocument.code, f"column {layout.rest!r} holds no JSON object: {exc}")


def _refuse_doubled(names: list[str], file: str) -> None:
    doubled = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if doubled is not None:
        raise InvalidFile(f"file {file} names the column {doubled!r} twice; give each column its own name")


def _in_microseconds(schema: Any) -> Any:
    """The same schema with nanoseconds made microseconds, which is what Python's datetime holds."""
    import pyarrow as pa  # noqa: PLC0415

    def of(kind: Any) -> Any:  # noqa: PLR0911  one line per kind of type
        if pa.types.is_timestamp(kind) and kind.unit == "ns":
            return pa.timestamp("us", kind.tz)
        if pa.types.is_time64(kind) and kind.unit == "ns":
            return pa.time64("us")
        if pa.types.is_duration(kind) and kind.unit == "ns":
            return pa.duration("us")
        if pa.types.is_list(kind):
            return pa.list_(of(kind.value_type))
        if pa.types.is_large_list(kind):
            return pa.large_list(of(kind.value_type))
        if pa.types.is_struct(kind):
            return pa.struct([field.with_type(of(field.type)) for field in kind])
        return kind

    return pa.schema([field.with_type(of(field.type)) for field in schema])


class _NotJson(Exception):
    """A value that JSON has no place for."""


def _row(number: int, row: Mapping[str, Any]) -> SourceRow | Rejection:
    body: dict[str, Any] = {}
    for name, value in row.items():
        try:
            body[name] = _json_value(value)
        except _NotJson as exc:
            return Rejection(number, InvalidDocument.code, f"column {name!r} holds {exc}")
    return SourceRow(number, body)


def _json_value(value: object) -> Any:  # noqa: PLR0911  one line per type
    match value:
        case None | bool() | int() | str():
            return value
        case float() | Decimal():
            return _number(value)
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case bytes():
            return _text(value)
        case Mapping():
            return {str(key): _json_value(item) for key, item in value.items()}
        case list() if value and all(isinstance(item, tuple) for item in value):  # a map, as Arrow gives it
            return {str(key): _json_value(item) for key, item in value}
        case list():
            return [_json_value(item) for item in value]
        case _:
            raise _NotJson(f"a {type(value).__name__}, which JSON has no place for")


def _number(value: float | Decimal) -> int | float | None:
    if value != value:  # noqa: PLR0124  NaN
        return None
    if math.isinf(value):
        raise _NotJson("an infinity; expected a finite number")
    if isinstance(value, float) or value != value.to_integral_value():
        return float(value)
    if not -(2**63) <= value < 2**64:
        raise _NotJson(f"{value}; expected a whole number of at most 64 bits")
    return int(value)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as exc:
        raise _NotJson("bytes that are not UTF-8 text") from exc
