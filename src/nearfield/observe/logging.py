"""Log lines: one event each, as text for people or JSON for machines, with the id of the request they belong to.

Values travel in `extra`, never inside the message: `log.info("search", extra={"collection": name, "ms": 3.2})`.
"""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import IO, Any, Final, Literal

import orjson

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request being served; set by the HTTP layer, read by every log line."""

# What a bare LogRecord holds; whatever else is on one came in through `extra`.
_OWN: Final = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {
    "message",
    "asctime",
    "color_message",
}


def configure(level: str, form: Literal["text", "json"], stream: IO[str] | None = None) -> None:
    """Send the log of `nearfield`, and warnings and errors of all other packages, to `stream` (standard error).

    level: debug, info, warning or error. Calling it again replaces what an earlier call set up.
    """
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    handler.set_name("nearfield")
    root = logging.getLogger()
    for old in [each for each in root.handlers if each.get_name() == "nearfield"]:
        root.removeHandler(old)
    root.addHandler(handler)
    logging.getLogger("nearfield").setLevel(level.upper())


class JsonLines(logging.Formatter):
    """One JSON object a line: time (RFC 3339, UTC), level, logger, message, request_id, then the values of `extra`.

    A value JSON cannot hold is written as its `repr`; a value named like a field of ours is written as `extra.<name>`.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (of := request_id.get()) is not None:
            line["request_id"] = of
        for name, value in _extra(record).items():
            line[f"extra.{name}" if name in line else name] = value
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return _dumps(line)


class TextLines(logging.Formatter):
    """`2030-01-31T12:00:00.000Z info nearfield.api: message key=value request_id=…`, then the traceback if any.

    Line breaks and control characters inside values are escaped, so that no value can forge a line.
    """

    def format(self, record: logging.LogRecord) -> str:
        parts = [f"{_time(record)} {record.levelname.lower()} {record.name}: {_one_line(record.getMessage())}"]
        parts += [f"{name}={_one_line(_shown(value))}" for name, value in _extra(record).items()]
        if (of := request_id.get()) is not None:
            parts.append(f"request_id={of}")
        line = " ".join(parts)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in record.__dict__.items() if name not in _OWN}


def _dumps(line: dict[str, Any]) -> str:
    try:
        return orjson.dumps(line, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()
    except orjson.JSONEncodeError:  # a lone surrogate, or an integer beyond 64 bits
        return orjson.dumps({name: _one_line(repr(value)) for name, value in line.items()}).decode()


def _shown(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _one_line(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)
