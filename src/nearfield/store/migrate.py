"""Brings a database to the schema this code uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import column, inspect, select, table

from nearfield.domain.errors import StoreUnavailable

if TYPE_CHECKING:
    from sqlalchemy import Connection

HEAD: Final = "0004"
"""The newest revision in `migrations/versions`; a test compares."""


def upgrade(connection: Connection, told_as: object) -> None:
    """Run the migrations a database lacks, all in one transaction; a new database goes through them all.

    told_as: how messages name the database. Raises StoreUnavailable for a database written by a newer version.
    """
    with connection.begin():
        version = current(connection)
        if version == HEAD:
            return
        # The import costs a fifth of a second, and a start with nothing to migrate does not pay it.
        from alembic import command  # noqa: PLC0415
        from alembic.config import Config  # noqa: PLC0415
        from alembic.script import ScriptDirectory  # noqa: PLC0415

        config = Config()
        config.set_main_option("script_location", "nearfield.store:migrations")
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if version is not None and version not in known:
            raise StoreUnavailable(
                f"{told_as} has schema {version}, this version of nearfield knows schemas up to {HEAD}: "
                "it was written by a newer version; install that one, or import into a new data directory"
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def current(connection: Connection) -> str | None:
    """The revision a database is at; None for one without our tables."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: Any = connection.execute(select(column("version_num")).select_from(table("alembic_version"))).scalar()
    return None if version is None else str(version)
