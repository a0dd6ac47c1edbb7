from __future__ import annotations

from nearfield.observe import metrics


def test_a_count_is_rendered_under_its_name_and_labels() -> None:
    metrics.DOCUMENTS.labels("test_outcome").inc(3)
    assert b'nearfield_documents_total{outcome="test_outcome"} 3.0' in metrics.render()


def test_a_gauge_is_rendered_once_and_leaves_nothing_behind() -> None:
    shown = metrics.render([metrics.gauge("nearfield_test_rows", "Rows.", ("of",), {('a"\n\\',): 2.0})])
    assert b'nearfield_test_rows{of="a\\"\\n\\\\"} 2.0' in shown
    assert b"nearfield_test_rows" not in metrics.render()


def test_every_metric_has_our_prefix_or_is_the_process_own() -> None:
    names = [line.split()[2] for line in metrics.render().decode().splitlines() if line.startswith("# TYPE")]
    assert names
    assert all(name.startswith(("nearfield_", "process_", "python_")) for name in names)
