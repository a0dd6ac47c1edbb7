"""What Alembic runs: the migrations, on the connection and within the transaction that `store.migrate` hands over."""

from __future__ import annotations

from alembic import context

from nearfield.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite alters a column by rebuilding its table
)
context.run_migrations()
