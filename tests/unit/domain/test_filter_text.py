from __future__ import annotations

import pytest

from nearfield.domain.errors import InvalidFilter
from nearfield.domain.filter_grammar import RESERVED
from nearfield.domain.filter_text import MAX_TEXT_LENGTH, parse_text, to_text
from nearfield.domain.filters import (
    And,
    ContainsAll,
    ContainsAny,
    Eq,
    Exists,
    Filter,
    GeoBox,
    GeoPoint,
    GeoRadius,
    Gt,
    Gte,
    In,
    Lt,
    Lte,
    Ne,
    Not,
    NotIn,
    Or,
)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a = 1", Eq("a", 1)),
        ("a == 1", Eq("a", 1)),
        ("a != 1", Ne("a", 1)),
        ("a <> 1", Ne("a", 1)),
        ("a<1", Lt("a", 1)),
        ("a<=-1", Lte("a", -1)),
        ("a > 1.5", Gt("a", 1.5)),
        ("a >= 1e3", Gte("a", 1000.0)),
        ("a = .5", Eq("a", 0.5)),
        ("a = TRUE", Eq("a", True)),
        ("a = 'it''s'", None),
        (r"a = 'it\'s'", Eq("a", "it's")),
        (r'a = "\"\\\/\n\t\u00e9\`"', Eq("a", '"\\/\n\té`')),
        ('a = "AND"', Eq("a", "AND")),
        ("a IN [1, 'b', true]", In("a", (1, "b", True))),
        ("a in (1)", In("a", (1,))),
        ("a IN ()", In("a", ())),
        ("a NOT IN []", NotIn("a", ())),
        ("a EXISTS", Exists("a")),
        ("EXISTS a", Exists("a")),
        ("exists(a)", Exists("a")),
        ("a IS NOT NULL", Exists("a")),
        ("a IS NULL", Exists("a", present=False)),
        ("a NOT EXISTS", Exists("a", present=False)),
        ("NOT EXISTS a", Not(Exists("a"))),
        ("a CONTAINS 'x'", ContainsAny("a", ("x",))),
        ("a CONTAINS ['x', 'y']", ContainsAny("a", ("x", "y"))),
        ("a CONTAINS ANY ['x']", ContainsAny("a", ("x",))),
        ("a CONTAINS ALL ['x']", ContainsAll("a", ("x",))),
        ("a NOT CONTAINS 1", Not(ContainsAny("a", (1,)))),
        ("a NOT CONTAINS ALL [1]", Not(ContainsAll("a", (1,)))),
        ("a BETWEEN 1 AND 2 AND b = 3", And((And((Gte("a", 1), Lte("a", 2))), Eq("b", 3)))),
        ("a NOT BETWEEN 1 AND 2", Not(And((Gte("a", 1), Lte("a", 2))))),
        ("GEO_RADIUS(at, 52.5, -13, 1e3)", GeoRadius("at", GeoPoint(52.5, -13.0), 1000.0)),
        ("geo_box(at, 1, 2, 3, 4)", GeoBox("at", 1.0, 2.0, 3.0, 4.0)),
        ("true", And(())),
        ("FALSE", Or(())),
        ("a=1 OR b=2 AND c=3", Or((Eq("a", 1), And((Eq("b", 2), Eq("c", 3)))))),
        ("(a=1 OR b=2) AND c=3", And((Or((Eq("a", 1), Eq("b", 2))), Eq("c", 3)))),
        ("NOT a=1 AND b=2", And((Not(Eq("a", 1)), Eq("b", 2)))),
        ("not not (a=1 and b=2)", Not(Not(And((Eq("a", 1), Eq("b", 2)))))),
        (
            "android = 1 AND inner = 2 AND nothing = 3 AND Order = 4",
            And((Eq("android", 1), Eq("inner", 2), Eq("nothing", 3), Eq("Order", 4))),
        ),
        ("`in` = 1", Eq("in", 1)),
        (r"`a \`b\` é` = 1", Eq("a `b` é", 1)),
        ("a = 1\n\tAND\r\n b = 2", And((Eq("a", 1), Eq("b", 2)))),
        (
            'price <= 100 AND (brand = "Acme" OR tags IN ["new"])',
            And((Lte("price", 100), Or((Eq("brand", "Acme"), In("tags", ("new",)))))),
        ),
    ],
)
def test_spellings(text: str, where: Filter | None) -> None:
    if where is None:
        with pytest.raises(InvalidFilter):
            parse_text(text)
        return
    assert parse_text(text) == where
    assert parse_text(to_text(where)) == where


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the filter is blank"),
        (" \n", "the filter is blank"),
        ("price", "at column 6 expected a comparison such as =, <, IN, CONTAINS or EXISTS, but the text ends"),
        ("price <", 'at column 8 expected a value such as "text", 10 or true, but the text ends'),
        ("brand = Acme", "got 'Acme'; text needs quotes: \"Acme\""),
        ("added >= 2024-05-01", "expected AND, OR or the end, but got '-05'; a date needs quotes: \"2024-05-01\""),
        ('a = "x', 'the text that begins at column 5 has no closing "'),
        ("(a = 1", "at column 7 expected ), but the text ends"),
        ("a = 1)", "at column 6 expected the end, but got ')'"),
        ("a = 1 b = 2", "at column 7 expected AND, OR or the end, but got 'b'"),
        ("a IN 5", "at column 6 expected a list such as [1, 2], but got '5'"),
        ("a = null", "write IS NULL for a missing value"),
        ("AND a = 1", "at column 1 expected a field name, but got 'AND'"),
        ("a = 1 AND OR b = 2", "at column 11 expected a field name, but got 'OR'"),
        ("a ~ 3", "at column 3 expected a comparison"),
        ("a NOT 5", "at column 7 expected IN, CONTAINS, BETWEEN or EXISTS, but got '5'"),
        ("a BETWEEN 1 OR 2", "at column 13 expected AND, but got 'OR'"),
        ("GEO_RADIUS(at, 'x', 1, 2)", "at column 16 expected a number, but got \"'x'\""),
        ("a = 1\nAND b <", "at line 2, column 8 expected a value"),
        (r"a = 'C:\dir'", r"unknown escape \d; write a backslash as \\, at column 5"),
        ("a = 1e999", "the number 1e999 is too large, at column 5"),
        (f"a = {'9' * 5000}", "a number of 5000 digits"),
        (f"GEO_BOX(at, {'9' * 400}, 1, 2, 3)", "is too large"),
        (f"a = '{'x' * 8193}'", "the string has 8193 characters; at most 8192"),
        (f"a IN [{'1,' * 10_000}1]", "the list holds 10001 values"),
        ("NOT " * 32 + "a = 1", "nested more than 32 deep"),
        ("NOT " * 10_000 + "a = 1", "nested more than 32 deep"),
        (" OR ".join(["a = 1"] * 500), "more than 500 conditions"),
        ("a = 1" + " " * MAX_TEXT_LENGTH, f"at most {MAX_TEXT_LENGTH} are read, send a longer one as JSON"),
    ],
)
def test_refusals_say_where_and_what(text: str, message: str) -> None:
    with pytest.raises(InvalidFilter) as caught:
        parse_text(text)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 300
    assert caught.value.field == "filter"


