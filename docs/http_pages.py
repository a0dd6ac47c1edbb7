"""The generated pages of the HTTP API: its description, and the table of errors."""

from __future__ import annotations

import inspect

from nearfield.api.app import create_app
from nearfield.api.description import openapi_json
from nearfield.api.problems import STATUS
from nearfield.domain.errors import CallerError, NearfieldError
from nearfield.settings import Settings


def openapi_file() -> str:
    """docs/reference/openapi.json: what GET /openapi.json answers, whatever the settings."""
    return openapi_json(create_app(Settings.model_construct())).decode()


def errors_page() -> str:
    """Every code, its status, and what it means."""
    lines = ["| code | status | retry | class | meaning |", "| --- | --- | --- | --- | --- |"]
    for error, kind in sorted(STATUS.items(), key=lambda each: (each[1].status, each[0].code, each[0].__name__)):
        if error is CallerError:  # only its subclasses are raised
            continue
        meaning = " ".join((inspect.getdoc(error) or "").split())
        if error is NearfieldError:
            meaning = "A defect of ours. The log has it under the answer's `request_id`."
        retry = f"after {kind.retry_after_s} s" if error.retryable else "no"
        lines.append(f"| `{error.code}` | {kind.status.value} | {retry} | `{error.__name__}` | {meaning} |")
    return _ABOUT + "\n".join(lines) + "\n"


_ABOUT = """\
# Errors

One tree of errors, in the library as exceptions (`nearfield.domain.errors`), over HTTP as `application/problem+json`
([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)), on the command line as a message and exit code 1. `code` is stable
for ever: match on it, never on the text.

```json
{
  "type": "urn:nearfield:error:invalid_filter",
  "title": "invalid filter",
  "status": 422,
  "code": "invalid_filter",
  "detail": "unknown field 'colour'; known fields are brand, price",
  "field": "filter.colour",
  "request_id": "3f0c6d1e9b7a4c52a8f04d6b1c2e7f90"
}
```

`field` names the part of the request at fault, or is null. Where a retry can help, the answer has `Retry-After`. For a
failure that is not the caller's, `detail` is the title: the text is in the log, under the same `request_id`.

"""
