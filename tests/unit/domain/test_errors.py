from __future__ import annotations

import pytest

from nearfield.domain import errors
from nearfield.domain.errors import CallerError, NearfieldError


def tree(root: type[NearfieldError]) -> list[type[NearfieldError]]:
    return [root, *(found for child in root.__subclasses__() for found in tree(child))]


OURS = [error for error in tree(NearfieldError) if error.__module__ == errors.__name__]


def test_codes_are_unique_but_for_the_roots() -> None:
    codes = [error.code for error in OURS if error not in (NearfieldError, CallerError)]
    assert len(codes) == len(set(codes)) > 20


@pytest.mark.parametrize("error", OURS)
def test_an_error_says_what_it_is(error: type[NearfieldError]) -> None:
    assert error.__doc__
    assert error.code == error.code.lower().replace(" ", "_")
    assert not (issubclass(error, CallerError) and error.retryable), "the caller must change the request"
    raised = error("what was given", field="filter.price")
    assert (str(raised), raised.field) == ("what was given", "filter.price")
    assert error("x").field is None
