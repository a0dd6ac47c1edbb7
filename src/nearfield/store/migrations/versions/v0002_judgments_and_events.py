"""Judgments, what searches showed, and what people did with it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "judgments",
        sa.Column("collection_id", _ID, autoincrement=False),
        sa.Column("query", sa.Text),
        sa.Column("document_id", sa.Text),
        sa.Column("source", sa.Text),
        sa.Column("grade", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("collection_id", "query", "document_id", "source", name="pk_judgments"),
        sa.ForeignKeyConstraint(["collection_id"], ["collections.id"], name="fk_judgments_collection_id_collections"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "impressions",
        sa.Column("id", _ID),
        sa.Column("collection_id", _ID, nullable=False),
        sa.Column("search_id", sa.Text, nullable=False),
        sa.Column("query", sa.Text, nullable=False),
        sa.Column("offset", sa.Integer, nullable=False),
        sa.Column("found", sa.Integer, nullable=False),
        sa.Column("complete", sa.Boolean(create_constraint=False), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("shown", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_impressions"),
        sa.ForeignKeyConstraint(["collection_id"], ["collections.id"], name="fk_impressions_collection_id_collections"),
    )
    op.create_index("ix_impressions_collection_id_search_id", "impressions", ["collection_id", "search_id"])
    op.create_index("ix_impressions_collection_id_at", "impressions", ["collection_id", "at"])
    op.create_table(
        "events",
        sa.Column("id", _ID),
        sa.Column("collection_id", _ID, nullable=False),
        sa.Column("search_id", sa.Text, nullable=False),
        sa.Column("document_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("position", sa.Integer),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        sa.ForeignKeyConstraint(["collection_id"], ["collections.id"], name="fk_events_collection_id_collections"),
    )
    op.create_index("ix_events_collection_id_search_id", "events", ["collection_id", "search_id"])
    op.create_index("ix_events_collection_id_at", "events", ["collection_id", "at"])
