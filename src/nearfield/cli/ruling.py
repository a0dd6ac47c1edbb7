"""`nearfield rules`: shown, put in place from a file, taken back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
from rich.text import Text

from nearfield.cli.session import existing_data, run
from nearfield.cli.terminal import printable, table
from nearfield.domain.errors import InvalidFile
from nearfield.domain.rules_json import rules_from_json, rules_to_json

if TYPE_CHECKING:
    from pathlib import Path

    from nearfield.cli.terminal import Terminal
    from nearfield.domain.rules import RulesVersion
    from nearfield.wiring import Backend


def show(name: str, version: int | None, data: Path | None, terminal: Terminal) -> None:
    """Print rules as JSON, in the form `put` reads. Raises CollectionNotFound, InvalidRequest."""

    async def work(backend: Backend) -> None:
        _tell(await backend.rules.read(name, version), terminal)

    run(existing_data(data), work)


def put(name: str, file: Path, data: Path | None, terminal: Terminal) -> None:
    """Put the rules of a file in place. Raises InvalidFile, InvalidRequest, DocumentNotFound."""
    try:
        given = orjson.loads(file.read_bytes())
    except OSError as exc:
        raise InvalidFile(f"{file}: {exc.strerror}", field="file") from exc
    except orjson.JSONDecodeError as exc:
        raise InvalidFile(f"{file} is no JSON: {exc}", field="file") from exc
    rules = rules_from_json(given)

    async def work(backend: Backend) -> None:
        _done(await backend.rules.write(name, rules), terminal)

    run(existing_data(data), work)


def history(name: str, data: Path | None, terminal: Terminal) -> None:
    """List the versions kept, latest first."""

    async def work(backend: Backend) -> None:
        versions = await backend.rules.history(name)
        if terminal.as_json:
            terminal.give({"versions": [_json(one) for one in versions]})
        elif not versions:
            terminal.say("no rules were ever written")
        else:
            counts = [(len(one.rules.synonyms), len(one.rules.pins), len(one.rules.hides)) for one in versions]
            rows = [
                (one.version, _moment(one), *numbers, one.restored_from or "")
                for one, numbers in zip(versions, counts, strict=True)
            ]
            columns = ("version", "written", "synonyms", "pins", "hides", "restored from")
            terminal.show(table(columns, rows, numbers=("version", "synonyms", "pins", "hides")))

    run(existing_data(data), work)


def restore(name: str, version: int, data: Path | None, terminal: Terminal) -> None:
    """Write an earlier version again, as a new one."""

    async def work(backend: Backend) -> None:
        _done(await backend.rules.restore(name, version), terminal)

    run(existing_data(data), work)


def _tell(found: RulesVersion, terminal: Terminal) -> None:
    if terminal.as_json:
        terminal.give(_json(found))
    else:
        text = orjson.dumps(rules_to_json(found.rules), option=orjson.OPT_INDENT_2).decode()
        terminal.show(Text("\n".join(printable(line) for line in text.splitlines())))


def _done(written: RulesVersion, terminal: Terminal) -> None:
    if terminal.as_json:
        terminal.give(_json(written))
    else:
        terminal.say(f"rules are at version {written.version}")


def _json(one: RulesVersion) -> dict[str, Any]:
    written_at = _moment(one) or None
    head = {"version": one.version, "written_at": written_at, "restored_from": one.restored_from}
    return head | rules_to_json(one.rules)


def _moment(one: RulesVersion) -> str:
    return datetime.fromtimestamp(one.written_us / 1e6, UTC).isoformat(timespec="seconds") if one.written_us else ""
