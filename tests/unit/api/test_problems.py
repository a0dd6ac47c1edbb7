from __future__ import annotations

import inspect
import logging

import orjson
import pytest
from starlette.exceptions import HTTPException

import nearfield.api.problems as api_problems
from nearfield.api.problems import STATUS, MethodNotAllowed, RouteNotFound, problem, translated
from nearfield.domain import errors
from nearfield.domain.errors import (
    CallerError,
    EngineUnavailable,
    IndexLagging,
    InvalidFilter,
    NearfieldError,
    Unauthorized,
)


def classes() -> list[type[NearfieldError]]:
    """Every error class the domain and the API declare."""
    return [
        each
        for module in (errors, api_problems)
        for _, each in inspect.getmembers(module, inspect.isclass)
        if issubclass(each, NearfieldError) and each.__module__ == module.__name__
    ]


@pytest.mark.parametrize("error", classes(), ids=lambda error: error.__name__)
def test_every_error_has_exactly_one_status(error: type[NearfieldError]) -> None:
    assert error in STATUS


def test_no_line_of_the_table_is_for_a_class_that_is_gone() -> None:
    assert set(STATUS) == set(classes())


def test_every_code_means_one_class() -> None:
    named = [each for each in classes() if each not in (NearfieldError, CallerError)]
    assert len({each.code for each in named}) == len(named)


@pytest.mark.parametrize("error", classes(), ids=lambda error: error.__name__)
def test_the_callers_faults_are_4xx_and_ours_are_5xx(error: type[NearfieldError]) -> None:
    ours = not issubclass(error, CallerError) or error is errors.DataDirInUse
    assert (STATUS[error].status >= 500) is ours


@pytest.mark.parametrize("error", classes(), ids=lambda error: error.__name__)
def test_retry_after_is_sent_where_a_retry_can_help(error: type[NearfieldError]) -> None:
    response = problem(error("x"))
    assert ("retry-after" in response.headers) is error.retryable


def test_a_problem_has_the_form_of_rfc_9457() -> None:
    response = problem(InvalidFilter("unknown field 'colour'", field="filter.colour"))
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert orjson.loads(response.body) == {
        "type": "urn:nearfield:error:invalid_filter",
        "title": "invalid filter",
        "status": 422,
        "code": "invalid_filter",
        "detail": "unknown field 'colour'",
        "field": "filter.colour",
        "request_id": None,
    }


@pytest.mark.parametrize(
    "secret",
    [ValueError("password hunter2"), NearfieldError("password hunter2"), EngineUnavailable("password hunter2")],
)
def test_the_text_of_our_own_failures_goes_to_the_log_alone(
    secret: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "nearfield.api"):
        response = problem(secret)
    assert response.status_code >= 500
    assert b"hunter2" not in response.body
    assert "hunter2" in caplog.text


def test_what_the_caller_can_act_on_is_told() -> None:
    body = orjson.loads(problem(IndexLagging("seq 9 was not applied within 30 s")).body)
    assert body["detail"] == "seq 9 was not applied within 30 s"


def test_a_message_that_json_cannot_hold_is_answered_all_the_same() -> None:
    body = orjson.loads(problem(InvalidFilter("unknown field '\ud800'")).body)
    assert body["code"] == "invalid_filter"


def test_more_members_may_be_added() -> None:
    assert orjson.loads(problem(InvalidFilter("x"), rejected=[{"line": 1}]).body)["rejected"] == [{"line": 1}]


def test_a_401_says_how_to_come_back() -> None:
    assert problem(Unauthorized("no key")).headers["www-authenticate"] == "Bearer"


def test_the_frameworks_errors_become_ours() -> None:
    assert isinstance(translated(HTTPException(404)), RouteNotFound)
    assert isinstance(translated(HTTPException(405)), MethodNotAllowed)
    assert isinstance(translated(HTTPException(400, "Odd")), errors.InvalidRequest)
    assert translated(KeyError("x")) is None
