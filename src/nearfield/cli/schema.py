"""What the flags of `import` wish a collection to be, against what its rows look like or what it is already."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nearfield.cli.terminal import cell, table
from nearfield.domain.errors import CollectionConflict, InvalidFile, InvalidSchema
from nearfield.domain.inference import MAX_ROWS, infer_fields, infer_template
from nearfield.domain.spec_json import field_type, spec_from_json
from nearfield.protocols.source import SourceRow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nearfield.cli.terminal import Terminal
    from nearfield.domain.schema import CollectionSpec, FieldType
    from nearfield.sources.ahead import Ahead


@dataclass(frozen=True, slots=True)
class Wish:
    """A collection as the flags describe it; None and empty: not said."""

    name: str
    embed: str | None = None
    fields: Mapping[str, FieldType] = field(default_factory=dict)
    engine: str | None = None
    embedder: str | None = None
    index: Mapping[str, Any] = field(default_factory=dict)


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


def readable(sources: Sequence[Ahead]) -> list[SourceRow]:
    """The first rows that can be read, of one file: the first that has any. Empty when none has. Blocks.

    Raises InvalidFile for a file that cannot be read, before anything is stored of any other.
    """
    first = [[row for row in source.first(MAX_ROWS) if isinstance(row, SourceRow)] for source in sources]
    return next((rows for rows in first if rows), [])


def inferred_spec(
    wish: Wish, rows: Sequence[SourceRow], *, id_field: str | None, defaults: Mapping[str, Any]
) -> CollectionSpec:
    """A collection from the flags, and from the rows where the flags are silent.

    Raises InvalidFile when there is no row to infer from, InvalidSchema.
    """
    bodies, textual = [row.body for row in rows], any(row.textual for row in rows)
    if not rows:
        raise InvalidFile("no row could be read, so no collection was made; the files hold no rows, or none is valid")
    fields = {**infer_fields(bodies, textual, id_field=id_field), **wish.fields}
    embed = wish.embed or infer_template(fields, bodies, id_field=id_field)
    said = {"engine": wish.engine, "embedder": wish.embedder, "index": dict(wish.index) or None}
    given = {**defaults, **{key: value for key, value in said.items() if value is not None}}
    return _with_columns(spec_from_json(wish.name, {**given, "embed": embed, "fields": fields}), bodies)


def _with_columns(spec: CollectionSpec, bodies: Sequence[Mapping[str, Any]]) -> CollectionSpec:
    """The spec itself, once every name in it was seen in the rows. Raises InvalidSchema."""
    seen = dict.fromkeys(name for body in bodies for name in body)
    for name in spec.embed.fields:
        if name not in seen:
            raise InvalidSchema(
                f"embed template {spec.embed.source!r} names {name!r}, which no row has; rows have {', '.join(seen)}",
                field="embed",
            )
    return spec


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
