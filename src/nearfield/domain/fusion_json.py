"""A fusion as JSON: `{"method": "rrf", "weight": 0.7}`, or a method's name alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from nearfield.domain.errors import InvalidRequest, NearfieldError
from nearfield.domain.fusion import Fusion, FusionMethod
from nearfield.domain.spelling import unknown_name
from nearfield.domain.values import describe

_KEYS: Final = ("method", "weight")


def fusion_from_json(value: object, error: type[NearfieldError] = InvalidRequest) -> Fusion:
    """Read `{"method": "rrf", "weight": 0.7}`, or a method's name alone.

    error: the class to raise, since a collection's settings and a request are refused under different codes. The known
    names are told, and the field at fault.
    """
    given = {"method": value} if isinstance(value, str) else value
    if not isinstance(given, Mapping):
        raise error(f"fusion: expected an object or a method's name, got {describe(value)}", field="fusion")
    for key in given:
        if key not in _KEYS:
            told = unknown_name("key", key, _KEYS) if isinstance(key, str) else f"expected strings, got {describe(key)}"
            raise error(f"fusion: {told}", field=f"fusion.{key}" if isinstance(key, str) else "fusion")
    method, weight = given.get("method"), given.get("weight")
    if method is not None and method not in list(FusionMethod):
        told = unknown_name("method", method, FusionMethod) if isinstance(method, str) else describe(method)
        raise error(f"fusion.method: {told}", field="fusion.method")
    if weight is not None and (isinstance(weight, bool) or not isinstance(weight, int | float)):
        raise error(f"fusion.weight: expected a number, got {describe(weight)}", field="fusion.weight")
    if method is None and weight is not None:
        raise error("fusion.weight belongs to a method; name it in fusion.method", field="fusion.method")
    try:
        return Fusion(FusionMethod(method or FusionMethod.AUTO), None if weight is None else float(weight))
    except InvalidRequest as exc:
        raise error(str(exc), field=exc.field) from exc


def fusion_from_text(text: str) -> Fusion:
    """Read `rrf`, or `rrf:0.7` with a weight. Raises InvalidRequest."""
    method, colon, weight = text.partition(":")
    if not colon:
        return fusion_from_json(method)
    try:
        return fusion_from_json({"method": method, "weight": float(weight)})
    except ValueError as exc:
        raise InvalidRequest(
            f"fusion.weight: expected a number, got {describe(weight)}", field="fusion.weight"
        ) from exc


def fusion_to_json(fusion: Fusion) -> dict[str, Any]:
    """The inverse of `fusion_from_json`."""
    return {"method": fusion.method.value, "weight": fusion.weight}
