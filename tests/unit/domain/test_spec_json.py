from __future__ import annotations

import dataclasses
from datetime import date, datetime
from typing import Any

import pytest

from nearfield.domain.errors import InvalidSchema
from nearfield.domain.fusion import Fusion, FusionMethod
from nearfield.domain.schema import CollectionSpec, FieldType, IndexKind, IndexSettings, Metric, Quantization
from nearfield.domain.spec_json import changed_spec, field_type, spec_from_json, spec_to_json
from nearfield.domain.templates import Template

BODY = {
    "embed": "{name}: {description}",
    "fields": {"price": "float", "brand": "keyword", "tags": "keyword[]"},
    "embedder": "potion-base-8M",
    "engine": "exact",
    "index": {"kind": "ivf", "metric": "dot", "m": 32, "lists": 8, "quantization": "int8"},
    "fusion": {"method": "rrf", "weight": 0.25},
}


def test_a_full_body() -> None:
    assert spec_from_json("products", BODY) == CollectionSpec(
        "products",
        Template("{name}: {description}"),
        {"price": FieldType.FLOAT, "brand": FieldType.KEYWORD, "tags": FieldType.KEYWORDS},
        "potion-base-8M",
        "exact",
        IndexSettings(IndexKind.IVF, Metric.DOT, m=32, lists=8, quantization=Quantization.INT8),
        Fusion(FusionMethod.RRF, 0.25),
    )


def test_what_is_left_out_or_null_takes_the_default() -> None:
    short = CollectionSpec("c", Template("{a}"))
    nulls = dict.fromkeys(("fields", "embedder", "engine", "index", "fusion", "search"))
    assert spec_from_json("c", {"embed": "{a}"}) == spec_from_json("c", {"embed": "{a}", **nulls}) == short


def test_every_setting_is_written_out_as_plain_json() -> None:
    body = spec_to_json(CollectionSpec("c", Template("{a}"), {"n": FieldType.INTS}))
    assert body == {
        "embed": "{a}",
        "fields": {"n": "int[]"},
        "embedder": "all-MiniLM-L6-v2",
        "engine": "local",
        "index": {
            "kind": "hnsw",
            "metric": "cosine",
            "m": 16,
            "ef_construction": 128,
            "ef_search": 200,
            "lists": 0,
            "probes": 0,
            "quantization": "none",
        },
        "fusion": {"method": "auto", "weight": None},
        "search": {"weights": {}, "language": "english"},
        "events": False,
        "degraded": None,
    }
    assert {type(value) for value in (*body["index"].values(), *body["fields"].values())} == {str, int}


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"embed": None}, "embed", "embed is missing"),
        ({"embed": ""}, "embed", "embed: expected a string"),
        ({"search": {"weight": {}}}, "search.weight", "did you mean 'weights'"),
        ({"search": {"weights": {"title": 0}}}, "search.weights.title", "expected 1 to 10"),
        ({"search": {"weights": {"title": 1.5}}}, "search.weights.title", "expected a whole number"),
        ({"search": {"weights": {"a b": 2}}}, "search.weights.a b", "no field name"),
        ({"search": {"language": "german "}}, "search.language", "did you mean 'german'"),
        ({"embed": "{"}, "embed", "lone '{'"),
        ({"embed": ["{a}"]}, "embed", "embed: expected a string, got a list"),
        ({"feilds": {}}, "feilds", "unknown key 'feilds'; did you mean 'fields'? known: embed, fields"),
        ({"fields": []}, "fields", "fields: expected an object, got a list"),
        ({"fields": {"a": "string"}}, "fields.a", "did you mean 'keyword'?"),
        ({"fields": {"a": "Boolean[]"}}, "fields.a", "did you mean 'bool[]'?"),
        ({"fields": {"a": "keywrod"}}, "fields.a", "did you mean 'keyword'?"),
        ({"fields": {"a": None}}, "fields.a", "expected a field type"),
        ({"fields": {"a": dict}}, "fields.a", "got <class 'dict'>"),
        ({"fields": {"a b": "int"}}, "fields.a b", "field name 'a b'"),
        ({"embedder": 5}, "embedder", "embedder: expected a string, got the number 5"),
        ({"index": "hnsw"}, "index", 'index: expected an object, got the string "hnsw"'),
        ({"index": {"efSearch": 5}}, "index.efSearch", "did you mean 'ef_search'?"),
        ({"index": {"kind": "hnws"}}, "index.kind", "expected one of flat, hnsw, ivf, diskann"),
        ({"index": {"metric": 5}}, "index.metric", "expected one of cosine, dot, euclidean, got the number 5"),
        ({"index": {"m": "16"}}, "index.m", 'index.m: expected a whole number, got the string "16"'),
        ({"index": {"m": True}}, "index.m", "expected a whole number, got true"),
        ({"index": {"m": 16.0}}, "index.m", "expected a whole number"),
        ({"index": {"m": 2}}, "index.m", "index.m is 2; expected 4 to 128"),
    ],
)
def test_refusals_name_the_setting(change: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(InvalidSchema) as caught:
        spec_from_json("c", {**BODY, **change})
    assert message in str(caught.value)
    assert caught.value.field == field


@pytest.mark.parametrize("body", [None, [], "x"])
def test_what_is_no_object_is_refused(body: object) -> None:
    with pytest.raises(InvalidSchema, match="expected an object"):
        spec_from_json("c", body)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (str, FieldType.KEYWORD),
        (int, FieldType.INT),
        (float, FieldType.FLOAT),
        (bool, FieldType.BOOL),
        (datetime, FieldType.DATETIME),
        (date, FieldType.DATETIME),
        (list[str], FieldType.KEYWORDS),
        (list[datetime], FieldType.DATETIMES),
        ("geo[]", FieldType.GEOS),
        (FieldType.TEXT, FieldType.TEXT),
    ],
)
def test_field_types(value: object, kind: FieldType) -> None:
    assert field_type(value) is kind


@pytest.mark.parametrize("value", [list, dict[str, int], list[list[str]], set[str], "Text", 5, None])
def test_no_field_types(value: object) -> None:
    with pytest.raises(InvalidSchema, match="field type"):
        field_type(value)


def test_what_can_be_changed_is_replaced_and_the_rest_stays() -> None:
    made = spec_from_json("products", BODY)
    changed = changed_spec(made, {"fusion": "minmax"})
    assert changed == dataclasses.replace(made, fusion=Fusion(FusionMethod.MINMAX))
    assert changed_spec(changed, {}) == changed
    assert changed_spec(made, {"fusion": None}).fusion == Fusion()


@pytest.mark.parametrize(
    ("changes", "told", "field"),
    [
        (
            {"embedder": "hashing"},
            "embedder is fixed when a collection is made; what can be changed is fusion",
            "embedder",
        ),
        ({"fusoin": "rrf"}, "unknown key 'fusoin'; did you mean 'fusion'", "fusoin"),
        ({"fusion": "rff"}, "unknown method 'rff'; did you mean 'rrf'", "fusion.method"),
        ([], "expected an object", None),
    ],
)
def test_what_cannot_be_changed_is_told(changes: object, told: str, field: str | None) -> None:
    with pytest.raises(InvalidSchema, match=told) as caught:
        changed_spec(spec_from_json("products", BODY), changes)
    assert caught.value.field == field
