from __future__ import annotations

from benchmarks.precision import Speed, relevance_section, speed_section


def test_ratios_are_of_rounds_and_more_is_faster() -> None:
    found = {
        "native": [Speed(2.0, 30.0, 300.0), Speed(4.0, 60.0, 150.0), Speed(2.0, 30.0, 300.0)],
        "int8": [Speed(1.0, 20.0, 600.0), Speed(2.0, 40.0, 300.0), Speed(4.0, 60.0, 150.0)],
    }
    header, native, int8 = speed_section(found).rows
    assert len(header) == len(native) == len(int8)
    assert native[-3:] == ["1.00", "1.00", "1.00"]
    assert int8[-3:] == ["2.00", "1.50", "2.00"], "a slow round is slow for both"


def test_what_int8_loses_has_its_sign() -> None:
    section = relevance_section({"a": {"native": 0.5, "int8": 0.4975}, "b": {"native": 0.5, "int8": 0.501}})
    assert [row[-1] for row in section.rows[1:]] == ["-0.0025", "+0.0010"]
    assert section.command.endswith("--relevance a b")
