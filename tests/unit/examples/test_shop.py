from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

APP = Path(__file__).parents[3] / "examples" / "shop" / "app.py"
EARBUDS = {
    "name": "Wireless Earbuds",
    "description": "Noise-cancelling Bluetooth headphones",
    "price": 50,
    "category": "Electronics",
}
PAN = {"name": "Frying Pan", "description": "Cast iron, for eggs and steaks", "price": 30, "category": "Kitchen"}
AMPLIFIER = {
    "name": "Valve Amplifier",
    "description": "Warm sound for headphones",
    "price": 900,
    "category": "Electronics",
}


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("examples_shop_app", APP)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("SHOP_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("NEARFIELD_ENVIRONMENT", "test")
    monkeypatch.setenv("NEARFIELD_EMBEDDER", "hashing")
    with TestClient(load().app) as client:
        yield client


def test_it_is_at_most_sixty_lines() -> None:
    assert len(APP.read_text("utf-8").splitlines()) <= 60


def test_products_go_in_and_are_found(shop: TestClient) -> None:
    for product in (EARBUDS, PAN, AMPLIFIER):
        told = shop.post("/products/", json=product)
        assert told.status_code == 200
        assert told.json().keys() == {"id", "message"}
    found = shop.post("/search/", json={"query": "bluetooth headphones", "top_k": 2}).json()["results"]
    assert [each["product"] for each in found] == ["Wireless Earbuds", "Valve Amplifier"]
    assert found[0].keys() == {"product", "description", "price", "similarity_score"}
    assert found[0]["price"] == 50
    assert 1 >= found[0]["similarity_score"] >= found[1]["similarity_score"] >= 0


def test_a_price_range_keeps_the_others_out(shop: TestClient) -> None:
    for product in (EARBUDS, PAN, AMPLIFIER):
        shop.post("/products/", json=product)
    found = shop.post("/search/", json={"query": "headphones", "max_price": 100}).json()["results"]
    assert {each["product"] for each in found} == {"Wireless Earbuds", "Frying Pan"}
    found = shop.post("/search/", json={"query": "headphones", "min_price": 40, "max_price": 100}).json()["results"]
    assert [each["product"] for each in found] == ["Wireless Earbuds"]


def test_nothing_found_is_a_404_that_says_so(shop: TestClient) -> None:
    assert shop.post("/search/", json={"query": "headphones"}).status_code == 404
    shop.post("/products/", json=EARBUDS)
    told = shop.post("/search/", json={"query": "headphones", "max_price": 5})
    assert told.status_code == 404
    assert told.json()["detail"] == "no product matches 'headphones' in this price range"


def test_what_makes_no_sense_is_refused(shop: TestClient) -> None:
    assert shop.post("/products/", json={"name": "Nothing"}).status_code == 422
    assert shop.post("/products/", json=EARBUDS | {"price": -1}).status_code == 422
    assert shop.post("/search/", json={"query": "headphones", "top_k": 0}).status_code == 422
