"""What the flags of `import` wish a collection to be, against what its rows look like or what it is already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nearfield.cli.terminal import cell, table
from nearfield.domain.errors import CollectionConflict, InvalidSchema
from nearfield.domain.spec_json import field_type

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearfield.cli.terminal import Terminal
    from nearfield.domain.schema import CollectionSpec, FieldType
    from nearfield.indexing.arrivals import Wish
    from nearfield.protocols.source import SourceRow


def parse_fields(given: Sequence[str]) -> dict[str, FieldType]:
    """`["price=float", "tags=keyword[]"]`. Raises InvalidSchema."""
    fields = {}
    for text in given:
        name, equals, kind = text.partition("=")
        if not equals or not name:
            raise InvalidSchema(f"--field {text}: expected name=type, for example price=float", field="fields")
        if name in fields:
            raise InvalidSchema(f"--field {name} is given twice", field="fields")
        fields[name] = field_type(kind)
    return fields


def parse_index(given: str | None) -> dict[str, Any]:
    """`"kind=hnsw,m=32"`; whole numbers become numbers, what they mean is checked with the collection.

    Raises InvalidSchema.
    """
    index: dict[str, Any] = {}
    for text in (given or "").split(","):
        if not text.strip():
            continue
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not key or not value:
            raise InvalidSchema(f"--index {text}: expected key=value, for example kind=hnsw,m=32", field="index")
        index[key] = int(value) if value.isascii() and value.isdigit() else value
    return index


def agree(wish: Wish, spec: CollectionSpec) -> None:
    """Raise CollectionConflict unless every flag given says what the collection is already."""
    index = {key: str(getattr(spec.index, key, "unknown")) for key in wish.index}
    pairs = [
        ("--embed", wish.embed, spec.embed.source),
        ("--engine", wish.engine, spec.engine),
        ("--embedder", wish.embedder, spec.embedder),
        *((f"--index {key}", str(value), index[key]) for key, value in wish.index.items()),
        *((f"--field {name}", str(kind), str(spec.fields.get(name, "none"))) for name, kind in wish.fields.items()),
    ]
    for flag, given, has in pairs:
        if given is not None and given != has:
            raise CollectionConflict(
                f"collection {spec.name} exists with another {flag}: {has!r}, not {given!r}; "
                "leave the flag out, or import into a collection of another name",
                field=flag.split()[0].removeprefix("--"),
            )


def describe_spec(spec: CollectionSpec, rows: Sequence[SourceRow], *, id_field: str | None, terminal: Terminal) -> None:
    """Show a collection just made: a table on standard error."""

    def example(name: str) -> str:
        return next((cell(row.body[name]) for row in rows if row.body.get(name) not in (None, "")), "")[:60]

    terminal.say(f"new collection {spec.name}, as its first {len(rows):,} rows suggest:")
    terminal.err.print(
        table(("field", "type", "example"), [(name, kind, example(name)) for name, kind in spec.fields.items()])
    )
    terminal.say(
        f'embed "{spec.embed.source}" with {spec.embedder}, engine {spec.engine}, id {id_field or "by content"}'
    )
    terminal.say("to have it otherwise: nearfield delete it, then import with --embed, --field name=type")
