from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING

import orjson
import pytest

from nearfield.observe.logging import configure, request_id

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    logger = logging.getLogger("nearfield")
    level = logger.level
    yield
    logger.setLevel(level)
    root = logging.getLogger()
    for handler in [each for each in root.handlers if each.get_name() == "nearfield"]:
        root.removeHandler(handler)


def test_json_lines_carry_the_values_and_the_request() -> None:
    stream = io.StringIO()
    configure("info", "json", stream)
    token = request_id.set("r-1")
    logging.getLogger("nearfield.x").info("search", extra={"collection": "books", "ms": 3.25})
    request_id.reset(token)
    line = orjson.loads(stream.getvalue())
    assert line["time"].endswith("Z")
    del line["time"]
    assert line == {
        "level": "info",
        "logger": "nearfield.x",
        "message": "search",
        "request_id": "r-1",
        "collection": "books",
        "ms": 3.25,
    }


def test_a_value_named_like_a_field_of_ours_replaces_nothing() -> None:
    stream = io.StringIO()
    configure("info", "json", stream)
    logging.getLogger("nearfield.x").info("said", extra={"level": "high"})
    line = orjson.loads(stream.getvalue())
    assert (line["level"], line["extra.level"]) == ("info", "high")


@pytest.mark.parametrize("value", [{1, 2}, "\ud800", 2**80, float("nan"), b"x", object()])
def test_no_value_breaks_a_json_line(value: object) -> None:
    stream = io.StringIO()
    configure("info", "json", stream)
    logging.getLogger("nearfield.x").info("odd", extra={"value": value})
    assert orjson.loads(stream.getvalue())["message"].strip("'") == "odd"


def test_no_value_forges_a_text_line() -> None:
    stream = io.StringIO()
    configure("info", "text", stream)
    logging.getLogger("nearfield.x").info("get %s", "a\nb", extra={"path": "/x\r\n2030 info forged: y\x1b[0m\ud800"})
    shown = stream.getvalue()
    assert shown.count("\n") == 1
    assert r"get a\nb path=/x\r\n2030 info forged: y\x1b[0m\ud800" in shown


def test_an_error_shows_its_traceback_in_both_forms() -> None:
    for form in ("text", "json"):
        stream = io.StringIO()
        configure("info", form, stream)
        try:
            raise ValueError("inside")
        except ValueError:
            logging.getLogger("nearfield.x").exception("failed")
        assert "ValueError: inside" in stream.getvalue()


def test_configuring_again_replaces_what_was() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure("info", "text", first)
    configure("warning", "text", second)
    logging.getLogger("nearfield.x").info("quiet")
    logging.getLogger("nearfield.x").warning("loud")
    assert not first.getvalue()
    assert "loud" in second.getvalue()
    assert "quiet" not in second.getvalue()
