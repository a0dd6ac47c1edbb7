"""A verification as one HTML page, its plots drawn as SVG in the page itself."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nearfield.domain.moves import Side, Verification

WIDTH, HEIGHT, EDGE = 560, 220, 40
BINS: Final = 10
COLORS: Final = ("#2563eb", "#f59e0b")  # of the new one, of the old one
_STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:960px;margin:2em auto;padding:0 1em;color:#1f2937}"
    "table{border-collapse:collapse;margin:1em 0}td,th{padding:.25em .9em .25em 0;text-align:left;vertical-align:top}"
    "th{border-bottom:1px solid #9ca3af}.no{color:#b91c1c;font-weight:600}.yes{color:#15803d}"
    "svg{background:#f9fafb;border:1px solid #e5e7eb;margin:.5em 1em .5em 0}text{font:11px system-ui,sans-serif}"
)


def report_page(found: Verification) -> str:
    """The whole page; needs nothing from elsewhere."""
    sides = [side for side in (found.new, found.old) if side is not None]
    verdict = "every gate held" if found.passed else "not every gate held"
    title = f"{found.collection}: generation {found.new.generation}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="{"yes" if found.passed else "no"}">{verdict}</p>',
        (
            f"<p>{found.queries:,} questions, {found.filtered:,} of them with a filter; the ten found by both agree to "
            f"{found.overlap:.1%}. {escape(found.at)}, {found.took_s:.1f} s.</p>"
        ),
        _table(
            ("gate", "seen", "demanded", "held"),
            ((gate.name, gate.seen, gate.demanded, "yes" if gate.held else "no") for gate in found.gates),
        ),
        _table(("", *(f"generation {side.generation}" for side in sides)), _figures(sides)),
        "<h2>Recall of each question</h2>",
        _histogram(sides),
        "<h2>Time of each search</h2>",
        _cumulative(sides),
    ]
    if found.differing:
        rows = (
            (one.query, one.where or "", f"{one.overlap:.0%}", ", ".join(one.old), ", ".join(one.new))
            for one in found.differing
        )
        parts += [
            "<h2>Answered most differently</h2>",
            _table(("question", "filter", "alike", "before", "after"), rows),
        ]
    parts += [f"<p>{escape(note)}</p>" for note in found.notes]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def _figures(sides: Sequence[Side]) -> list[tuple[str, ...]]:
    return [
        ("engine", *(side.engine for side in sides)),
        ("index", *(side.index for side in sides)),
        ("embedder", *(side.embedder for side in sides)),
        ("recall@10 against every vector", *(f"{side.recall:.4f}" for side in sides)),
        *((f"p{percent}", *(f"{side.percentile_ms(percent):.1f} ms" for side in sides)) for percent in (50, 95, 99)),
        ("searches that failed", *(str(side.failures) for side in sides)),
        ("nDCG@10", *("" if side.ndcg is None else f"{side.ndcg:.4f}" for side in sides)),
    ]


def _table(header: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(
        "<tr>"
        + "".join(f'<td class="{cell if cell in ("yes", "no") else ""}">{escape(cell)}</td>' for cell in row)
        + "</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _histogram(sides: Sequence[Side]) -> str:
    """Bars: how many questions found so much of the truth, in tenths."""
    counts = [[0] * (BINS + 1) for _ in sides]
    for place, side in enumerate(sides):
        for recall in side.recalls:
            counts[place][round(recall * BINS)] += 1
    highest = max((count for side in counts for count in side), default=0) or 1
    slot = (WIDTH - 2 * EDGE) / (BINS + 1)
    bar = slot * 0.8 / max(len(sides), 1)
    drawn = []
    for place, side_counts in enumerate(counts):
        for step, count in enumerate(side_counts):
            height = (HEIGHT - 2 * EDGE) * count / highest
            x, y = EDGE + step * slot + place * bar, HEIGHT - EDGE - height
            drawn.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{bar:.1f}" height="{height:.1f}" fill="{COLORS[place]}"/>'
            )
    ticks = [(EDGE + (step + 0.4) * slot, f"{step / BINS:.1f}") for step in range(BINS + 1)]
    return _plot(drawn, ticks, sides, f"{highest:,} questions")


def _cumulative(sides: Sequence[Side]) -> str:
    """Lines: the share of searches answered within so many milliseconds, up to the 99th percentile."""
    longest = max((side.percentile_ms(99) for side in sides), default=0.0) or 1.0
    wide, high = WIDTH - 2 * EDGE, HEIGHT - 2 * EDGE
    drawn = []
    for place, side in enumerate(sides):
        points = [(min(side.percentile_ms(percent), longest), percent) for percent in range(100)]
        path = " ".join(f"{EDGE + wide * ms / longest:.1f},{HEIGHT - EDGE - high * p / 100:.1f}" for ms, p in points)
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{COLORS[place]}" stroke-width="2"/>')
    ticks = [(EDGE + wide * step / 4, f"{longest * step / 4:.1f} ms") for step in range(5)]
    return _plot(drawn, ticks, sides, "all")


def _plot(drawn: Sequence[str], ticks: Sequence[tuple[float, str]], sides: Sequence[Side], top: str) -> str:
    floor = HEIGHT - EDGE
    axis = f'<line x1="{EDGE}" y1="{floor}" x2="{WIDTH - EDGE}" y2="{floor}" stroke="#6b7280"/>'
    marks = "".join(
        f'<text x="{x:.1f}" y="{floor + 16}" text-anchor="middle">{escape(text)}</text>' for x, text in ticks
    )
    names = "".join(
        f'<text x="{EDGE + 110 * place}" y="{HEIGHT - 6}" fill="{COLORS[place]}">generation {side.generation}</text>'
        for place, side in enumerate(sides)
    )
    high = f'<text x="{EDGE}" y="{EDGE - 10}">{escape(top)}</text>'
    size = f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size}>{axis}{"".join(drawn)}{marks}{names}{high}</svg>'
