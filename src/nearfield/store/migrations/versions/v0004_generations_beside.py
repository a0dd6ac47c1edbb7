"""What a generation beside the live one needs: all that it is made of, and what its verification found."""

from __future__ import annotations

import orjson
import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in (
        sa.Column("embedder", sa.Text, nullable=False, server_default=""),
        sa.Column("search", sa.Text, nullable=False, server_default="{}"),
        sa.Column("unattended", sa.Boolean(create_constraint=False), nullable=False, server_default="0"),
        sa.Column("report", sa.Text),
    ):
        op.add_column("generations", column)
    _fill()


def _fill() -> None:
    """Until now every generation was made of what its collection's settings say."""
    collections = sa.table("collections", sa.column("id"), sa.column("spec"))
    generations = sa.table(
        "generations", sa.column("collection_id"), sa.column("embedder", sa.Text), sa.column("search", sa.Text)
    )
    connection = op.get_bind()
    for collection_id, spec in connection.execute(sa.select(collections.c.id, collections.c.spec)).all():
        stored = orjson.loads(spec)
        search = orjson.dumps(stored.get("search", {})).decode()
        connection.execute(
            sa.update(generations)
            .where(generations.c.collection_id == collection_id)
            .values(embedder=stored["embedder"], search=search)
        )
