"""The schema, as the code uses it. `migrations/` brings databases to it; a test keeps the two equal.

Numbers that must never come back after a delete (document keys, seqs) are taken from `counters` inside the writing
transaction rather than from an autoincrement column: a whole batch gets its numbers in one statement, and the row lock
makes `seq` rise in commit order on databases with several writers too, where a sequence would not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

if TYPE_CHECKING:
    from sqlalchemy import Dialect

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Only a column declared INTEGER is SQLite's own row number, which a lookup finds without a second index.
RowId: Final = BigInteger().with_variant(Integer(), "sqlite")


class Blob(LargeBinary):
    """Bytes, which every driver takes and gives as they are; LargeBinary would wrap each value in a memoryview."""

    def bind_processor(self, dialect: Dialect) -> None:
        return None

    def result_processor(self, dialect: Dialect, coltype: object) -> None:
        return None


counters: Final = Table(
    "counters",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),  # the last number given out
)

collections: Final = Table(
    "collections",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("name", Text, unique=True),  # NULL: dropped, and its rows are still being removed
    Column("spec", Text, nullable=False),  # JSON, see records.py
    Column("documents", BigInteger, nullable=False),
    Column("last_seq", BigInteger, nullable=False),  # outlives the log rows that compaction removes
    Column("last_generation", Integer, nullable=False),
    sqlite_autoincrement=True,
)

documents: Final = Table(
    "documents",
    metadata,
    Column("key", RowId, primary_key=True, autoincrement=False),
    Column("collection_id", RowId, ForeignKey(collections.c.id), nullable=False),
    Column("id", Text, nullable=False),
    Column("content_hash", Blob, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("vector_hash", Blob),
    Column("body", Blob, nullable=False),  # JSON; last, so that hashes are read without its overflow pages
    UniqueConstraint("collection_id", "id"),
    Index(None, "collection_id", "key"),
)

changes: Final = Table(
    "changes",
    metadata,
    Column("collection_id", RowId, ForeignKey(collections.c.id), primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("document_key", BigInteger, nullable=False),
    Column("deleted", Boolean(create_constraint=False), nullable=False),
    sqlite_with_rowid=False,
)

embedders: Final = Table(
    "embedders",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("fingerprint", Text, nullable=False, unique=True),
    Column("dimension", Integer, nullable=False),
    Column("dtype", Text, nullable=False),  # a Precision
)

# The hash is random: as the clustering key it would spread each batch over the whole table. Rows are appended, and
# only the small unique index is touched at random.
vectors: Final = Table(
    "vectors",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("embedder_id", RowId, ForeignKey(embedders.c.id), nullable=False),
    Column("hash", Blob, nullable=False),
    Column("data", Blob, nullable=False),  # little-endian components
    UniqueConstraint("embedder_id", "hash"),
)

generations: Final = Table(
    "generations",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("collection_id", RowId, ForeignKey(collections.c.id), nullable=False),
    Column("number", Integer, nullable=False),
    Column("engine", Text, nullable=False),
    Column("settings", Text, nullable=False),  # JSON of IndexSettings
    Column("fingerprint", Text, nullable=False),
    Column("dimension", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("applied_seq", BigInteger, nullable=False),
    Column("embedder", Text, nullable=False, server_default=""),
    Column("search", Text, nullable=False, server_default="{}"),  # JSON of SearchSettings
    Column("unattended", Boolean(create_constraint=False), nullable=False, server_default="0"),
    Column("report", Text),  # JSON; read by itself, never with the row
    UniqueConstraint("collection_id", "number"),
    sqlite_autoincrement=True,
)

spans: Final = Table(
    "spans",
    metadata,
    Column("generation_id", RowId, ForeignKey(generations.c.id), primary_key=True, autoincrement=False),
    Column("document_key", BigInteger, primary_key=True, autoincrement=False),
    Column("passages", Integer, nullable=False),
    sqlite_with_rowid=False,
)

judgments: Final = Table(
    "judgments",
    metadata,
    Column("collection_id", RowId, ForeignKey(collections.c.id), primary_key=True, autoincrement=False),
    Column("query", Text, primary_key=True),
    Column("document_id", Text, primary_key=True),
    Column("source", Text, primary_key=True),  # a JudgmentSource
    Column("grade", Integer, nullable=False),
    sqlite_with_rowid=False,
)

impressions: Final = Table(
    "impressions",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("collection_id", RowId, ForeignKey(collections.c.id), nullable=False),
    Column("search_id", Text, nullable=False),
    Column("query", Text, nullable=False),
    Column("offset", Integer, nullable=False),
    Column("found", Integer, nullable=False),  # hits shown and skipped
    Column("complete", Boolean(create_constraint=False), nullable=False),
    Column("at", BigInteger, nullable=False),  # ms since 1970
    Column("shown", Blob, nullable=False),  # JSON list of ids
    Index(None, "collection_id", "search_id"),
    Index(None, "collection_id", "at"),
)

events: Final = Table(
    "events",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("collection_id", RowId, ForeignKey(collections.c.id), nullable=False),
    Column("search_id", Text, nullable=False),
    Column("document_id", Text, nullable=False),
    Column("kind", Text, nullable=False),  # an EventKind
    Column("position", Integer),
    Column("at", BigInteger, nullable=False),  # ms since 1970
    Index(None, "collection_id", "search_id"),
    Index(None, "collection_id", "at"),
)

rules: Final = Table(
    "rules",
    metadata,
    Column("collection_id", RowId, ForeignKey(collections.c.id), primary_key=True, autoincrement=False),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("written_us", BigInteger, nullable=False),
    Column("restored_from", Integer),
    Column("body", Text, nullable=False),  # JSON, as in rules_json.py
    sqlite_with_rowid=False,
)
