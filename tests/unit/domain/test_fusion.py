"""The fusion a request or a collection asks for."""

from __future__ import annotations

from typing import Any

import pytest

from nearfield.domain.errors import InvalidRequest, InvalidSchema
from nearfield.domain.fusion import DEFAULT_WEIGHT, Fusion, FusionMethod
from nearfield.domain.fusion_json import fusion_from_json, fusion_to_json


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({}, Fusion()),
        ("rrf", Fusion(FusionMethod.RRF)),
        ({"method": "auto", "weight": None}, Fusion()),
        ({"method": "dbsf", "weight": 1}, Fusion(FusionMethod.DBSF, 1.0)),
        ({"method": "sum", "weight": 0.25}, Fusion(FusionMethod.SUM, 0.25)),
    ],
)
def test_both_spellings(given: object, meant: Fusion) -> None:
    assert fusion_from_json(given) == meant
    assert fusion_from_json(fusion_to_json(meant)) == meant


@pytest.mark.parametrize(
    ("given", "told", "field"),
    [
        (3, "expected an object or a method's name", "fusion"),
        ({"method": "minmx"}, "unknown method 'minmx'; did you mean 'minmax'", "fusion.method"),
        ({"method": ["rrf"]}, "fusion.method: ", "fusion.method"),
        ({"method": "rrf", "wieght": 0.5}, "unknown key 'wieght'; did you mean 'weight'", "fusion.wieght"),
        ({3: "rrf"}, "expected strings", "fusion"),
        ({"method": "rrf", "weight": 1.5}, "fusion.weight is 1.5; expected 0 to 1", "fusion.weight"),
        ({"method": "rrf", "weight": float("nan")}, "expected 0 to 1", "fusion.weight"),
        ({"method": "rrf", "weight": True}, "expected a number", "fusion.weight"),
        ({"weight": 0.5}, "belongs to a method", "fusion.method"),
        ({"method": "auto", "weight": 0.5}, "auto chooses the weight", "fusion.weight"),
    ],
)
@pytest.mark.parametrize("error", [InvalidRequest, InvalidSchema])
def test_what_is_wrong_is_told(given: Any, told: str, field: str, error: type[InvalidRequest]) -> None:
    with pytest.raises(error, match=told) as caught:
        fusion_from_json(given, error)
    assert caught.value.field == field
    assert type(caught.value) is error


def test_each_method_has_a_share() -> None:
    assert set(DEFAULT_WEIGHT) == set(FusionMethod) - {FusionMethod.AUTO}
    assert Fusion(FusionMethod.RRF).share == 0.5
    assert Fusion(FusionMethod.RRF, 0.0).share == 0.0
    assert Fusion().share is None
    assert str(Fusion(FusionMethod.MINMAX, 0.25)) == "minmax 0.25"
