"""PostgreSQL's side of an index: its table, its columns, its indexes. No SDK is needed to write any of it down.

    nearfield.<prefix><name>
        key bigint primary key, document bigint, passage integer    who the row is
        embedding vector(n)                                         where it lies
        one column a field (two for a geo field, _lat and _lon)     what it is filtered by

Names of fields become names of columns as they are; one that is taken gets a number behind it.
"""

from __future__ import annotations

import hashlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from nearfield.domain.errors import UnsupportedByEngine
from nearfield.domain.filters import GeoPoint
from nearfield.domain.schema import FieldType, IndexKind, Metric, Quantization
from nearfield.engines.pgvector_columns import SQL_TYPES, Columns, parameter, quoted
from nearfield.engines.ranking import EVERY_FILTER
from nearfield.protocols.engine import EngineCapabilities, check_spec

if TYPE_CHECKING:
    from nearfield.domain.filters import Row
    from nearfield.domain.schema import IndexSettings
    from nearfield.protocols.engine import IndexSpec

NAME: Final = "pgvector"
MAX_EFFORT: Final = 1_000
"""The longest candidate list pgvector takes, while searching and while building."""
MAX_LISTS: Final = 32_768
CAPABILITIES: Final = EngineCapabilities(
    metrics=frozenset(Metric),
    kinds=frozenset({IndexKind.FLAT, IndexKind.HNSW, IndexKind.IVF}),
    quantizations=MappingProxyType(
        {kind: frozenset({Quantization.NONE, Quantization.FLOAT16}) for kind in (IndexKind.HNSW, IndexKind.IVF)}
    ),
    filters=EVERY_FILTER,
    exact=True,
    effort=True,
    durable=True,
    max_dimension=16_000,
    embedded=False,
    remote=True,
    options=MappingProxyType(
        {
            "schema": "The PostgreSQL schema that holds the tables, made where there is none; `nearfield`.",
            "sslmode": "disable, allow, prefer, require, verify-ca or verify-full, as in libpq; `prefer`.",
            "sslrootcert": "A file with the certificate authorities to trust, for verify-ca and verify-full.",
            "connections": "The most connections held at once; 8.",
            "timeout_s": "Seconds for one try of a call; 10. Building an index is not held to it.",
            "maintenance_work_mem": "Memory for building an index, `2GB` say; the server's own setting.",
        }
    ),
)

_MOST_DIMENSIONS: Final = {Quantization.NONE: 2_000, Quantization.FLOAT16: 4_000}
_OPERATORS: Final = {Metric.COSINE: "<=>", Metric.DOT: "<#>", Metric.EUCLIDEAN: "<->"}
_CLASSES: Final = {Metric.COSINE: "cosine_ops", Metric.DOT: "ip_ops", Metric.EUCLIDEAN: "l2_ops"}
_LONGEST_TABLE: Final = 48  # with what stands behind it in the names of indexes: 63, PostgreSQL's limit


class Table:
    """The table of one index, and the statements about it that depend on nothing but its spec."""

    def __init__(self, schema: str, prefix: str, spec: IndexSpec) -> None:
        self.schema, self.spec = schema, spec
        self.bare_name = table_name(prefix, spec.name)
        self.name = f"{quoted(schema)}.{quoted(self.bare_name)}"
        self.columns = Columns.for_fields(spec.fields)
        self.vector_index = f"{self.bare_name}_vector"
        self.operator = _OPERATORS[spec.settings.metric]

    @property
    def similarity(self) -> str:
        """The score of a row beside the vector `$1`: unit vectors have their inner product as cosine."""
        operator = "<->" if self.spec.settings.metric is Metric.EUCLIDEAN else "<#>"
        return f"-(embedding {operator} $1::vector)"

    @property
    def distance(self) -> str:
        """What the vector index is ordered by, beside the vector `$1`."""
        if self.spec.settings.quantization is Quantization.FLOAT16:
            return f"{self._half} {self.operator} $1::vector::halfvec({self.spec.dimension})"
        return f"embedding {self.operator} $1::vector"

    def create(self) -> list[str]:
        """The statements that make the table, without indexes: they are cheaper to build than to keep up."""
        columns = [
            "key bigint PRIMARY KEY",
            "document bigint NOT NULL GENERATED ALWAYS AS (key >> 12) STORED",
            "passage integer NOT NULL GENERATED ALWAYS AS ((key & 4095)::integer) STORED",
            f"embedding vector({self.spec.dimension}) NOT NULL",
        ]
        columns += [f"{column} {kind}{_collation(kind)}" for column, kind in self._field_columns()]
        return [f"DROP TABLE IF EXISTS {self.name}", f"CREATE TABLE {self.name} ({', '.join(columns)})"]

    def upsert(self) -> str:
        """Write one row: key, vector, then the columns of every field in order. Nothing of an older one stays."""
        columns = [("key", "bigint"), ("embedding", "vector"), *self._field_columns()]
        names = [name for name, _ in columns]
        # with their types: drivers and servers keep statements by their text, and a table may be made anew
        values = ", ".join(f"${number}::{kind}" for number, (_, kind) in enumerate(columns, 1))
        replaced = ", ".join(f"{name} = excluded.{name}" for name in names[1:])
        return (
            f"INSERT INTO {self.name} ({', '.join(names)}) VALUES ({values}) "  # noqa: S608 - names are quoted
            f"ON CONFLICT (key) DO UPDATE SET {replaced}"
        )

    def values(self, row: Row) -> list[object]:
        """A row's values as `upsert` takes them, behind the key and the vector."""
        values: list[object] = []
        for name, kind in self.spec.fields.items():
            held = row.get(name)
            if kind is FieldType.GEO:
                values += held if isinstance(held, GeoPoint) else (None, None)
            elif kind is FieldType.GEOS:
                values += zip(*held, strict=True) if isinstance(held, tuple) else (None, None)
            elif held is None or isinstance(held, GeoPoint):
                values.append(None)
            elif isinstance(held, tuple):
                values.append([parameter(item, kind.element) for item in held if not isinstance(item, GeoPoint)])
            else:
                values.append(parameter(held, kind))
        return values

    def field_indexes(self) -> dict[str, str]:
        """What filters profit from: by the index's name, what stands behind `ON`. Whole texts are left without."""
        wanted: dict[str, str] = {}
        for name, kind in self.spec.fields.items():
            if kind.element is FieldType.TEXT or kind is FieldType.GEOS:
                continue
            method = "gin" if kind.is_list else "btree"
            columns = self.columns.of(name)
            number = len(wanted) + 1
            wanted[f"{self.bare_name}_f{number}"] = f"{self.name} USING {method} ({', '.join(columns)})"
        return wanted

    def vector_index_on(self, rows: int) -> str | None:
        """What stands behind `ON` for the vector index over some rows; None where there is none to be."""
        settings = self.spec.settings
        half = settings.quantization is Quantization.FLOAT16
        held = f"({self._half})" if half else "embedding"
        entry = f"{held} {'halfvec' if half else 'vector'}_{_CLASSES[settings.metric]}"
        match settings.kind:
            case IndexKind.HNSW:
                options = f"m = {settings.m}, ef_construction = {settings.ef_construction}"
                return f"{self.name} USING hnsw ({entry}) WITH ({options})"
            case IndexKind.IVF if rows:
                return f"{self.name} USING ivfflat ({entry}) WITH (lists = {lists_for(settings, rows)})"
        return None

    def _field_columns(self) -> list[tuple[str, str]]:
        """Every column of every field, and its type."""
        return [
            (name, _column_type(kind)) for field, kind in self.spec.fields.items() for name in self.columns.of(field)
        ]

    @property
    def _half(self) -> str:
        return f"(embedding::halfvec({self.spec.dimension}))"


