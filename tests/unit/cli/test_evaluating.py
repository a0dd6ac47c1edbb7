from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Run

FILES = ("--queries", "q.jsonl", "--qrels", "qrels.tsv")


@pytest.fixture
def judged(own_folder: Path) -> None:
    queries = '{"id": "a", "text": "desk lamp"}\n{"id": "b", "text": "kettle"}\n{"id": "c", "text": "x"}\n'
    (own_folder / "q.jsonl").write_text(queries)
    (own_folder / "qrels.tsv").write_text("a\t2\t1\nb\t4\t2\nb\tgone\t1\nc\t1\t0\nd\t1\t1\nb\t1\tmuch\n")


@pytest.mark.usefixtures("judged")
def test_the_ranking_is_measured(shop: Run) -> None:
    ran = shop("eval", "shop", *FILES, "--json")
    assert ran.code == 0, ran.err
    assert ran.json["queries"] == 2
    assert ran.json["means"]["recall@100"] == 0.75
    assert ran.json["left_out"]["without_relevant_ids"] == ["c"]
    assert ran.json["left_out"]["without_text_ids"] == ["d"]
    assert ran.json["left_out"]["missing_documents"] == 1
    shown = shop("eval", "shop", *FILES)
    assert "ndcg@10" in shown.out
    assert "worst by ndcg@10" in shown.out
    assert "qrels.tsv:6: not used: grade 'much'" in shown.err
    assert "1 queries have no relevant document" in shown.err
    assert "1 relevant documents are not in the collection" in shown.err


@pytest.mark.usefixtures("judged")
def test_another_configuration_stands_beside_it(shop: Run) -> None:
    ran = shop("eval", "shop", *FILES, "--mode", "semantic", "--against", "mode=lexical,exact=false", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["comparisons"][0]["measure"] == "ndcg@10"
    assert 0 < ran.json["comparisons"][0]["p_randomization"] <= 1
    assert "better/worse/same" in shop("eval", "shop", *FILES, "--against", "mode=lexical").out


@pytest.mark.usefixtures("judged")
def test_a_line_that_is_not_held_ends_with_1(shop: Run) -> None:
    assert shop("eval", "shop", *FILES, "--min", "recall@100=0.7").code == 0
    ran = shop("eval", "shop", *FILES, "--min", "recall@100=0.7", "--min", "recall@50=0.8")
    assert ran.code == 1
    assert "recall@50 is 0.7500, below 0.8" in ran.err
    assert shop("eval", "shop", *FILES, "--min", "recall@100=0.9", "--json").json["missed"] == {"recall@100": 0.75}


@pytest.mark.usefixtures("judged")
@pytest.mark.parametrize(
    "flags",
    [
        ("--queries", "q.jsonl"),
        (*FILES, "--min", "x"),
        (*FILES, "--against", "mood=lexical"),
        (*FILES, "--against", "lexical"),
        (*FILES, "--set", "limit=3"),
        (),
    ],
)
def test_wrong_use_ends_with_2(shop: Run, flags: tuple[str, ...]) -> None:
    ran = shop("eval", "shop", *flags)
    assert ran.code == 2, ran
    assert "invalid_request" in ran.err


@pytest.mark.usefixtures("judged")
def test_judgments_go_in_and_come_out(shop: Run, own_folder: Path) -> None:
    ran = shop("judgments", "import", "shop", *FILES, "--json")
    assert (ran.json["stored"], ran.json["queries_without_text"], len(ran.json["bad_rows"])) == (4, 1, 1)
    assert shop("eval", "shop", "--json").json["queries"] == 2
    assert len(shop("judgments", "list", "shop", "--json").json["judgments"]) == 4
    listed = shop("judgments", "list", "shop").out
    assert "kettle" in listed
    assert "given" in listed
    ran = shop("judgments", "export", "shop", "--queries", "out.jsonl", "--qrels", "out.tsv", "--json")
    assert (ran.json["queries"], ran.json["judgments"]) == (3, 4)
    again = ("--queries", "out.jsonl", "--qrels", "out.tsv")
    assert shop("eval", "shop", *again, "--json").json["means"] == shop("eval", "shop", "--json").json["means"]


def test_clicks_are_learnt_from_and_queries_reported(shop: Run, own_folder: Path) -> None:
    import nearfield as library  # noqa: PLC0415

    assert shop("report", "shop").code == 2
    with library.open(own_folder / "nearfield-data", environment="test", embedder="hashing", engine="exact") as db:
        products = db.collection("shop")
        products.configure(events=True)
        for _ in range(6):
            answer = products.search("desk lamp", limit=2)
            products.record(answer.search_id, "2")
        products.search("desk lamp", where="price > 1000")
    ran = shop("judgments", "learn", "shop", "--json")
    assert (ran.json["searches"], ran.json["clicks"]) == (7, 6)
    assert "from 6 clicks in 7 searches" in shop("judgments", "learn", "shop").out
    assert shop("report", "shop", "--json").json["queries"][0]["query"] == "desk lamp"
    assert "desk lamp" in shop("report", "shop", "--below", "1").out
