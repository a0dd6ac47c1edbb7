"""Tables put together from the figures that rounds give."""

from __future__ import annotations

from benchmarks.comparison import CONTENDERS, FLOORS, OURS, SERVED, sections, units
from benchmarks.contest import CLIENTS, told
from benchmarks.load import Load
from benchmarks.rounds import Figures, Measured

LOAD = Load(2.0, 100, 0, 0, 0, 0, 10.0, 20.0, 30.0, 0.05)
ONCE = ("start_s", "recall", "recall_filtered", "filter_kept", "peak_mb", "disk_mb", "others")
BARE = (
    *("embedder.documents", "embedder.p50_ms", "embedder.singles", "embedder.batches_16", "embedder.batches_32"),
    *("engine.p50_ms", "engine.filtered_ms", "engine.words_ms", "engine.words_filtered_ms", "engine.rate_2_threads"),
    "store.p50_ms",
)


def loads(*names: str) -> dict[str, float]:
    return {key: value for name in names for key, value in told(name, LOAD, of=1_000).items()}


def measured() -> dict[str, Measured]:
    """Every unit with the figures it gives, the same in three rounds."""
    modes = ("semantic", "hybrid")
    every = [f"{mode}@{clients}" for mode in modes for clients in CLIENTS]
    figures: dict[str, Figures] = {
        each.name: dict.fromkeys((*ONCE, "bulk.rate", "lag_s"), 1.0) | loads(*every, "writes") for each in CONTENDERS
    }
    figures[SERVED] = dict.fromkeys(ONCE, 1.0) | loads(*every, "cached@32")
    inside = [f"inside.{mode}@{tasks}.{figure}" for mode in modes for tasks in (1, 32) for figure in ("rate", "p50_ms")]
    figures[FLOORS] = dict.fromkeys((*BARE, *inside), 2.0) | loads(*(f"route@{clients}" for clients in CLIENTS))
    return {unit: Measured({name: [value] * 3 for name, value in them.items()}) for unit, them in figures.items()}


def test_every_table_is_whole() -> None:
    made = {section.name: section.rows for section in sections(measured(), rows=100_000, rounds=3)}

    assert set(made) == {"contenders", "load", "floors", "goals"}
    for rows in made.values():
        assert {len(row) for row in rows} == {len(rows[0])}
    assert all(
        "50.0 (50.0 to 50.0)" in cell for row in made["contenders"] if "searches/s" in row[0] for cell in row[1:]
    )
    assert not [row for row in made["floors"] if "–" in row]  # noqa: RUF001 - a dash is a figure nobody measured


def test_what_the_larger_collection_is_not_asked_is_a_dash() -> None:
    rows = {row[0]: row for row in sections(measured(), rows=100_000, rounds=3)[0].rows}

    assert rows["bulk load, documents/s"][-1] == "–"  # noqa: RUF001 - a dash


def test_goals_compare_what_they_say() -> None:
    figures = measured()
    rate = dict(figures[SERVED].values) | {"semantic@32.rate": [800.0, 760.0, 100.0]}
    rows = {row[0]: row for row in sections(figures | {SERVED: Measured(rate)}, rows=100_000, rounds=3)[-1].rows}

    # 760 searches/s, the median, where the tutorial's program has 50
    assert rows["semantic, 32 clients: times the tutorial's searches/s"][1:] == ["≥ 15.0", "15.2", "yes"]
    assert rows["hybrid, 32 clients: times the tutorial's searches/s"][1:] == ["≥ 10.0", "1.0", "no"]


def test_a_round_has_every_contender_and_ours_are_known() -> None:
    assert list(units(1_000)) == [*(each.name for each in CONTENDERS), SERVED, FLOORS]
    assert set(units(1_000)) > OURS
