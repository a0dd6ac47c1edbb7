"""Orders other than by relevance, and hits of one kind put together: `sort` and `group_by`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from nearfield.domain.errors import InvalidRequest
from nearfield.domain.schema import FieldType
from nearfield.domain.spelling import unknown_name
from nearfield.domain.values import describe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SCORE: Final = "_score"
MAX_SORT_KEYS: Final = 8
MAX_MEMBERS: Final = 100


@dataclass(frozen=True, slots=True)
class SortKey:
    """field: a declared one, or `_score`. descending: largest first. Documents without the field come last either way.

    Numbers and instants by value, text by code point, false before true; of a list its smallest value counts, and its
    largest when descending.
    """

    field: str
    descending: bool = False


@dataclass(frozen=True, slots=True)
class GroupBy:
    """Show the best hit of each value of a field, and beside it up to `limit` others of the group, 0 to MAX_MEMBERS.

    A document without the field is a group of its own.
    """

    field: str
    limit: int = 3


def read_sort(spelled: str | Sequence[str] | None) -> tuple[SortKey, ...]:
    """`["price", "-added"]`: ascending, and descending with a minus. Raises InvalidRequest."""
    if spelled is None:
        return ()
    names = [spelled] if isinstance(spelled, str) else list(spelled)
    if len(names) > MAX_SORT_KEYS:
        raise InvalidRequest(f"sort has {len(names)} fields; at most {MAX_SORT_KEYS} are used", field="sort")
    keys = []
    for i, name in enumerate(names):
        if not isinstance(name, str) or not name.removeprefix("-"):
            raise InvalidRequest(f'expected a field as "price" or "-price", got {describe(name)}', field=f"sort[{i}]")
        keys.append(SortKey(name.removeprefix("-"), name.startswith("-")))
    return tuple(keys)


def read_group_by(spelled: str | Mapping[str, Any] | None) -> GroupBy | None:
    """`"sku"`, or `{"field": "sku", "limit": 3}`. Raises InvalidRequest."""
    if spelled is None:
        return None
    given = {"field": spelled} if isinstance(spelled, str) else dict(spelled)
    for name in given:
        if name not in ("field", "limit"):
            raise InvalidRequest(unknown_name("key", str(name), ("field", "limit")), field=f"group_by.{name}")
    field, limit = given.get("field"), given.get("limit", 3)
    if not isinstance(field, str):
        raise InvalidRequest(f"expected the name of a field, got {describe(field)}", field="group_by.field")
    if isinstance(limit, bool) or not isinstance(limit, int) or not 0 <= limit <= MAX_MEMBERS:
        raise InvalidRequest(f"limit is {limit!r}; expected 0 to {MAX_MEMBERS}", field="group_by.limit")
    return GroupBy(field, limit)


def check_sort(keys: Sequence[SortKey], fields: Mapping[str, FieldType]) -> None:
    """Raise InvalidRequest for a field that is not declared, or has no order."""
    for i, key in enumerate(keys):
        if key.field == SCORE:
            continue
        if key.field not in fields:
            raise InvalidRequest(unknown_name("field", key.field, (*fields, SCORE)), field=f"sort[{i}]")
        if fields[key.field].element is FieldType.GEO:
            raise InvalidRequest(f"field {key.field!r} is {fields[key.field]}, which has no order", field=f"sort[{i}]")


def check_group_by(group: GroupBy, fields: Mapping[str, FieldType]) -> None:
    """Raise InvalidRequest for a field that is not declared, or may have several values."""
    if group.field not in fields:
        raise InvalidRequest(unknown_name("field", group.field, fields), field="group_by.field")
    kind = fields[group.field]
    if kind.is_list or kind is FieldType.GEO:
        raise InvalidRequest(
            f"field {group.field!r} is {kind}; hits are grouped by a field of one value, not a place",
            field="group_by.field",
        )
