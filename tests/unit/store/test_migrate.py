from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, event, text

from nearfield.domain.errors import StoreUnavailable
from nearfield.store.migrate import HEAD, current, upgrade
from nearfield.store.sqlite import SqliteStore
from nearfield.store.tables import metadata

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    engine = create_engine(f"sqlite:///{tmp_path / 'store.db'}")

    @event.listens_for(engine, "connect")
    def autocommit(driver: object, _: object) -> None:
        driver.isolation_level = None  # type: ignore[attr-defined]

    event.listen(engine, "begin", lambda conn: conn.exec_driver_sql("BEGIN"))
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def test_the_migrations_make_the_tables_that_the_code_uses(connection: Connection) -> None:
    upgrade(connection, "the database")
    assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_tables_carry_the_options_that_a_comparison_does_not_see(connection: Connection, tmp_path: Path) -> None:
    """AUTOINCREMENT and WITHOUT ROWID: the tables made by migration and by the metadata are the same SQL."""
    upgrade(connection, "the database")
    listing = text("SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite%' AND name != 'alembic_version'")
    migrated = {row.name: row.sql for row in connection.execute(listing)}
    engine = create_engine(f"sqlite:///{tmp_path / 'other.db'}")
    metadata.create_all(engine)
    with engine.connect() as other:
        made = {row.name: row.sql for row in other.execute(listing)}
    engine.dispose()
    assert set(migrated) == set(made)
    for name, statement in made.items():
        for option in ("AUTOINCREMENT", "WITHOUT ROWID"):
            assert (option in statement) == (option in migrated[name]), name


def test_head_is_the_newest_revision() -> None:
    config = Config()
    config.set_main_option("script_location", "nearfield.store:migrations")
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def test_a_fresh_database_is_brought_to_head_once(connection: Connection) -> None:
    with connection.begin():
        assert current(connection) is None
    upgrade(connection, "the database")
    upgrade(connection, "the database")
    with connection.begin():
        assert current(connection) == HEAD


def test_a_generation_of_before_is_made_of_what_its_collection_says(connection: Connection) -> None:
    with connection.begin():
        config = Config()
        config.set_main_option("script_location", "nearfield.store:migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        for statement in (
            (
                "INSERT INTO collections VALUES (1, 'old', '{\"embedder\": \"m\"}', 0, 0, 1), "
                '(2, \'new\', \'{"embedder": "n", "search": {"language": "german"}}\', 0, 0, 1)'
            ),
            (
                "INSERT INTO generations VALUES (1, 1, 1, 'local', '{}', 'm@1', 4, 'live', 0), "
                "(2, 2, 1, 'local', '{}', 'n@1', 4, 'live', 7)"
            ),
        ):
            connection.exec_driver_sql(statement)
    upgrade(connection, "the database")
    with connection.begin():
        rows = connection.execute(text("SELECT embedder, search, unattended, report FROM generations ORDER BY id"))
        assert [tuple(row) for row in rows] == [("m", "{}", 0, None), ("n", '{"language":"german"}', 0, None)]


def test_a_migration_that_fails_leaves_nothing_behind(connection: Connection) -> None:
    with connection.begin():
        connection.execute(text("CREATE TABLE spans (not_ours INTEGER)"))  # the last table of the first revision
    with pytest.raises(Exception, match="already exists"):
        upgrade(connection, "the database")
    with connection.begin():
        names = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'")).scalars().all()
    assert names == ["spans"]


async def test_a_database_of_a_newer_version_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = await SqliteStore.open(path)
    await store._writer.run(lambda conn: conn.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    await store.close()
    with pytest.raises(StoreUnavailable, match=r"has schema 9999, .* knows schemas up to .* newer version"):
        await SqliteStore.open(path)


def test_a_start_with_nothing_to_migrate_does_not_import_alembic(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys; from pathlib import Path; from nearfield.store.sqlite import SqliteStore\n"
        "async def main(): await (await SqliteStore.open(Path(sys.argv[1]))).close()\n"
        "asyncio.run(main()); print('alembic' in sys.modules)"
    )
    ask = [sys.executable, "-c", script, str(tmp_path / "store.db")]
    answers = [
        subprocess.run(ask, capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)}).stdout
        for _ in range(2)
    ]
    assert answers == ["True\n", "False\n"]
