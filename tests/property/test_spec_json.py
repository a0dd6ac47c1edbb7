"""A collection's settings survive JSON."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nearfield.domain.errors import InvalidSchema
from nearfield.domain.fusion import DEFAULT_WEIGHT, Fusion
from nearfield.domain.languages import LANGUAGES
from nearfield.domain.schema import (
    CollectionSpec,
    FieldType,
    IndexKind,
    IndexSettings,
    Metric,
    Quantization,
    SearchSettings,
)
from nearfield.domain.spec_json import spec_from_json, spec_to_json
from nearfield.domain.templates import Template

indexes = st.builds(
    IndexSettings,
    kind=st.sampled_from(IndexKind),
    metric=st.sampled_from(Metric),
    m=st.integers(4, 128),
    ef_construction=st.integers(16, 2000),
    ef_search=st.integers(16, 4096),
    lists=st.integers(0, 65_536),
    probes=st.integers(0, 65_536),
    quantization=st.sampled_from(Quantization),
)
searches = st.builds(
    SearchSettings,
    weights=st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,62}", fullmatch=True), st.integers(1, 10)),
    language=st.sampled_from(sorted(LANGUAGES)),
)
specs = st.builds(
    CollectionSpec,
    name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", fullmatch=True),
    embed=st.text(st.characters(exclude_characters="{}")).map(lambda text: Template(f"{{a}}{text}{{b}}")),
    fields=st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,62}", fullmatch=True), st.sampled_from(FieldType)),
    embedder=st.text(min_size=1),
    engine=st.text(min_size=1),
    index=indexes,
    search=searches,
    fusion=st.just(Fusion()) | st.builds(Fusion, st.sampled_from(list(DEFAULT_WEIGHT)), st.none() | st.floats(0, 1)),
)


@given(specs)
def test_json_gives_the_same_settings_back(spec: CollectionSpec) -> None:
    body = spec_to_json(spec)
    assert spec_from_json(spec.name, body) == spec
    assert spec_from_json(spec.name, json.loads(json.dumps(body))) == spec


@given(specs, st.sampled_from(["embed", "fields", "embedder", "engine", "index", "fusion"]))
def test_a_setting_left_out_takes_its_default(spec: CollectionSpec, left_out: str) -> None:
    body = spec_to_json(spec)
    del body[left_out]
    if left_out == "embed":
        return
    default = CollectionSpec("c", spec.embed)
    expected = dataclasses.replace(spec, **{left_out: getattr(default, left_out)})
    assert spec_from_json(spec.name, body) == expected
    assert spec_from_json(spec.name, {**body, left_out: None}) == expected


odd = st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.lists(st.none(), max_size=1)
keys = st.sampled_from(["embed", "fields", "engine", "index", "kind", "m", "metric", "x"])


@given(st.dictionaries(keys, odd | st.dictionaries(keys, odd, max_size=3), max_size=4))
def test_any_body_is_read_or_refused(body: dict[str, Any]) -> None:
    try:
        spec_from_json("c", body)
    except InvalidSchema as refused:
        assert refused.field
