"""The two things a text can be."""

from __future__ import annotations

from typing import Final, get_args

from nearfield.domain.errors import InvalidRequest
from nearfield.protocols.embedder import Role

ROLES: Final[tuple[Role, ...]] = get_args(Role)


def checked_role(role: object) -> Role:
    """The role, or InvalidRequest for anything else: a typing error should not decide what a text means."""
    if role not in ROLES:
        raise InvalidRequest(f"role is {role!r}; expected {' or '.join(ROLES)}", field="role")
    return role
