"""The rules of collections, a row for each version."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "rules",
        sa.Column("collection_id", _ID, autoincrement=False),
        sa.Column("version", sa.Integer, autoincrement=False),
        sa.Column("written_us", sa.BigInteger, nullable=False),
        sa.Column("restored_from", sa.Integer),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("collection_id", "version", name="pk_rules"),
        sa.ForeignKeyConstraint(["collection_id"], ["collections.id"], name="fk_rules_collection_id_collections"),
        sqlite_with_rowid=False,
    )
