"""How large a filter may be, in either spelling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nearfield.domain.errors import InvalidFilter
from nearfield.domain.filters import And, ContainsAll, ContainsAny, In, Not, NotIn, Or

if TYPE_CHECKING:
    from nearfield.domain.filters import Filter

MAX_FILTER_NODES: Final = 500
MAX_FILTER_DEPTH: Final = 32
MAX_LIST_VALUES: Final = 10_000
MAX_STRING_LENGTH: Final = 8_192  # characters


def check_depth(where: Filter) -> int:
    """Count the nodes of a tree; raise InvalidFilter when it is deeper than MAX_FILTER_DEPTH (a leaf alone is 1).

    Not recursive: a tree of any depth may come in.
    """
    nodes, stack = 0, [(where, 1)]
    while stack:
        node, depth = stack.pop()
        if depth > MAX_FILTER_DEPTH:
            raise too_deep("filter")
        nodes += 1
        match node:
            case And(parts) | Or(parts):
                stack.extend((part, depth + 1) for part in parts)
            case Not(part):
                stack.append((part, depth + 1))
    return nodes


def check_size(where: Filter, max_nodes: int = MAX_FILTER_NODES) -> None:
    """Raise InvalidFilter, naming the limit, for a tree that is too deep or has too many nodes or list values."""
    nodes = check_depth(where)
    if nodes > max_nodes:
        raise too_many_nodes(max_nodes)
    stack = [where]
    while stack:
        match stack.pop():
            case And(parts) | Or(parts):
                stack.extend(parts)
            case Not(part):
                stack.append(part)
            case In(field, values) | NotIn(field, values) | ContainsAny(field, values) | ContainsAll(field, values):
                check_list_length(len(values), f"filter.{field}")


def check_list_length(length: int, path: str) -> None:
    """Raise InvalidFilter for a list of more than MAX_LIST_VALUES values."""
    if length > MAX_LIST_VALUES:
        raise InvalidFilter(f"the list holds {length} values; at most {MAX_LIST_VALUES} are allowed", field=path)


def check_string_length(text: str, path: str) -> None:
    """Raise InvalidFilter for a string of more than MAX_STRING_LENGTH characters."""
    if len(text) > MAX_STRING_LENGTH:
        raise InvalidFilter(
            f"the string has {len(text)} characters; at most {MAX_STRING_LENGTH} are allowed", field=path
        )


def too_deep(path: str) -> InvalidFilter:
    """The error for a filter nested deeper than MAX_FILTER_DEPTH."""
    return InvalidFilter(f"the filter is nested more than {MAX_FILTER_DEPTH} deep", field=path)


def too_many_nodes(max_nodes: int) -> InvalidFilter:
    """The error for a filter of more than `max_nodes` nodes."""
    return InvalidFilter(
        f"the filter has more than {max_nodes} conditions; use $in for many values of one field", field="filter"
    )
