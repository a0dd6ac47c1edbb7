from __future__ import annotations

from pathlib import Path

import orjson
from docs.http_pages import errors_page, openapi_file

from nearfield.api.problems import STATUS

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"


def test_the_committed_description_is_as_generated() -> None:
    assert (REFERENCE / "openapi.json").read_text("utf-8") == openapi_file(), "run `make docs`"


def test_the_committed_table_of_errors_is_as_generated() -> None:
    assert (REFERENCE / "errors.md").read_text("utf-8").endswith(errors_page()), "run `make docs`"


def test_every_operation_is_told() -> None:
    told = orjson.loads(openapi_file())
    ids = set()
    for path, methods in told["paths"].items():
        for method, operation in methods.items():
            assert operation["description"], f"{method} {path} has no docstring"
            assert operation["responses"]["default"]["content"].keys() == {"application/problem+json"}
            assert "422" not in operation["responses"]
            assert ("security" in operation) is path.startswith(("/v1", "/metrics"))
            ids.add(operation["operationId"])
    assert len(ids) == sum(len(methods) for methods in told["paths"].values())


def test_every_reference_leads_somewhere() -> None:
    raw = openapi_file()
    schemas = orjson.loads(raw)["components"]["schemas"]
    for piece in raw.split('"$ref": "#/components/schemas/')[1:]:
        assert piece.partition('"')[0] in schemas


def test_every_endpoint_and_code_is_in_the_pages() -> None:
    page = (REFERENCE / "http.md").read_text("utf-8")
    for path in orjson.loads(openapi_file())["paths"]:
        assert path.replace("{name}", "{c}") in page, f"{path} is missing in http.md"
    errors = errors_page()
    for error in STATUS:
        assert f"`{error.code}`" in errors