def test_brackets_cost_no_depth() -> None:
    assert parse_text("(" * 5_000 + "a = 1" + ")" * 5_000) == Eq("a", 1)


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidFilter, match="expected a filter as text, got an object"):
        parse_text({})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("where", "text"),
    [
        (And((Eq("a", 1),)), "a = 1"),
        (
            Or((And((Eq("a", 1), Ne("b", 2.0))), Not(In("c", ("x", True))))),
            '(a = 1 AND b != 2.0) OR NOT c IN ["x", true]',
        ),
        (Not(And(())), "NOT TRUE"),
        (Not(Or((Eq("a", 1), Exists("b", present=False)))), "NOT (a = 1 OR b NOT EXISTS)"),
        (Eq("a", 'q"\\\n\x00\ud800é'), r'a = "q\"\\\n\u0000\ud800é"'),
        (Eq("a b", 1), "`a b` = 1"),
        (ContainsAll("a", ()), "a CONTAINS ALL []"),
    ],
)
def test_canonical_text(where: Filter, text: str) -> None:
    assert to_text(where) == text


@pytest.mark.parametrize("word", RESERVED)
def test_a_keyword_as_field_name_is_backquoted(word: str) -> None:
    for name in (word, word.lower(), word.title()):
        assert to_text(Exists(name)) == f"`{name}` EXISTS"
        assert parse_text(f"`{name}` EXISTS AND {name}x = 1") == And((Exists(name), Eq(f"{name}x", 1)))
