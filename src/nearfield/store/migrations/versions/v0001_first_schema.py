"""The first schema: collections, documents, the change log, vectors, generations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    counters = op.create_table(
        "counters",
        sa.Column("name", sa.Text),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_counters"),
    )
    op.bulk_insert(counters, [{"name": "seq", "value": 0}, {"name": "document_key", "value": 0}])
    _collections_and_documents()
    _vectors()
    _generations()


def _collections_and_documents() -> None:
    op.create_table(
        "collections",
        sa.Column("id", _ID),
        sa.Column("name", sa.Text),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("documents", sa.BigInteger, nullable=False),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
        sa.Column("last_generation", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_collections"),
        sa.UniqueConstraint("name", name="uq_collections_name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "documents",
        sa.Column("key", _ID, autoincrement=False),
        sa.Column("collection_id", _ID, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("content_hash", sa.LargeBinary, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("vector_hash", sa.LargeBinary),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_documents"),
        sa.UniqueConstraint("collection_id", "id", name="uq_documents_collection_id_id"),
        sa.ForeignKeyConstraint(["collection_id"], ["collections.id"], name="fk_documents_collection_id_collections"),
    )
    op.create_index("ix_documents_collection_id_key", "documents", ["collection_id", "key"])
    op.create_table(
        "changes",
        sa.Column("collection_id", _ID, autoincrement=False),
        sa.Column("seq", sa.BigInteger, autoincrement=False),
        sa.Column("document_key", sa.BigInteger, nullable=False),
        sa.Column("deleted", sa.Boolean(create_constraint=False), nullable=False),
        sa.PrimaryKeyConstraint("collection_id", "seq", name="pk_changes"),
        sa.ForeignKeyConstraint(["collection_id"], ["collections.id"], name="fk_changes_collection_id_collections"),
        sqlite_with_rowid=False,
    )


def _vectors() -> None:
    op.create_table(
        "embedders",
        sa.Column("id", _ID),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("dimension", sa.Integer, nullable=False),
        sa.Column("dtype", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_embedders"),
        sa.UniqueConstraint("fingerprint", name="uq_embedders_fingerprint"),
    )
    op.create_table(
        "vectors",
        sa.Column("id", _ID),
        sa.Column("embedder_id", _ID, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_vectors"),
        sa.UniqueConstraint("embedder_id", "hash", name="uq_vectors_embedder_id_hash"),
        sa.ForeignKeyConstraint(["embedder_id"], ["embedders.id"], name="fk_vectors_embedder_id_embedders"),
    )


def _generations() -> None:
    op.create_table(
        "generations",
        sa.Column("id", _ID),
        sa.Column("collection_id", _ID, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("engine", sa.Text, nullable=False),
        sa.Column("settings", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("dimension", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("applied_seq", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_generations"),
        sa.UniqueConstraint("collection_id", "number", name="uq_generations_collection_id_number"),
        sa.ForeignKeyConstraint(["collection_id"], ["collections.id"], name="fk_generations_collection_id_collections"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "spans",
        sa.Column("generation_id", _ID, autoincrement=False),
        sa.Column("document_key", sa.BigInteger, autoincrement=False),
        sa.Column("passages", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("generation_id", "document_key", name="pk_spans"),
        sa.ForeignKeyConstraint(["generation_id"], ["generations.id"], name="fk_spans_generation_id_generations"),
        sqlite_with_rowid=False,
    )