def table_name(prefix: str, name: str) -> str:
    """The table of an index; a long name is cut, and told apart by its hash."""
    whole = prefix + name
    if len(whole) <= _LONGEST_TABLE:
        return whole
    digest = hashlib.sha256(whole.encode()).hexdigest()[:12]
    return f"{whole[: _LONGEST_TABLE - 13]}_{digest}"


def lists_for(settings: IndexSettings, rows: int) -> int:
    """Inverted lists over some rows, as pgvector recommends: a thousandth of the rows, their root beyond a million."""
    return settings.lists or min(MAX_LISTS, max(1, rows // 1_000 if rows <= 1_000_000 else int(rows**0.5)))


def probes_for(lists: int) -> int:
    """Lists searched unless asked otherwise: an eighth of them, ten at least."""
    return min(lists, max(10, lists // 8))


def check_pgvector_spec(spec: IndexSpec) -> None:
    """Refuse what pgvector has not. Raises UnsupportedByEngine naming the field."""
    check_spec(NAME, CAPABILITIES, spec)
    settings = spec.settings
    if settings.kind is IndexKind.FLAT:
        return
    most = _MOST_DIMENSIONS[settings.quantization]
    if spec.dimension > most:
        raise UnsupportedByEngine(
            f"engine pgvector indexes up to {most} dimensions with quantization {settings.quantization}, "
            f"not {spec.dimension}; float16 takes {_MOST_DIMENSIONS[Quantization.FLOAT16]}, a flat index "
            f"{CAPABILITIES.max_dimension}",
            field="index.quantization",
        )
    if settings.kind is IndexKind.IVF:
        _at_most("index.lists", settings.lists, MAX_LISTS)
        _at_most("index.probes", settings.probes, MAX_LISTS)
        return
    _at_most("index.m", settings.m, 100)
    _at_most("index.ef_construction", settings.ef_construction, MAX_EFFORT)
    _at_most("index.ef_search", settings.ef_search, MAX_EFFORT)
    if settings.ef_construction < 2 * settings.m:
        raise UnsupportedByEngine(
            f"index.ef_construction is {settings.ef_construction}; engine pgvector wants twice index.m at least, "
            f"{2 * settings.m}",
            field="index.ef_construction",
        )


def check_effort(settings: IndexSettings, effort: int) -> None:
    """Raise UnsupportedByEngine for an effort that this kind of index has not, or does not take."""
    if settings.kind is IndexKind.FLAT:
        raise UnsupportedByEngine("a flat index compares every row; it has no effort", field="effort")
    if effort < 1:
        raise UnsupportedByEngine(f"effort is {effort}; expected at least 1", field="effort")
    _at_most("effort", effort, MAX_LISTS if settings.kind is IndexKind.IVF else MAX_EFFORT)


def _at_most(field: str, value: int, most: int) -> None:
    if value > most:
        raise UnsupportedByEngine(f"{field} is {value}; engine pgvector takes at most {most}", field=field)


def _column_type(kind: FieldType) -> str:
    one = "double precision" if kind.element is FieldType.GEO else SQL_TYPES[kind.element]
    return f"{one}[]" if kind.is_list else one


def _collation(column_type: str) -> str:
    return ' COLLATE "C"' if column_type.startswith("text") else ""
