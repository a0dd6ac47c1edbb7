from __future__ import annotations

import pytest

from nearfield.domain.errors import InvalidRequest
from nearfield.quality.lines import missed, parse_lines


def test_a_line_is_a_measure_and_its_least_mean() -> None:
    lines = parse_lines(["nDCG@10=0.60", "recall@100=1"])
    assert lines == {"ndcg@10": 0.6, "recall@100": 1.0}
    assert missed({"ndcg@10": 0.6, "recall@100": 0.99, "p@10": 0.0}, lines) == {"recall@100": 0.99}


@pytest.mark.parametrize("wrong", ["ndcg@10", "ndcg@10=", "ndcg@10=60", "ndcg@10=-1", "ndcg@10=nan", "map@10=0.5"])
def test_a_line_that_cannot_be_read_is_refused(wrong: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_lines([wrong])
